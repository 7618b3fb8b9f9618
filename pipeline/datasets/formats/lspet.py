"""Leeds Sports Pose Extended: 10,000 small images of athletes with noisy labels by crowd workers."""

import numpy as np

from pipeline.datasets import matlab
from pipeline.datasets.archive import Archive
from pipeline.datasets.store import ImageStore
from pipeline.keypoints import Keypoints
from pipeline.metrics.pckh import PCKh
from pipeline.people import LARGEST, LabelError, Split, crop_of_box, table

TITLE = "LSPET"
# The full dataset's people: train, val.
PEOPLE = (9000, 1000)
SQUARE_CROPS = False
KEYPOINTS = Keypoints(
    names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
        "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    skeleton=(
        (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13),
        (8, 2), (9, 3),
    ),
    # As in DLCM's code for LSP's joints: legs, head, arms.
    bones=((0, 1), (1, 2), (3, 4), (4, 5), (12, 13), (6, 7), (7, 8), (9, 10), (10, 11)),
    limbs=((0, 1), (2, 3), (4,), (5, 6), (7, 8)),
)  # fmt: skip
METRIC = PCKh(
    KEYPOINTS,
    groups={
        "Head": (13,), "Shoulder": (8, 9), "Elbow": (7, 10), "Wrist": (6, 11), "Hip": (2, 3),
        "Knee": (1, 4), "Ankle": (0, 5),
    },
)  # fmt: skip
COMMIT = "8fabf3183516b1be5f9d44bd1c516609637e983e"
JOINTS = "joints.mat"
ARCHIVES = (
    Archive(
        "lspet_dataset.zip",
        f"https://github.com/axelcarlier/lsp/archive/{COMMIT}.zip",
        size=180_000_000,
        files=(JOINTS,),
        folder="images",
        aliases=(f"{COMMIT}.zip", f"lsp-{COMMIT}.zip"),
        content=((JOINTS, "cc66465117888d9f43aac78c15c4548e37df5022640a193f2002fd084cba13ef"),),
    ),
)
NECK, HEAD_TOP = KEYPOINTS.names.index("neck"), KEYPOINTS.names.index("head_top")


def people(labels: ImageStore, input_size: tuple[int, int]) -> dict[str, Split]:
    """The tables of both splits, one person an image; index i, from 0, is of val when i % 10 == 9.

    The box spans the labelled joints. PCKh's unit is the distance from neck to head top.
    """
    raw = matlab.load(labels.read(JOINTS), JOINTS, ("joints",), TITLE)["joints"]
    shape, kind = np.shape(raw), np.asarray(raw).dtype.kind
    if len(shape) != 3 or shape[:2] != (KEYPOINTS.count, 3) or kind not in "uif":
        raise LabelError(
            f"joints in {JOINTS} has shape {shape}, not ({KEYPOINTS.count}, 3, people), or holds no numbers"
        )
    raw = raw.transpose(2, 0, 1).astype(np.float64)
    labelled = raw[..., 2] == 1
    proper = np.where(labelled, (np.abs(raw[..., :2]) <= LARGEST).all(-1), raw[..., 2] == 0)
    for person, joint in np.argwhere(~proper)[:1]:
        x, y, mark = raw[person, joint]
        raise LabelError(
            f"{JOINTS}: person {person} has x {x:g}, y {y:g} and mark {mark:g} of {KEYPOINTS.names[joint]}, which are "
            f"no pixels, or a mark that is neither 0 nor 1"
        )
    joints = np.where(labelled[..., None], raw[..., :2], 0.0)
    # Unlabelled joints are negative rubbish and must not stretch the box.
    low = np.where(labelled[..., None], joints, np.inf).min(axis=1)
    high = np.where(labelled[..., None], joints, -np.inf).max(axis=1)
    spread = high - low
    usable = (labelled.sum(axis=1) >= 2) & (spread > 0).any(axis=1)
    head = np.linalg.norm(joints[:, NECK] - joints[:, HEAD_TOP], axis=1)
    head = np.where(labelled[:, NECK] & labelled[:, HEAD_TOP] & (head > 0), head, np.nan)
    splits = {}
    index = np.arange(len(raw))
    for split, mine in (("train", index % 10 != 9), ("val", index % 10 == 9)):
        rows = index[mine & usable]
        box = np.hstack([low[rows], spread[rows]])
        center, scale = crop_of_box(box, input_size)
        people = table(
            "lspet", split, [f"im{i + 1:05d}.jpg" for i in rows],
            image_id=rows, person_id=rows, box=box, center=center, scale=scale, joints=joints[rows],
            labelled=labelled[rows], visible=labelled[rows], head_size=head[rows], area=box[:, 2] * box[:, 3],
        )  # fmt: skip
        unusable = int((mine & ~usable).sum())
        splits[split] = Split(people, {"fewer than two labelled joints": unusable} if unusable else {})
    return splits


LABELLED_IMAGES = DETECTIONS = EXPORT = None
PREDICTIONS = None
