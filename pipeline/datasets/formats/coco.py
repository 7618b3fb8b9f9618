"""COCO 2017 person keypoints: labels, the table of people, and the file of a detector's boxes."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.datasets.archive import Archive
from pipeline.datasets.store import ImageStore
from pipeline.keypoints import Keypoints
from pipeline.metrics.oks import OKS
from pipeline.metrics.results import PERSON
from pipeline.people import LARGEST, LabelError, People, Split, crop_of_box, is_file_name, is_pixels, table

TITLE = "COCO 2017"
# The full dataset's people: train, val.
PEOPLE = (149813, 6352)
SQUARE_CROPS = False
KEYPOINTS = Keypoints(
    names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    skeleton=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9),
        (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    # DLCM's authors name none for these joints: legs and arms as theirs, and the two sides of the face.
    bones=(
        (16, 14), (14, 12), (11, 13), (13, 15), (0, 2), (2, 4), (0, 1), (1, 3), (10, 8), (8, 6), (5, 7), (7, 9),
    ),
    limbs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
)  # fmt: skip
METRIC = OKS(
    KEYPOINTS,
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089,
    ),
)  # fmt: skip
Fields = Mapping[str, tuple[Callable[[Any], bool], str]]
SITE = "http://images.cocodataset.org"
LABELS = {split: f"person_keypoints_{split}2017.json" for split in ("train", "val")}
ARCHIVES = (
    Archive(
        "annotations_trainval2017.zip",
        f"{SITE}/annotations/annotations_trainval2017.zip",
        size=252_907_541,
        digest="md5:f4bbac642086de4f52a3fdda2de5fa2c",
        files=tuple(f"annotations/{name}" for name in LABELS.values()),
    ),
    Archive(
        "val2017.zip",
        f"{SITE}/zips/val2017.zip",
        size=815_585_330,
        digest="md5:442b8da7639aecaf257c1dceb8ba8c80",
        folder="val2017",
        prefix="val2017/",
    ),
    Archive(
        "train2017.zip",
        f"{SITE}/zips/train2017.zip",
        size=19_336_861_798,
        digest="md5:cced6f7f71b7629ddf16f17bbcfab6b2",
        folder="train2017",
        prefix="train2017/",
    ),
)


def people(labels: ImageStore, input_size: tuple[int, int]) -> dict[str, Split]:
    """The tables of both splits; raises LabelError for what is not COCO's.

    Boxes are cut to the image as HRNet's code does it. The validation split also carries what pycocotools
    needs: every image and every annotation, crowds too, without outlines.
    """
    return {split: _split(labels, split, input_size) for split in ("train", "val")}


def _split(labels: ImageStore, split: str, input_size: tuple[int, int]) -> Split:
    file = LABELS[split]
    images: dict[int, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    names: set[str] = set()
    ids: set[int] = set()
    dropped: Counter[str] = Counter()
    rows = []
    has_people = False
    for key, value in items(labels.read(file), file, ("images", "annotations")):
        if key == "images":
            image = _fields(value, file, "image", IMAGE)
            if image["id"] in images:
                raise LabelError(f"{file}: image {image['id']} is there twice")
            if image["file_name"] in names:
                raise LabelError(f"{file}: the image {image['file_name']} is there twice")
            images[image["id"]] = image
            names.add(image["file_name"])
            continue
        has_people = True
        person = _fields(value, file, "annotation", ANNOTATION)
        if person["id"] in ids:
            raise LabelError(f"{file}: annotation {person['id']} is there twice")
        ids.add(person["id"])
        if person["category_id"] != PERSON:
            dropped["of another category"] += 1
            continue
        if split == "val":
            annotations.append(person)
        if person["iscrowd"]:
            dropped["crowd"] += 1
        elif person["num_keypoints"] == 0 or not any(person["keypoints"][2::3]):
            dropped["no labelled joint"] += 1
        else:
            rows.append((
                person["image_id"], person["id"], person["area"], np.array(person["bbox"], np.float64),
                np.array(person["keypoints"], np.float64),
            ))  # fmt: skip
    if not images or not has_people:
        raise LabelError(f"{file} lists no images or no annotations: it is not COCO's file; fetch it again")
    if not rows:
        raise LabelError(f"{file} has nobody with a labelled joint ({dict(dropped)}); fetch it again")
    image_id, person_id, area, box, keypoints = (np.array(column) for column in zip(*rows, strict=True))
    unknown = next((i for i in image_id.tolist() if i not in images), None)
    if unknown is not None:
        raise LabelError(f"{file}: an annotation names image {unknown}, which is not in its list of images")
    size = np.array([(images[i]["width"], images[i]["height"]) for i in image_id.tolist()], np.float64)
    box = cut_to_image(box, size)
    inside = (area > 0) & (box[:, 2] >= 0) & (box[:, 3] >= 0) & (box[:, 2:].max(axis=1) > 0)
    if outside := int((~inside).sum()):
        dropped["no box inside the image"] += outside
    image_id, person_id, area, box = image_id[inside], person_id[inside], area[inside], box[inside]
    keypoints = keypoints[inside].reshape(-1, KEYPOINTS.count, 3)
    labelled = keypoints[..., 2] > 0
    center, scale = crop_of_box(box, input_size)
    people = table(
        "coco", split, [_name(split, images[i]) for i in image_id.tolist()],
        image_id=image_id, person_id=person_id, box=box, center=center, scale=scale,
        joints=np.where(labelled[..., None], keypoints[..., :2], 0.0), labelled=labelled,
        visible=keypoints[..., 2] > 1, head_size=np.full(len(box), np.nan), area=area,
    )  # fmt: skip
    # A detector finds people in every validation image, so all of them are read there.
    needed = images.values() if split == "val" else (images[i] for i in set(image_id.tolist()))
    sizes = {_name(split, image): (image["height"], image["width"]) for image in needed}
    evaluation = image_ids = None
    if split == "val":
        image_ids = {_name(split, image): image["id"] for image in images.values()}
        evaluation = {
            "images": sorted(images.values(), key=lambda image: image["id"]),
            "annotations": sorted(annotations, key=lambda annotation: annotation["id"]),
            "categories": [{"id": PERSON, "name": "person", "keypoints": list(KEYPOINTS.names)}],
        }
    return Split(people, dict(dropped), sizes, evaluation, image_ids)


def _name(split: str, image: dict[str, Any]) -> str:
    return f"{split}2017/{image['file_name']}"


def cut_to_image(box: Array, size: Array) -> Array:
    """Boxes (N, 4) cut to images of size (N, 2) (width, height); a box outside gets a negative side.

    As HRNet's code: the last pixel, not the edge, is the border, so every box loses one pixel of each side.
    """
    low = np.maximum(box[:, :2], 0)
    high = np.minimum(size - 1, low + np.maximum(box[:, 2:] - 1, 0))
    return np.hstack([low, high - low])


def load_detections(
    path: Path | str, evaluation: dict[str, Any], input_size: tuple[int, int]
) -> tuple[People, Array]:
    """A detector's people and their box scores (N,); raises LabelError for a file that does not fit.

    path: JSON, a list of {"image_id", "category_id", "bbox": [x, y, w, h], "score"}; evaluation: the content
    of val_annotations.json. Boxes are taken as they are, person_id is the detection's place from 1.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LabelError(f"evaluate.detections: {path} is not there; name the file, or null") from None
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is no JSON ({error})") from error
    if not isinstance(content, list) or not content:
        raise LabelError(f"{path} must be a list of detections: image_id, category_id, bbox, score")
    images = {image["id"]: image for image in evaluation["images"]}
    rows = []
    dropped: Counter[str] = Counter()
    for number, row in enumerate(content, 1):
        _check(row, f"{path}: detection {number}", DETECTION)
        if row["category_id"] != PERSON:
            dropped["of another category"] += 1
        elif row["image_id"] not in images:
            dropped["in an image that is not evaluated"] += 1
        else:
            rows.append((number, row["image_id"], row["bbox"], row["score"]))
    if dropped:
        print(f"{path}: left out: {', '.join(f'{count} {reason}' for reason, count in dropped.items())}")
    if not rows:
        raise LabelError(
            f"{path} has no person in an image that is evaluated; is it of the validation split?"
        )
    person_id, image_id, bbox, score = zip(*rows, strict=True)
    box = np.array(bbox, np.float64)
    center, scale = crop_of_box(box, input_size)
    none = np.zeros((len(box), KEYPOINTS.count), bool)
    people = table(
        "coco", "val", [_name("val", images[i]) for i in image_id],
        image_id=image_id, person_id=person_id, box=box, center=center, scale=scale,
        joints=np.zeros((len(box), KEYPOINTS.count, 2)), labelled=none, visible=none,
        head_size=np.full(len(box), np.nan), area=box[:, 2] * box[:, 3],
    )  # fmt: skip
    return people, np.array(score, np.float64)


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_side(value: object) -> bool:
    return type(value) is int and 0 < value <= LARGEST


