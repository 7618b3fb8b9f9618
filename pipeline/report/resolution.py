"""What a test set can resolve: how large a difference between two methods these people can show at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from pipeline.report.alike import differing
from pipeline.report.estimates import SEEDS
from pipeline.report.results import Estimate, Group, Results
from pipeline.report.tables.forms import Cell, csv_text, fixed
from pipeline.report.tables.rows import data_name, method, words


@dataclass(frozen=True)
class Reach:
    """The 95% interval of a row's main number, or of the difference of two rows (other) on the same people.

    estimate: None of two rows of unequal runs, for the reason `refused`. seeds: the fewer of a pair's, None of what was
    not trained here.
    """

    data: str
    box: str
    metric: str
    row: str
    other: str
    people: int
    images: int
    estimate: Estimate | None
    seeds: int | None
    refused: str = ""

    @property
    def half_width(self) -> float:
        """Of the interval on new images; nan where there is none."""
        return math.nan if self.estimate is None else (self.estimate.high - self.estimate.low) / 2


@dataclass(frozen=True)
class Resolution:
    """The reaches of one dataset's rows under one kind of box: each row's, and each pair's."""

    data: str
    points: str
    rows: tuple[Reach, ...]
    pairs: tuple[Reach, ...]

    @property
    def sentence(self) -> str:
        """What the page says of it."""
        one = _range(_widths(self.rows))
        said = f"{self.data}: the 95% interval of one row's {self.points} reaches {one} points to either side"
        compared = _widths([pair for pair in self.pairs if not pair.refused])
        if not compared:
            return f"{said}. No two rows are comparable. {self.pairs[0].refused}"
        return (
            f"{said}, that of the difference of two rows, paired on the same images, {_range(compared)}. A smaller "
            "difference is not to be told from chance by these people, whatever made it."
        )


def make(results: Results) -> list[Resolution]:
    """One for each dataset and kind of box in which at least two rows are measured on all its real people."""
    resolutions = []
    for dataset in results.params.measured:
        groups = [group for group in results.of(dataset) if group.full_size]
        for box in groups[0].metric.boxes if groups else ():
            main, metric = groups[0].metric.main, groups[0].metric
            known = [(g, e[main]) for g in groups if (e := results.estimates(g, box)) is not None]
            if len(known) < 2:
                continue
            first = known[0][0].first
            rows = [
                Reach(data_name(g), box, main, method(g), "", first.people, first.images, e, _seeds(g))
                for g, e in known
            ]
            pairs = [
                _pair(a, b, ours - theirs, differing((one, other)))
                for (a, (one, ours)), (b, (other, theirs)) in combinations(zip(rows, known, strict=True), 2)
            ]
            kind = f" with {words(box)} boxes" if len(metric.boxes) > 1 else ""
            resolutions.append(
                Resolution(data_name(known[0][0]), f"{metric.title}{kind}", tuple(rows), tuple(pairs))
            )
    return resolutions


def _seeds(group: Group) -> int | None:
    """Of a network trained here."""
    return None if group.run.seed is None else len(group.runs)


def _pair(a: Reach, b: Reach, difference: Estimate, refused: str) -> Reach:
    seeds = min((each.seeds for each in (a, b) if each.seeds is not None), default=None)
    return replace(a, other=b.row, estimate=None if refused else difference, seeds=seeds, refused=refused)


def _widths(reaches: Sequence[Reach]) -> list[float]:
    """Half widths; where several trainings are behind some, without those of one or two, whose are of another kind."""
    enough = [reach for reach in reaches if reach.seeds is None or reach.seeds >= SEEDS]
    return [reach.half_width for reach in (enough or reaches)]


def to_csv(resolutions: Sequence[Resolution]) -> str:
    """A line for each row and each pair; a header alone where nothing was measured on real people in full."""
    columns = (
        "data", "box", "metric", "row", "other", "people", "images", "seeds", "value", "low", "high", "half_width",
        "low_these_images", "high_these_images", "note",
    )  # fmt: skip
    lines: list[dict[str, Cell]] = []
    for resolution in resolutions:
        for reach in (*resolution.rows, *resolution.pairs):
            value, low, high, *these = _numbers(reach.estimate)
            lines.append(
                {
                    "data": reach.data,
                    "box": words(reach.box),
                    "metric": reach.metric,
                    "row": reach.row,
                    "other": reach.other,
                    "people": reach.people,
                    "images": reach.images,
                    "seeds": reach.seeds,
                    "value": value,
                    "low": low,
                    "high": high,
                    "half_width": fixed(reach.half_width, 2),
                    "low_these_images": these[0],
                    "high_these_images": these[1],
                    "note": reach.refused,
                }
            )
    return csv_text(lines) if lines else ",".join(columns) + "\n"


def _numbers(estimate: Estimate | None) -> list[str]:
    """Value, interval on new images, and that on these."""
    if estimate is None:
        return [""] * 5
    numbers = (estimate.value, estimate.low, estimate.high, *estimate.on_these_images)
    return [fixed(number, 2) for number in numbers]


def _range(widths: list[float]) -> str:
    low, high = min(widths), max(widths)
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
