"""A row of claims.csv, and how it gets its verdict, or the reason why it has none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, variance

import numpy as np

from pipeline.datasets import DATASETS
from pipeline.metrics import bootstrap
from pipeline.report import paper
from pipeline.report.alike import differing
from pipeline.report.claims import rules
from pipeline.report.claims.power import Evidence, Need, need
from pipeline.report.claims.protocol import departures, freedoms
from pipeline.report.claims.rules import Verdict
from pipeline.report.paper import Part
from pipeline.report.results import Estimate, Group, Results
from pipeline.report.tables.rows import data_name, words


@dataclass(frozen=True)
class Claim:
    """A part of a claim and what was measured of it.

    reported, measured: of the network in question; reported_against, against: of the one it is compared with.
    difference: in `unit`; low, high: its interval on new images, from which the verdict is made; low_these_images,
    high_these_images: on the same images. p: one-sided, of its being above zero; p_holm: corrected for the
    claims on the same dataset. seeds: the fewest of a side. would_be: what the numbers alone say, where the verdict is
    withheld. evidence: what a plan of further seeds is made from. The texts say it to people.
    """

    number: int
    part: str
    statement: str
    place: str
    dataset: str
    box: str
    reported: float | None
    reported_against: float | None
    claimed: float | None
    reported_text: str
    unit: str
    measured: float | None = None
    against: float | None = None
    measured_text: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    low_these_images: float | None = None
    high_these_images: float | None = None
    p: float | None = None
    p_holm: float | None = None
    seeds: int | None = None
    verdict: Verdict = Verdict.NOT_MEASURED
    would_be: Verdict | None = None
    evidence: tuple[Evidence, ...] = field(default=(), repr=False, compare=False)
    data: str = ""
    runs: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, part: Part, dataset: str) -> "Claim":
        """A part as it stands in the paper, for one of our datasets."""
        reported, against = _reported(part)
        claim = cls(
            number=part.claim,
            part=part.part,
            statement=part.statement,
            place=part.place,
            dataset=dataset,
            box=words(part.box),
            reported=reported,
            reported_against=against,
            claimed=part.claimed,
            reported_text=part.reported_text,
            unit=part.unit,
        )
        if dataset == part.dataset:
            return claim
        title = DATASETS[dataset].TITLE
        return replace(
            claim,
            part=f"the same on {title}, {part.part}",
            statement=f"The same claim on {title}: {part.statement}",
            notes=(f"The paper does not use {title}.",),
        )

    @property
    def papers(self) -> bool:
        """Whether it is judged on the paper's own data, or on none."""
        return self.dataset in ("", *paper.datasets())

    @property
    def preliminary(self) -> bool:
        """Whether too few seeds were trained for a verdict, whatever else withholds it."""
        return self.would_be is not None and self.seeds is not None and self.seeds < rules.SEEDS

    @property
    def words(self) -> str:
        """The verdict, and beside a preliminary one what it would be."""
        return (
            f"{self.verdict}: {self.would_be}" if self.verdict == Verdict.PRELIMINARY else self.verdict.value
        )

    @property
    def undecided(self) -> bool:
        """Whether further seeds may decide it."""
        open_ = (Verdict.PRELIMINARY, Verdict.INCONCLUSIVE)
        return self.verdict in open_ or self.preliminary or self.would_be in open_

    @property
    def need(self) -> Need | None:
        """How many seeds decide it; None where nothing is known of its spread."""
        return need(self.evidence)

    @property
    def configurations(self) -> list[str]:
        """What it compares, as DATASET/CONFIGURATION, each of which a further seed trains once."""
        return list(dict.fromkeys(run.rpartition("-s")[0] for run in self.runs.split()))

    @property
    def note(self) -> str:
        return " ".join(self.notes)

    def noted(self, *notes: str) -> "Claim":
        return replace(self, notes=(*self.notes, *notes))

    def compared(self, ours: Estimate, theirs: Estimate, effect: float, text: str = "") -> "Claim":
        """With two estimates and their difference; effect: how large it is if the claim is true."""
        difference = ours - theirs
        low, high = difference.on_these_images
        return replace(
            self,
            measured=ours.value,
            against=theirs.value,
            measured_text=text or f"{ours.value:.2f} against {theirs.value:.2f}",
            difference=difference.value,
            low=difference.low,
            high=difference.high,
            low_these_images=low,
            high_these_images=high,
            p=difference.p_above(),
            evidence=(Evidence(difference.replicates, effect),),
        )

    def withheld(self, verdict: Verdict, note: str = "") -> "Claim":
        """With a reason instead of a verdict, which is kept as what it would be."""
        claim = replace(self, verdict=verdict, would_be=self.verdict)
        return claim.noted(note) if note else claim


def _reported(part: Part) -> tuple[float | None, float | None]:
    """The paper's numbers for a part: the row in question and the one it is compared with."""
    if part.table not in paper.sheets():
        return None, None
    sheet = paper.sheets()[part.table]
    if part.than:
        than = paper.sheets()[part.than]
        main = DATASETS[than.dataset].METRIC.main
        return sheet.gain(part.row, part.other, part.metric), than.gain(than.row, than.other, main)
    if sheet.rows == "radii":
        others = [line.values[part.metric] for line in sheet.lines if line.key != part.row]
        return sheet.line(part.row).values[part.metric], max(value for value in others if value is not None)
    lines = sheet.line(part.row), sheet.line(part.other)
    if part.metric in ("params", "gflops"):
        params, gflops = [line.params for line in lines], [line.gflops for line in lines]
        return (params[0], params[1]) if part.metric == "params" else (gflops[0], gflops[1])
    if part.metric not in lines[0].values:
        return None, None
    return sheet.pair(part.row, part.other, part.metric)


