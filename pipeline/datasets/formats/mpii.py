"""MPII Human Pose: the RELEASE struct of its .mat, Tompson's validation split, the table of people."""

from collections import Counter
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.datasets import matlab
from pipeline.datasets.archive import Archive
from pipeline.datasets.store import ImageStore
from pipeline.keypoints import Keypoints
from pipeline.metrics.pckh import PCKh
from pipeline.people import PADDING, SCALE_UNIT, LabelError, People, Split, table

TITLE = "MPII"
# The full dataset's people: train, val.
PEOPLE = (22246, 2958)
SQUARE_CROPS = True
KEYPOINTS = Keypoints(
    names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
        "left_elbow", "left_wrist",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    skeleton=(
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (10, 11), (11, 12), (12, 7),
        (7, 13), (13, 14), (14, 15),
    ),
)  # fmt: skip
# As in HRNet's code the head is the head's top alone; the neck is in no column, but in the mean.
METRIC = PCKh(
    KEYPOINTS,
    groups={
        "Head": (9,), "Shoulder": (12, 13), "Elbow": (11, 14), "Wrist": (10, 15), "Hip": (2, 3),
        "Knee": (1, 4), "Ankle": (0, 5),
    },
)  # fmt: skip
SITE = "https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr"
RELEASE = "mpii_human_pose_v1_u12_1.mat"
VALIDATION = "detections.mat"
# Labels first: they say which images are worth keeping.
ARCHIVES = (
    Archive(
        "mpii_human_pose_v1_u12_2.zip",
        f"{SITE}/mpii_human_pose_v1_u12_2.zip",
        size=13_000_000,
        files=(f"mpii_human_pose_v1_u12_2/{RELEASE}",),
    ),
    Archive(
        VALIDATION,
        "https://raw.githubusercontent.com/bearpaw/pytorch-pose/edc7aece651649927764435ce0c1f03cffa2edaf/"
        "evaluation/data/detections.mat",
        size=1_000_000,
        digest="sha256:cfb56b4374db1675ac55955459a7399ccb5305dd3c6f4635c97f5df7f4ef4d13",
        files=(VALIDATION,),
    ),
    Archive(
        "mpii_human_pose_v1.tar.gz",
        f"{SITE}/mpii_human_pose_v1.tar.gz",
        size=12_900_000_000,
        folder="images",
    ),
)
# HRNet's: the label's centre sits high and its square is tight.
SHIFT_DOWN = 15.0
HEAD_SHARE = 0.6


def people(labels: ImageStore, input_size: tuple[int, int]) -> dict[str, Split]:
    """The tables of both splits; raises LabelError for what is not MPII's.

    The crop is HRNet's, whatever the input's shape: a square scale, whose width the crop takes. `box` is the
    label's square of 200 * scale pixels around the shifted centre, without padding.
    """
    release = _release(labels)
    pairs = _validation(labels, len(release["annolist"]))
    val_images = {image for image, _ in pairs}
    columns: dict[str, list[tuple[Any, ...]]] = {"train": [], "val": []}
    dropped: dict[str, Counter[str]] = {"train": Counter(), "val": Counter()}
    seen = set()
    for index, annotation in enumerate(release["annolist"]):
        image_id = index + 1
        in_val = image_id in val_images
        if not in_val and not release["img_train"][index]:
            continue
        name = _image_name(annotation, image_id)
        rects = annotation["annorect"]
        for person, rect in enumerate(rects.ravel() if rects.dtype.names else ()):
            if in_val and (image_id, person + 1) not in pairs:
                dropped["train"]["in an image of the validation split"] += 1
                continue
            seen.add((image_id, person + 1))
            split = "val" if in_val else "train"
            joints, labelled, visible = _joints(rect, rects.dtype.names, image_id, person + 1)
            center, scale = _place(rect, rects.dtype.names)
            if not labelled.any():
                dropped[split]["no joints"] += 1
            elif center is None:
                dropped[split]["no position or scale"] += 1
            else:
                row = (name, image_id, image_id * 1000 + person + 1, center, scale, joints, labelled, visible)
                columns[split].append((*row, _head_size(rect, rects.dtype.names)))
    if absent := pairs - seen:
        image, person = min(absent)
        raise LabelError(f"{VALIDATION} names person {person} of image {image}, whom {RELEASE} does not have")
    return {split: Split(_table(split, rows), dict(dropped[split])) for split, rows in columns.items()}


def labelled_images(labels: ImageStore) -> set[str]:
    """Names of the images that may have labels: not MPII's test images."""
    release = _release(labels)
    return {
        _image_name(annotation, index + 1)
        for index, annotation in enumerate(release["annolist"])
        if release["img_train"][index]
    }


def export(people: People, image_xy: Array) -> dict[str, bytes]:
    """Predictions as HRNet writes them for MATLAB, predictions.mat: `preds` (N, K, 2), 1-based pixels.

    Beside it the rows' place in RELEASE under the names of MPII's validation split, 1-based too.
    """
    person = people.person_id - people.image_id * 1000
    variables = {
        "preds": image_xy + 1.0, "RELEASE_img_index": people.image_id, "RELEASE_person_index": person,
    }  # fmt: skip
    return {"predictions.mat": matlab.save(variables, oned_as="row")}


