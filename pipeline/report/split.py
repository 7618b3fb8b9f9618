"""The gain, split into its steps: the fusion, guidance without supervision, and supervision."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pipeline.datasets import DATASETS
from pipeline.report.alike import differing
from pipeline.report.estimates import Estimate
from pipeline.report.results import Group, Results
from pipeline.report.tables.forms import Cell, csv_text, fixed
from pipeline.report.tables.rows import data_name, method

# The networks from the backbone to the guided one; and what each has that the one before it has not.
_BETWEEN = ("bilinear_hrnet", "no_seg_loss")
_CHANGES = ("the fusion", "guidance that nothing supervises", "supervision")


@dataclass(frozen=True)
class Step:
    """From one network to the next: what changes, and what the dataset's main metric gains by it, in points.

    changes: more than one where the network between was not measured. gain: None of unequal runs, for the reason
    `refused`.
    """

    dataset: str
    box: str
    data: str
    before: str
    after: str
    changes: tuple[str, ...]
    seeds: int
    gain: Estimate | None
    refused: str


def steps(results: Results) -> list[Step]:
    """Of each dataset on which a network between the backbone and the guided one was measured; labelled boxes."""
    return [step for dataset in results.params.measured for step in _of(results, dataset)]


def _of(results: Results, dataset: str) -> Iterator[Step]:
    between = [results.ablation(dataset, name) for name in _BETWEEN]
    way = enumerate([results.baseline(dataset), *between, results.guided(dataset)])
    measured = [
        (place, group, value)
        for place, group in way
        if group is not None and (value := _main(results, group)) is not None
    ]
    for (start, before, earlier), (end, after, later) in pairwise(measured if len(measured) > 2 else []):
        refused = differing((before, after))
        yield Step(
            dataset=dataset,
            box=DATASETS[dataset].METRIC.boxes[0],
            data=data_name(after),
            before=method(before),
            after=method(after),
            changes=_CHANGES[start:end],
            seeds=min(len(before.runs), len(after.runs)),
            gain=None if refused else later - earlier,
            refused=refused,
        )


def _main(results: Results, group: Group) -> Estimate | None:
    estimates = results.estimates(group, group.metric.boxes[0])
    return None if estimates is None else estimates[group.metric.main]


def to_csv(steps: list[Step]) -> str:
    """A row for each step; the header alone where there is none."""
    header = "dataset,box,data,before,after,changes,seeds,difference,low,high,low_these_images,high_these_images,note\n"
    rows: list[dict[str, Cell]] = []
    for step in steps:
        limits: list[float | None] = [None] * 5
        if step.gain is not None:
            limits = [step.gain.value, step.gain.low, step.gain.high, *step.gain.on_these_images]
        texts = (step.dataset, step.box, step.data, step.before, step.after, " and ".join(step.changes))
        cells = [*texts, str(step.seeds), *(fixed(value, 4) for value in limits), step.refused]
        rows.append(dict(zip(header.strip().split(","), cells, strict=True)))
    return csv_text(rows) if rows else header
