"""The paper's claims, what was measured for each, and a verdict by a fixed rule."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median, stdev

from pipeline import paths
from pipeline.params import Params
from pipeline.report import tables
from pipeline.report.results import Estimate, Group, Results, boxes, printable

SUPPORTED = "supported"
SMALLER = "smaller than claimed"
CONTRADICTED = "contradicted"
INCONCLUSIVE = "inconclusive"
NO_DATA = "not testable with this data"
NO_PROTOCOL = "not testable with these parameters"
NOT_MEASURED = "not measured"

# "Almost free" is no number in the paper; this one, 5% more, is ours.
ALMOST_FREE = 1.05
# What the paper states of its networks, training and tests, or HRNet's code where it is silent; a claim is judged
# on runs of no other protocol. The precision is free, for the paper names none, and stands with the numbers.
PROTOCOL = {
    "guided": "sg_hrnet_w32",
    "radius": 5,
    "input.size": [256, 192],
    "heatmap.sigma": 2,
    "segmentation.distance": "euclidean",
    "augment.flip": 0.5,
    "augment.rotation": 0.6,
    "augment.rotation_std": 45,
    "augment.scale_std": 0.35,
    "model.pretrained": "imagenet",
    "model.fuse_upsample": "nearest",
    "guidance.apply": "last_module",
    "guidance.gate_bias": 0,
    "guidance.fuse_upsample": "bilinear",
    "loss.lambda": 0.002,
    "loss.reduction": "mean",
    "dwa.per": "step",
    "dwa.temperature": 1,
    "train.epochs": 210,
    "train.batch_size": 32,
    "train.lr": 0.001,
    "train.lr_drops": [170, 200],
    "train.lr_factor": 0.1,
    "train.weight_decay": 0,
    "evaluate.flip_test": True,
    "evaluate.oks_nms": 0.9,
    "evaluate.keypoint_score": 0.2,
}
# LSPET has no protocol of the paper's to follow in these.
FREE_ON_LSPET = ("model.pretrained", "train.epochs", "train.lr_drops")
_CUT = "As printed means one decimal, the rest cut off, as in the paper's columns."
TITLES = {
    1: "On MPII SG-HRNet is 0.3 points ahead of HRNet-W32",
    2: "On MPII it is 0.1 points ahead of PRAB",
    3: "On COCO it is ahead of HRNet-W32 by 1.9 (AP), 3.0 (AP50), 1.7 (AP75) and 2.8 (APM)",
    4: "APL and AR are the only COCO metrics in which it is not ahead",
    5: "On COCO it is about 2 to 3 points ahead of PRAB",
    6: "The gain is larger on COCO than on MPII",
    7: "r = 5 is the best radius",
    8: "The gain is almost free",
    9: "Supervised attention beats attention learned without supervision",
    10: "The chosen guidance beats other designs of it",
    11: "Dynamic weights and lambda balance the two tasks",
    12: "Under supervision attention focuses faster and more accurately",
}


@dataclass(frozen=True)
class Claim:
    """A row of claims.csv; `difference` with its interval is what the verdict is made from."""

    number: int
    part: str
    statement: str
    place: str
    dataset: str
    box: str
    reported: str
    measured: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str = NOT_MEASURED
    data: str = ""
    runs: str = ""
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        return " ".join(self.notes)

    def noted(self, *notes: str) -> "Claim":
        return replace(self, notes=(*self.notes, *notes))


def gain_verdict(claimed: float, low: float, high: float) -> str:
    """A gain `claimed` against the interval [low, high] of the measured one."""
    if low > 0:
        return SUPPORTED if high >= claimed else SMALLER
    return INCONCLUSIVE if high >= claimed else CONTRADICTED


def ranking_verdict(leads: list[tuple[float, float]]) -> str:
    """A claimed best against the intervals of its lead over each of the others."""
    if any(high < 0 for _, high in leads):
        return CONTRADICTED
    return SUPPORTED if all(low > 0 for low, _ in leads) else INCONCLUSIVE


def cost_verdict(low: float, high: float) -> str:
    """A cost claimed almost free against the interval [low, high] of its ratio to HRNet's."""
    if high <= ALMOST_FREE:
        return SUPPORTED
    return CONTRADICTED if low > ALMOST_FREE else INCONCLUSIVE