def _table(split: str, rows: list[tuple[Any, ...]]) -> People:
    names, image_id, person_id, position, scales, joints, labelled, visible, head_size = (
        list(zip(*rows, strict=True)) or [()] * 9
    )
    scale = np.array(scales)
    shift = np.stack([np.zeros_like(scale), SHIFT_DOWN * scale], axis=1)
    center = np.array(position).reshape(-1, 2) + shift - 1
    side = SCALE_UNIT * scale[:, None]
    return table(
        "mpii", split, names,
        image_id=image_id, person_id=person_id,
        box=np.hstack([center - side / 2, side, side]),
        center=center, scale=np.repeat(scale[:, None] * PADDING, 2, axis=1),
        joints=np.array(joints).reshape(-1, KEYPOINTS.count, 2),
        labelled=np.array(labelled).reshape(-1, KEYPOINTS.count),
        visible=np.array(visible).reshape(-1, KEYPOINTS.count), head_size=head_size, area=side[:, 0] ** 2,
    )  # fmt: skip


def _release(labels: ImageStore) -> dict[str, Any]:
    struct = matlab.load(labels.read(RELEASE), RELEASE, ("RELEASE",), TITLE)["RELEASE"]
    if not {"annolist", "img_train"} <= set(struct.dtype.names or ()) or struct.size != 1:
        raise LabelError(f"RELEASE in {RELEASE} has no annolist or img_train: it is not MPII's file")
    annolist, img_train = struct["annolist"].item().ravel(), struct["img_train"].item().ravel()
    if not {"image", "annorect"} <= set(annolist.dtype.names or ()) or len(annolist) != len(img_train):
        raise LabelError(f"annolist in {RELEASE} does not fit img_train or has no image or annorect")
    return {"annolist": annolist, "img_train": img_train}


def _validation(labels: ImageStore, images: int) -> set[tuple[int, int]]:
    keys = ("RELEASE_img_index", "RELEASE_person_index")
    content = matlab.load(labels.read(VALIDATION), VALIDATION, keys, TITLE)
    image, person = (content[key].ravel().astype(int) for key in keys)
    if len(image) != len(person) or (len(image) and (image.min() < 1 or image.max() > images)):
        raise LabelError(f"{VALIDATION} does not fit {RELEASE}: it names images that are not there")
    return set(zip(image.tolist(), person.tolist(), strict=True))


def _image_name(annotation: Any, image_id: int) -> str:
    try:
        return str(annotation["image"]["name"].item().item())
    except (ValueError, IndexError, TypeError) as error:
        raise LabelError(f"image {image_id} in {RELEASE} has no name") from error


def _joints(
    rect: Any, fields: tuple[str, ...], image_id: int, person: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints (K, 2) in 0-based pixels and their marks (K,); a joint is labelled when it is listed."""
    joints = np.zeros((KEYPOINTS.count, 2))
    labelled, visible = np.zeros(KEYPOINTS.count, bool), np.zeros(KEYPOINTS.count, bool)
    points = rect["annopoints"] if "annopoints" in fields else None
    # People without joints have an empty annopoints, one without points, or none.
    if points is None or points.size == 0 or "point" not in (points.dtype.names or ()):
        return joints, labelled, visible
    points = points["point"].item()
    if not points.dtype.names:
        return joints, labelled, visible
    marked = "is_visible" in points.dtype.names
    for point in points.ravel():
        joint = int(point["id"].item())
        if not 0 <= joint < KEYPOINTS.count:
            raise LabelError(
                f"person {person} of image {image_id} in {RELEASE} has joint {joint}; MPII has {KEYPOINTS.count}"
            )
        joints[joint] = float(point["x"].item()) - 1, float(point["y"].item()) - 1
        labelled[joint] = True
        # Missing, empty, a number or the text '0' or '1'; only zero says occluded.
        mark = point["is_visible"] if marked else np.empty(0)
        visible[joint] = mark.size == 0 or float(mark.item()) != 0
    return joints, labelled, visible


def _place(rect: Any, fields: tuple[str, ...]) -> tuple[tuple[float, float] | None, float]:
    """The labelled position (1-based) and scale, or None where one is missing."""
    if not {"objpos", "scale"} <= set(fields) or not (rect["objpos"].size and rect["scale"].size):
        return None, 0.0
    position = rect["objpos"].ravel()[0]
    center = float(position["x"].item()), float(position["y"].item())
    scale = float(rect["scale"].item())
    return (center, scale) if scale > 0 else (None, 0.0)


def _head_size(rect: Any, fields: tuple[str, ...]) -> float:
    """PCKh's unit: 0.6 times the diagonal of the head box; nan without a box."""
    corners = [rect[c] for c in ("x1", "y1", "x2", "y2") if c in fields and rect[c].size]
    if len(corners) < 4:
        return np.nan
    x1, y1, x2, y2 = (float(c.item()) for c in corners)
    return HEAD_SHARE * float(np.hypot(x2 - x1, y2 - y1)) or np.nan


LABELLED_IMAGES, EXPORT = labelled_images, export
DETECTIONS = None
