"""Claims about accuracy: gains over other networks, and the best radius."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.datasets import DATASETS
from pipeline.report import paper
from pipeline.report.claims import rules
from pipeline.report.claims.claim import Claim, judged, judged_on_gains, refused
from pipeline.report.claims.missing import absent, without_ablation, without_detections, without_sweep
from pipeline.report.claims.power import Evidence
from pipeline.report.paper import Part
from pipeline.report.results import Estimate, Group, Results
from pipeline.report.tables.forms import printed
from pipeline.report.tables.rows import method, unlearned

# Verdicts that further designs may change; that one is ahead for certain they cannot.
_OF_ALL = (rules.Verdict.SUPPORTED, rules.Verdict.NO_GAIN, rules.Verdict.INCONCLUSIVE)


def gain(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The guided network is ahead of its backbone by so much."""
    pair = results.pair(claim.dataset)
    if pair is None:
        return [absent(claim)]
    ours, theirs = (results.estimates(group, part.box) for group in pair)
    if ours is None or theirs is None:
        return [without_detections(claim, pair[0])]
    claim = claim.compared(ours[part.metric], theirs[part.metric], part.claimed or 0)
    verdict = rules.of_gain(part.claimed or 0, _interval(claim), results.params.report.margin)
    return [_of_joints(results, part, claim, pair, verdict)]


