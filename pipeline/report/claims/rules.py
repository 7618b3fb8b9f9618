"""The rules by which numbers become verdicts, fixed before anything is measured; pure functions of numbers."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

# "Almost free" is no number in the paper; this one, 5% more, is ours.
ALMOST_FREE = 1.05
# Losses of one magnitude: the larger less than so many times the smaller.
ONE_MAGNITUDE = 10

Interval = tuple[float, float]


class Verdict(StrEnum):
    """In the order in which the page counts them."""

    SUPPORTED = "supported"
    SMALLER = "smaller than claimed"
    INCONCLUSIVE = "inconclusive"
    CONTRADICTED = "contradicted"
    NO_DATA = "not testable with this data"
    NO_PROTOCOL = "not testable with these parameters"
    NOT_MEASURED = "not measured"


def of_gain(claimed: float, interval: Interval) -> Verdict:
    """A gain `claimed` against the interval of the measured one."""
    low, high = interval
    if low > 0:
        return Verdict.SUPPORTED if high >= claimed else Verdict.SMALLER
    return Verdict.INCONCLUSIVE if high >= claimed else Verdict.CONTRADICTED


def of_ranking(leads: Sequence[Interval]) -> Verdict:
    """A claimed best against the intervals of its lead over each of the others."""
    if any(high < 0 for _, high in leads):
        return Verdict.CONTRADICTED
    return Verdict.SUPPORTED if all(low > 0 for low, _ in leads) else Verdict.INCONCLUSIVE


def of_only_not_ahead(gains: Mapping[str, Interval], not_ahead: Sequence[str]) -> Verdict:
    """The claim that all gains but those named are above zero, and those named are not."""
    others = [gain for name, gain in gains.items() if name not in not_ahead]
    if any(high < 0 for _, high in others) or any(gains[name][0] > 0 for name in not_ahead):
        return Verdict.CONTRADICTED
    return Verdict.SUPPORTED if all(low > 0 for low, _ in others) else Verdict.INCONCLUSIVE


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