def _is_area(value: object) -> bool:
    return type(value) in (int, float) and -(LARGEST**2) <= value <= LARGEST**2  # type: ignore[operator]


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(is_pixels, value))


def _are_keypoints(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3 * KEYPOINTS.count:
        return False
    return all(map(is_pixels, value)) and all(mark in (0, 1, 2) for mark in value[2::3])


# What each field must be, and how that is called.
IMAGE: Fields = {
    "id": (_is_id, "a whole number"),
    "file_name": (is_file_name, "a file's name"),
    "width": (_is_side, "a number of pixels"),
    "height": (_is_side, "a number of pixels"),
}
ANNOTATION: Fields = {
    "id": (_is_id, "a whole number"),
    "image_id": (_is_id, "a whole number"),
    "category_id": (_is_id, "a whole number"),
    "iscrowd": (lambda value: type(value) is int and value in (0, 1), "0 or 1"),
    "num_keypoints": (
        lambda value: type(value) is int and 0 <= value <= KEYPOINTS.count,
        "a number of joints",
    ),
    "area": (_is_area, "a number of square pixels"),
    "bbox": (_is_box, "4 numbers of pixels"),
    "keypoints": (_are_keypoints, f"{3 * KEYPOINTS.count} numbers: x, y and 0, 1 or 2 of each joint"),
}
DETECTION: Fields = {
    "image_id": (_is_id, "a whole number"),
    "category_id": (_is_id, "a whole number"),
    "bbox": (lambda value: _is_box(value) and min(value[2:]) > 0, "x, y, width and height in pixels"),
    "score": (is_pixels, "a number"),
}


def _fields(value: object, file: str, what: str, fields: Fields) -> dict[str, Any]:
    """Some fields of an entry of a file of labels, checked."""
    if not isinstance(value, dict):
        raise LabelError(f"{file}: an {what} is {value!r:.80}, not an object: it is not COCO's file")
    _check(value, f"{file}: {what} {value.get('id', '?')!r:.20}", fields)
    return {name: value[name] for name in fields}


def _check(value: object, what: str, fields: Fields) -> None:
    if not isinstance(value, dict):
        raise LabelError(f"{what} has no {', '.join(fields)}: it is {value!r:.80}")
    for name, (fits, wanted) in fields.items():
        if not fits(value.get(name)):
            raise LabelError(f"{what} has no proper {name}: {wanted}, and not {value.get(name)!r:.80}")


def items(data: bytes, file: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The entries of the wanted lists of a JSON object, one by one: the whole would take gigabytes.

    Yields (key, entry). Raises LabelError where the file is no such object.
    """
    decoder = json.JSONDecoder()
    try:
        text = data.decode()
        at = _skip(text, _expect(text, _skip(text, 0), "{"))
        if text[at : at + 1] == "}":
            return
        while True:
            key, at = decoder.raw_decode(text, _skip(text, at))
            at = _skip(text, _expect(text, _skip(text, at), ":"))
            if key in wanted and text[at : at + 1] == "[":
                at = _skip(text, at + 1)
                while text[at : at + 1] != "]":
                    entry, at = decoder.raw_decode(text, at)
                    yield key, entry
                    at = _skip(text, at)
                    if text[at : at + 1] != "]":
                        at = _skip(text, _expect(text, at, ","))
                at += 1
            else:
                _, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            if text[at : at + 1] == "}":
                return
            at = _expect(text, at, ",")
    except LabelError:
        raise
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{file} is no whole JSON object ({error}); fetch it again") from error


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _expect(text: str, at: int, character: str) -> int:
    if text[at : at + 1] != character:
        raise ValueError(f"no {character!r} at character {at}")
    return at + 1


DETECTIONS = load_detections
LABELLED_IMAGES = EXPORT = None
PREDICTIONS = None
