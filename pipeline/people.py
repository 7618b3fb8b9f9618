"""The table of people: what every dataset becomes, and all that the later stages know of labels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# A box fills 1 / 1.25 of its crop, as in HRNet's code.
PADDING = 1.25
# Pixels of the image in one unit of `scale`.
SCALE_UNIT = 200.0
# Pixels: no image is so wide, and what lies beyond is no label.
LARGEST = 1e6


class LabelError(ValueError):
    """Labels that are not the dataset's; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class People:
    """People of one split of one dataset, a column an array, N rows, K joints, pixels 0-based.

    images: (M,) str, the images' names as the image store knows them.
    image: (N,) int32, each person's image as an index into `images`.
    image_id: (N,) int64; COCO's image id, MPII's 1-based index in RELEASE, LSPET's index from 0.
    person_id: (N,) int64, unique in the dataset; COCO's annotation id, MPII's image_id * 1000 + 1-based
        index of the person, LSPET's index.
    box: (N, 4) float64, x, y, width, height in image pixels.
    center: (N, 2) float64, image_xy, the crop's centre.
    scale: (N, 2) float64, the crop's width and height in units of SCALE_UNIT, padding included.
    joints: (N, K, 2) float64, image_xy, zero where unlabelled.
    labelled: (N, K) bool; such joints train and count, occluded or not.
    visible: (N, K) bool, labelled and not marked as occluded.
    head_size: (N,) float64, PCKh's unit in pixels, nan where there is none.
    area: (N,) float64, OKS's area in square pixels.
    """

    dataset: str
    split: str
    images: np.ndarray
    image: np.ndarray
    image_id: np.ndarray
    person_id: np.ndarray
    box: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    joints: np.ndarray
    labelled: np.ndarray
    visible: np.ndarray
    head_size: np.ndarray
    area: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def __post_init__(self) -> None:
        rows = {f.name: len(getattr(self, f.name)) for f in fields(self) if f.name not in _NOT_ROWS}
        if len(set(rows.values())) != 1:
            raise ValueError(f"the columns of a table of people differ in length: {rows}")

    def select(self, rows: np.ndarray) -> "People":
        """The table of some of its rows (indices or a mask); `images` stays whole."""
        columns = {
            f.name: getattr(self, f.name) if f.name in _NOT_ROWS else getattr(self, f.name)[rows]
            for f in fields(self)
        }
        return People(**columns)

    def cropped_for(self, input_size: tuple[int, int]) -> "People":
        """The same people with their boxes widened to the shape of another input (height, width)."""
        center, scale = crop_of_box(self.box, input_size)
        return replace(self, center=center, scale=scale)

    def save(self, path: Path) -> None:
        """Write the table; equal tables give equal bytes."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # What lies there may be a hard link into DVC's cache, which writing into it would spoil.
        path.unlink(missing_ok=True)
        columns: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        np.savez(path, **columns)

    @classmethod
    def load(cls, path: Path) -> "People":
        """Read a table written by `save`; raises ValueError where the file is no such table."""
        try:
            with np.load(path, allow_pickle=False) as file:
                columns = {f.name: file[f.name] for f in fields(cls)}
            columns["dataset"], columns["split"] = str(columns["dataset"]), str(columns["split"])
            return cls(**columns)
        # A damaged file leads to any exception there is.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path} is not a table of people ({reason}); run the stage `prepare` again"
            ) from error

    def without_images(self, names: set[str]) -> "People":
        """The table without the people of some images, and without these images."""
        keep = np.array([name not in names for name in self.images.tolist()], bool)
        kept = self.select(keep[self.image])
        index = np.cumsum(keep, dtype=np.int32) - 1
        return replace(kept, images=self.images[keep], image=index[kept.image].astype(np.int32))


@dataclass(frozen=True)
class Split:
    """What a dataset's module makes of one split's labels.

    dropped: number of people left out, by reason.
    sizes: height and width, as labelled, of every image that is read later; None where labels do not tell.
    evaluation: images and annotations in COCO's format for pycocotools; image_ids: its images' ids by their names.
    clusters: by image id a number that images of one origin share, such as a video; None where images are apart.
    bystanders: by image id the labelled joints [x, y], image_xy, of people who are in the images and not in the table.
    """

    people: People
    dropped: dict[str, int]
    sizes: dict[str, tuple[int, int]] | None = None
    evaluation: dict[str, Any] | None = None
    image_ids: dict[str, int] | None = None
    clusters: dict[int, int] | None = None
    bystanders: dict[int, list[list[float]]] | None = None


def table(dataset: str, split: str, names: Sequence[str], **columns: ArrayLike) -> People:
    """A table of people from the name of each one's image and the other columns, of any number type."""
    images, image = np.unique(np.asarray(names, "U"), return_inverse=True)
    types = {"labelled": bool, "visible": bool, "image_id": np.int64, "person_id": np.int64}
    typed = {key: np.asarray(value, types.get(key, np.float64)) for key, value in columns.items()}
    people = People(dataset, split, images, image.reshape(-1).astype(np.int32), **typed)
    _check(people)
    return people


def _check(people: People) -> None:
    """Raise LabelError for a person who is there twice, or has what is no number of pixels."""
    if len(people) == 0:
        return
    where = f"{people.dataset} {people.split}: person"
    person_id, count = np.unique(people.person_id, return_counts=True)
    if len(twice := person_id[count > 1]):
        raise LabelError(f"{where} {twice[0]} is there twice")
    limits = {"box": LARGEST, "center": LARGEST, "scale": LARGEST, "joints": LARGEST, "area": LARGEST**2}
    values = {name: getattr(people, name).reshape(len(people), -1) for name in limits}
    # Nobody needs a head's size, but it is none if it is infinite.
    values["head_size"] = np.nan_to_num(people.head_size, posinf=np.inf)[:, None]
    for name, value in values.items():
        wrong = ~(np.abs(value) <= limits.get(name, LARGEST))
        for row, column in np.argwhere(wrong)[:1]:
            raise LabelError(f"{where} {people.person_id[row]} has {name} {value[row, column]}")


def is_pixels(value: object) -> bool:
    """Whether a value of a label file is a number of pixels: finite, and not beyond any image."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]  # it is a number


def is_file_name(value: object) -> bool:
    """Whether a value of a label file names a file, and neither a folder nor a way out of one."""
    if not isinstance(value, str) or value in ("", ".", "..") or re.search(r"[/\\\0]", value):
        return False
    return len(value.encode(errors="replace")) <= 255 and value.encode(errors="ignore").decode() == value


def crop_of_box(box: np.ndarray, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Centres and scales (N, 2) of the crops of boxes (N, 4), widened to the input's shape and padded."""
    box = np.asarray(box, np.float64)
    height, width = input_size
    wide = np.maximum(box[:, 2], box[:, 3] * (width / height))
    side = np.stack([wide, wide * (height / width)], axis=1)
    return box[:, :2] + box[:, 2:] / 2, side / SCALE_UNIT * PADDING


_NOT_ROWS = ("dataset", "split", "images")
