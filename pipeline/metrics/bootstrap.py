"""Intervals: the bootstrap over validation images, paired between models, and the spread over seeds.

docs/statistics.md has the method and what it assumes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.arrays import Array


@dataclass(frozen=True)
class Seeds:
    """What the seeds of one model say of its metric.

    factor: of the model in the quantity; variance: of the values; by_images: that part of it which other images would
    show otherwise, since each seed finds others hard. Both are nan for one seed.
    """

    factor: float
    count: int
    variance: float
    by_images: float


@dataclass(frozen=True)
class Replicates:
    """A metric's mean over seeds, or a difference of such, as `interval` needs it; they can be subtracted.

    draws: (R,) under resampling of the images. seeds: by the name of the model.
    """

    draws: np.ndarray
    seeds: Mapping[str, Seeds]

    def __sub__(self, other: "Replicates") -> "Replicates":
        seeds = dict(self.seeds)
        for name, s in other.seeds.items():
            factor = (seeds[name].factor if name in seeds else 0) - s.factor
            seeds[name] = replace(s, factor=factor)
        return Replicates(self.draws - other.draws, seeds)


def clusters(folder: Path) -> dict[str, Array]:
    """Which validation images are resampled together: image_id (M,) ascending and cluster (M,), empty where each is
    apart; folder: that of the stage `prepare`."""
    path = folder / "val_clusters.json"
    if not path.is_file():
        return {}
    by_image = sorted((int(image_id), cluster) for image_id, cluster in json.loads(path.read_text()).items())
    image_id, cluster = np.array(by_image, np.int64).T
    return {"clusters_image_id": image_id, "clusters_cluster": cluster}


def weights(images: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of M images, or clusters of them, is in each of R resamples, (R, M) uint16; each row sums to M.

    Runs on the same images get the same rows, which is what pairs them.
    """
    rng = np.random.default_rng([seed, images])
    return np.stack(
        [np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(resamples)]
    ).astype(np.uint16)


def clustered(image_id: np.ndarray, clusters: Mapping[str, np.ndarray] | None) -> np.ndarray:
    """Each image's cluster (M,), counted from 0: the images of one are drawn together.

    image_id: (M,); clusters: `image_id` ascending and the `cluster` of each; None where every image is one.
    """
    if clusters is None:
        return np.arange(len(image_id))
    place = np.searchsorted(clusters["image_id"], image_id).clip(max=len(clusters["image_id"]) - 1)
    if not np.array_equal(clusters["image_id"][place], image_id):
        raise ValueError(
            "images are sampled of which the clusters do not know; run the stage `evaluate` again"
        )
    return np.unique(clusters["cluster"][place], return_inverse=True)[1]


def over_seeds(
    values: Sequence[Mapping[str, float]], draws: Sequence[Mapping[str, np.ndarray]], name: str
) -> dict[str, Replicates]:
    """The mean over one model's seeds of each metric, with what both images and seeds leave open.

    values: a mapping of metrics for each seed; draws: the same under `weights`, (R,) each. name: of the model
    and its dataset; seeds of different names are independent.
    """
    if len(values) != len(draws) or not values:
        raise ValueError(
            f"{len(values)} runs and the draws of {len(draws)}: give at least one, and all of both"
        )
    return {
        metric: _mean_over_seeds(
            np.array([v[metric] for v in values], float), np.stack([d[metric] for d in draws]), name
        )
        for metric in values[0]
    }


