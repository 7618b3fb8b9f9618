"""Claims about attention: how soon and how well its maps find the joints, and whether less distracts."""

import math
from dataclasses import replace
from statistics import mean

from pipeline.datasets import DATASETS
from pipeline.report import attention
from pipeline.report.claims import rules
from pipeline.report.claims.claim import Claim, judged, judged_on_gains, judged_over_seeds
from pipeline.report.claims.missing import absent, without_ablation, without_detections
from pipeline.report.claims.power import Evidence
from pipeline.report.paper import Part
from pipeline.report.results import Group, Results

# Of its own final value.
_REACHED = 0.9
# Of an IoU: by less a map is one of ones, whose IoU a history has to seven digits.
_ROUNDED = 1e-4
_IOUS = ("iou_1", "iou_2", "iou_3", "iou_4")
_FASTER = (
    "Faster: the share of training after which the IoU of a map reaches 90% of its own final value, as far as "
    "validations tell, mean over the maps. A map that ends no better than one of ones has nothing to reach and is left "
    "out."
)
_MEASURES = {
    "auroc": "AUROC of the maps against the true ones, percent, which no threshold enters.",
    "iou_best": "IoU above the threshold that is best for each map on training people, percent.",
    "inside": "Share of a map's sum that lies on the person: within the radius of the hull of the labelled joints.",
}
_AROUND = {
    "others": "Others are near where a labelled joint of another person lies in a person's crop.",
    "clutter": "Clutter is in the half of the images whose crops change most from pixel to pixel beside the person.",
}


def faster(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Attention focuses faster than in the ablation."""
    claim = claim.noted(_FASTER)
    pair = _pair(results, part, claim)
    if isinstance(pair, Claim):
        return [pair]
    pair = pair[0].shared_with(pair[1]), pair[1].shared_with(pair[0])
    ours, theirs = (_shares(group) for group in pair)
    if ours is None or theirs is None:
        return [claim.noted("history.csv holds no IoU of the maps.")]
    if any(map(math.isnan, (*ours, *theirs))):
        claim = claim.noted("In a training no map ends better than a map of ones.")
        return [judged(results, claim, pair, rules.Verdict.INCONCLUSIVE)]
    text = f"{mean(ours):.0f}% against {mean(theirs):.0f}% of training"
    claim = replace(claim, measured=mean(ours), against=mean(theirs), measured_text=text)
    sooner = [b - a for a, b in zip(ours, theirs, strict=True)]
    train = results.params.train
    step = 100 * min(train.validate_every, train.epochs) / train.epochs
    return [judged_over_seeds(results, claim, pair, sooner, step)]


def measured_of_maps(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Attention is better than in the ablation by a measure of its final maps."""
    claim = claim.noted(_MEASURES[part.metric])
    pair = _pair(results, part, claim)
    if isinstance(pair, Claim):
        return [pair]
    ours, theirs = (attention.of_maps(results, group) for group in pair)
    if ours is None or theirs is None:
        return [claim.noted("samples.npz holds nothing of the maps; run the stage `evaluate` again.")]
    difference, margin = ours[part.metric] - theirs[part.metric], results.params.report.margin
    claim = claim.compared(ours[part.metric], theirs[part.metric], margin)
    if part.metric == "iou_best":
        halves = " against ".join(f"{each['iou'].value:.2f}" for each in (ours, theirs))
        claim = replace(claim, measured_text=f"{claim.measured_text} (cut at a half: {halves})")
    verdict = rules.of_ranking([(difference.low, difference.high)], margin)
    return [judged(results, claim, pair, verdict)]


def larger_gain_among(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """The gain is larger on images with others, or with clutter, around the person than on those without."""
    claim = claim.noted(_AROUND[part.other])
    pair = results.pair(claim.dataset)
    if pair is None:
        return [absent(claim)]
    kinds = attention.kinds_of_images(pair[0], part.other)
    if kinds is None:
        return [claim.noted("samples.npz does not tell the images apart; run the stage `evaluate` again.")]
    if any(results.values(group, part.box) is None for group in pair):
        return [without_detections(claim, pair[0])]
    ours, theirs = (attention.contrast(results, group, part.box, part.metric, kinds) for group in pair)
    if ours is None or theirs is None:
        return [claim.noted(f"All images of {DATASETS[claim.dataset].TITLE} are of one kind.")]
    there, elsewhere = ours.there - theirs.there, ours.elsewhere - theirs.elsewhere
    more = ours.difference - theirs.difference
    low, high = more.on_these_images
    margin = results.params.report.margin
    claim = replace(
        claim,
        measured=there.value,
        against=elsewhere.value,
        measured_text=f"{there.in_words} on {ours.images[0]:,} images against {elsewhere.in_words} on "
        f"{ours.images[1]:,}",
        difference=more.value,
        low=more.low,
        high=more.high,
        low_these_images=low,
        high_these_images=high,
        p=more.p_above(),
        evidence=(Evidence(more.replicates, margin),),
    )
    return [judged_on_gains(results, claim, pair, rules.of_ranking([(more.low, more.high)], margin))]


def _pair(results: Results, part: Part, claim: Claim) -> tuple[Group, Group] | Claim:
    """The guided network and the ablation that it is judged against, or the claim without a verdict."""
    guided, ablation = results.guided(claim.dataset), results.ablation(claim.dataset, *part.ablations)
    if guided is None:
        return absent(claim)
    return (
        without_ablation(results, claim, guided, part.ablations) if ablation is None else (guided, ablation)
    )


def _shares(group: Group) -> list[float] | None:
    """For each seed the percent of training after which a map reaches _REACHED of its final IoU, mean over the maps;
    nan where no map ends better than one of ones, None where a history holds no IoU."""
    ones, shares = group.first.foreground_share or 0.0, []
    for history in group.histories():
        validated = history[history.kind == "epoch"].dropna(subset=list(_IOUS))
        if validated.empty:
            return None
        # Histories count epochs from 0.
        finished, length = validated.epoch.to_numpy() + 1, int(history.epoch.max()) + 1
        ious = [validated[name].to_numpy(float) for name in _IOUS]
        reached = [
            100 * finished[(iou >= _REACHED * iou[-1]).argmax()] / length
            for iou in ious
            if iou[-1] > ones + _ROUNDED
        ]
        shares.append(float(mean(reached)) if reached else math.nan)
    return shares
