"""The gain, split into its steps: the fusion, guidance without supervision, and supervision."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.datasets import DATASETS
from pipeline.report.alike import differing
from pipeline.report.estimates import Estimate
from pipeline.report.results import Group, Results
from pipeline.report.tables.forms import Cell, csv_text, fixed
from pipeline.report.tables.rows import data_name, method


@dataclass(frozen=True)
class Step:
    """From one network to the next: what the dataset's main metric gains, in points."""

    dataset: str
    box: str
    data: str
    before: str
    after: str
    seeds: int
    gain: Estimate


def steps(results: Results) -> list[Step]:
    """Of each dataset on which a network between the backbone and the guided one was measured; labelled boxes."""
    return [step for dataset in results.params.measured for step in _of(results, dataset)]


def _of(results: Results, dataset: str) -> Iterator[Step]:
    groups, metric = _way(results, dataset), DATASETS[dataset].METRIC
    if len(groups) < 3 or differing(groups):
        return
    values = [_main(results, group) for group in groups]
    for (before, start), (after, end) in zip(
        zip(groups[:-1], values[:-1], strict=True), zip(groups[1:], values[1:], strict=True), strict=True
    ):
        if start is not None and end is not None:
            seeds = min(len(before.runs), len(after.runs))
            names = method(before), method(after)
            yield Step(dataset, metric.boxes[0], data_name(after), *names, seeds, end - start)


def _way(results: Results, dataset: str) -> list[Group]:
    """The networks from the backbone to the guided one, each with one thing more, as far as they were measured."""
    between = [results.ablation(dataset, name) for name in ("bilinear_hrnet", "no_seg_loss")]
    groups = [results.baseline(dataset), *between, results.guided(dataset)]
    return [group for group in groups if group is not None]


def _main(results: Results, group: Group) -> Estimate | None:
    estimates = results.estimates(group, group.metric.boxes[0])
    return None if estimates is None else estimates[group.metric.main]


def to_csv(steps: list[Step]) -> str:
    """A row for each step; the header alone where there is none."""
    header = "dataset,box,data,before,after,seeds,difference,low,high,low_these_images,high_these_images\n"
    rows: list[dict[str, Cell]] = []
    for step in steps:
        low, high = step.gain.on_these_images
        limits = (step.gain.value, step.gain.low, step.gain.high, low, high)
        texts = (step.dataset, step.box, step.data, step.before, step.after, str(step.seeds))
        cells = [*texts, *(fixed(value, 4) for value in limits)]
        rows.append(dict(zip(header.strip().split(","), cells, strict=True)))
    return csv_text(rows) if rows else header
