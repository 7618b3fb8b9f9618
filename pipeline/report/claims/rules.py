"""The rules by which numbers become verdicts, fixed before anything is measured; pure functions of numbers."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pipeline.report.estimates import SEEDS as SEEDS

# "Almost free" is no number in the paper; this one, 5% more, is ours.
ALMOST_FREE = 1.05
# Losses of one magnitude: the larger less than so many times the smaller.
ONE_MAGNITUDE = 10
# One-sided, of a lead; the 95% interval lies above zero where its p-value is below.
ALPHA = 0.025

Interval = tuple[float, float]


class Verdict(StrEnum):
    """In the order in which the page counts them."""

    SUPPORTED = "supported"
    SMALLER = "smaller than claimed"
    NO_GAIN = "no gain"
    INCONCLUSIVE = "inconclusive"
    CONTRADICTED = "contradicted"
    PRELIMINARY = "preliminary"
    NOT_COMPARABLE = "not comparable"
    NO_DATA = "not testable with this data"
    NO_PROTOCOL = "not testable with these parameters"
    NOT_MEASURED = "not measured"


# What leaves a claim open, the most basic reason first.
_OPEN = (
    Verdict.NO_DATA,
    Verdict.NO_PROTOCOL,
    Verdict.NOT_COMPARABLE,
    Verdict.NOT_MEASURED,
    Verdict.PRELIMINARY,
    Verdict.INCONCLUSIVE,
)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """The one verdict of a claim whose parts, at least one, must all hold: one that fails decides, else one that is
    open. A part without a gain fails where another has one."""
    found = set(verdicts)
    if len(found) == 1:
        return verdicts[0]
    if Verdict.CONTRADICTED in found:
        return Verdict.CONTRADICTED
    if Verdict.NO_GAIN in found and found & {Verdict.SUPPORTED, Verdict.SMALLER}:
        return Verdict.CONTRADICTED
    return next((each for each in _OPEN if each in found), Verdict.SMALLER)


def is_none(interval: Interval, margin: float) -> bool:
    """Whether a gain's whole interval lies within the margin: two one-sided tests, each at ALPHA."""
    return -margin < interval[0] and interval[1] < margin


def of_gain(claimed: float, interval: Interval, margin: float) -> Verdict:
    """A gain `claimed` against the interval of the measured one."""
    low, high = interval
    if low > 0:
        return Verdict.SUPPORTED if high >= claimed else Verdict.SMALLER
    if high < 0:
        return Verdict.CONTRADICTED
    # A margin wider than the claim must not call none what the interval holds.
    if is_none(interval, margin) and high < claimed:
        return Verdict.NO_GAIN
    return Verdict.INCONCLUSIVE if high >= claimed else Verdict.CONTRADICTED


def of_ranking(leads: Sequence[Interval], margin: float) -> Verdict:
    """A claimed best against the intervals of its lead over each of the others."""
    if any(high < 0 for _, high in leads):
        return Verdict.CONTRADICTED
    uncertain = [lead for lead in leads if not lead[0] > 0]
    if not uncertain:
        return Verdict.SUPPORTED
    return Verdict.NO_GAIN if all(is_none(lead, margin) for lead in uncertain) else Verdict.INCONCLUSIVE


def of_only_not_ahead(gains: Mapping[str, Interval], not_ahead: Sequence[str], margin: float) -> Verdict:
    """The claim that all gains but those named are above zero, and those named below the margin."""
    named = [gains[name] for name in not_ahead]
    others = [gain for name, gain in gains.items() if name not in not_ahead]
    if any(high < 0 for _, high in others) or any(low > 0 for low, _ in named):
        return Verdict.CONTRADICTED
    shown = all(low > 0 for low, _ in others) and all(high < margin for _, high in named)
    return Verdict.SUPPORTED if shown else Verdict.INCONCLUSIVE


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method, in the order given."""
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def of_cost(interval: Interval) -> Verdict:
    """A cost claimed almost free against the interval of its ratio."""
    low, high = interval
    if high <= ALMOST_FREE:
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED if low > ALMOST_FREE else Verdict.INCONCLUSIVE


def of_equality(ours: float, theirs: float) -> Verdict:
    """Two numbers claimed equal, as the paper prints them."""
    return Verdict.SUPPORTED if as_printed(ours) == as_printed(theirs) else Verdict.CONTRADICTED


def as_printed(value: float) -> float:
    """A number with one decimal, the rest cut off, as in the paper's columns of parameters and GFLOPs."""
    return math.floor(value * 10) / 10


def of_magnitude(ratio: float) -> Verdict:
    """Two losses claimed to be of one magnitude, by their ratio."""
    one = 1 / ONE_MAGNITUDE < ratio < ONE_MAGNITUDE
    return Verdict.SUPPORTED if one else Verdict.CONTRADICTED