def departures(params: Params) -> list[str]:
    """The parameters that are not as in the paper, as "key = value"."""
    found, raw = [], printable(params)
    for key, stated in PROTOCOL.items():
        group, _, name = key.rpartition(".")
        value = (raw[group] if group else raw)[name]
        if value != stated:
            found.append(f"{key} = {value}")
    return found


def judge(results: Results) -> list[Claim]:
    """Every claim, in the paper's order; those of MPII once more for LSPET where it is measured."""
    claims = [
        *_mpii_gain(results, "mpii"),
        *_ahead_of_prab_on_mpii(),
        *_coco_gains(results),
        *_apl_and_ar(results),
        *_ahead_of_prab_on_coco(),
        *_larger_on_coco(results),
        *_best_radius(results, "mpii"),
        *_costs(results),
        *_by_training(results, "mpii"),
    ]
    if "lspet" in results.params.datasets:
        again = (_mpii_gain, _best_radius, _by_training)
        for claim in (claim for family in again for claim in family(results, "lspet")):
            statement = f"The same claim on LSPET: {claim.statement}"
            notes = ("The paper does not use LSPET.", *claim.notes)
            part = f"the same on LSPET, {claim.part}"
            claims.append(replace(claim, part=part, statement=statement, notes=notes))
    return sorted(claims, key=lambda claim: claim.number)


def to_csv(claims: list[Claim]) -> str:
    rows = []
    for claim in claims:
        row = {**vars(claim), "note": claim.note}
        del row["notes"]
        for name in ("difference", "low", "high"):
            value = row[name]
            shown = str(value) if isinstance(value, int) else f"{value or 0:.2f}"
            row[name] = "" if value is None or math.isnan(value) else shown
        rows.append({"claim": row.pop("number"), **row})
    return tables.csv_text(rows)


def at_a_glance(claims: list[Claim]) -> dict[int, list[tuple[str, str]]]:
    """By number each verdict that the claim's parts got, with words that tell the paper's data from LSPET."""
    found = {number: [] for number in TITLES}
    for claim in claims:
        words = f"on LSPET: {claim.verdict}" if claim.dataset == "lspet" else claim.verdict
        if (claim.verdict, words) not in found[claim.number]:
            found[claim.number].append((claim.verdict, words))
    return found


def by_number(claims: list[Claim]) -> dict[int, list[Claim]]:
    """The claims' parts, by number."""
    return {number: [claim for claim in claims if claim.number == number] for number in TITLES}


def counts(claims: list[Claim]) -> dict[str, int]:
    """How many parts of the paper's claims got each verdict, in the order of the verdicts above."""
    order = (SUPPORTED, SMALLER, INCONCLUSIVE, CONTRADICTED, NO_DATA, NO_PROTOCOL, NOT_MEASURED)
    verdicts = [claim.verdict for claim in claims if claim.dataset != "lspet"]
    return {verdict: verdicts.count(verdict) for verdict in order if verdict in verdicts}


# Claims about accuracy -------------------------------------------------------------------------------------


def _mpii_gain(results: Results, dataset: str) -> Iterator[Claim]:
    claimed = tables.reported_gain("table1", "hrnet_w32", "Mean")
    claim = Claim(
        1,
        "mean PCKh@0.5",
        f"SG-HRNet's mean PCKh@0.5 is {claimed} points above HRNet-W32's",
        "Section 4.4, Table 1",
        dataset,
        "label",
        f"+{claimed}",
    )
    yield _gain(results, claim, "Mean", None, claimed)


def _coco_gains(results: Results) -> Iterator[Claim]:
    for box in boxes("coco"):
        for metric in ("AP", "AP50", "AP75", "APM"):
            claimed = tables.reported_gain("table2", "hrnet_w32", metric)
            claim = Claim(
                3,
                f"{metric}, {tables.BOXES[box]} boxes",
                f"SG-HRNet's {metric} on COCO is {claimed} points above HRNet-W32's",
                "Abstract, Section 4.4, Table 2",
                "coco",
                tables.BOXES[box],
                f"+{claimed}",
            )
            yield _gain(results, claim, metric, box, claimed)


def _gain(results: Results, claim: Claim, metric: str, box: str | None, claimed: float) -> Claim:
    pair = results.guided(claim.dataset), results.baseline(claim.dataset)
    if None in pair:
        return _absent(claim)
    estimates = [results.estimates(group, box) for group in pair]
    if None in estimates:
        return _without_detections(claim, pair[0])
    ours, theirs = (estimate[metric] for estimate in estimates)
    claim = _with_difference(claim, ours - theirs, f"{_shown(ours)} against {_shown(theirs)}")
    return _judged(results, claim, pair, gain_verdict(claimed, claim.low, claim.high))


