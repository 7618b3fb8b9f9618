"""Drawings of training: dynamic weights, losses, and how the maps come to match."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics import Array
from pipeline.networks import NETWORKS
from pipeline.report.figures.style import (
    BASELINE,
    GUIDED,
    INK,
    SERIES,
    Columns,
    Sketch,
    Sketches,
    legend_below,
    panels,
    title,
)
from pipeline.report.results import Group, Results

if TYPE_CHECKING:
    import pandas as pd

POINTS_OF_A_CURVE = 200
MAPS = ("iou_1", "iou_2", "iou_3", "iou_4")


def dynamic_weights(results: Results, columns: Columns) -> Sketches:
    """Weights and rates of the dynamic weight average (Eqs. 8 to 10)."""
    names = ("w_key", "w_seg", "r_key", "r_seg")
    histories = _histories(results, names)
    if not histories:
        return
    figure, axes = panels(2, len(histories), 4.4, sharex="col")
    lines = (("keypoints", "key", BASELINE, "--"), ("segmentation", "seg", GUIDED, "-"))
    for (group, rows), (top, bottom) in zip(histories, axes.T, strict=True):
        for axis, kind in ((top, "w"), (bottom, "r")):
            for label, task, colour, dash in lines:
                steps, values = _series(rows, f"{kind}_{task}")
                axis.plot(steps, values, color=colour, lw=0.5, alpha=0.35)
                axis.plot(steps, _smooth(values), dash, color=colour, label=label)
            axis.axhline(1, color=INK, lw=0.6, ls=":")
        title(axes, top, group)
        top.set_ylabel("weight w")
        bottom.set_ylabel("rate r = L(t-1) / L(t-2)")
        bottom.set_xlabel("step")
        curves = _resampled(rows, names)
        for label, task, *_ in lines:
            line = {"weight": curves[f"w_{task}"], "rate": curves[f"r_{task}"]}
            columns("dwa", group.dataset, label, {"progress": curves["progress"], **line})
    legend_below(figure, axes)
    yield Sketch(
        "dwa",
        figure,
        "Dynamic weight average (Eqs. 8 to 10): the weight of each task and its rate of change. "
        "Thin: as logged. Thick: running mean.",
        "Weights and rates of both tasks over the steps of training.",
    )


def losses(results: Results, columns: Columns) -> Sketches:
    """Both losses over training."""
    names = ("loss_key", "loss_seg")
    histories = _histories(results, names)
    if not histories:
        return
    weight = results.params.loss.lambda_
    figure, axes = panels(1, len(histories), 3.6)
    for (group, rows), axis in zip(histories, axes[0], strict=True):
        lines = (
            ("keypoints", "loss_key", 1.0, BASELINE, "--"),
            ("λ × segmentation", "loss_seg", weight, GUIDED, "-"),
        )
        for label, name, factor, colour, dash in lines:
            steps, values = _series(rows, name)
            axis.plot(steps, factor * values, color=colour, lw=0.5, alpha=0.35)
            axis.plot(steps, factor * _smooth(values), dash, color=colour, label=label)
            steps, values = _series(rows, f"val_{name}", "epoch")
            axis.plot(
                steps, factor * values, "o", mfc="none", mec=colour, ms=3.5, label=f"{label}, validation"
            )
        axis.set_yscale("log")
        title(axes, axis, group)
        axis.set_xlabel("step")
        columns("losses", group.dataset, NETWORKS[group.run.model].title, _resampled(rows, names))
    mean = results.params.loss.reduction == "mean"
    axes[0, 0].set_ylabel("loss, mean over pixels" if mean else "loss, sum")
    legend_below(figure, axes)
    yield Sketch(
        "losses",
        figure,
        "Both losses over training, unweighted but for λ of Eq. 7.",
        "Falling losses of both tasks on a logarithmic axis.",
    )


def map_iou(results: Results, columns: Columns) -> Sketches:
    """How the four maps come to match the true one."""
    histories = _histories(results, MAPS[:1], "epoch")
    if not histories:
        return
    figure, axes = panels(1, len(histories), 3.4, sharey=True)
    for (group, rows), axis in zip(histories, axes[0], strict=True):
        for n, (name, (colour, mark, dash)) in enumerate(zip(MAPS, SERIES, strict=False), 1):
            iou = _series(rows, name, "epoch")[1]
            axis.plot(_finished(rows), iou, dash, color=colour, marker=mark, ms=3.5, label=f"map {n}")
            columns("map_iou", group.dataset, f"map {n}", {"epoch": _finished(rows), "iou": iou})
        for unsupervised in _unsupervised(results, group.dataset):
            others = unsupervised.history()
            means = np.mean([_series(others, name, "epoch")[1] for name in MAPS], axis=0)
            label = "mean, without segmentation loss"
            axis.plot(_finished(others), means, color=INK, lw=1, ls=(0, (1, 1)), label=label)
        if (share := group.first.foreground_share) is not None:
            axis.axhline(share, color=INK, lw=0.8, ls=":", label="a map of ones")
        axis.set_ylim(0, 1)
        title(axes, axis, group)
        axis.set_xlabel("finished epochs")
    axes[0, 0].set_ylabel("IoU with the target map")
    legend_below(figure, axes)
    yield Sketch(
        "map_iou",
        figure,
        "How well each of the four attention maps matches the segmentation map, on validation people. A map "
        "that is one everywhere has the foreground's share as its IoU (dotted): "
        "only what lies above was learned.",
        "Intersection over union of the four maps over the epochs.",
    )


def _unsupervised(results: Results, dataset: str) -> list[Group]:
    """The ablations whose maps learn without the segmentation loss."""
    return [
        group
        for group in results.of(dataset)
        if group.run.ablation and group.run.variant.guided and not group.run.variant.supervised
    ]


def _histories(
    results: Results, names: tuple[str, ...], kind: str = "step"
) -> "list[tuple[Group, pd.DataFrame]]":
    """The guided groups with the history of their first seed, where it has these columns."""
    groups = [results.guided(dataset) for dataset in results.params.measured]
    histories = [(group, group.history()) for group in groups if group is not None]
    return [(group, rows) for group, rows in histories if all(len(_series(rows, n, kind)[0]) for n in names)]


def _series(history: "pd.DataFrame", name: str, kind: str = "step", x: str = "step") -> tuple[Array, Array]:
    rows = history[history.kind == kind].dropna(subset=[name])
    return rows[x].to_numpy(float), rows[name].to_numpy(float)


def _finished(rows: "pd.DataFrame") -> Array:
    """Epochs finished at each of the rows that hold the maps' IoU; histories count epochs from 0."""
    return _series(rows, MAPS[0], "epoch", x="epoch")[0] + 1


def _smooth(values: Array) -> Array:
    """A centred running mean over a 25th of the curve."""
    half = max(len(values) // 50, 1)
    sums = np.concatenate([[0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    smooth: Array = (sums[last] - sums[first]) / (last - first)
    return smooth


def _resampled(rows: "pd.DataFrame", names: tuple[str, ...]) -> dict[str, Array]:
    """Smoothed curves at so many points of training, so that runs of any length can be laid over each other."""
    last = rows.step[rows.kind == "step"].max()
    progress = np.linspace(0, 100, POINTS_OF_A_CURVE + 1)
    columns = {"progress": progress}
    for name in names:
        steps, values = _series(rows, name)
        columns[name] = np.interp(progress, 100 * steps / max(last, 1), _smooth(values))
    return columns
