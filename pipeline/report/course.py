"""The gain in the course of training: after a quarter, half and all of the epochs, as validation saw it.

Validation takes the people as training does: without mirror images, in labelled boxes. The learning rate at a quarter
is still high, so that this is not what a training of a quarter of the epochs would end with.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, stdev

from pipeline.datasets import DATASETS
from pipeline.metrics import bootstrap
from pipeline.report.alike import differing
from pipeline.report.results import Group, Results
from pipeline.report.tables.forms import Cell, csv_text, fixed
from pipeline.report.tables.rows import data_name, method

SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Point:
    """What the guided network has over its backbone after so many epochs, percent; over seeds the mean, with the 95%
    interval of Student's t over the seeds' own differences, nan of one seed."""

    dataset: str
    data: str
    network: str
    backbone: str
    metric: str
    epoch: int
    epochs: int
    seeds: int
    ours: float
    theirs: float
    gain: float
    low: float
    high: float


def points(results: Results) -> list[Point]:
    """Of each dataset with both networks alike; each of SHARES at the validation nearest to it."""
    return [point for dataset in results.params.measured for point in _of(results, dataset)]


def _of(results: Results, dataset: str) -> Iterator[Point]:
    pair = results.pair(dataset)
    if pair is None or differing(pair) or len(pair[0].runs) != len(pair[1].runs):
        return
    ours, theirs = (_accuracies(group) for group in pair)
    epochs = sorted(set.intersection(*(set(each) for each in ours + theirs)))
    seen = []
    for share in SHARES:
        epoch = min(epochs, key=lambda each: abs(each - share * epochs[-1]), default=None)
        if epoch is not None and epoch not in seen:
            seen.append(epoch)
            yield _point(
                pair, [each[epoch] for each in ours], [each[epoch] for each in theirs], epoch, epochs[-1]
            )


def _accuracies(group: Group) -> list[dict[int, float]]:
    """What validation measured, percent, by the number of finished epochs; for each seed."""
    validated = (history[history.kind == "epoch"].dropna(subset="accuracy") for history in group.histories())
    return [dict(zip((rows.epoch + 1).astype(int), rows.accuracy, strict=True)) for rows in validated]


def _point(
    pair: tuple[Group, Group], ours: list[float], theirs: list[float], epoch: int, epochs: int
) -> Point:
    gains, (guided, backbone) = [a - b for a, b in zip(ours, theirs, strict=True)], pair
    low = high = math.nan
    if len(gains) > 1:
        error = stdev(gains) / math.sqrt(len(gains))
        low, high = bootstrap.Student(mean(gains), error, len(gains) - 1).interval()
    return Point(
        dataset=guided.dataset,
        data=data_name(guided),
        network=method(guided),
        backbone=method(backbone),
        metric=DATASETS[guided.dataset].METRIC.title,
        epoch=epoch,
        epochs=epochs,
        seeds=len(gains),
        ours=mean(ours),
        theirs=mean(theirs),
        gain=mean(gains),
        low=low,
        high=high,
    )


def to_csv(points: list[Point]) -> str:
    """A row for each point; the header alone where there is none."""
    header = "dataset,data,network,backbone,epoch,epochs,seeds,validation,backbone_validation,difference,"
    header += "low_these_images,high_these_images\n"
    rows: list[dict[str, Cell]] = []
    for point in points:
        texts = (point.dataset, point.data, point.network, point.backbone)
        counts = (str(point.epoch), str(point.epochs), str(point.seeds))
        values = (point.ours, point.theirs, point.gain, point.low, point.high)
        cells = [*texts, *counts, *(fixed(value, 4) for value in values)]
        rows.append(dict(zip(header.strip().split(","), cells, strict=True)))
    return csv_text(rows) if rows else header