def _apl_and_ar(results: Results) -> Iterator[Claim]:
    ahead, not_ahead = ("AP", "AP50", "AP75", "APM"), ("APL", "AR")
    gains = {metric: tables.reported_gain("table2", "hrnet_w32", metric) for metric in ahead + not_ahead}
    for box in boxes("coco"):
        claim = Claim(
            4,
            f"{tables.BOXES[box]} boxes",
            "APL and AR are the only COCO metrics in which SG-HRNet is not ahead of HRNet-W32",
            "Section 4.4, Table 2",
            "coco",
            tables.BOXES[box],
            _listed(gains, 1),
        )
        pair = results.guided("coco"), results.baseline("coco")
        if None in pair:
            yield _absent(claim)
            continue
        estimates = [results.estimates(group, box) for group in pair]
        if None in estimates:
            yield _without_detections(claim, pair[0])
            continue
        differences = {metric: estimates[0][metric] - estimates[1][metric] for metric in gains}
        if any(differences[m].high < 0 for m in ahead) or any(differences[m].low > 0 for m in not_ahead):
            verdict = CONTRADICTED
        elif all(differences[m].low > 0 for m in ahead):
            verdict = SUPPORTED
        else:
            verdict = INCONCLUSIVE
        shown = _listed({metric: difference.value for metric, difference in differences.items()}, 2)
        claim = replace(
            claim,
            measured=shown,
            notes=(
                "Supported: the first four ahead for certain, and neither of the others.",
                "Contradicted: one of the four behind for certain, or one of the others ahead.",
            ),
        )
        yield _judged(results, claim, pair, verdict)


def _larger_on_coco(results: Results) -> Iterator[Claim]:
    mpii, coco = (tables.reported_gain(t, "hrnet_w32", m) for t, m in (("table1", "Mean"), ("table2", "AP")))
    for box in boxes("coco"):
        claim = Claim(
            6,
            f"AP with {tables.BOXES[box]} boxes",
            "The gain over HRNet-W32 is larger on COCO (AP) than on MPII (mean PCKh@0.5)",
            "Section 4.4",
            "coco",
            tables.BOXES[box],
            f"+{coco} against +{mpii}",
        )
        pairs = [(results.guided(d), results.baseline(d)) for d in ("coco", "mpii")]
        absent = [d for d, pair in zip(("coco", "mpii"), pairs, strict=True) if None in pair]
        if absent:
            yield _absent(claim, absent[0])
            continue
        estimates = [results.estimates(group, box) for group in pairs[0]]
        if None in estimates:
            yield _without_detections(claim, pairs[0][0])
            continue
        on_coco = estimates[0]["AP"] - estimates[1]["AP"]
        on_mpii = results.estimates(pairs[1][0])["Mean"] - results.estimates(pairs[1][1])["Mean"]
        shown = f"{on_coco.value:+.2f} against {on_mpii.value:+.2f}"
        claim = _with_difference(claim, on_coco - on_mpii, shown)
        claim = claim.noted("Points of two different metrics.")
        yield _judged(results, claim, (*pairs[0], *pairs[1]), ranking_verdict([(claim.low, claim.high)]))


def _best_radius(results: Results, dataset: str) -> Iterator[Claim]:
    rows = {int(row["radius"]): row["Mean"] for row in tables.reported("table3")}
    claim = Claim(
        7,
        "mean PCKh@0.5",
        "r = 5 is the best radius of 3, 5 and 9 (mean PCKh@0.5)",
        "Section 4.4, Table 3",
        dataset,
        "label",
        ", ".join(f"r = {radius}: {value}" for radius, value in rows.items()),
    )
    groups = {radius: results.guided(dataset, radius) for radius in rows}
    if None in groups.values():
        guided = results.guided(dataset)
        yield _without_sweep(claim, guided) if guided else _absent(claim)
        return
    means = {radius: results.estimates(group)["Mean"] for radius, group in groups.items()}
    leads = [means[5] - means[radius] for radius in rows if radius != 5]
    # The lead over the strongest of the others is the one that decides.
    claim = _with_difference(
        claim,
        min(leads, key=lambda lead: lead.value),
        ", ".join(f"r = {radius}: {_shown(estimate)}" for radius, estimate in means.items()),
    )
    claim = claim.noted("The difference is the smaller of the two leads.")
    yield _judged(
        results, claim, groups.values(), ranking_verdict([(x.low, x.high) for x in leads]), radius=False
    )


