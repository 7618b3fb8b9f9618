"""The paper's claims, what was measured for each, and a verdict by a fixed rule."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.datasets import DATASETS
from pipeline.report import paper
from pipeline.report.claims import accuracy, attention, costs, rules, training
from pipeline.report.claims.claim import Claim
from pipeline.report.claims.conclusions import Basis, Conclusion, basis, basis_of, conclude, counts
from pipeline.report.claims.rules import Verdict
from pipeline.report.paper import Part
from pipeline.report.results import Results
from pipeline.report.tables.forms import Cell, csv_text

__all__ = [
    "Basis",
    "Claim",
    "Conclusion",
    "Verdict",
    "basis",
    "by_number",
    "conclude",
    "counts",
    "judge",
    "to_csv",
]

# By the word in the column `rule` of reported/claims.csv.
RULES: dict[str, Callable[[Results, Part, Claim], list[Claim]]] = {
    "gain": accuracy.gain,
    "reported_gain": accuracy.reported_gain,
    "only_not_ahead": accuracy.only_not_ahead,
    "not_ahead": accuracy.not_ahead,
    "larger_gain": accuracy.larger_gain,
    "best_radius": accuracy.best_radius,
    "beats_ablations": accuracy.beats_ablations,
    "count": costs.count,
    "cost": costs.cost,
    "similar_speed": training.similar_speed,
    "one_magnitude": training.one_magnitude,
    "faster": attention.faster,
    "measured_of_maps": attention.measured_of_maps,
    "larger_gain_among": attention.larger_gain_among,
}
# These name two datasets.
_OF_SEVERAL = ("larger_gain",)


def judge(results: Results) -> list[Claim]:
    """Every claim, in the paper's order; where a dataset is measured that the paper does not use, those that its
    metric can tell of once more for it."""
    own = [name for name in results.params.measured if name not in paper.datasets()]
    claims = []
    for dataset in ("", *own):
        for part in paper.parts():
            if not dataset or _applies(part, dataset):
                name = dataset or part.dataset
                claims += RULES[part.rule](results, part, Claim.of(part, name))
    return sorted(_corrected(claims), key=lambda claim: claim.number)


def _corrected(claims: Sequence[Claim]) -> list[Claim]:
    """With Holm's p-values: one family of all parts that have a p-value on one dataset."""
    families: dict[str, list[Claim]] = {}
    for claim in claims:
        if claim.p is not None and not math.isnan(claim.p):
            families.setdefault(claim.dataset, []).append(claim)
    adjusted = {
        id(claim): p
        for family in families.values()
        for claim, p in zip(family, rules.holm([claim.p or 0.0 for claim in family]), strict=True)
    }
    return [replace(claim, p_holm=adjusted.get(id(claim))) for claim in claims]


def _applies(part: Part, dataset: str) -> bool:
    """Whether a part can be judged on a dataset that the paper does not use: its metric is that of the part's."""
    if basis_of(part) != Basis.TRAINED or part.rule in _OF_SEVERAL:
        return False
    metric, wanted = DATASETS[dataset].METRIC, DATASETS[part.dataset].METRIC
    known = part.metric not in wanted.columns or part.metric in metric.columns
    return known and (metric.title, metric.boxes) == (wanted.title, wanted.boxes)


def to_csv(claims: Sequence[Claim]) -> str:
    """A row for each part; `conclusion` is of all parts of its claim. A column holds numbers or nothing, or text."""
    rows, conclusions = [], {(each.number, each.dataset): each for each in conclude(claims)}
    for claim in claims:
        row: dict[str, Cell] = {
            "claim": claim.number,
            "part": claim.part,
            "statement": claim.statement,
            "place": claim.place,
            "dataset": claim.dataset,
            "box": claim.box,
            "reported": _number(claim.reported),
            "reported_against": _number(claim.reported_against),
            "claimed": _number(claim.claimed),
            "measured": _number(claim.measured),
            "against": _number(claim.against),
            "difference": _number(claim.difference),
            "low": _number(claim.low),
            "high": _number(claim.high),
            "low_these_images": _number(claim.low_these_images),
            "high_these_images": _number(claim.high_these_images),
            "unit": claim.unit,
            "p": _number(claim.p),
            "p_holm": _number(claim.p_holm),
            "seeds": _number(claim.seeds),
            "basis": basis(claim.number),
            "conclusion": conclusions[claim.number, "" if claim.papers else claim.dataset].verdict,
            "verdict": claim.verdict,
            "would_be": claim.would_be or "",
            "preliminary": "yes" if claim.preliminary else "",
            "reported_text": claim.reported_text,
            "measured_text": claim.measured_text,
            "data": claim.data,
            "runs": claim.runs,
            "note": claim.note,
        }
        rows.append(row)
    return csv_text(rows)


def _number(value: float | None) -> str:
    """To four decimals, whole numbers whole; nan and None as nothing."""
    if value is None or math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{round(value, 4):.10g}"


def by_number(claims: Sequence[Claim]) -> dict[int, list[Claim]]:
    """The claims' parts, by number; first what was measured here, last what the paper's own figures tell."""
    order = sorted(paper.titles(), key=lambda number: list(Basis).index(basis(number)))
    return {number: [claim for claim in claims if claim.number == number] for number in order}
