"""How predictions made elsewhere are written for a dataset, whom they are of, and what they can do with alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.arrays import Array
from pipeline.datasets.archive import Archive
from pipeline.datasets.store import ImageStore
from pipeline.people import People, Split


@dataclass(frozen=True)
class Predictions:
    """A file's predictions: image_xy (N, K, 2), 0-based, nan for joints that it does not have.

    person_id: (N,) whose they are, where the file tells; None: they are in the order of the validation split.
    """

    image_xy: Array
    person_id: Array | None


@dataclass(frozen=True)
class Files:
    """A dataset's own forms of such files.

    read: raises ValueError for what is none of them. archive: the label file that names the validation people; order:
    its content -> their person_id (N,), in the order of files of predictions; people: its content -> their table, from
    the labels in it alone, without images.
    """

    read: Callable[[Path], Predictions]
    archive: Archive
    order: Callable[[bytes], Array]
    people: Callable[[bytes], People]


@dataclass(frozen=True)
class LabelsAlone:
    """What is fetched of a dataset, and read, where its validation people's labels are enough: one file."""

    own: Files
    LABELLED_IMAGES: None = None

    @property
    def ARCHIVES(self) -> tuple[Archive, ...]:
        return (self.own.archive,)

    def people(self, labels: ImageStore, input_size: tuple[int, int]) -> dict[str, Split]:
        return {"val": Split(self.own.people(labels.read(self.own.archive.name)), {})}
