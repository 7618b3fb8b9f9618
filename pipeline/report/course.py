"""The gain in the course of training: after a quarter, half and all of the epochs, as validation saw it.

Validation takes the people as training does: without mirror images, in labelled boxes. The learning rate at a quarter
is still high, so that this is not what a training of a quarter of the epochs would end with. What it measured of each
image was not kept: how far new images would move a gain is known of the finished networks alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, variance

import numpy as np

from pipeline.datasets import DATASETS
from pipeline.metrics import bootstrap
from pipeline.report.alike import differing
from pipeline.report.results import Group, Results
from pipeline.report.tables.forms import Cell, csv_text, fixed
from pipeline.report.tables.rows import data_name, method

SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Point:
    """What the guided network has over its backbone after so many epochs, percent; the means over seeds.

    low, high: the gain's 95% interval on new images, nan before the last epoch; on_these_images: that on the same
    images, nan of one seed each. refused: why runs that are unequal have no gain.
    """

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
    on_these_images: tuple[float, float]
    refused: str


def points(results: Results) -> list[Point]:
    """Of each dataset with both networks; each of SHARES at the validation nearest to it."""
    return [point for dataset in results.params.measured for point in _of(results, dataset)]


def _of(results: Results, dataset: str) -> Iterator[Point]:
    pair = results.pair(dataset)
    if pair is None:
        return
    refused, reach = differing(pair), _reach(results, pair)
    ours, theirs = (_accuracies(group) for group in pair)
    epochs = sorted(set.intersection(*(set(each) for each in ours + theirs)))
    seen = []
    for share in SHARES:
        epoch = min(epochs, key=lambda each: abs(each - share * epochs[-1]), default=None)
        if epoch is not None and epoch not in seen:
            seen.append(epoch)
            at = _Validated([each[epoch] for each in ours], [each[epoch] for each in theirs])
            # An interval of the finished networks' width.
            known = reach if epoch == epochs[-1] and not refused else (math.nan, math.nan)
            gain = math.nan if refused else mean(at.ours) - mean(at.theirs)
            yield Point(
                dataset=dataset,
                data=data_name(pair[0]),
                network=method(pair[0]),
                backbone=method(pair[1]),
                metric=DATASETS[dataset].METRIC.title,
                epoch=epoch,
                epochs=epochs[-1],
                seeds=min(len(at.ours), len(at.theirs)),
                ours=mean(at.ours),
                theirs=mean(at.theirs),
                gain=gain,
                low=gain + known[0],
                high=gain + known[1],
                on_these_images=(math.nan, math.nan) if refused else at.on_these_images(gain),
                refused=refused,
            )


def _accuracies(group: Group) -> list[dict[int, float]]:
    """What validation measured, percent, by the number of finished epochs; for each seed."""
    validated = (history[history.kind == "epoch"].dropna(subset="accuracy") for history in group.histories())
    return [dict(zip((rows.epoch + 1).astype(int), rows.accuracy, strict=True)) for rows in validated]


@dataclass(frozen=True)
class _Validated:
    """Each side's accuracies at one epoch, a number for each seed, percent."""

    ours: list[float]
    theirs: list[float]

    def on_these_images(self, gain: float) -> tuple[float, float]:
        seeds = {
            side: bootstrap.Seeds(factor, len(values), spread, 0.0)
            for side, factor, values in (("ours", 1.0, self.ours), ("theirs", -1.0, self.theirs))
            for spread in [variance(values) if len(values) > 1 else math.nan]
        }
        return bootstrap.on_these_images(gain, bootstrap.Replicates(np.zeros(1), seeds))


def _reach(results: Results, pair: tuple[Group, Group]) -> tuple[float, float]:
    """How far below and above the finished networks' gain its interval on new images reaches."""
    ours, theirs = (results.estimates(group, group.metric.boxes[0]) for group in pair)
    if ours is None or theirs is None:
        return math.nan, math.nan
    main = pair[0].metric.main
    gain = ours[main] - theirs[main]
    return gain.low - gain.value, gain.high - gain.value


def to_csv(points: list[Point]) -> str:
    """A row for each point; the header alone where there is none."""
    header = "dataset,data,network,backbone,epoch,epochs,seeds,validation,backbone_validation,difference,"
    header += "low,high,low_these_images,high_these_images,note\n"
    rows: list[dict[str, Cell]] = []
    for point in points:
        texts = (point.dataset, point.data, point.network, point.backbone)
        counts = (str(point.epoch), str(point.epochs), str(point.seeds))
        values = (point.ours, point.theirs, point.gain, point.low, point.high, *point.on_these_images)
        cells = [*texts, *counts, *(fixed(value, 4) for value in values), point.refused]
        rows.append(dict(zip(header.strip().split(","), cells, strict=True)))
    return csv_text(rows) if rows else header
