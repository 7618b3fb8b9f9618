"""Drawings of accuracy: the tables, differences, radii, joints, thresholds."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets import DATASETS
from pipeline.metrics.pckh import PCKh
from pipeline.networks import NETWORKS
from pipeline.report import paper
from pipeline.report.alike import differing
from pipeline.report.estimates import SEEDS
from pipeline.report.figures.style import (
    BASELINE,
    GRID,
    GUIDED,
    INK,
    SERIES,
    THIRD,
    Columns,
    Sketch,
    Sketches,
    across,
    errorbar,
    intervals_of,
    legend_below,
    panels,
)
from pipeline.report.results import Estimate, Group, Results
from pipeline.report.tables import Table
from pipeline.report.tables.rows import Row, data_name, method, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def of_tables(tables: list[Table]) -> Sketches:
    """Every table as dots with intervals."""
    for table in tables:
        if table.gain:
            if any(row.gain for row in table.rows):
                yield _changes(table)
            continue
        # What the paper does not report is of another size, such as PCKh@0.1, and would press the rest together.
        reported = {metric for row in table.rows for metric in row.reported}
        metrics = [metric for metric in table.metrics if metric in (reported or _reported_anywhere())]
        metrics = metrics or list(table.metrics)
        own = {paper.protocol()["guided"], NETWORKS[paper.protocol()["guided"]].backbone}
        papers = [row for row in table.rows if not row.measured and row.model in own]
        figure, axes = panels(len(table.boxes), 1, 1.0 + 2.6 * len(table.boxes))
        for axis, box in zip(axes[:, 0], table.boxes, strict=True):
            rows = [row for row in table.rows if row.measured and row.estimates and row.box == box]
            # The paper's figures stand beside those under the same kind of box alone.
            _dots(axis, metrics, rows, [row for row in papers if row.box == box])
            axis.set_ylabel("percent")
            data = "; ".join(dict.fromkeys(row.data for row in rows)) or "nothing measured"
            several = len(table.boxes) > 1
            axis.set_title(f"{words(box).capitalize()} boxes ({data})" if several else data)
        yield Sketch(
            table.name,
            figure,
            f"{table.title}."
            + (" Filled: measured, with 95% intervals." if table.measured else "")
            + (" Hollow: the paper's figures." if papers else ""),
            f"Dots with intervals for each column of {table.heading}.",
        )


def _reported_anywhere() -> set[str]:
    return {metric for sheet in paper.sheets().values() for line in sheet.lines for metric in line.values}


def _changes(table: Table) -> Sketch:
    rows = [(row, row.gain) for row in table.rows if row.gain]
    figure, axes = panels(1, 1, 1.0 + 0.4 * len(rows))
    y = np.arange(len(rows))[::-1]
    across(axes[0, 0], y, [gain for _, gain in rows])
    labels = [
        f"{row.method.split(': ')[-1].split(' (')[0]}{', preliminary' if row.preliminary else ''}\n{row.data}"
        for row, _ in rows
    ]
    axes[0, 0].set_yticks(y, labels, fontsize=7.5)
    axes[0, 0].set_xlabel("points, against the guided network")
    refused = dict.fromkeys(row.refused for row in table.rows if row.refused)
    intervals = intervals_of([gain for _, gain in rows])
    caption = f"Each network minus the guided one, {intervals}; left of the line it is behind."
    if any(row.preliminary for row, _ in rows):
        caption += f" Preliminary: a side has fewer than {SEEDS} seeds; of a single one it is given the other's spread."
    return Sketch(
        table.name,
        figure,
        " ".join([f"{table.title}. {caption}", *refused]),
        "Differences with intervals, a line for each ablation.",
    )


def _dots(axis: "Axes", metrics: list[str], rows: list[Row], papers: list[Row]) -> None:
    count = len(rows) + len(papers)
    width = 0.7 / max(count, 1)
    for index, row in enumerate([*rows, *papers]):
        x = np.arange(len(metrics)) + (index - (count - 1) / 2) * width
        if row.estimates is not None:
            colour, mark, _ = SERIES[index % len(SERIES)]
            errorbar(
                axis,
                x,
                [row.estimates[metric] for metric in metrics],
                fmt=mark,
                color=colour,
                label=row.method,
            )
        else:
            mark = "ods^v"[(index - len(rows)) % 5]
            values = [row.reported.get(metric) for metric in metrics]
            y = [math.nan if value is None else value for value in values]
            axis.plot(x, y, mark, mfc="none", mec=INK, ms=4.5, label=_paper_label(row))
    axis.set_xticks(range(len(metrics)), metrics)
    axis.set_xlim(-0.6, len(metrics) - 0.4)
    axis.grid(axis="x", visible=False)
    for x_between in range(len(metrics) - 1):
        axis.axvline(x_between + 0.5, color=GRID, lw=0.6)
    if count:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2 if count < 5 else 3)


def _paper_label(row: Row) -> str:
    name = NETWORKS[row.model].title + (f", r = {row.radius}" if row.radius else "")
    return f"{name}{', no pretraining' if row.pretraining == 'none' else ''} (paper)"


def by_radius(results: Results, columns: Columns) -> Sketches:
    """Accuracy over the radius, and how much of the map is foreground."""
    datasets = [dataset for dataset in results.params.radius_sweep if results.guided(dataset)]
    if not datasets:
        return
    figure, axes = panels(2, len(datasets), 4.4, sharex="col", height_ratios=(2, 1))
    for dataset, (top, bottom) in zip(datasets, axes.T, strict=True):
        radii = results.params.radii_on(dataset)
        groups = [group for radius in radii if (group := results.guided(dataset, radius)) is not None]
        means = [_main(results, group) for group in groups]
        shares = [_percent(group.first.foreground_share) for group in groups]
        errorbar(top, radii, means, fmt="s-", color=GUIDED, label=NETWORKS[results.params.guided].title)
        baseline = results.baseline(dataset)
        if baseline is not None:
            mean = _main(results, baseline)
            label = f"{NETWORKS[baseline.run.model].title} on the same data"
            top.axhline(mean.value, color=BASELINE, ls="--", label=label)
            top.axhspan(mean.low, mean.high, color=BASELINE, alpha=0.15, lw=0)
        metric, sheet = DATASETS[dataset].METRIC, paper.of_radii(dataset)
        if sheet is not None:
            x, y = [line.radius for line in sheet.lines], [line.values[metric.main] for line in sheet.lines]
            label = f"{NETWORKS[sheet.lines[0].model].title} (paper)"
            top.plot(x, y, "D", mfc="none", mec=INK, ms=5, label=label)
        top.set_title(data_name(groups[0]))
        top.set_ylabel(f"{metric.title}, percent")
        width = 0.4 * min(after - before for before, after in pairwise(radii)) if len(radii) > 1 else 0.8
        bottom.bar(radii, shares, width=width, color=THIRD, edgecolor=INK, lw=0.6)
        bottom.set_ylabel("foreground, percent")
        bottom.set_xlabel("radius r, heatmap pixels")
        bottom.set_xticks(radii)
        accuracy = {
            "accuracy": [mean.value for mean in means],
            "low": [mean.low for mean in means],
            "high": [mean.high for mean in means],
        }
        line = {"radius": radii, **accuracy, "foreground": shares}
        columns("accuracy_by_radius", dataset, NETWORKS[results.params.guided].title, line)
    legend_below(figure, axes)
    yield Sketch(
        "accuracy_by_radius",
        figure,
        "Accuracy by radius of the segmentation map, with 95% intervals (the network without guidance shaded), and the "
        "share of the map that is foreground.",
        "Accuracy with intervals over the radii, above bars of the foreground share.",
    )


def _main(results: Results, group: Group) -> Estimate:
    estimates = results.estimates(group, group.metric.boxes[0])
    if estimates is None:
        raise ValueError(
            f"{group.run.name} was not measured under {group.metric.boxes[0]} boxes; run `evaluate` again"
        )
    return estimates[group.metric.main]


def _percent(share: float | None) -> float:
    return math.nan if share is None else 100 * share


def differences(results: Results) -> Sketches:
    """The guided network minus its backbone, as finely as the metric allows."""
    drawn: list[tuple[str, str, dict[str, Estimate]]] = []
    refused: list[str] = []
    for dataset in results.params.measured:
        pair = results.pair(dataset)
        if pair is None:
            continue
        if reason := differing(pair):
            refused.append(f"{DATASETS[dataset].TITLE}: {reason}")
            continue
        name, metric = DATASETS[dataset].TITLE, DATASETS[dataset].METRIC
        for box in metric.boxes:
            ours, theirs = (results.parts(group, box) for group in pair)
            if ours is None or theirs is None:
                continue
            what = f"{words(box)} boxes" if len(metric.boxes) > 1 else "joint by joint"
            drawn.append(
                (f"{name}: {what}", data_name(pair[0]), {part: ours[part] - theirs[part] for part in ours})
            )
    if not drawn:
        return
    rows = math.ceil(len(drawn) / 2)
    longest = max(len(parts) for _, _, parts in drawn)
    figure, axes = panels(rows, min(2, len(drawn)), 0.9 + rows * (0.6 + 0.2 * longest))
    intervals = intervals_of([estimate for *_, parts in drawn for estimate in parts.values()])
    guided = NETWORKS[results.params.guided]
    names = [guided.title, NETWORKS[guided.backbone or results.params.guided].title]
    for axis in axes.flat[len(drawn) :]:
        axis.set_visible(False)
    for axis, (head, data, parts) in zip(axes.flat, drawn, strict=False):
        y = np.arange(len(parts))[::-1]
        across(axis, y, list(parts.values()))
        axis.set_yticks(y, [part.replace("_", " ") for part in parts])
        axis.set_title(f"{head}\n{data}", fontsize=8.5)
        axis.set_xlabel(f"points, {names[0]} minus {names[1]}")
    yield Sketch(
        "joint_differences",
        figure,
        " ".join(
            [f"{names[0]} minus {names[1]}, {intervals}; right of the line {names[0]} is ahead.", *refused]
        ),
        "Differences with intervals for each joint or metric.",
    )


def curves(results: Results, columns: Columns) -> Sketches:
    """PCKh over the threshold, where that is the metric."""
    metrics = {dataset: DATASETS[dataset].METRIC for dataset in results.params.measured}
    pckh = {dataset: metric for dataset, metric in metrics.items() if isinstance(metric, PCKh)}
    shown = {dataset: metric for dataset, metric in pckh.items() if results.guided(dataset)}
    if not shown:
        return
    thresholds = np.linspace(0, 1, 51)
    figure, axes = panels(1, len(shown), 3.4, sharey=True)
    for (dataset, metric), axis in zip(shown.items(), axes[0], strict=True):
        groups = {"baseline": results.baseline(dataset), "guided": results.guided(dataset)}
        for (name, group), (colour, _, dash) in zip(groups.items(), SERIES, strict=False):
            if group is None:
                continue
            samples = [group.samples(metric.boxes[0], seed) for seed in range(len(group.runs))]
            found = np.mean([metric.curve(each, thresholds) for each in samples], axis=0)
            axis.plot(thresholds, found, dash, color=colour, label=method(group))
            columns("pckh_curves", dataset, name, {"threshold": thresholds, "found": found})
            axis.set_title(data_name(group))
        axis.axvline(0.5, color=INK, lw=0.8, ls=":")
        axis.set_xlabel("threshold, head sizes")
        axis.legend(loc="lower right")
    axes[0, 0].set_ylabel("joints within it, percent")
    yield Sketch(
        "pckh_curves",
        figure,
        "Joints found within a threshold, mean over joints; the dotted line is PCKh@0.5.",
        "Rising curves of PCKh over the threshold for both networks.",
    )
