"""Claims about training: how losses fall, and how they compare."""

from dataclasses import replace
from statistics import mean, median

import numpy as np

from pipeline.report.claims import rules
from pipeline.report.claims.claim import Claim, judged, judged_over_seeds
from pipeline.report.claims.missing import absent, without_ablation
from pipeline.report.paper import Part
from pipeline.report.results import Group, Results

_SPEED = (
    "A task's speed is the mean logarithm of its logged rates r (Eq. 9), of how its loss changes from one step to the "
    "next; the difference is the gap between both tasks with fixed weights minus the gap with dynamic ones, per mille. "
    "A rate is the ratio of two batches' losses, so that it takes many to tell speeds from noise."
)
_MAGNITUDE = (
    "One magnitude: the median over training of the larger of both losses, the segmentation loss "
    "times lambda, is less than ten times the smaller."
)


def similar_speed(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Both tasks learn at similar speed, more so than in the ablation."""
    claim = claim.noted(_SPEED)
    guided, fixed = results.guided(claim.dataset), results.ablation(claim.dataset, *part.ablations)
    if guided is None:
        return [absent(claim)]
    if fixed is not None:
        guided, fixed = guided.shared_with(fixed), fixed.shared_with(guided)
    speeds, falls = _speeds(guided), _falls(guided)
    if speeds is None:
        return [claim.noted("history.csv holds no rates.")]
    text = "rates {:+.2f} (keypoints) and {:+.2f} per mille (segmentation)".format(
        *(1000 * mean(speed[task] for speed in speeds) for task in (0, 1))
    )
    if falls is not None:
        text += f"; losses fall to {falls[0]:.0%} and {falls[1]:.0%}"
    claim = replace(claim, measured_text=text)
    if fixed is None:
        return [without_ablation(results, claim, guided, part.ablations)]
    others = _speeds(fixed)
    if others is None:
        return [claim.noted("history.csv holds no rates.")]
    gap, fixed_gap = ([1000 * abs(key - seg) for key, seg in both] for both in (speeds, others))
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


def _speeds(group: Group) -> list[tuple[float, float]] | None:
    """For each seed the mean logarithm of the rates r (Eq. 9) of keypoints and segmentation over the logged steps; None
    where a history holds none."""
    speeds = []
    for history in group.histories():
        rates = history[["r_key", "r_seg"]].dropna()
        rates = rates[(rates > 0).all(axis=1)]
        if rates.empty:
            return None
        speeds.append((float(np.log(rates.r_key).mean()), float(np.log(rates.r_seg).mean())))
    return speeds


def _falls(group: Group) -> tuple[float, float] | None:
    """To which share of the first logged epoch's the (keypoint, segmentation) losses fall, mean over seeds; None where
    a history has fewer than two epochs."""
    falls = []
    for history in group.histories():
        losses = history.groupby("epoch")[["loss_key", "loss_seg"]].mean().dropna()
        if len(losses) < 2:
            return None
        falls.append((losses.iloc[-1] / losses.iloc[0]).tolist())
    return mean(key for key, _ in falls), mean(seg for _, seg in falls)