# Claims that need no data ----------------------------------------------------------------------------------


def _ahead_of_prab_on_mpii() -> Iterator[Claim]:
    gain = tables.reported_gain("table1", "prab", "Mean")
    yield Claim(
        2,
        "mean PCKh@0.5",
        "SG-HRNet's mean PCKh@0.5 on MPII is 0.1 points above PRAB's",
        "Section 4.4, Table 1",
        "mpii",
        "label",
        "+0.1",
        measured="{} against {}, both as reported".format(*tables.reported_pair("table1", "prab", "Mean")),
        difference=gain,
        verdict=gain_verdict(0.1, gain, gain),
        data="the paper's own table",
        notes=("Only reported figures: PRAB is not trained here.",),
    )


def _ahead_of_prab_on_coco() -> Iterator[Claim]:
    for metric in ("AP", "AP50", "AP75", "APM"):
        gain = tables.reported_gain("table2", "prab", metric)
        yield Claim(
            5,
            metric,
            f"SG-HRNet's {metric} on COCO is about 2 to 3 points above PRAB's",
            "Section 4.4, Table 2",
            "coco",
            "as reported",
            "+2 to +3",
            measured="{} against {}, both as reported".format(
                *tables.reported_pair("table2", "prab", metric)
            ),
            difference=gain,
            verdict=gain_verdict(2, gain, gain),
            data="the paper's own table",
            notes=("Only reported figures, judged against the lower end of the claim.",),
        )


def _costs(results: Results) -> Iterator[Claim]:
    params, gflops, source = _complexity(results)
    cut = [math.floor(count / 1e5) / 10 for count in params]
    yield Claim(
        8,
        "parameters",
        "SG-HRNet has as many parameters as HRNet-W32",
        "Section 4.4, Tables 1 and 2",
        "",
        "",
        "28.5M and 28.5M",
        measured=f"{params[0]:,} against {params[1]:,}",
        difference=params[0] - params[1],
        verdict=SUPPORTED if cut[0] == cut[1] else CONTRADICTED,
        data=source,
        notes=(f"Parameters as printed: {cut[0]}M against {cut[1]}M.", _CUT),
    )
    cut = [math.floor(value * 10) / 10 for value in gflops]
    yield Claim(
        8,
        "GFLOPs",
        "SG-HRNet takes as many GFLOPs as HRNet-W32",
        "Section 4.4, Tables 1 and 2",
        "",
        "",
        "7.1 and 7.1",
        measured=f"{gflops[0]:.2f} against {gflops[1]:.2f}",
        difference=gflops[0] - gflops[1],
        verdict=SUPPORTED if cut[0] == cut[1] else CONTRADICTED,
        data=source,
        notes=(f"GFLOPs as printed: {cut[0]} against {cut[1]}.", _CUT),
    )
    yield from _time_and_memory(results.root / paths.benchmarks())


def _time_and_memory(folder: Path) -> Iterator[Claim]:
    """What benchmarks/guidance_cost.py measured of the paper's networks, for each machine it ran on."""
    claims = [
        Claim(
            8,
            what,
            f"The gain is almost free in {what}",
            "Section 4.4, Section 5",
            "",
            "",
            "almost free",
            notes=(rule, "The bound is ours, for the paper gives no number."),
        )
        for what, rule in (
            (
                "step time",
                f"Step time is almost free where a training step takes at most {ALMOST_FREE} of HRNet-W32's time in "
                "three of four rounds, in which both run in turn; the claim is contradicted where it takes more in "
                "three of four.",
            ),
            (
                "memory",
                f"Memory is almost free where a training step's peak is at most {ALMOST_FREE} of HRNet-W32's; on a CPU "
                "that is the whole process's.",
            ),
        )
    ]
    measured = False
    for path in sorted(folder.glob("guidance_cost-*.json")):
        try:
            facts = json.loads(path.read_text())
            if (facts["width"], facts["size"]) != ("w32", [256, 192]):
                continue
            rows = {row["network"]: row for row in facts["rows"]}
            ours, theirs = rows["SG-HRNet"], rows["HRNet"]
            low, high = ours["train_low"], ours["train_high"]
            memory = ours["train_peak_mb"] / theirs["train_peak_mb"]
            shown = (
                f"{ours['train_ratio']:.3f} (quartiles {low:.4f} to {high:.4f}): {ours['train_ms']:.0f} against "
                f"{theirs['train_ms']:.0f} ms; prediction alone {ours['infer_ratio']:.3f}",
                f"{memory:.3f}: {ours['train_peak_mb']:.0f} against {theirs['train_peak_mb']:.0f} MiB",
            )
            data = f"{facts['machine']} (torch {facts['torch']}, {facts['precision']}, batches of {facts['batch']})"
        except (KeyError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path} is not what benchmarks.guidance_cost writes ({error!r}); measure again, or delete it"
            ) from None
        verdicts = cost_verdict(low, high), cost_verdict(memory, memory)
        for claim, text, verdict in zip(claims, shown, verdicts, strict=True):
            part = f"{claim.part}, {facts['machine']}"
            yield replace(claim, part=part, measured=text, verdict=verdict, data=data)
        measured = True
    if not measured:
        how = (
            "Measure it with `python -m benchmarks.guidance_cost`, which leaves a file in benchmarks/results."
        )
        for claim in claims:
            yield claim.noted(how)


