"""Claims about costs: parameters and GFLOPs of the paper's networks, and what a training step takes on machines."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.report import paper
from pipeline.report.claims import rules
from pipeline.report.claims.claim import Claim
from pipeline.report.paper import Part
from pipeline.report.results import Results

_CUT = "As printed means one decimal, the rest cut off, as in the paper's columns."
_HOW = "Measure it with `python -m benchmarks.guidance_cost`, which leaves a file in benchmarks/results."
_OURS = "The bound is ours, for the paper gives no number."


def count(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """As many parameters, or GFLOPs, as another network, which needs no data."""
    counts, source = _complexity(results, part)
    ours, theirs = (count[part.metric] for count in counts)
    # Parameters are printed in millions.
    unit, form = (1e6, "{:,.0f}") if part.metric == "params" else (1.0, "{:.2f}")
    suffix = "M" if part.metric == "params" else ""
    cut = [f"{rules.as_printed(value / unit):g}{suffix}" for value in (ours, theirs)]
    text = f"{form.format(ours)} against {form.format(theirs)}"
    return [
        replace(
            claim,
            measured=ours,
            against=theirs,
            measured_text=text,
            difference=ours - theirs,
            verdict=rules.of_equality(ours / unit, theirs / unit),
            data=source,
        ).noted(f"{part.part[0].upper()}{part.part[1:]} as printed: {cut[0]} against {cut[1]}.", _CUT)
    ]


def _complexity(results: Results, part: Part) -> tuple[list[dict[str, float]], str]:
    """Parameters and GFLOPs of both networks at the paper's input size, the one in question first."""
    sheet = paper.sheets()[part.table]
    models = [sheet.line(key).model for key in (part.row, part.other)]
    size = tuple(paper.protocol()["input.size"])
    if results.params.guided == models[0] and results.params.input.size == size:
        for dataset in (part.dataset, *results.params.measured):
            if (pair := results.pair(dataset)) is not None:
                facts = [{"params": g.first.params or 0, "gflops": g.first.gflops or 0.0} for g in pair]
                return facts, f"the networks trained on {DATASETS[dataset].TITLE}"
    # Other networks are trained here: count the paper's, which takes the time of importing torch.
    from pipeline.models import build, complexity

    p, keypoints = results.params, DATASETS[part.dataset].KEYPOINTS
    counts = []
    for name in models:
        cost = complexity.count(build(name, keypoints, model=p.model, guidance=p.guidance), size)
        counts.append({"params": cost.params, "gflops": cost.gflops})
    return counts, f"the networks, {keypoints.count} joints"


@dataclass(frozen=True)
class _Cost:
    """What guidance costs on one machine: ratios to the other network's, and milliseconds or megabytes of both."""

    machine: str
    data: str
    ratio: float
    interval: rules.Interval
    ours: float
    theirs: float
    infer_ratio: float


def cost(results: Results, part: Part, claim: Claim) -> list[Claim]:
    """Almost free in time or memory, on each machine on which benchmarks/guidance_cost.py measured it."""
    memory = part.metric == "train_peak_mb"
    rule = (
        f"Memory is almost free where a training step's peak is at most {rules.ALMOST_FREE} of {part.other}'s; on a "
        "CPU that is the whole process's."
        if memory
        else f"Step time is almost free where a training step takes at most {rules.ALMOST_FREE} of {part.other}'s: the "
        "95% interval of the median ratio, over rounds in which both run in turn, ends below; the claim is "
        "contradicted where it begins above."
    )
    claim = claim.noted(rule, _OURS)
    width = f"w{NETWORKS[paper.protocol()['guided']].options['width']}"
    claims = []
    for path in sorted((results.root / paths.benchmarks()).glob("guidance_cost-*.json")):
        if (read := _read(path, part, width)) is None:
            continue
        both = f"{read.ours:.0f} against {read.theirs:.0f} {'MiB' if memory else 'ms'}"
        text = (
            f"{read.ratio:.3f}: {both}"
            if memory
            else f"{read.ratio:.3f} [{read.interval[0]:.4f}, {read.interval[1]:.4f}], the median over paired rounds: "
            f"{both}; prediction alone {read.infer_ratio:.3f}"
        )
        low, high = (None, None) if memory else (100 * (limit - 1) for limit in read.interval)
        claims.append(
            replace(
                claim,
                part=f"{part.part}, {read.machine}",
                measured=read.ours,
                against=read.theirs,
                measured_text=text,
                difference=100 * (read.ratio - 1),
                low=low,
                high=high,
                verdict=rules.of_cost(read.interval),
                data=read.data,
            )
        )
    return claims or [claim.noted(_HOW)]


def _read(path: Path, part: Part, width: str) -> _Cost | None:
    """A file of benchmarks/guidance_cost.py; None of other networks or another input size than the paper's."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        if (facts["width"], facts["size"]) != (width, paper.protocol()["input.size"]):
            return None
        if facts["interval"] != 0.95:
            raise KeyError("interval: 0.95")
        rows = {row["network"]: row for row in facts["rows"]}
        ours, theirs = rows[part.row], rows[part.other]
        memory = part.metric == "train_peak_mb"
        ratio = ours[part.metric] / theirs[part.metric] if memory else ours["train_ratio"]
        compiled = ", compiled" if facts["compiled"] else ""
        return _Cost(
            machine=facts["machine"],
            data=f"{facts['machine']} (torch {facts['torch']}, {facts['precision']}{compiled}, "
            f"batches of {facts['batch']})",
            ratio=ratio,
            interval=(ratio, ratio) if memory else (ours["train_low"], ours["train_high"]),
            ours=ours[part.metric],
            theirs=theirs[part.metric],
            infer_ratio=ours["infer_ratio"],
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not what benchmarks.guidance_cost writes ({error!r}); measure again, or delete it"
        ) from None
