"""PCKh: the share of joints found within a fraction of the head's size (Eqs. 11 and 12)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.keypoints import Keypoints
from pipeline.metrics import Array, Rules, Samples, Scored
from pipeline.metrics.results import coco_results
from pipeline.people import People


@dataclass(frozen=True)
class PCKh:
    """PCKh@0.5 of a dataset's joints, its mean also at 0.1.

    groups: the tables' columns, each the joints that it counts.
    """

    keypoints: Keypoints
    groups: Mapping[str, tuple[int, ...]]

    main = "Mean"
    title = "mean PCKh@0.5"
    boxes = ("label",)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.groups, "Mean", "Mean@0.1")

    @property
    def mean(self) -> tuple[int, ...]:
        """The joints that the mean counts: without pelvis and thorax, as in HRNet's code."""
        return tuple(k for k, name in enumerate(self.keypoints.names) if name not in ("pelvis", "thorax"))

    def accuracy(self, people: People, folder: Path) -> Callable[[Array, Array], float]:
        return lambda image_xy, _: float(self.summarise(samples(image_xy, people))["Mean"])

    def score(
        self, people: People, image_xy: Array, score: Array, box_score: Array, folder: Path, rules: Rules
    ) -> Scored:
        distances = samples(image_xy, people)
        values = self.summarise(distances)
        values["people_without_head_size"] = int((~(people.head_size > 0)).sum())
        return Scored(values, distances, coco_results(people.image_id, image_xy, score, box_score))

    def images(self, samples: Samples) -> Array:
        return np.unique(samples["image_id"])

    def summarise(self, samples: Samples, weights: Array | None = None) -> dict[str, Any]:
        """A column is the mean of its left and right joint. The mean counts every joint once, without pelvis and
        thorax, as HRNet's code does; Eq. 12 reads as a plain mean over joints, which the paper's rows are not.
        """
        hits, counted = _counts(samples, 0.5, weights)
        rates, mean = _percent(hits, counted), list(self.mean)
        values = {name: rates[..., list(joints)].mean(-1) for name, joints in self.groups.items()}
        values["Mean"] = _percent(hits[..., mean].sum(-1), counted[..., mean].sum(-1))
        hits, counted = _counts(samples, 0.1, weights)
        values["Mean@0.1"] = _percent(hits[..., mean].sum(-1), counted[..., mean].sum(-1))
        return values if weights is not None else {name: float(value) for name, value in values.items()}

    def summarise_finely(self, samples: Samples, weights: Array | None = None) -> dict[str, Any]:
        """PCKh@0.5 of each joint by its name."""
        rates = _percent(*_counts(samples, 0.5, weights))
        return dict(zip(self.keypoints.names, np.moveaxis(rates, -1, 0), strict=True))

    def mirror_samples(self, people: People, image_xy: Array) -> dict[str, Array]:
        return {"mirror_distance": mirror_distances(image_xy, people, self.keypoints)}

    def unlearned(self, samples: Samples) -> frozenset[str]:
        """Columns of which a joint was found less than half as often as another of theirs, or less than twice as often
        as it was taken for the other side's: a guess between left and right finds both half of the time."""
        hits, counted = _counts(samples, 0.5, None)
        rates = _percent(hits, counted)
        guessed = np.zeros(len(rates), bool)
        # Samples of earlier evaluations have none.
        if "mirror_distance" in samples:
            mirror = samples["mirror_distance"]
            own = ~np.isnan(mirror) & (samples["distance"] <= np.float32(0.5))
            guessed = own.sum(0) < 2 * (mirror <= np.float32(0.5)).sum(0)
        joints = {column: list(joints) for column, joints in self.groups.items()}
        return frozenset(
            column
            for column, its in joints.items()
            if rates[its].min() < rates[its].max() / 2 or guessed[its].any()
        )

    def curve(self, samples: Samples, thresholds: Array) -> Array:
        """The mean PCKh in percent at each threshold, (T,)."""
        distance = samples["distance"][:, list(self.mean)]
        ascending = np.sort(distance[~np.isnan(distance)])
        if not len(ascending):
            return np.full(len(thresholds), np.nan)
        within = np.searchsorted(ascending, np.asarray(thresholds, np.float32), "right")
        return 100.0 * within / len(ascending)


def distances(image_xy: Array, people: People) -> Array:
    """How far off each joint is, in head sizes.

    image_xy (N, K, 2) predictions. Returns (N, K) float32, nan where a joint is unlabelled or a person has no
    head size: such joints do not count.
    """
    error = np.linalg.norm(image_xy - people.joints, axis=-1)
    counted = people.labelled & (people.head_size > 0)[:, None]
    return np.where(
        counted, error / np.where(people.head_size > 0, people.head_size, 1)[:, None], np.nan
    ).astype(np.float32)


def mirror_distances(image_xy: Array, people: People, keypoints: Keypoints) -> Array:
    """How far each joint is off the label of its mirror joint, in head sizes.

    image_xy (N, K, 2) predictions. Returns (N, K) float32, nan where the two labels are not both there and more than
    a head size apart, so that no point lies within half of one of both.
    """
    flip = keypoints.flip_order
    other, size = people.joints[:, flip], people.head_size[:, None]
    between = np.linalg.norm(other - people.joints, axis=-1)
    told = people.labelled & people.labelled[:, flip] & (size > 0) & (between > size)
    error = np.linalg.norm(image_xy - other, axis=-1)
    return np.where(told, error / np.where(size > 0, size, 1), np.nan).astype(np.float32)


def samples(image_xy: Array, people: People) -> dict[str, Array]:
    """What `summarise` and the bootstrap need of one run: image_id (N,), person_id (N,), distance (N, K)."""
    return {
        "image_id": people.image_id,
        "person_id": people.person_id,
        "distance": distances(image_xy, people),
    }


def _counts(samples: Samples, threshold: float, weights: Array | None) -> tuple[Array, Array]:
    distance = samples["distance"]
    counted = ~np.isnan(distance)
    # The distances are float32, so the threshold must be: 0.1 in float64 is a hair below it.
    hits = counted & (distance <= np.float32(threshold))
    if weights is None:
        return hits.sum(0), counted.sum(0)
    image = np.unique(samples["image_id"], return_inverse=True)[1]
    if weights.shape[-1] != image.max(initial=-1) + 1:
        raise ValueError(
            f"weights for {weights.shape[-1]} images, but these samples have {image.max(initial=-1) + 1}"
        )
    per_image = np.zeros((2, weights.shape[-1], distance.shape[1]))
    np.add.at(per_image[0], image, hits)
    np.add.at(per_image[1], image, counted)
    weights = weights.astype(np.float64)
    return weights @ per_image[0], weights @ per_image[1]


def _percent(hits: Array, counted: Array) -> Array:
    rates: Array = np.divide(hits, counted, out=np.full(np.shape(hits), np.nan), where=counted > 0)
    return 100.0 * rates
