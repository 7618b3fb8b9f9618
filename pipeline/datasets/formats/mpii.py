"""MPII Human Pose: the RELEASE struct of its .mat, Tompson's validation split, the table of people."""

from collections import Counter
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.datasets import matlab
from pipeline.datasets.archive import Archive
from pipeline.datasets.elsewhere import Files
from pipeline.datasets.formats import mpii_predictions
from pipeline.datasets.store import ImageStore
from pipeline.keypoints import Keypoints
from pipeline.metrics.pckh import PCKh
from pipeline.people import PADDING, SCALE_UNIT, LabelError, People, Split, is_file_name, is_pixels, table

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
    # As in DLCM's code: legs, hips, neck and head, arms.
    bones=(
        (0, 1), (1, 2), (3, 4), (4, 5), (2, 6), (3, 6), (7, 8), (8, 9), (10, 11), (11, 12), (13, 14), (14, 15),
    ),
    limbs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
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
    label's square of 200 * scale pixels around the shifted centre, without padding. In the images of the validation
    split are also people whom it leaves out, for standing close to others: what is near somebody depends on them.
    """
    release = _release(labels)
    pairs = _validation(labels, len(release["annolist"]))
    val_images = {image for image, _ in pairs}
    columns: dict[str, list[tuple[Any, ...]]] = {"train": [], "val": []}
    dropped: dict[str, Counter[str]] = {"train": Counter(), "val": Counter()}
    bystanders: dict[int, list[list[float]]] = {}
    seen = set()
    for index, annotation in enumerate(release["annolist"]):
        image_id = index + 1
        in_val = image_id in val_images
        if not in_val and not release["img_train"][index]:
            continue
        name = _image_name(annotation, image_id)
        rects = np.asarray(annotation["annorect"])
        fields = rects.dtype.names or ()
        for person, rect in enumerate(rects.ravel() if fields else ()):
            where = f"person {person + 1} of image {image_id} in {RELEASE}"
            if in_val and (image_id, person + 1) not in pairs:
                dropped["train"]["in an image of the validation split"] += 1
                bystanders.setdefault(image_id, []).extend(_bystander(rect, fields, where))
                continue
            seen.add((image_id, person + 1))
            split = "val" if in_val else "train"
            joints, labelled, visible = _joints(rect, fields, where)
            center, scale = _place(rect, fields, where)
            if not labelled.any():
                dropped[split]["no joints"] += 1
            elif center is None:
                dropped[split]["no position or scale"] += 1
                bystanders.setdefault(image_id, []).extend(joints[labelled].tolist())
            else:
                row = (name, image_id, image_id * 1000 + person + 1, center, scale, joints, labelled, visible)
                columns[split].append((*row, _head_size(rect, fields, where)))
    if absent := pairs - seen:
        image, person = min(absent)
        raise LabelError(f"{VALIDATION} names person {person} of image {image}, whom {RELEASE} does not have")
    videos = _videos(release["annolist"], sorted(val_images))
    return {
        "train": Split(_table("train", columns["train"]), dict(dropped["train"])),
        "val": Split(
            _table("val", columns["val"]),
            dict(dropped["val"]),
            clusters=videos,
            bystanders={i: points for i, points in bystanders.items() if points and i in val_images},
        ),
    }


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


def validation_order(content: bytes) -> Array:
    """person_id (N,) of the people whom detections.mat names, in its order, which files of predictions follow."""
    variables = matlab.load(content, VALIDATION, mpii_predictions.INDICES, TITLE)
    return mpii_predictions.person_ids(variables, VALIDATION)


def validation_people(content: bytes) -> People:
    """The validation people from detections.mat alone, which holds their labels, and no names of images."""
    annolist = np.ravel(matlab.load(content, VALIDATION, ("annolist",), TITLE)["annolist"])
    order = validation_order(content)
    if len(annolist) != len(order) or "annorect" not in (annolist.dtype.names or ()):
        raise LabelError(f"{VALIDATION}: annolist does not hold the labels of its {len(order)} people")
    rows = []
    for person_id, annotation in zip(order.tolist(), annolist, strict=True):
        image_id, where = person_id // 1000, f"person {person_id % 1000} of image {person_id // 1000}"
        rects = np.ravel(annotation["annorect"])
        if rects.size != 1 or not rects.dtype.names:
            raise LabelError(f"{VALIDATION}: annolist does not hold one person where {where} should be")
        rect = rects[0]
        fields = rect.dtype.names or ()
        joints, labelled, visible = _joints(rect, fields, f"{where} in {VALIDATION}")
        center, scale = _place(rect, fields, f"{where} in {VALIDATION}")
        if labelled.any() and center is not None:
            head_size = _head_size(rect, fields, f"{where} in {VALIDATION}")
            row = (str(image_id), image_id, person_id, center, scale, joints, labelled, visible, head_size)
            rows.append(row)
    return _table("val", rows)


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
    if (
        not {"annolist", "img_train"} <= set(getattr(struct, "dtype", np.dtype(int)).names or ())
        or struct.size != 1
    ):
        raise LabelError(f"RELEASE in {RELEASE} has no annolist or img_train: it is not MPII's file")
    annolist, img_train = (np.ravel(struct[key].item()) for key in ("annolist", "img_train"))
    fits = len(annolist) == len(img_train) and img_train.dtype.kind in "buif"
    if not {"image", "annorect"} <= set(annolist.dtype.names or ()) or not fits:
        raise LabelError(f"annolist in {RELEASE} does not fit img_train or has no image or annorect")
    return {"annolist": annolist, "img_train": img_train}


def _validation(labels: ImageStore, images: int) -> set[tuple[int, int]]:
    keys = ("RELEASE_img_index", "RELEASE_person_index")
    content = matlab.load(labels.read(VALIDATION), VALIDATION, keys, TITLE)
    image, person = (np.ravel(content[key]) for key in keys)
    numbers = all(column.dtype.kind in "uif" and (column % 1 == 0).all() for column in (image, person))
    if (
        not numbers
        or len(image) != len(person)
        or (len(image) and not 1 <= image.min() <= image.max() <= images)
    ):
        raise LabelError(f"{VALIDATION} does not fit {RELEASE}: it names images that are not there")
    return set(zip(image.astype(int).tolist(), person.astype(int).tolist(), strict=True))


def _image_name(annotation: Any, image_id: int) -> str:
    try:
        name = annotation["image"]["name"].item().item()
    except (ValueError, IndexError, TypeError, AttributeError):
        name = None
    if not is_file_name(name):
        raise LabelError(f"image {image_id} in {RELEASE} has no name")
    return str(name)


def _videos(annolist: Any, image_ids: list[int]) -> dict[int, int] | None:
    """The video of each image, which is a frame of it; None where the file does not tell several videos apart.

    An image without a number is one of its own, below zero.
    """
    if "vididx" not in (annolist.dtype.names or ()):
        return None
    videos = {image_id: np.ravel(annolist[image_id - 1]["vididx"]) for image_id in image_ids}
    told = {
        image_id: int(video[0])
        for image_id, video in videos.items()
        if video.size == 1 and video.dtype.kind in "uif" and 0 <= video[0] < 2**31
    }
    return {i: told.get(i, -i) for i in image_ids} if len(set(told.values())) > 1 else None


def _number(struct: Any, field: str, where: str, what: str) -> float:
    """A field of a MATLAB struct; raises LabelError where it is no number of pixels. where: whose it is."""
    try:
        value = struct[field].item()
        number = float(value.item() if isinstance(value, np.ndarray) else value)
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError):
        number = np.nan
    if not is_pixels(number):
        raise LabelError(f"{where} has no proper {what}")
    return number


def _joints(rect: Any, fields: tuple[str, ...], where: str) -> tuple[Array, Array, Array]:
    """Joints (K, 2) in 0-based pixels and their marks (K,); a joint is labelled when it is listed."""
    joints = np.zeros((KEYPOINTS.count, 2))
    labelled, visible = np.zeros(KEYPOINTS.count, bool), np.zeros(KEYPOINTS.count, bool)
    points = rect["annopoints"] if "annopoints" in fields else None
    # People without joints have an empty annopoints, one without points, or none.
    if points is None or points.size == 0 or "point" not in (points.dtype.names or ()):
        return joints, labelled, visible
    points = np.asarray(points["point"].ravel()[0])
    if not points.dtype.names:
        return joints, labelled, visible
    marked = "is_visible" in points.dtype.names
    for point in points.ravel():
        joint = _number(point, "id", where, "id of a joint")
        if joint not in range(KEYPOINTS.count):
            raise LabelError(f"{where} has a joint of id {joint:g}; MPII has {KEYPOINTS.count}")
        joint = int(joint)
        name = KEYPOINTS.names[joint]
        joints[joint] = [_number(point, axis, where, f"{axis} of {name}") - 1 for axis in "xy"]
        labelled[joint] = True
        # Missing, empty, a number or the text '0' or '1'; only zero says occluded.
        shown = 1.0
        if marked and np.size(point["is_visible"]):
            shown = _number(point, "is_visible", where, f"is_visible of {name}")
        if shown not in (0, 1):
            raise LabelError(f"{where} has is_visible {shown:g} of {name}, which is neither 0 nor 1")
        visible[joint] = shown == 1
    return joints, labelled, visible


def _bystander(rect: Any, fields: tuple[str, ...], where: str) -> list[list[float]]:
    """The labelled joints of somebody whom no table has; none where the label is no proper one, on which nothing else
    depends."""
    try:
        joints, labelled, _ = _joints(rect, fields, where)
    except LabelError:
        return []
    found: list[list[float]] = joints[labelled].tolist()
    return found


def _place(rect: Any, fields: tuple[str, ...], where: str) -> tuple[tuple[float, float] | None, float]:
    """The labelled position (1-based) and scale, or None where one is missing."""
    if not {"objpos", "scale"} <= set(fields) or not (np.size(rect["objpos"]) and np.size(rect["scale"])):
        return None, 0.0
    position = np.ravel(rect["objpos"])[0]
    center = tuple(_number(position, axis, where, f"objpos, {axis}") for axis in "xy")
    scale = _number(rect, "scale", where, "scale")
    return ((center[0], center[1]), scale) if scale > 0 else (None, 0.0)


def _head_size(rect: Any, fields: tuple[str, ...], where: str) -> float:
    """PCKh's unit: 0.6 times the diagonal of the head box; nan without a box."""
    corners = [c for c in ("x1", "y1", "x2", "y2") if c in fields and np.size(rect[c])]
    if len(corners) < 4:
        return np.nan
    x1, y1, x2, y2 = (_number(rect, corner, where, f"head box, {corner}") for corner in corners)
    return HEAD_SHARE * float(np.hypot(x2 - x1, y2 - y1)) or np.nan


LABELLED_IMAGES = labelled_images
EXPORT = export
DETECTIONS = None
PREDICTIONS = Files(mpii_predictions.read, ARCHIVES[1], validation_order, validation_people)
