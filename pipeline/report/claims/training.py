"""Claims about training: how losses fall and compare, and how attention comes to its maps."""

import math
from dataclasses import replace
from statistics import mean, median

from pipeline.report.claims import rules
from pipeline.report.claims.claim import Claim, absent, judged, judged_over_seeds, without_ablation
from pipeline.report.paper import Part
from pipeline.report.results import Group, Results

_SPEED = (
    "Speed is the logarithm of how far a loss falls from the first logged epoch to the last; "
    "the difference is the gap between both tasks with fixed weights minus the gap with dynamic ones."
)
_MAGNITUDE = (
    "One magnitude: the median over training of the larger of both losses, the segmentation loss "
    "times lambda, is less than ten times the smaller."
)
_FASTER = "IoU of the maps in percent, mean over the four; faster: mean over the validated epochs."
_FEW_EPOCHS = "history.csv holds too few epochs."


def similar_speed(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Both tasks learn at similar speed, more so than in the ablation."""
    claim = claim.noted(_SPEED)
    guided, fixed = results.guided(claim.dataset), results.ablation(claim.dataset, *part.ablations)
    if guided is None:
        return [absent(claim)]
    falls = _falls(guided)
    if falls is None:
        return [claim.noted(_FEW_EPOCHS)]
    key, seg = (mean(math.exp(-fall[task]) for fall in falls) for task in (0, 1))
    claim = replace(claim, measured_text=f"losses fall to {key:.0%} (keypoints) and {seg:.0%} (segmentation)")
    if fixed is None:
        return [without_ablation(results, claim, guided, part.ablations)]
    others = _falls(fixed)
    if others is None:
        return [claim.noted(_FEW_EPOCHS)]
    gap, fixed_gap = ([abs(key - seg) for key, seg in both] for both in (falls, others))
    claim = replace(claim, measured=mean(gap), against=mean(fixed_gap))
    gaps = [b - a for a, b in zip(gap, fixed_gap, strict=True)]
    return [judged_over_seeds(results, claim, (guided, fixed), gaps)]


def one_magnitude(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """lambda brings both losses to one magnitude."""
    claim, weight = claim.noted(_MAGNITUDE), results.params.loss.lambda_
    guided = results.guided(claim.dataset)
    if guided is None:
        return [absent(claim)]
    histories = guided.histories()
    ratios = [weight * ratio for steps in histories for ratio in (steps.loss_seg / steps.loss_key).dropna()]
    if not ratios:
        return [claim.noted("history.csv holds no losses.")]
    ratio = median(ratios)
    text = f"lambda x segmentation loss is {ratio:.2g} times the keypoint loss (median)"
    claim = replace(claim, measured=ratio, measured_text=text)
    return [judged(results, claim, (guided,), rules.of_magnitude(ratio))]


def faster(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Attention focuses faster than in the ablation."""
    claim = claim.noted(_FASTER)
    pair = _pair(results, part, claim)
    if isinstance(pair, Claim):
        return [pair]
    ours, theirs = (_ious(group) for group in pair)
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    if any(map(math.isnan, gaps)):
        return [claim.noted("history.csv holds no IoU of the maps.")]
    text = f"{mean(ours):.2f} against {mean(theirs):.2f}"
    claim = replace(claim, measured=mean(ours), against=mean(theirs), measured_text=text)
    return [judged_over_seeds(results, claim, pair, gaps, results.params.report.margin)]


def more_accurate(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Attention focuses more accurately than in the ablation."""
    pair = _pair(results, part, claim)
    if isinstance(pair, Claim):
        return [pair]
    ours, theirs = (results.map_iou(group) for group in pair)
    if ours is None or theirs is None:
        return [claim.noted("samples.npz holds no IoU of the maps.")]
    claim = claim.compared(ours, theirs, results.params.report.margin)
    low, high = (ours - theirs).low, (ours - theirs).high
    return [judged(results, claim, pair, rules.of_ranking([(low, high)], results.params.report.margin))]


def _pair(results: Results, part: Part, claim: Claim) -> tuple[Group, Group] | Claim:
    """The guided network and the ablation that it is judged against, or the claim without a verdict."""
    guided, ablation = results.guided(claim.dataset), results.ablation(claim.dataset, *part.ablations)
    if guided is None:
        return absent(claim)
    return (
        without_ablation(results, claim, guided, part.ablations) if ablation is None else (guided, ablation)
    )


def _falls(group: Group) -> list[tuple[float, float]] | None:
    """By how much the logarithms of (keypoint, segmentation) losses fall from first to last logged epoch, for each
    seed; None where a history has fewer than two epochs."""
    falls = []
    for history in group.histories():
        losses = history.groupby("epoch")[["loss_key", "loss_seg"]].mean().dropna()
        if len(losses) < 2:
            return None
        ratios = (losses.iloc[0] / losses.iloc[-1]).tolist()
        falls.append((math.log(ratios[0]), math.log(ratios[1])))
    return falls


def _ious(group: Group) -> list[float]:
    """For each seed the IoU of the maps, percent, mean over maps and validated epochs; nan where it was not logged."""
    return [100 * float(history.filter(regex="^iou_").mean(axis=1).mean()) for history in group.histories()]
