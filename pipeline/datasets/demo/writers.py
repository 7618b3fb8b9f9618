"""The demo's data: people before cluttered backgrounds, in the official archives' names and formats."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path

import cv2
import numpy as np
import scipy.io

from pipeline.datasets import DATASETS
from pipeline.datasets.demo.person import (
    OCCLUDER,
    OVERSAMPLING,
    SKIN,
    Canvas,
    Figure,
    random_colour,
    random_figure,
    random_tone,
)
from pipeline.params import Demo

JPEG_QUALITY = 90
# MPII's scale is called the height over 200 px; measured against the head's size, its labels say less.
_MPII_SCALE = 0.82 / 200
_DATASETS, _SPLITS = ("mpii", "coco", "lspet"), ("train", "val", "test")


def generate(dataset: str, demo: Demo, folder: Path) -> None:
    """Write a dataset's archives into `folder`; equal parameters give equal bytes on one machine.

    Counts: `train_people` and `val_people` people that train and count. LSPET's split is every tenth image,
    so it gets the sum of both. Coordinates in the labels are as each dataset has them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    {"mpii": _write_mpii, "coco": _write_coco, "lspet": _write_lspet}[dataset](demo, folder)


# The scene


@dataclass
class Scene:
    image: np.ndarray
    people: list[Figure]
    far: list[Figure]
    crowd: np.ndarray | None