def interval(replicates: Replicates | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The interval (low, high) of a metric or a difference on new images, from new seeds.

    Of one seed each, or of plain draws (R,): their percentiles. With more seeds `Student`'s, where a model with one
    seed beside others with more takes their mean variance. nan where more than 1% of the resamples have nothing that
    the metric counts.
    """
    draws = replicates.draws if isinstance(replicates, Replicates) else replicates
    known = _known(draws)
    if not len(known):
        return float("nan"), float("nan")
    student = _student(replicates, known) if isinstance(replicates, Replicates) else None
    if student is None:
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)
    return student.interval(level)


def on_these_images(value: float, replicates: Replicates, level: float = 0.95) -> tuple[float, float]:
    """The interval (low, high) of a metric or a difference, `value`, from new seeds on the very same images.

    Welch's: the whole variance over seeds, also that part of it which other images would show otherwise. nan
    of one seed each.
    """
    seeds = [s for s in replicates.seeds.values() if s.factor]
    if all(s.count == 1 for s in seeds):
        return float("nan"), float("nan")
    return Student.of(value, 0.0, seeds).interval(level)


def p_above(replicates: Replicates, bound: float = 0.0) -> float:
    """The one-sided p-value of a difference above `bound`: half the smallest alpha of which `interval`, at the level
    1 - alpha, lies above it. nan where there is no interval."""
    known = _known(replicates.draws)
    if not len(known):
        return float("nan")
    student = _student(replicates, known)
    if student is None:
        return float(1 + (known <= bound).sum()) / (1 + len(known))
    return student.p_above(bound)


@dataclass(frozen=True)
class Student:
    """A value whose error is estimated: Student's t times `error` around `center`."""

    center: float
    error: float
    freedom: float

    @classmethod
    def of(cls, center: float, by_images: float, seeds: Sequence[Seeds]) -> "Student":
        """A value at seeds' mean; by_images: the variance that the images leave, without the seeds' own.

        Degrees of freedom are Satterthwaite's of the seeds' variance, divided by its share of the whole. His formula
        for the whole would divide by that share's square: too sure where one model's few seeds happen to agree. Where
        models have different numbers of seeds they are those of the fewest. A model with one seed takes the mean
        variance of the others, and so brings none of its own.
        """
        several = [s for s in seeds if s.count > 1 and s.factor]
        borrowed = sum(s.factor**2 for s in seeds if s.count == 1) / len(several)
        shares = [(s.factor**2 / s.count + borrowed) * s.variance for s in several]
        by_seeds, fewest = sum(shares), min(s.count for s in several)
        error = math.sqrt(by_images + by_seeds)
        if by_seeds == 0:
            return cls(center, error, math.inf)
        if fewest == max(s.count for s in several):
            freedom = by_seeds**2 / sum(share**2 / (fewest - 1) for share in shares)
        else:
            freedom = fewest - 1.0
        # A rounding error below a whole number is no degree of freedom less.
        return cls(center, error, float(max(math.floor(freedom * error**2 / by_seeds + 1e-9), 1)))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        from scipy.stats import t

        reach = float(t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.center - reach, self.center + reach

    def p_above(self, bound: float = 0.0) -> float:
        from scipy.stats import t

        if self.error == 0:
            return 0.0 if self.center > bound else 1.0
        return float(t.sf((self.center - bound) / self.error, self.freedom))


def _known(draws: np.ndarray) -> np.ndarray:
    """The draws that have a value; none of them where more than 1% have not."""
    known: np.ndarray = draws[~np.isnan(draws)]
    return known if len(known) >= 0.99 * len(draws) else known[:0]


def _student(replicates: Replicates, known: np.ndarray) -> Student | None:
    """None of one seed each, where nothing is known of the spread over seeds."""
    seeds = [s for s in replicates.seeds.values() if s.factor]
    if all(s.count == 1 for s in seeds):
        return None
    # What each seed finds hard in these images is in the draws, and the whole of it in the spread over seeds.
    typical = float(np.mean([s.by_images for s in seeds if s.count > 1]))
    twice = sum(s.factor**2 / s.count * (s.by_images if s.count > 1 else typical) for s in seeds)
    return Student.of(float(known.mean()), max(float(known.var()) - twice, 0.0), seeds)


def _mean_over_seeds(values: np.ndarray, draws: np.ndarray, name: str) -> Replicates:
    mean, count = draws.mean(0), len(values)
    if count == 1:
        return Replicates(mean, {name: Seeds(1.0, 1, np.nan, np.nan)})
    by_images = float(np.nanvar(draws - mean, axis=1).sum() / (count - 1))
    return Replicates(mean, {name: Seeds(1.0, count, float(values.var(ddof=1)), by_images)})