def judged(
    results: Results,
    claim: Claim,
    groups: Sequence[Group],
    verdict: Verdict,
    irrelevant: tuple[str, ...] = ("radii",),
) -> Claim:
    """The claim with its verdict, if data, parameters and seeds are such that it can be judged at all.

    irrelevant: parameters that nothing in the claim depends on.
    """
    claim = replace(
        claim,
        data="; ".join(dict.fromkeys(data_name(group) for group in groups)),
        runs=" ".join(f"{run.dataset}/{run.name}" for group in groups for run in group.runs),
        verdict=verdict,
        seeds=min(len(group.runs) for group in groups),
    )
    whole = all(group.full_size for group in groups)
    if reason := differing(groups):
        claim = refused(claim, reason)
        return claim if whole else claim.withheld(Verdict.NO_DATA)
    if claim.seeds is not None and claim.seeds < rules.SEEDS:
        # Of images alone, or of two values' spread: no p-value of a method.
        claim = replace(claim, p=None)
    if any(limit is not None and math.isnan(limit) for limit in (claim.low, claim.high)):
        claim = replace(claim, verdict=Verdict.INCONCLUSIVE)
    if precisions := {group.first.record.precision or "" for group in groups} - {"float32"}:
        claim = claim.noted(f"Trained in {' and '.join(sorted(precisions))}; the paper names no precision.")
    if not whole:
        return claim.withheld(Verdict.NO_DATA)
    claim = claim.noted(*_fewer(groups))
    if free := freedoms(results.params, claim.dataset):
        listed = ", ".join(f"{key} = {value}" for key, value in free.items())
        claim = claim.noted(f"Not as the paper trains on its own datasets: {listed}.")
    other = [
        f"{key} = {value}"
        for key, value in departures(results.params, claim.dataset).items()
        if key not in irrelevant
    ]
    if other:
        return claim.withheld(Verdict.NO_PROTOCOL, f"Not the paper's protocol: {', '.join(other)}.")
    if claim.seeds is not None and claim.seeds < rules.SEEDS:
        need = f"A verdict needs {rules.SEEDS} seeds of each side: {_ways(results, groups)}."
        return claim.withheld(Verdict.PRELIMINARY, need)
    return claim


def _ways(results: Results, groups: Sequence[Group]) -> str:
    """What gives each side as many seeds as a verdict needs."""
    params, trained = results.params, {group.run.ablation for group in groups}
    ways = [
        f"move `{name}` from `ablations_once` to `ablations`"
        for name in params.ablations_once
        if name in trained
    ]
    if len(params.seeds) < rules.SEEDS:
        ways.append("add to `seeds`" + (", or move there from `more_seeds`" if params.more_seeds else ""))
    return " and ".join(ways)


def refused(claim: Claim, reason: str) -> Claim:
    """Without the comparison: each side's own number stays."""
    without = replace(
        claim,
        verdict=Verdict.NOT_COMPARABLE,
        would_be=None,
        difference=None,
        low=None,
        high=None,
        low_these_images=None,
        high_these_images=None,
        p=None,
        evidence=(),
    ).noted(reason)
    # Data that no claim can be judged by is the more basic reason.
    return without.withheld(Verdict.NO_DATA) if claim.verdict is Verdict.NO_DATA else without


def judged_on_gains(results: Results, claim: Claim, groups: Sequence[Group], verdict: Verdict) -> Claim:
    """As `judged`, of a claim whose own numbers are gains: with runs that are not alike none of them stays."""
    claim = judged(results, claim, groups, verdict)
    if Verdict.NOT_COMPARABLE in (claim.verdict, claim.would_be):
        return replace(claim, measured=None, against=None, measured_text="")
    return claim


def _fewer(groups: Sequence[Group]) -> list[str]:
    """A note on each dataset that counts as whole, though it has a handful of people less, or more."""
    missing = {group.dataset: group.first.missing_people for group in groups}
    return [
        f"{DATASETS[name].TITLE} has {sum(DATASETS[name].PEOPLE):,} people, and here it differs from that by {count}."
        for name, count in missing.items()
        if count
    ]


def judged_over_seeds(
    results: Results, claim: Claim, groups: Sequence[Group], differences: Sequence[float], step: float = 0.0
) -> Claim:
    """A ranking of runs that have one number each, with Student's interval over the seeds.

    step: of the grid that either side's numbers lie on, whose rounding is no certainty.
    """
    value, count = mean(differences), len(differences)
    if count == 1:
        claim = replace(claim, difference=value).noted("One seed gives no interval.")
        return judged(results, claim, groups, Verdict.INCONCLUSIVE)
    rounding = 2 * step**2 / 12
    student = bootstrap.Student(value, math.sqrt((variance(differences) + rounding) / count), count - 1)
    low, high = student.interval()
    claim = replace(
        claim,
        difference=value,
        low=low,
        high=high,
        low_these_images=low,
        high_these_images=high,
        p=student.p_above(),
        evidence=(_over_seeds_alone(value, student, count),),
    ).noted("The interval is over seeds alone.")
    return judged(results, claim, groups, rules.of_ranking([(low, high)], 0.0))


def _over_seeds_alone(value: float, student: bootstrap.Student, count: int) -> Evidence:
    """Of a difference that no image is known of, taken to be as large as measured."""
    seeds = {"difference": bootstrap.Seeds(1.0, count, student.error**2 * count, 0.0)}
    return Evidence(bootstrap.Replicates(np.zeros(1), seeds), value, measured=True)