def _complexity(results: Results) -> tuple[tuple[int, int], tuple[float, float], str]:
    """Parameters and GFLOPs of (SG-HRNet-W32, HRNet-W32) at 256x192."""
    if results.params.guided == "sg_hrnet_w32" and results.params.input.size == (256, 192):
        for dataset in ("coco", "mpii", "lspet"):
            pair = results.guided(dataset), results.baseline(dataset)
            if None not in pair:
                facts = [group.metrics[0] for group in pair]
                source = f"the networks trained on {tables.DATASETS[dataset]}"
                return *(tuple(fact[key] for fact in facts) for key in ("params", "gflops")), source
    # Smaller networks are trained here: count the paper's, which takes the time of importing torch.
    from pipeline.models import build, complexity

    model, guidance = results.params.model, results.params.guidance
    found = [
        complexity.count(build(name, 17, model=model, guidance=guidance), (256, 192))
        for name in ("sg_hrnet_w32", "hrnet_w32")
    ]
    return *(
        tuple(getattr(one, key) for one in found) for key in ("params", "gflops")
    ), "the networks, 17 joints"


# Claims about training -------------------------------------------------------------------------------------


def _by_training(results: Results, dataset: str) -> Iterator[Claim]:
    yield _against_ablations(
        results,
        Claim(
            9,
            "mean PCKh@0.5",
            "Supervised attention beats attention learned without supervision (mean PCKh@0.5)",
            "Section 4.4",
            dataset,
            "label",
            "better",
        ),
        ("no_seg_loss",),
    )
    yield _against_ablations(
        results,
        Claim(
            10,
            "mean PCKh@0.5",
            "The chosen guidance beats other designs of it (mean PCKh@0.5)",
            "Section 1",
            dataset,
            "label",
            "best",
        ),
        ("no_attention", "every_module", "stage_input"),
    )
    yield _similar_speed(results, dataset)
    yield _one_magnitude(results, dataset)
    yield from _attention(results, dataset)


def _against_ablations(results: Results, claim: Claim, names: tuple[str, ...]) -> Claim:
    guided = results.guided(claim.dataset)
    if guided is None:
        return _absent(claim)
    names = tuple(name for name in names if not results.params.is_guided_itself(name))
    others = {name: results.ablation(claim.dataset, name) for name in names}
    others = {name: group for name, group in others.items() if group is not None}
    if not others:
        return _without_ablation(results, claim, guided, names)
    ours = results.estimates(guided)["Mean"]
    leads = [ours - results.estimates(group)["Mean"] for group in others.values()]
    shown = [
        _shown(ours),
        *(f"{name}: {_shown(results.estimates(group)['Mean'])}" for name, group in others.items()),
    ]
    claim = _with_difference(claim, min(leads, key=lambda lead: lead.value), ", ".join(shown))
    left = [name for name in names if name not in others]
    notes = ["The difference is the smallest of the leads."] if len(others) > 1 else []
    notes += [f"Without {', '.join(left)}, which `ablations` does not name."] if left else []
    verdict = ranking_verdict([(lead.low, lead.high) for lead in leads])
    return _judged(results, claim.noted(*notes), (guided, *others.values()), verdict)


