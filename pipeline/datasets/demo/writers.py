"""The demo's data: people before cluttered backgrounds, in the official archives' names and formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.datasets import matlab
from pipeline.datasets.demo import packing
from pipeline.datasets.demo.canvas import OVERSAMPLING
from pipeline.datasets.demo.person import Figure
from pipeline.datasets.demo.scene import SPLITS, Scene, Scenery, inside, scenes
from pipeline.datasets.formats import coco, lspet, mpii
from pipeline.params import Demo

# MPII's scale is called the height over 200 px; measured against the head's size, its labels say less.
_MPII_SCALE = 0.82 / 200
_MPII = Scenery(stream=0)
_COCO = Scenery(stream=1, crowds=True, close=True)
_LSPET = Scenery(stream=2, alone=True, far=False)


def generate(dataset: str, demo: Demo, folder: Path) -> None:
    """Write a dataset's archives into `folder`; equal parameters give equal bytes on one machine.

    Counts: `train_people` and `val_people` people that train and count. LSPET's split is every tenth image,
    so it gets the sum of both. Coordinates in the labels are as each dataset has them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if dataset not in WRITERS:
        raise ValueError(f"data.source: demo has no people for {dataset}, only for {', '.join(WRITERS)}")
    WRITERS[dataset](demo, folder)


# COCO


def _write_coco(demo: Demo, folder: Path) -> None:
    names = coco.KEYPOINTS.names
    ids = np.random.default_rng([demo.seed, _COCO.stream, len(SPLITS)]).permutation(600_000)
    labels, annotation_id, taken = {}, 183_000, 0
    for split, count in (("train", demo.train_people), ("val", demo.val_people)):
        files, images, annotations = [], [], []
        for index, scene in scenes(_COCO, split, demo, count):
            rng = np.random.default_rng([demo.seed, _COCO.stream, SPLITS.index(split), index, 1])
            image_id = int(ids[taken])
            taken += 1
            name = f"{image_id:012d}.jpg"
            files.append((f"{split}2017/{name}", packing.jpeg(scene.image)))
            height, width = scene.image.shape[:2]
            images.append(
                {"license": 1, "file_name": name, "height": height, "width": width,
                 "date_captured": "2013-11-14 00:00:00", "id": image_id}
            )  # fmt: skip
            rows = [_coco_person(figure, scene.image, names, rng) for figure in scene.people]
            # Too small for keypoints.
            rows += [_coco_person(f, scene.image, names, None) for f in scene.far if f.silhouette.any()]
            if scene.crowd is not None and scene.crowd.any():
                rows.append(_coco_crowd(scene.crowd))
            for row in rows:
                annotation_id += 1
                annotations.append({**row, "image_id": image_id, "category_id": 1, "id": annotation_id})
        packing.write_zip(folder / f"{split}2017.zip", files)
        labels[f"annotations/person_keypoints_{split}2017.json"] = packing.json_bytes(
            {
                "info": {"description": "COCO 2017 layout, synthetic people", "version": "1.0", "year": 2017},
                "licenses": [{"url": "", "id": 1, "name": "synthetic"}],
                "images": images,
                "annotations": annotations,
                "categories": [_coco_category()],
            }
        )
    packing.write_zip(folder / "annotations_trainval2017.zip", labels.items())


def _coco_category() -> dict[str, Any]:
    keypoints = coco.KEYPOINTS
    skeleton = [[a + 1, b + 1] for a, b in keypoints.skeleton]
    category = {"supercategory": "person", "id": 1, "name": "person"}
    return {**category, "keypoints": keypoints.names, "skeleton": skeleton}


def _coco_person(
    figure: Figure, image: np.ndarray, names: tuple[str, ...], rng: np.random.Generator | None
) -> dict[str, Any]:
    """COCO's annotation of a person; without a generator one that has no keypoints."""
    silhouette = figure.silhouette.astype(np.uint8)
    contours, _ = cv2.findContours(silhouette, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    # From the middle of drawn pixels to image coordinates whose origin is the image's corner.
    shapes = [(c[:, 0] + 0.5) / OVERSAMPLING for c in contours if cv2.contourArea(c) >= 8 and len(c) >= 3]
    if not shapes:
        shapes = [(max(contours, key=len)[:, 0] + 0.5) / OVERSAMPLING]
    corners = np.concatenate(shapes)
    low, high = corners.min(0), corners.max(0)
    keypoints = []
    for name in names:
        x, y = figure.points[name]
        flag = 0
        if rng is not None and inside(figure, name, image):
            # Who labels can sometimes tell where a hidden joint is.
            guessed = rng.random() < 0.5
            flag = 2 if figure.visible[name] else int(guessed and name not in figure.turned_away)
        keypoints += [round(x), round(y), flag] if flag else [0, 0, 0]
    return {
        "segmentation": [np.round(shape, 2).ravel().tolist() for shape in shapes],
        "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
        "area": round(sum(cv2.contourArea(shape.astype(np.float32)) for shape in shapes), 2),
        "iscrowd": 0,
        "keypoints": keypoints,
        "bbox": np.round([*low, *(high - low)], 2).tolist(),
    }


def _coco_crowd(mask: np.ndarray) -> dict[str, Any]:
    """COCO's annotation of a crowd: a run-length code by columns that starts with a run of zeros."""
    mask = mask[::OVERSAMPLING, ::OVERSAMPLING]
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], ends, [mask.size]]))
    rows, columns = np.nonzero(mask)
    low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
    return {
        "segmentation": {"counts": counts.tolist(), "size": list(mask.shape)},
        "num_keypoints": 0,
        "area": int(mask.sum()),
        "iscrowd": 1,
        "keypoints": [0] * 51,
        "bbox": [int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])],
    }


# MPII


