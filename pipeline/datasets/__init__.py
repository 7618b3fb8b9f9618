"""The datasets. Each is a module of `formats`; an entry in this table makes it known everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pipeline.datasets.archive import Archive
from pipeline.datasets.elsewhere import Files
from pipeline.datasets.formats import coco, lspet, mpii
from pipeline.datasets.store import ImageStore
from pipeline.keypoints import Keypoints
from pipeline.metrics import Array, Metric
from pipeline.people import People, Split


class Source(Protocol):
    """What is fetched of a dataset, and read.

    people: label files and the input's (height, width) -> the tables of the splits; raises LabelError.
    LABELLED_IMAGES: label files -> names of the images worth keeping of a tar, which is converted; or None.
    """

    @property
    def ARCHIVES(self) -> tuple[Archive, ...]: ...
    @property
    def LABELLED_IMAGES(self) -> Callable[[ImageStore], set[str]] | None: ...
    @property
    def people(self) -> Callable[[ImageStore, tuple[int, int]], dict[str, Split]]: ...


class Dataset(Source, Protocol):
    """What a module of `formats` holds, besides a source, of both splits.

    TITLE: what people call the dataset. PEOPLE: the full dataset's known numbers of people (train, val).
    SQUARE_CROPS: whether a person's crop is a square whatever the input's shape, whose width the input takes.
    DETECTIONS: a detector's file, val_annotations.json's content and the input's (height, width) -> people and
    box scores (N,); None where the metric knows labelled boxes alone.
    EXPORT: validation people and image_xy (N, K, 2) -> further files of predictions by name; or None.
    PREDICTIONS: the dataset's own forms of predictions made elsewhere, besides COCO's results; or None.
    """

    @property
    def TITLE(self) -> str: ...
    @property
    def PEOPLE(self) -> tuple[int, int]: ...
    @property
    def KEYPOINTS(self) -> Keypoints: ...
    @property
    def METRIC(self) -> Metric: ...
    @property
    def SQUARE_CROPS(self) -> bool: ...
    @property
    def DETECTIONS(
        self,
    ) -> Callable[[Path, dict[str, Any], tuple[int, int]], tuple[People, Array]] | None: ...
    @property
    def EXPORT(self) -> Callable[[People, Array], dict[str, bytes]] | None: ...
    @property
    def PREDICTIONS(self) -> Files | None: ...


DATASETS: dict[str, Dataset] = {"mpii": mpii, "coco": coco, "lspet": lspet}