def _similar_speed(results: Results, dataset: str) -> Claim:
    claim = Claim(
        11,
        "similar speed",
        "The dynamic weights make both tasks learn at similar speed",
        "Section 3.4",
        dataset,
        "",
        "similar speed",
        notes=(
            "Speed is the logarithm of how far a loss falls from the first logged epoch to the last; "
            "the difference is the gap between both tasks with fixed weights minus the gap with dynamic ones.",
        ),
    )
    guided, fixed = results.guided(dataset), results.ablation(dataset, "fixed_weights")
    if guided is None:
        return _absent(claim)
    falls = _falls(guided)
    if falls is None:
        return claim.noted("history.csv holds too few epochs.")
    shown = "losses fall to {:.0%} (keypoints) and {:.0%} (segmentation)".format(
        *(mean(math.exp(-fall[task]) for fall in falls) for task in (0, 1))
    )
    claim = replace(claim, measured=shown)
    if fixed is None:
        return _without_ablation(results, claim, guided, ("fixed_weights",))
    others = _falls(fixed)
    if others is None:
        return claim.noted("history.csv holds too few epochs.")
    gaps = [abs(b[0] - b[1]) - abs(a[0] - a[1]) for a, b in zip(falls, others, strict=True)]
    return _judged_over_seeds(results, claim, (guided, fixed), gaps)


def _one_magnitude(results: Results, dataset: str) -> Claim:
    weight = results.params.loss.lambda_
    claim = Claim(
        11,
        "one magnitude",
        f"lambda = {weight:g} brings both losses to one magnitude",
        "Section 3.4",
        dataset,
        "",
        "same magnitude",
        notes=(
            "One magnitude: the median over training of the larger of both losses, the segmentation loss "
            "times lambda, is less than ten times the smaller.",
        ),
    )
    guided = results.guided(dataset)
    if guided is None:
        return _absent(claim)
    histories = [guided.history(seed) for seed in range(len(guided.runs))]
    ratios = [weight * ratio for steps in histories for ratio in (steps.loss_seg / steps.loss_key).dropna()]
    if not ratios:
        return claim.noted("history.csv holds no losses.")
    ratio = median(ratios)
    claim = replace(
        claim, measured=f"lambda x segmentation loss is {ratio:.2g} times the keypoint loss (median)"
    )
    return _judged(results, claim, (guided,), SUPPORTED if 0.1 < ratio < 10 else CONTRADICTED)


def _attention(results: Results, dataset: str) -> Iterator[Claim]:
    guided, unsupervised = results.guided(dataset), results.ablation(dataset, "no_seg_loss")
    claim = Claim(
        12,
        "faster",
        "Attention focuses faster under supervision than without (IoU of the maps, mean over the validated epochs)",
        "Section 5",
        dataset,
        "",
        "faster",
        notes=("IoU of the maps in percent, mean over the four; faster: mean over the validated epochs.",),
    )
    accurate = replace(
        claim,
        part="more accurately",
        statement="Attention focuses more accurately under supervision than without (IoU of the final maps)",
        reported="more accurate",
        notes=(),
    )
    if guided is None or unsupervised is None:
        for part in (claim, accurate):
            if guided is None:
                yield _absent(part)
            else:
                yield _without_ablation(results, part, guided, ("no_seg_loss",))
        return
    ours, theirs = _ious(guided), _ious(unsupervised)
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    if any(map(math.isnan, gaps)):
        yield claim.noted("history.csv holds no IoU of the maps.")
    else:
        shown = replace(claim, measured=f"{mean(ours):.2f} against {mean(theirs):.2f}")
        yield _judged_over_seeds(results, shown, (guided, unsupervised), gaps)
    ours, theirs = results.map_iou(guided), results.map_iou(unsupervised)
    shown = _with_difference(accurate, ours - theirs, f"{_shown(ours)} against {_shown(theirs)}")
    yield _judged(results, shown, (guided, unsupervised), ranking_verdict([(shown.low, shown.high)]))


def _falls(group: Group) -> list[tuple[float, float]] | None:
    """By how much the logarithms of (keypoint, segmentation) losses fall from first to last logged epoch, for each
    seed.

    None where a history has fewer than two epochs.
    """
    falls = []
    for seed in range(len(group.runs)):
        losses = group.history(seed).groupby("epoch")[["loss_key", "loss_seg"]].mean().dropna()
        if len(losses) < 2:
            return None
        falls.append(
            tuple(math.log(first / last) for first, last in zip(losses.iloc[0], losses.iloc[-1], strict=True))
        )
    return falls


