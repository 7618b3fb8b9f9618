"""How many seeds would decide a claim, from the spread seen so far (docs/statistics.md)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.metrics.bootstrap import Replicates
from pipeline.report.claims import rules

POWER = 0.8
# No plan goes beyond.
MOST_SEEDS = 50
# Points: public reruns of HRNet on MPII spread by 0.1 to 0.15. Taken where one seed tells of no spread.
ASSUMED_SPREAD = 0.15
EVENLY = (np.arange(2000) + 0.5) / 2000


@dataclass(frozen=True)
class Evidence:
    """A difference that must be told from zero, and how large it is if the claim is true, points; `measured`: a claim
    that names no size, which is taken to be the one that was measured."""

    replicates: Replicates
    effect: float
    measured: bool = False


@dataclass(frozen=True)
class Need:
    """Seeds of each side for POWER, on new images and on these; None where MOST_SEEDS are too few.

    reach: the power on new images with no end of seeds, below POWER where the images are too few. assumed: whether
    the spread over seeds is ASSUMED_SPREAD. measured: whether the difference is taken to be as large as measured.
    """

    new_images: int | None
    these_images: int | None
    reach: float
    assumed: bool
    measured: bool = False


def need(evidence: Sequence[Evidence]) -> Need | None:
    """What all differences need to be above zero together. None without any that is known."""
    parts = [_Parts.of(each) for each in evidence if each.effect > 0]
    if not parts or any(math.isnan(part.images) for part in parts):
        return None
    return Need(
        _fewest([(part, part.images) for part in parts]),
        _fewest([(part, 0.0) for part in parts]),
        max(1 - sum(1 - part.reach() for part in parts), 0.0),
        any(part.assumed for part in parts),
        any(each.measured for each in evidence),
    )


@dataclass(frozen=True)
class _Parts:
    """The variances of a difference: `images` of the images alone; seeds: of each model's single training, weighted by
    its factor's square."""

    effect: float
    images: float
    seeds: tuple[float, ...]
    assumed: bool

    @classmethod
    def of(cls, evidence: Evidence) -> "_Parts":
        draws = evidence.replicates.draws[~np.isnan(evidence.replicates.draws)]
        models = [seeds for seeds in evidence.replicates.seeds.values() if seeds.factor]
        several = [seeds for seeds in models if seeds.count > 1]
        known = [seeds.variance for seeds in several]
        typical = float(np.mean(known)) if known else ASSUMED_SPREAD**2
        by_images = float(np.mean([seeds.by_images for seeds in several])) if several else 0.0
        # What the seeds' own noise on these images has added to the draws falls with more of them.
        noise = sum(s.factor**2 / s.count * (s.by_images if s.count > 1 else by_images) for s in models)
        images = max(float(draws.var()) - noise, 0.0) if len(draws) else math.nan
        seeds = tuple(s.factor**2 * (s.variance if s.count > 1 else typical) for s in models)
        return cls(evidence.effect, images, seeds, not known)

    def power(self, count: int, images: float) -> float:
        """The chance that the interval lies above zero, with so many seeds of each model."""
        from scipy.stats import chi2, norm, t

        shares = [variance / count for variance in self.seeds]
        by_seeds = sum(shares)
        error = math.sqrt(images + by_seeds)
        if error == 0:
            return 1.0
        if not by_seeds:
            return float(norm.sf(norm.isf(rules.ALPHA) - self.effect / error))
        freedom = by_seeds**2 * (count - 1) / sum(share**2 for share in shares)
        # The mean over all that so many seeds may say of their own spread.
        estimated = by_seeds * chi2.ppf(EVENLY, freedom) / freedom
        whole = images + estimated
        reach = t.isf(rules.ALPHA, freedom * whole / estimated) * np.sqrt(whole)
        return float(norm.sf((reach - self.effect) / error).mean())

    def reach(self) -> float:
        """The power with no end of seeds."""
        from scipy.stats import norm

        error = math.sqrt(self.images)
        return float(norm.sf(norm.isf(rules.ALPHA) - self.effect / error)) if error else 1.0


def _fewest(parts: Sequence[tuple[_Parts, float]]) -> int | None:
    counts = range(rules.SEEDS, MOST_SEEDS + 1)
    # Of several that must all hold, the chances of missing one add up at most.
    return next((n for n in counts if sum(1 - p.power(n, images) for p, images in parts) <= 1 - POWER), None)