def _background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cells = int(rng.integers(2, 7))
    low, span = rng.uniform(30, 130), rng.uniform(40, 100)
    coarse = low + span * rng.random((cells, cells + 1, 3))
    grey = coarse.mean(2, keepdims=True)
    coarse = (grey + rng.uniform(0.1, 0.5) * (coarse - grey)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.6:
        horizon = int(height * rng.uniform(0.55, 0.85))
        ground = random_colour(rng, saturation=(0.05, 0.45), value=(0.3, 0.85))
        image[horizon:] = (0.35 * image[horizon:] + 0.65 * ground).astype(np.uint8)
    for _ in range(rng.integers(4, 11)):
        colour = random_colour(rng, saturation=(0.05, 0.65)).tolist()
        x, y = rng.uniform(-0.1, 1, 2) * (width, height)
        w, h = rng.uniform(0.08, 0.45, 2) * (width, height)
        kind = rng.random()
        if kind < 0.45:
            box = cv2.boxPoints(((x, y), (w, h), rng.choice((0.0, 0.0, rng.uniform(0, 90)))))
            cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
        elif kind < 0.65:
            cv2.ellipse(image, ((x, y), (w, h), rng.uniform(0, 180)), colour, -1, cv2.LINE_AA)
        else:
            # Boards, bricks, blinds: a patch with parallel lines.
            step, slant = int(rng.integers(4, 14)), int(rng.integers(-6, 7))
            patch = image[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)]
            lines = np.ascontiguousarray(patch)
            down, across = patch.shape[:2]
            for i in range(0, max(down, across), step):
                ends = ((i, 0), (i + slant, down)) if kind < 0.85 else ((0, i), (across, i + slant))
                cv2.line(lines, *ends, colour, 1 + step // 5, cv2.LINE_AA)
            patch[:] = lines
    blur = int(rng.choice((1, 3, 5)))
    return cv2.GaussianBlur(image, (blur, blur), 0)


def _distract(rng: np.random.Generator, canvas: Canvas, height: int, width: int, light) -> None:
    """Poles, branches and loose limbs: what looks like a limb and belongs to nobody."""
    for _ in range(rng.integers(0, 4)):
        start = rng.uniform(0, 1, 2) * (width, height)
        kind, size = rng.random(), height * rng.uniform(0.02, 0.035)
        if kind < 0.4:
            colour = random_colour(rng, saturation=(0.0, 0.5))
            end = start + height * rng.uniform(0.4, 1.2) * np.array((rng.normal(0, 0.2), rng.choice((-1, 1))))
            canvas.capsule(start, end, 0.7 * size, 0.7 * size, colour, light)
        elif kind < 0.75:
            colour = random_tone(rng, ((0.42, 0.30, 0.20), (0.25, 0.20, 0.15), (0.30, 0.38, 0.22)))
            angle, length, radius = rng.uniform(-pi, 0), height * rng.uniform(0.15, 0.3), 0.9 * size
            for _ in range(3):
                end = start + length * np.array((cos(angle), sin(angle)))
                for turn in (-0.7, 0.6):
                    twig = end + 0.6 * length * np.array((cos(angle + turn), sin(angle + turn)))
                    canvas.capsule(end, twig, 0.5 * radius, 0.15 * radius, colour, light)
                canvas.capsule(start, end, radius, 0.75 * radius, colour, light)
                start, angle, length, radius = end, angle + rng.normal(0, 0.5), 0.75 * length, 0.75 * radius
        else:
            skin, cloth = random_tone(rng, SKIN), random_colour(rng)
            angle, length = rng.uniform(-pi, pi), height * rng.uniform(0.09, 0.14)
            middle = start + length * np.array((cos(angle), sin(angle)))
            angle += rng.normal(0, 0.9)
            end = middle + 0.9 * length * np.array((cos(angle), sin(angle)))
            canvas.capsule(middle, end, 0.9 * size, 0.65 * size, skin, light)
            canvas.capsule(start, middle, 1.2 * size, 0.95 * size, cloth, light)
            if rng.random() < 0.5:
                canvas.capsule(end, end, 0.75 * size, 0.75 * size, skin, light)


def _occlude(rng: np.random.Generator, canvas: Canvas, figure: Figure, offset, light) -> None:
    """Something in front of a part of a person."""
    at = figure.points[str(rng.choice(("left_knee", "right_knee", "left_ankle", "right_ankle", "left_elbow",
                                       "right_elbow", "left_hip", "right_wrist")))] + offset  # fmt: skip
    colour, stature = random_colour(rng, saturation=(0.05, 0.7)), figure.stature
    if rng.random() < 0.5:
        w, h = stature * rng.uniform(0.07, 0.16, 2)
        corners = at + np.array(((-w, -h), (w, -h), (w, h), (-w, h)))
        canvas.polygon(corners, colour, OCCLUDER)
        canvas.line([*corners, corners[0]], 0.012 * stature, colour * 0.6)
    elif rng.random() < 0.5:
        lean, reach = rng.normal(0, 0.12), stature * rng.uniform(0.4, 0.8)
        radius = stature * rng.uniform(0.02, 0.04)
        half = np.array((lean * reach, reach))
        canvas.capsule(at - half, at + half, radius, radius, colour, light, OCCLUDER)
    else:
        for _ in range(7):
            leaf = at + stature * rng.normal(0, 0.05, 2)
            radius = stature * rng.uniform(0.02, 0.05)
            green = random_colour(rng, saturation=(0.3, 0.7), value=(0.25, 0.6)) * (0.6, 1.0, 0.5)
            canvas.capsule(leaf, leaf, radius, radius, green, light, OCCLUDER)


def _scene(
    rng: np.random.Generator, size: tuple[int, int], people: int, far: int, crowd: bool, close: bool
) -> Scene:
    """Draw an image with so many people, others far away, and perhaps a crowd."""
    height, width = (int(side * rng.uniform(0.92, 1.12)) for side in size)
    width = int(width * (1 + 0.3 * (people - 1)))
    turn = rng.uniform(-2.4, -0.7)
    light = np.array((cos(turn), sin(turn)))
    canvas = Canvas(_background(rng, height, width))
    _distract(rng, canvas, height, width, light)

    def small(x, y):
        figure = random_figure(rng, height * rng.uniform(0.13, 0.2), light)
        offset = np.array((x, y)) * (width, height)
        return figure, offset

    label, distant, horde = 1, [], None
    if crowd:
        y = rng.uniform(0.15, 0.35)
        first = label
        for x in np.sort(rng.uniform(0.05, 0.95, 6)):
            figure, offset = small(x, y + rng.normal(0, 0.02))
            figure.draw(canvas, offset, label)
            label += 1
        horde = (first, label)
    for _ in range(far):
        figure, offset = small(rng.uniform(0.08, 0.92), rng.uniform(0.15, 0.4))
        figure.draw(canvas, offset, label)
        distant.append((figure, offset, label))
        label += 1

    placed = []
    for i in range(people):
        tall = rng.uniform(1.15, 1.5) if close else rng.uniform(0.64, 0.88) * 0.93 ** (people - 1)
        stature = height * tall
        figure = random_figure(rng, stature, light)
        extent = np.stack(list(figure.points.values()))
        low, high = extent.min(0) - 0.02 * stature, extent.max(0) + 0.02 * stature
        # Slots across the image, then inside it, but for those that its border cuts.
        slack = np.maximum((width, height) - (high - low), 0)
        slot = (i + rng.uniform(0.2, 0.8)) / people if people > 1 else rng.uniform(0, 1)
        offset = np.array((slot, rng.uniform(0.3, 1.0))) * slack - low
        offset += np.minimum((width, height) - (high - low), 0) / 2 * (1, not close)
        if close:
            offset[1] = rng.uniform(0.03, 0.12) * height - low[1]
        elif rng.random() < 0.08:
            # The image's left, right or lower border cuts off a part.
            axis, sign = ((0, -1), (0, 1), (1, 1))[rng.integers(3)]
            flush = -low if sign < 0 else (width, height) - high
            offset[axis] = flush[axis] + sign * rng.uniform(0.1, 0.3) * (high - low)[axis]
        placed.append((figure, offset))
    # Who stands lower is nearer.
    placed.sort(key=lambda item: max(p[1] for p in item[0].points.values()) + item[1][1])
    for i, (figure, offset) in enumerate(placed):
        figure.draw(canvas, offset, label + i)
    for figure, offset in placed:
        if rng.random() < 0.2:
            _occlude(rng, canvas, figure, offset, light)
    for i, (figure, offset) in enumerate(placed):
        figure.settle(canvas, offset, label + i)
    for figure, offset, owner in distant:
        figure.settle(canvas, offset, owner)

    image = canvas.finish()
    contrast, bright = rng.uniform(0.75, 1.1), rng.uniform(-15, 20)
    image = cv2.convertScaleAbs(image, alpha=contrast, beta=max(bright, 0) + 128 * (1 - contrast) / 2)
    grain = int(rng.integers(2, 11))
    noise = rng.integers(0, grain + 1, image.shape, np.uint8)
    image = cv2.subtract(cv2.add(image, noise), np.full_like(image, grain // 2))
    crowd_mask = None
    if horde:
        ids = canvas.owner >> 5
        crowd_mask = (ids >= horde[0]) & (ids < horde[1])
    return Scene(image, [figure for figure, _ in placed], [figure for figure, *_ in distant], crowd_mask)


def _scenes(
    dataset: str, split: str, demo: Demo, count: int, alone: bool = False
) -> Iterator[tuple[int, Scene]]:
    """Images with `count` people together, each drawn from a generator of its own."""
    index = 0
    while count > 0:
        rng = np.random.default_rng([demo.seed, _DATASETS.index(dataset), _SPLITS.index(split), index])
        people = 1 if alone else min(int(rng.choice((1, 2, 3), p=(0.65, 0.25, 0.1))), count)
        far = int(dataset != "lspet" and index % 6 == 1)
        crowd = dataset == "coco" and index % 20 == 2
        while True:
            close = dataset == "coco" and people == 1 and rng.random() < 0.08
            scene = _scene(rng, demo.image_size, people, far, crowd, close)
            # Nobody may vanish behind others.
            if all(f.silhouette.sum() > 0.06 * (f.stature * OVERSAMPLING) ** 2 for f in scene.people):
                break
        yield index, scene
        count -= people
        index += 1


def _inside(figure: Figure, name: str, image: np.ndarray) -> bool:
    x, y = figure.points[name]
    return 0 <= x <= image.shape[1] - 1 and 0 <= y <= image.shape[0] - 1


# Archives


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _json(content: dict) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _mat(content: dict) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, long_field_names=True)
    # The header's text holds the time of writing.
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]


def _write(path: Path, write: Callable) -> None:
    """Have `write` fill a file that appears under its name only when it is whole."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
    os.replace(part, path)


def _write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in sorted(members):
                member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
                member.external_attr = 0o644 << 16
                stored = name.endswith(".jpg")
                member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.writestr(member, content)

    _write(path, write)


def _write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    def write(file):
        with (
            gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for name, content in sorted(members):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    _write(path, write)


# COCO


def _write_coco(demo: Demo, folder: Path) -> None:
    names = DATASETS["coco"].KEYPOINTS.names
    ids = np.random.default_rng([demo.seed, _DATASETS.index("coco"), len(_SPLITS)]).permutation(600_000)
    labels, annotation_id, taken = {}, 183_000, 0
    for split, count in (("train", demo.train_people), ("val", demo.val_people)):
        files, images, annotations = [], [], []
        for index, scene in _scenes("coco", split, demo, count):
            rng = np.random.default_rng([demo.seed, _DATASETS.index("coco"), _SPLITS.index(split), index, 1])
            image_id = int(ids[taken])
            taken += 1
            name = f"{image_id:012d}.jpg"
            files.append((f"{split}2017/{name}", _jpeg(scene.image)))
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
        _write_zip(folder / f"{split}2017.zip", files)
        labels[f"annotations/person_keypoints_{split}2017.json"] = _json(
            {
                "info": {"description": "COCO 2017 layout, synthetic people", "version": "1.0", "year": 2017},
                "licenses": [{"url": "", "id": 1, "name": "synthetic"}],
                "images": images,
                "annotations": annotations,
                "categories": [_coco_category()],
            }
        )
    _write_zip(folder / "annotations_trainval2017.zip", labels.items())


def _coco_category() -> dict:
    keypoints = DATASETS["coco"].KEYPOINTS
    skeleton = [[a + 1, b + 1] for a, b in keypoints.skeleton]
    category = {"supercategory": "person", "id": 1, "name": "person"}
    return {**category, "keypoints": keypoints.names, "skeleton": skeleton}


def _coco_person(figure: Figure, image: np.ndarray, names, rng: np.random.Generator | None) -> dict:
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
        if rng is not None and _inside(figure, name, image):
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


def _coco_crowd(mask: np.ndarray) -> dict:
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


def _struct(**values) -> np.ndarray:
    """A MATLAB struct (1, 1)."""
    out = np.empty((1, 1), dtype=[(name, object) for name in values])
    for name, value in values.items():
        out[name][0, 0] = value
    return out


def _structs(rows: list[np.ndarray]) -> np.ndarray:
    """A MATLAB struct array (1, N); fields that a row lacks are empty there."""
    fields = list(dict.fromkeys(name for row in rows for name in row.dtype.names))
    out = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for i, row in enumerate(rows):
        for name in fields:
            out[name][0, i] = row[name][0, 0] if name in row.dtype.names else np.zeros((0, 0))
    return out


def _write_mpii(demo: Demo, folder: Path) -> None:
    entries = []
    tests = max(2, demo.val_people // 50)
    for split, count in (("train", demo.train_people), ("val", demo.val_people), ("test", tests)):
        for index, scene in _scenes("mpii", split, demo, count):
            entries.append((split, index, _jpeg(scene.image), *_mpii_people(split, index, scene)))
    # The splits lie mixed, as in the official file.
    rng = np.random.default_rng([demo.seed, _DATASETS.index("mpii"), len(_SPLITS)])
    entries = [entries[i] for i in rng.permutation(len(entries))]
    numbers = np.sort(rng.choice(99_999_999, len(entries), replace=False) + 1)
    files, annolist, chosen = [], [], []
    for i, (split, _, jpeg, annorect, people) in enumerate(entries):
        name = f"{numbers[i]:09d}.jpg"
        files.append((f"images/{name}", jpeg))
        annolist.append(_struct(image=_struct(name=name), annorect=annorect, frame_sec=0, vididx=1))
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
    release = _struct(
        annolist=_structs(annolist),
        img_train=np.array([[split != "test" for split, *_ in entries]], np.uint8),
        version="12",
        single_person=single,
        act=acts,
        video_list=videos,
    )
    _write_tar(folder / "mpii_human_pose_v1.tar.gz", files)
    member = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
    _write_zip(folder / "mpii_human_pose_v1_u12_2.zip", [(member, _mat({"RELEASE": release}))])
    images, persons = np.array(chosen).T
    split = {"RELEASE_img_index": images.astype(np.uint16), "RELEASE_person_index": persons.astype(np.uint8)}
    _write(folder / "detections.mat", lambda file: file.write(_mat(split)))


def _mpii_people(split: str, index: int, scene: Scene) -> tuple[np.ndarray, list[int]]:
    """An image's annorect, and the 1-based indices of the people in it that have joints."""
    rows, labelled = [], []
    if split == "test":
        return _structs([_struct(**_mpii_place(figure)) for figure in scene.people]), []
    # Now and then somebody without joints comes first, with or without the rest of a label.
    for figure in scene.far:
        place = _mpii_place(figure) if index % 4 == 1 else {}
        rows.append(_struct(**_mpii_head(figure), **place))
    for figure in scene.people:
        points = _mpii_points(figure, scene.image, index)
        rows.append(_struct(**_mpii_head(figure), annopoints=_struct(point=points), **_mpii_place(figure)))
        labelled.append(len(rows))
    return _structs(rows), labelled


def _mpii_head(figure: Figure) -> dict:
    x1, y1, x2, y2 = (round(c) + 1 for c in figure.head_box)
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def _mpii_place(figure: Figure) -> dict:
    points = np.stack([figure.points[name] for name in DATASETS["mpii"].KEYPOINTS.names])
    x, y = (points.min(0) + points.max(0)) / 2
    return {
        "scale": round(_MPII_SCALE * figure.stature, 6),
        "objpos": _struct(x=round(x) + 1, y=round(y) + 1),
    }


def _mpii_points(figure: Figure, image: np.ndarray, index: int) -> np.ndarray:
    """The joints inside the image, 1-based; `is_visible` in all of the official file's ways to write it."""
    rows = []
    for i, name in enumerate(DATASETS["mpii"].KEYPOINTS.names):
        if not _inside(figure, name, image):
            continue
        x, y = figure.points[name]
        row = {"x": round(x) + 1, "y": round(y) + 1, "id": i}
        style, shown = index % 5, int(figure.visible[name])
        if style != 4:
            text = style == 1 or (style == 2 and i % 2 == 0)
            row["is_visible"] = str(shown) if text else shown
            if name in ("upper_neck", "head_top") and style != 3:
                row["is_visible"] = np.zeros((0, 0))
        rows.append(_struct(**row))
    return _structs(rows)


# LSPET


def _write_lspet(demo: Demo, folder: Path) -> None:
    names = ["upper_neck" if name == "neck" else name for name in DATASETS["lspet"].KEYPOINTS.names]
    files, joints = [], []
    for index, scene in _scenes("lspet", "train", demo, demo.train_people + demo.val_people, alone=True):
        files.append((f"images/im{index + 1:05d}.jpg", _jpeg(scene.image)))
        figure = scene.people[0]
        rows = [(*figure.points[name], 1.0) for name in names]
        # What is not labelled has coordinates of no meaning.
        joints.append(
            [row if _inside(figure, name, scene.image) else (-abs(row[0]), -abs(row[1]), 0.0)
             for name, row in zip(names, rows, strict=True)]
        )  # fmt: skip
    files.append(("joints.mat", _mat({"joints": np.array(joints).transpose(1, 2, 0)})))
    _write_zip(folder / "lspet_dataset.zip", files)