def reported_gain(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """A gain over a network that is not trained here: the paper's own figures, judged against what it says of them."""
    sheet = paper.sheets()[part.table]
    ours, theirs = sheet.pair(part.row, part.other, part.metric)
    difference = sheet.gain(part.row, part.other, part.metric)
    method = sheet.line(part.other).method.split(" [")[0]
    claim = replace(
        claim,
        measured_text=f"{printed(ours)} against {printed(theirs)}, both as reported",
        difference=difference,
        verdict=rules.of_gain(part.claimed or 0, (difference, difference), 0.0),
        data="the paper's own table",
    )
    note = f"Only reported figures: {method} is not trained here."
    if part.reported_text != f"+{printed(part.claimed)}":
        note = (
            f"Only reported figures, judged against +{printed(part.claimed)}: {method} is not trained here."
        )
    return [claim.noted(note)]


def only_not_ahead(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The metrics named are the only ones in which the guided network is not ahead."""
    pair = results.pair(claim.dataset)
    if pair is None:
        return [absent(claim)]
    ours, theirs = (results.estimates(group, part.box) for group in pair)
    if ours is None or theirs is None:
        return [without_detections(claim, pair[0])]
    differences = {name: ours[name] - theirs[name] for name in ours}
    gains = {name: (difference.low, difference.high) for name, difference in differences.items()}
    named, margin = part.metric.split(), results.params.report.margin
    # All of it must hold, so that the weakest part decides; a lead above the margin is what is to be excluded.
    p_values = [
        1 - each.p_above(margin) if name in named else each.p_above() for name, each in differences.items()
    ]
    sheet = paper.sheets()[part.table]
    gains_there = {name: sheet.gain(part.row, part.other, name) for name in differences}
    evidence = tuple(
        Evidence(each.replicates, margin - gains_there[name] if name in named else gains_there[name])
        for name, each in differences.items()
    )
    claim = replace(claim, measured_text=_listed(differences), p=max(p_values), evidence=evidence).noted(
        f"Supported: all but {' and '.join(named)} ahead for certain, and these for certain by less than {margin:g} "
        "points.",
        f"Contradicted: one of the others behind for certain, or {' or '.join(named)} ahead.",
    )
    return [judged_on_gains(results, claim, pair, rules.of_only_not_ahead(gains, named, margin))]


def not_ahead(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The guided network is not ahead of its backbone."""
    pair = results.pair(claim.dataset)
    if pair is None:
        return [absent(claim)]
    ours, theirs = (results.estimates(group, part.box) for group in pair)
    if ours is None or theirs is None:
        return [without_detections(claim, pair[0])]
    margin, metric = results.params.report.margin, part.metric
    difference = ours[metric] - theirs[metric]
    claim = claim.compared(ours[metric], theirs[metric], margin - (part.claimed or 0))
    claim = replace(claim, p=1 - difference.p_above(margin)).noted(
        f"{part.part} is not ahead in the paper: supported if for certain by less than {margin:g} points."
    )
    verdict = rules.of_only_not_ahead({metric: _interval(claim)}, [metric], margin)
    return [_of_joints(results, part, claim, pair, verdict)]


def _of_joints(
    results: Results, part: Part, claim: Claim, pair: tuple[Group, Group], verdict: rules.Verdict
) -> Claim:
    """The claim with its verdict; with none on a joint that either side did not learn, whose difference is luck."""
    claim = judged(results, claim, pair, verdict)
    names = [method(group) for group in pair if part.metric in results.unlearned(group, part.box)]
    if names:
        return refused(claim, f"Not learned: {part.metric} of {' and '.join(names)}.")
    said = unlearned(results, pair, part.box) if part.metric == pair[0].metric.main else ""
    return claim.noted(said) if said else claim


def larger_gain(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The gain is larger than that in another of the paper's tables."""
    other = paper.sheets()[part.than].dataset
    pair, than = results.pair(claim.dataset), results.pair(other)
    if pair is None or than is None:
        return [absent(claim, claim.dataset if pair is None else other)]
    metric = DATASETS[other].METRIC
    estimates = [results.estimates(group, part.box) for group in pair]
    estimates += [results.estimates(group, metric.boxes[0]) for group in than]
    a, b, c, d = estimates
    if a is None or b is None or c is None or d is None:
        return [without_detections(claim, pair[0])]
    ours, theirs = a[part.metric] - b[part.metric], c[metric.main] - d[metric.main]
    reported = (claim.reported or 0) - (claim.reported_against or 0)
    claim = claim.compared(ours, theirs, reported, f"{ours.in_words} against {theirs.in_words}")
    claim = claim.noted("Points of two different metrics.")
    verdict = rules.of_ranking([_interval(claim)], results.params.report.margin)
    return [judged_on_gains(results, claim, (*pair, *than), verdict)]


def best_radius(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The radius of a row is the best of those in its table; `radii` has them as they are in the heatmaps here."""
    lines = dict(zip(results.params.radii, paper.sheets()[part.table].lines, strict=True))
    groups = {radius: results.guided(claim.dataset, radius) for radius in lines}
    known = {radius: group for radius, group in groups.items() if group is not None}
    if len(known) < len(groups):
        guided = results.guided(claim.dataset)
        return [absent(claim) if guided is None else without_sweep(claim, guided)]
    values = {radius: _main(results, group, part) for radius, group in known.items()}
    best = next(radius for radius, line in lines.items() if line.key == part.row)
    others = [value for radius, value in values.items() if radius != best]
    there = {radius: line.values[part.metric] or 0 for radius, line in lines.items()}
    effects = [there[best] - there[radius] for radius in values if radius != best]
    text = ", ".join(f"r = {radius}: {value.value:.2f}" for radius, value in values.items())
    scaled = [f"{line.radius} is {radius}" for radius, line in lines.items() if line.radius != radius]
    if scaled:
        claim = claim.noted(f"In pixels of the heatmaps here, Table 3's r = {', '.join(scaled)}.")
    claim, verdict = _ahead_of_all(claim, values[best], others, effects, text, results.params.report.margin)
    return [judged(results, claim, list(known.values()), verdict, irrelevant=("radius",))]


def beats_ablations(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The guided network is ahead of its ablations."""
    guided = results.guided(claim.dataset)
    if guided is None:
        return [absent(claim)]
    itself = [name for name in part.ablations if results.params.is_guided_itself(name)]
    names = [name for name in part.ablations if name not in itself]
    if itself:
        claim = claim.noted(
            f"{_quoted(itself)} is the guided network itself with these parameters: neither is ahead."
        )
    groups = {name: results.ablation(claim.dataset, name) for name in names}
    others = {name: group for name, group in groups.items() if group is not None}
    if not others:
        return [without_ablation(results, claim, guided, names, " and ")]
    ours = _main(results, guided, part)
    theirs = {name: _main(results, group, part) for name, group in others.items()}
    text = ", ".join([f"{ours.value:.2f}", *(f"{name}: {value.value:.2f}" for name, value in theirs.items())])
    margin = results.params.report.margin
    claim, verdict = _ahead_of_all(claim, ours, list(theirs.values()), [margin] * len(theirs), text, margin)
    claim = judged(results, claim, (guided, *others.values()), verdict)
    left = [name for name in names if name not in others]
    if (claim.would_be or claim.verdict) not in _OF_ALL or not (left or itself):
        return [claim.noted(f"Without {_quoted(left)}, which `ablations` does not name.") if left else claim]
    note = "It takes all the designs that the claim speaks of"
    claim = claim.noted(f"{note}: add {_quoted(left)} to `ablations`." if left else f"{note}.")
    if claim.verdict is rules.Verdict.PRELIMINARY and not left:
        # No number of seeds decides it: there is no plan of them.
        return [replace(claim, verdict=rules.Verdict.NOT_MEASURED, would_be=None, evidence=())]
    if claim.would_be:
        return [replace(claim, would_be=rules.Verdict.NOT_MEASURED)]
    return [claim.withheld(rules.Verdict.NOT_MEASURED)]


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _ahead_of_all(
    claim: Claim, ours: Estimate, others: list[Estimate], effects: list[float], text: str, margin: float
) -> tuple[Claim, rules.Verdict]:
    """The lead over the strongest of the others, which decides, and what all of the leads say; effects: how large each
    is if the claim is true."""
    leads = [ours - other for other in others]
    strongest = min(zip(leads, others, strict=True), key=lambda pair: pair[0].value)[1]
    # All leads must hold, so that the weakest decides.
    claim = replace(
        claim.compared(ours, strongest, 0, text),
        p=max(lead.p_above() for lead in leads),
        evidence=tuple(
            Evidence(lead.replicates, effect) for lead, effect in zip(leads, effects, strict=True)
        ),
    )
    claim = claim.noted("The difference is the smallest of the leads.") if len(leads) > 1 else claim
    return claim, rules.of_ranking([(lead.low, lead.high) for lead in leads], margin)


def _main(results: Results, group: Group, part: Part) -> Estimate:
    estimates = results.estimates(group, part.box)
    if estimates is None:
        raise ValueError(
            f"reported/claims.csv: claim {part.claim} needs {part.box} boxes, which {group.run.name} was not measured "
            "with; name another box"
        )
    return estimates[part.metric]


def _interval(claim: Claim) -> rules.Interval:
    nan = float("nan")
    return nan if claim.low is None else claim.low, nan if claim.high is None else claim.high


def _listed(differences: Mapping[str, Estimate]) -> str:
    values = {name: gain for name, gain in differences.items() if not math.isnan(gain.value)}
    known = [f"{name} {gain.in_words}" for name, gain in values.items()]
    nobody = [f"{name}: nobody to measure it on" for name in differences if name not in values]
    return ", ".join(known + nobody)
