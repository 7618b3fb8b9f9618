"""The table of people: what every dataset becomes, and all that the later stages know of labels."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np


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
    scale: (N, 2) float64, the crop's width and height in units of 200 pixels, padding included.
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

    def __post_init__(self):
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

    def save(self, path: Path) -> None:
        """Write the table; equal tables give equal bytes."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{f.name: np.asarray(getattr(self, f.name)) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "People":
        """Read a table written by `save`; raises ValueError where the file is no such table."""
        try:
            with np.load(path, allow_pickle=False) as file:
                columns = {f.name: file[f.name] for f in fields(cls)}
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is not a table of people ({error}); run the stage `prepare` again"
            ) from error
        columns["dataset"], columns["split"] = str(columns["dataset"]), str(columns["split"])
        return cls(**columns)


_NOT_ROWS = ("dataset", "split", "images")