def _write_mpii(demo: Demo, folder: Path) -> None:
    entries = []
    tests = max(2, demo.val_people // 50)
    for split, count in (("train", demo.train_people), ("val", demo.val_people), ("test", tests)):
        for index, scene in scenes(_MPII, split, demo, count):
            entries.append((split, index, packing.jpeg(scene.image), *_mpii_people(split, index, scene)))
    # The splits lie mixed, as in the official file.
    rng = np.random.default_rng([demo.seed, _MPII.stream, len(SPLITS)])
    entries = [entries[i] for i in rng.permutation(len(entries))]
    numbers = np.sort(rng.choice(99_999_999, len(entries), replace=False) + 1)
    files, annolist, chosen = [], [], []
    for i, (split, _, jpeg, annorect, people) in enumerate(entries):
        name = f"{numbers[i]:09d}.jpg"
        files.append((f"images/{name}", jpeg))
        annolist.append(
            matlab.struct(image=matlab.struct(name=name), annorect=annorect, frame_sec=0, vididx=1)
        )
        if split == "val":
            chosen += [(i + 1, person) for person in people]
    n = len(entries)
    single = np.empty((n, 1), object)
    for i, (split, *_, people) in enumerate(entries):
        single[i, 0] = np.array(people, np.uint8).reshape(-1, 1) if split != "test" else np.zeros((0, 0))
    acts = np.empty((n, 1), dtype=[("cat_name", object), ("act_name", object), ("act_id", object)])
    for i in range(n):
        acts[i, 0] = ("synthetic", "posing", 1)
    videos = np.empty((1, 1), object)
    videos[0, 0] = "synthetic"
    release = matlab.struct(
        annolist=matlab.structs(annolist),
        img_train=np.array([[split != "test" for split, *_ in entries]], np.uint8),
        version="12",
        single_person=single,
        act=acts,
        video_list=videos,
    )
    packing.write_tar(folder / "mpii_human_pose_v1.tar.gz", files)
    member = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
    content = matlab.save({"RELEASE": release}, long_field_names=True)
    packing.write_zip(folder / "mpii_human_pose_v1_u12_2.zip", [(member, content)])
    images, persons = np.array(chosen).T
    keys = {"RELEASE_img_index": images.astype(np.uint16), "RELEASE_person_index": persons.astype(np.uint8)}
    content = matlab.save(keys, long_field_names=True)
    packing.replace(folder / "detections.mat", lambda file: file.write(content))


def _mpii_people(split: str, index: int, scene: Scene) -> tuple[np.ndarray, list[int]]:
    """An image's annorect, and the 1-based indices of the people in it that have joints."""
    rows, labelled = [], []
    if split == "test":
        return matlab.structs([matlab.struct(**_mpii_place(figure)) for figure in scene.people]), []
    # Now and then somebody without joints comes first, with or without the rest of a label.
    for figure in scene.far:
        place = _mpii_place(figure) if index % 4 == 1 else {}
        rows.append(matlab.struct(**_mpii_head(figure), **place))
    for figure in scene.people:
        points = _mpii_points(figure, scene.image, index)
        rows.append(
            matlab.struct(**_mpii_head(figure), annopoints=matlab.struct(point=points), **_mpii_place(figure))
        )
        labelled.append(len(rows))
    return matlab.structs(rows), labelled


def _mpii_head(figure: Figure) -> dict[str, Any]:
    x1, y1, x2, y2 = (round(c) + 1 for c in figure.head_box)
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def _mpii_place(figure: Figure) -> dict[str, Any]:
    points = np.stack([figure.points[name] for name in mpii.KEYPOINTS.names])
    x, y = (points.min(0) + points.max(0)) / 2
    return {
        "scale": round(_MPII_SCALE * figure.stature, 6),
        "objpos": matlab.struct(x=round(x) + 1, y=round(y) + 1),
    }


def _mpii_points(figure: Figure, image: np.ndarray, index: int) -> np.ndarray:
    """The joints inside the image, 1-based; `is_visible` in all of the official file's ways to write it."""
    rows = []
    for i, name in enumerate(mpii.KEYPOINTS.names):
        if not inside(figure, name, image):
            continue
        x, y = figure.points[name]
        row = {"x": round(x) + 1, "y": round(y) + 1, "id": i}
        style, shown = index % 5, int(figure.visible[name])
        if style != 4:
            text = style == 1 or (style == 2 and i % 2 == 0)
            row["is_visible"] = str(shown) if text else shown
            if name in ("upper_neck", "head_top") and style != 3:
                row["is_visible"] = np.zeros((0, 0))
        rows.append(matlab.struct(**row))
    return matlab.structs(rows)


# LSPET


def _write_lspet(demo: Demo, folder: Path) -> None:
    names = ["upper_neck" if name == "neck" else name for name in lspet.KEYPOINTS.names]
    files, joints = [], []
    for index, scene in scenes(_LSPET, "train", demo, demo.train_people + demo.val_people):
        files.append((f"images/im{index + 1:05d}.jpg", packing.jpeg(scene.image)))
        figure = scene.people[0]
        rows = [(*figure.points[name], 1.0) for name in names]
        # What is not labelled has coordinates of no meaning.
        joints.append(
            [row if inside(figure, name, scene.image) else (-abs(row[0]), -abs(row[1]), 0.0)
             for name, row in zip(names, rows, strict=True)]
        )  # fmt: skip
    files.append(
        ("joints.mat", matlab.save({"joints": np.array(joints).transpose(1, 2, 0)}, long_field_names=True))
    )
    packing.write_zip(folder / "lspet_dataset.zip", files)


WRITERS: dict[str, Callable[[Demo, Path], None]] = {
    "mpii": _write_mpii,
    "coco": _write_coco,
    "lspet": _write_lspet,
}
