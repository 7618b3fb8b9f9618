"""What a metric is to the rest of the project: PCKh and OKS stand behind it, each owned by its datasets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.arrays import Array as Array
from pipeline.people import People

Values = dict[str, float]
Samples = Mapping[str, Array]


@dataclass(frozen=True)
class Rules:
    """params.yaml's choices of how predictions become results: HRNet's, unless told otherwise.

    keypoint_score: joints with a higher score count in a person's; oks_nms: OKS above which the lower scored of
    two people is dropped.
    """

    keypoint_score: float = 0.2
    oks_nms: float = 0.9


@dataclass(frozen=True)
class Scored:
    """What scoring one kind of person box gives.

    values: the metric's columns, and counts beside them. samples: what `summarise` needs, arrays to save.
    results: the predictions in COCO's results format.
    """

    values: dict[str, float | int]
    samples: dict[str, Array]
    results: list[dict[str, Any]]


class Metric(Protocol):
    """A dataset's metric. Its numbers are percent, nan where nothing counts.

    columns: its names in the tables; main: the one that claims and histories speak of, and how it is written
    out; boxes: the kinds of person box it is measured with, never mixed, the labelled ones first.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def main(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def boxes(self) -> tuple[str, ...]: ...

    def accuracy(self, people: People, folder: Path) -> Callable[[Array, Array], float]:
        """The main number of validation people under their own boxes: image_xy (N, K, 2), score (N, K) -> percent.

        folder: that of the stage `prepare`.
        """
        ...

    def score(
        self, people: People, image_xy: Array, score: Array, box_score: Array, folder: Path, rules: Rules
    ) -> Scored:
        """Score predictions image_xy (N, K, 2), score (N, K) for everybody, in boxes scored box_score (N,)."""
        ...

    def images(self, samples: Samples) -> Array:
        """The image ids (M,) that can be resampled, ascending: the columns of `weights` below."""
        ...

    def summarise(self, samples: Samples, weights: Array | None = None) -> dict[str, Any]:
        """The columns from a run's samples.

        weights (R, M): how often each image is in each of R resamples; with them every value is (R,).
        """
        ...

    def summarise_finely(self, samples: Samples, weights: Array | None = None) -> dict[str, Any]:
        """As `summarise`, taken apart as finely as the metric allows: PCKh's joints, OKS's columns."""
        ...

    def mirror_samples(self, people: People, image_xy: Array) -> dict[str, Array]:
        """What `unlearned` needs beside the samples of `score`, which a training's validation does without."""
        ...

    def unlearned(self, samples: Samples) -> frozenset[str]:
        """Columns that say nothing of a run, since it did not learn to tell a joint's left from its right."""
        ...