def _ious(group: Group) -> list[float]:
    """For each seed the IoU of the maps, percent, mean over maps and validated epochs; nan where it was not logged."""
    histories = (group.history(seed) for seed in range(len(group.runs)))
    return [100 * float(history.filter(regex="^iou_").mean(axis=1).mean()) for history in histories]


# How a claim becomes a verdict -----------------------------------------------------------------------------


def _judged(results: Results, claim: Claim, groups, verdict: str, radius: bool = True) -> Claim:
    """The claim with its verdict, if data and parameters are such that it can be judged at all."""
    groups = list(groups)
    claim = replace(
        claim,
        data="; ".join(dict.fromkeys(tables.data_name(group) for group in groups)),
        runs=" ".join(f"{run.dataset}/{run.name}" for group in groups for run in group.runs),
        verdict=verdict,
    )
    if precisions := {group.precision for group in groups} - {"float32"}:
        claim = claim.noted(f"Trained in {' and '.join(sorted(precisions))}; the paper names no precision.")
    if any(not group.full_size for group in groups):
        return replace(claim, verdict=NO_DATA)
    free = (*(FREE_ON_LSPET if claim.dataset == "lspet" else ()), *(() if radius else ("radius",)))
    other = [departure for departure in departures(results.params) if not departure.startswith(free)]
    if other:
        return replace(claim, verdict=NO_PROTOCOL).noted(f"Not the paper's protocol: {', '.join(other)}.")
    if any(limit is not None and math.isnan(limit) for limit in (claim.low, claim.high)):
        return replace(claim, verdict=INCONCLUSIVE)
    return claim


def _judged_over_seeds(results: Results, claim: Claim, groups, differences: list[float]) -> Claim:
    """A ranking of runs that have one number each, with Student's interval over the seeds."""
    value, count = mean(differences), len(differences)
    if count == 1:
        claim = replace(claim, difference=value).noted("One seed gives no interval.")
        return _judged(results, claim, groups, INCONCLUSIVE)
    from scipy.stats import t

    half = float(t.ppf(0.975, count - 1)) * stdev(differences) / math.sqrt(count)
    claim = replace(claim, difference=value, low=value - half, high=value + half)
    return _judged(results, claim, groups, ranking_verdict([(claim.low, claim.high)]))


def _absent(claim: Claim, dataset: str | None = None) -> Claim:
    dataset = dataset or claim.dataset
    lists = "radius_only" if dataset == "coco" else "radius_sweep"
    return claim.noted(f"Needs {tables.DATASETS[dataset]}: add `{dataset}` to `datasets` and `{lists}`.")


def _without_detections(claim: Claim, group: Group) -> Claim:
    note = "Detected boxes are not available: name the detector's file in `evaluate.detections`."
    return _unmeasured(claim, group, note)


def _without_sweep(claim: Claim, group: Group) -> Claim:
    dataset = claim.dataset
    note = f"Needs further runs: move `{dataset}` from `radius_only` to `radius_sweep`."
    return _unmeasured(claim, group, note)


def _without_ablation(results: Results, claim: Claim, group: Group, names: tuple[str, ...]) -> Claim:
    if claim.dataset not in results.params.radius_sweep:
        claim = _without_sweep(claim, group)
    quoted = " or ".join(f"`{name}`" for name in names)
    return _unmeasured(claim, group, f"Needs a run to compare with: add {quoted} to `ablations`.")


def _unmeasured(claim: Claim, group: Group, note: str) -> Claim:
    # With demo or mirror data the parameter that is missing would not make the claim testable.
    verdict = NOT_MEASURED if group.full_size else NO_DATA
    return replace(claim, verdict=verdict, data=tables.data_name(group)).noted(note)


def _with_difference(claim: Claim, difference: Estimate, measured: str) -> Claim:
    return replace(
        claim, measured=measured, difference=difference.value, low=difference.low, high=difference.high
    )


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}"


def _listed(gains: dict[str, float], decimals: int) -> str:
    known = {metric: gain for metric, gain in gains.items() if not math.isnan(gain)}
    nobody = [f"{metric}: nobody to measure it on" for metric in gains.keys() - known.keys()]
    return ", ".join([f"{metric} {gain:+.{decimals}f}" for metric, gain in known.items()] + sorted(nobody))
