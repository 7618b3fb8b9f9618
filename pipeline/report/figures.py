"""The report's drawings and pictures, and the columns behind them for `dvc plots`; the same bytes every time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets import DATASETS
from pipeline.metrics import pckh
from pipeline.report import tables as tables_
from pipeline.report.results import Estimate, Group, Results, boxes

if TYPE_CHECKING:
    import pandas as pd

INK, GRID = "#26292d", "#d4d3ce"
# Apart in hue and, for readers of grey, in lightness; marks and dashes differ as well.
BASELINE, GUIDED, THIRD, FOURTH = "#e0932c", "#3f78c9", "#5fae8b", "#a45c9c"
_SERIES = (
    (BASELINE, "o", "--"),
    (GUIDED, "s", "-"),
    (THIRD, "^", ":"),
    (FOURTH, "v", "-."),
    ("#7d8188", "D", "--"),
    ("#c4574d", "P", ":"),
    ("#8a6d3b", "<", "-."),
    ("#2a9d9d", ">", "--"),
    ("#b0a02c", "X", ":"),
    ("#5b5ea6", "*", "-"),
)
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.4,
    # Without a salt of its own the ids in an SVG are random.
    "svg.hashsalt": "sg-hrnet",
}
_POINTS_OF_A_CURVE = 200
_ABREAST = 4
# Files under reports/plots/, `name-dataset.csv`. dvc.yaml names them all, so all are written: those of
# datasets that the parameters leave out hold a header and no rows, which `dvc plots` takes without complaint.
_PLOTS = {
    "accuracy_by_radius": (("mpii", "lspet"), ("radius", "accuracy", "low", "high", "foreground")),
    "pckh_curves": (("mpii", "lspet"), ("threshold", "baseline", "guided")),
    "dwa": (("mpii", "coco", "lspet"), ("progress", "w_key", "w_seg", "r_key", "r_seg")),
    "losses": (("mpii", "coco", "lspet"), ("progress", "loss_key", "loss_seg")),
    "map_iou": (("mpii", "coco", "lspet"), ("epoch", "iou_1", "iou_2", "iou_3", "iou_4")),
}


@dataclass(frozen=True)
class Figure:
    """A file under reports/figures/ with what the page says of it."""

    name: str
    path: Path
    caption: str
    alt: str


def draw(results: Results, tables: list[tables_.Table], out: Path) -> list[Figure]:
    """Draw everything that these results have, under out/figures, and its columns under out/plots."""
    import matplotlib

    matplotlib.use("svg")
    for folder in ("figures", "plots"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for name, (datasets, columns) in _PLOTS.items():
        for dataset in datasets:
            _columns(out, dataset, name, dict.fromkeys(columns, ()))
    drawers = (
        _tables(results, tables),
        _accuracy_by_radius(results, out),
        _joint_differences(results),
        _pckh_curves(results, out),
        _dynamic_weights(results, out),
        _losses(results, out),
        _map_iou(results, out),
        _predictions(results),
        _attention(results),
    )
    found = []
    with matplotlib.rc_context(_STYLE):
        for drawer in drawers:
            for name, figure, caption, alt in drawer:
                found.append(Figure(name, _save(figure, out / "figures", name), caption, alt))
    return found


def _save(figure, folder: Path, name: str) -> Path:
    import matplotlib.pyplot as plt

    picture = name.startswith(("predictions", "attention"))
    path = folder / f"{name}.{'png' if picture else 'svg'}"
    if picture:
        figure.savefig(path, dpi=150, metadata={"Software": None}, facecolor="white")
    else:
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return path


def _axes(rows: int, columns: int, height: float, **options):
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=(7.4, height), layout="constrained", squeeze=False, **options)


# Tables ----------------------------------------------------------------------------------------------------


def _tables(results: Results, tables: list[tables_.Table]) -> Iterator[tuple]:
    for table in tables:
        if table.gain:
            yield _changes(table)
            continue
        metrics = [metric for metric in table.metrics if metric != "Mean@0.1"]
        kinds = ["ground truth", "detected"] if table.name == "table2" else ["label"]
        paper = [row for row in table.rows if not row.measured and row.method.startswith(_PAPER_ROWS)]
        figure, axes = _axes(len(kinds), 1, 1.0 + 2.6 * len(kinds))
        for axis, kind in zip(axes[:, 0], kinds, strict=True):
            rows = [row for row in table.rows if row.measured and row.estimates and row.box == kind]
            # The paper's COCO figures are its own for detected boxes: they stand beside no others.
            shown = [row for row in paper if kind == "label" or row.box.startswith(kind)]
            _dots(axis, metrics, rows, shown)
            axis.set_ylabel("percent")
            data = "; ".join(dict.fromkeys(row.data for row in rows)) or "nothing measured"
            axis.set_title(f"{kind.capitalize()} boxes ({data})" if table.name == "table2" else data)
        yield (
            table.name,
            figure,
            f"{table.title}."
            + (" Filled: measured, with 95% intervals." if table.measured else "")
            + (" Hollow: the paper's figures." if paper else ""),
            f"Dots with intervals for each column of {tables_.heading(table)}.",
        )


def _changes(table: tables_.Table) -> tuple:
    rows = [row for row in table.rows if row.gain]
    figure, axes = _axes(1, 1, 1.0 + 0.4 * len(rows))
    y = np.arange(len(rows))[::-1]
    _across(axes[0, 0], y, [row.gain for row in rows])
    axes[0, 0].set_yticks(
        y, [f"{row.method.split(': ')[-1].split(' (')[0]}\n{row.data}" for row in rows], fontsize=7.5
    )
    axes[0, 0].set_xlabel("points of mean PCKh@0.5 against the guided network")
    caption = "Each network minus the guided one, with 95% intervals, paired by image; left of the line it is behind."
    return table.name, figure, caption, "Differences with intervals, a line for each ablation."


_PAPER_ROWS = ("HRNet-W32 [4]", "Our", "r=")


def _dots(axis, metrics: list[str], rows: list[tables_.Row], paper: list[tables_.Row]) -> None:
    series = [(row, True) for row in rows] + [(row, False) for row in paper]
    width = 0.7 / max(len(series), 1)
    for index, (row, measured) in enumerate(series):
        x = np.arange(len(metrics)) + (index - (len(series) - 1) / 2) * width
        if measured:
            colour, mark, _ = _SERIES[index % len(_SERIES)]
            estimates = [row.estimates[metric] for metric in metrics]
            _errorbar(axis, x, estimates, fmt=mark, color=colour, label=row.method)
        else:
            mark = "ods^v"[(index - len(rows)) % 5]
            y = [_float(row.reported.get(metric)) for metric in metrics]
            axis.plot(x, y, mark, mfc="none", mec=INK, ms=4.5, label=_paper_label(row))
    axis.set_xticks(range(len(metrics)), metrics)
    axis.set_xlim(-0.6, len(metrics) - 0.4)
    axis.grid(axis="x", visible=False)
    for x in range(len(metrics) - 1):
        axis.axvline(x + 0.5, color=GRID, lw=0.6)
    if series:
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2 if len(series) < 5 else 3)


def _paper_label(row: tables_.Row) -> str:
    name = row.method.replace("Our", "SG-HRNet-W32").split(" [")[0].split(",")[0]
    return f"{name}{', no pretraining' if row.pretraining == 'N' else ''} (paper)"


def _errorbar(axis, x, estimates: list[Estimate], **style) -> None:
    values = np.array([estimate.value for estimate in estimates])
    low = np.array([estimate.low for estimate in estimates])
    high = np.array([estimate.high for estimate in estimates])
    # A mean over seeds may lie a hair outside a percentile interval; matplotlib takes no negative length.
    lengths = np.clip([values - low, high - values], 0, None)
    axis.errorbar(x, values, lengths, ms=4.5, capsize=2.5, elinewidth=1.1, **style)


def _across(axis, y: np.ndarray, estimates: list[Estimate]) -> None:
    """Differences as horizontal intervals about a line at zero."""
    values = np.array([estimate.value for estimate in estimates])
    low = np.array([estimate.low for estimate in estimates])
    high = np.array([estimate.high for estimate in estimates])
    lengths = np.clip([values - low, high - values], 0, None)
    axis.axvline(0, color=INK, lw=0.8)
    axis.errorbar(values, y, xerr=lengths, fmt="s", color=GUIDED, ms=4.5, capsize=2.5, elinewidth=1.1)
    axis.grid(axis="y", visible=False)


def _accuracy_by_radius(results: Results, out: Path) -> Iterator[tuple]:
    datasets = [dataset for dataset in results.params.radius_sweep if results.guided(dataset)]
    if not datasets:
        return
    figure, axes = _axes(2, len(datasets), 4.4, sharex="col", height_ratios=(2, 1))
    for dataset, (top, bottom) in zip(datasets, axes.T, strict=True):
        radii = results.params.radii(dataset)
        means = [results.estimates(results.guided(dataset, radius))["Mean"] for radius in radii]
        shares = [results.foreground(results.guided(dataset, radius)) for radius in radii]
        _errorbar(top, radii, means, fmt="s-", color=GUIDED, label="SG-HRNet")
        baseline = results.baseline(dataset)
        if baseline:
            mean = results.estimates(baseline)["Mean"]
            top.axhline(mean.value, color=BASELINE, ls="--", label="HRNet on the same data")
            top.axhspan(mean.low, mean.high, color=BASELINE, alpha=0.15, lw=0)
        if dataset == "mpii":
            paper = tables_.reported("table3")
            x, y = zip(*((int(row["radius"]), float(row["Mean"])) for row in paper), strict=True)
            top.plot(x, y, "D", mfc="none", mec=INK, ms=5, label="SG-HRNet-W32 (paper)")
        top.set_title(tables_.data_name(results.guided(dataset)))
        top.set_ylabel("mean PCKh@0.5, percent")
        bottom.bar(
            radii, [100 * _nan(share) for share in shares], width=0.8, color=THIRD, edgecolor=INK, lw=0.6
        )
        bottom.set_ylabel("foreground, percent")
        bottom.set_xlabel("radius r, heatmap pixels")
        bottom.set_xticks(radii)
        columns = {
            "radius": radii,
            "accuracy": [mean.value for mean in means],
            "low": [mean.low for mean in means],
            "high": [mean.high for mean in means],
            "foreground": [100 * _nan(share) for share in shares],
        }
        _columns(out, dataset, "accuracy_by_radius", columns)
    _legend_below(figure, axes)
    yield (
        "accuracy_by_radius",
        figure,
        "Accuracy by radius of the segmentation map, with 95% intervals (HRNet's shaded), and the share of the map "
        "that is foreground.",
        "Mean PCKh with intervals over the radii, above bars of the foreground share.",
    )


def _joint_differences(results: Results) -> Iterator[tuple]:
    panels = []
    for dataset in results.params.datasets:
        guided, baseline = results.guided(dataset), results.baseline(dataset)
        if guided is None or baseline is None:
            continue
        for box in boxes(dataset):
            if box is None:
                ours, theirs = results.joints(guided), results.joints(baseline)
                title = f"{tables_.DATASETS[dataset]}: PCKh@0.5 of each joint"
            else:
                ours, theirs = results.estimates(guided, box), results.estimates(baseline, box)
                title = f"{tables_.DATASETS[dataset]}: {tables_.BOXES[box]} boxes"
            if ours is None or theirs is None:
                continue
            panels.append(
                (title, tables_.data_name(guided), {name: ours[name] - theirs[name] for name in ours})
            )
    if not panels:
        return
    rows = math.ceil(len(panels) / 2)
    longest = max(len(differences) for _, _, differences in panels)
    figure, axes = _axes(rows, min(2, len(panels)), 0.9 + rows * (0.6 + 0.2 * longest))
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, data, differences) in zip(axes.flat, panels, strict=False):
        y = np.arange(len(differences))[::-1]
        estimates = list(differences.values())
        _across(axis, y, estimates)
        axis.set_yticks(y, [name.replace("_", " ") for name in differences])
        axis.set_title(f"{title}\n{data}", fontsize=8.5)
        axis.set_xlabel("points, SG-HRNet minus HRNet")
    yield (
        "joint_differences",
        figure,
        "SG-HRNet minus HRNet with 95% intervals, paired by image; right of the line SG-HRNet is ahead.",
        "Differences with intervals for each joint or metric.",
    )


def _pckh_curves(results: Results, out: Path) -> Iterator[tuple]:
    datasets = [d for d in results.params.datasets if d != "coco" and results.guided(d)]
    if not datasets:
        return
    thresholds = np.linspace(0, 1, 51)
    figure, axes = _axes(1, len(datasets), 3.4, sharey=True)
    for dataset, axis in zip(datasets, axes[0], strict=True):
        columns = {"threshold": thresholds}
        for name, group, style in _pair(results, dataset):
            curves = [
                pckh.curve(group.samples(seed), DATASETS[dataset].KEYPOINTS, thresholds)
                for seed in range(len(group.runs))
            ]
            columns[name] = np.mean(curves, axis=0)
            axis.plot(thresholds, columns[name], style[2], color=style[0], label=tables_.method(group))
        axis.axvline(0.5, color=INK, lw=0.8, ls=":")
        axis.set_title(tables_.data_name(group))
        axis.set_xlabel("threshold, head sizes")
        axis.legend(loc="lower right")
        _columns(out, dataset, "pckh_curves", columns)
    axes[0, 0].set_ylabel("joints within it, percent")
    yield (
        "pckh_curves",
        figure,
        "Joints found within a threshold, mean over joints; the dotted line is PCKh@0.5.",
        "Rising curves of PCKh over the threshold for both networks.",
    )


# Training --------------------------------------------------------------------------------------------------


def _dynamic_weights(results: Results, out: Path) -> Iterator[tuple]:
    histories = _histories(results, ("w_key", "w_seg", "r_key", "r_seg"))
    if not histories:
        return
    figure, axes = _axes(2, len(histories), 4.4, sharex="col")
    lines = (("keypoints", "key", BASELINE, "--"), ("segmentation", "seg", GUIDED, "-"))
    for (dataset, group, rows), (top, bottom) in zip(histories, axes.T, strict=True):
        for axis, kind in ((top, "w"), (bottom, "r")):
            for label, task, colour, dash in lines:
                steps, values = _series(rows, f"{kind}_{task}")
                axis.plot(steps, values, color=colour, lw=0.5, alpha=0.35)
                axis.plot(steps, _smooth(values), dash, color=colour, label=label)
            axis.axhline(1, color=INK, lw=0.6, ls=":")
        _title(axes, top, group)
        top.set_ylabel("weight w")
        bottom.set_ylabel("rate r = L(t-1) / L(t-2)")
        bottom.set_xlabel("step")
        names = ("w_key", "w_seg", "r_key", "r_seg")
        _columns(out, dataset, "dwa", _resampled(rows, names))
    _legend_below(figure, axes)
    yield (
        "dwa",
        figure,
        "Dynamic weight average (Eqs. 8 to 10): the weight of each task and its rate of change. "
        "Thin: as logged. Thick: running mean.",
        "Weights and rates of both tasks over the steps of training.",
    )


def _losses(results: Results, out: Path) -> Iterator[tuple]:
    histories = _histories(results, ("loss_key", "loss_seg"))
    if not histories:
        return
    weight = results.params.loss.lambda_
    figure, axes = _axes(1, len(histories), 3.6)
    for (dataset, group, rows), axis in zip(histories, axes[0], strict=True):
        lines = (
            ("keypoints", "loss_key", 1, BASELINE, "--"),
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
        _title(axes, axis, group)
        axis.set_xlabel("step")
        _columns(out, dataset, "losses", _resampled(rows, ("loss_key", "loss_seg")))
    axes[0, 0].set_ylabel(
        "loss, mean over pixels" if results.params.loss.reduction == "mean" else "loss, sum"
    )
    _legend_below(figure, axes)
    yield (
        "losses",
        figure,
        "Both losses over training, unweighted but for λ of Eq. 7.",
        "Falling losses of both tasks on a logarithmic axis.",
    )


def _map_iou(results: Results, out: Path) -> Iterator[tuple]:
    histories = _histories(results, ("iou_1",), "epoch")
    if not histories:
        return
    figure, axes = _axes(1, len(histories), 3.4, sharey=True)
    names = tuple(f"iou_{n}" for n in (1, 2, 3, 4))
    for (dataset, group, rows), axis in zip(histories, axes[0], strict=True):
        for n, (name, (colour, mark, dash)) in enumerate(zip(names, _SERIES, strict=False), 1):
            _, values = _series(rows, name, "epoch")
            axis.plot(_finished(rows), values, dash, color=colour, marker=mark, ms=3.5, label=f"map {n}")
        unsupervised = results.ablation(dataset, "no_seg_loss")
        if unsupervised:
            rows_ = unsupervised.history()
            means = np.mean([_series(rows_, name, "epoch")[1] for name in names], axis=0)
            axis.plot(
                _finished(rows_),
                means,
                color=INK,
                lw=1,
                ls=(0, (1, 1)),
                label="mean, without segmentation loss",
            )
        ones = group.metrics[0]["foreground"]["val"]["foreground_share"]
        axis.axhline(ones, color=INK, lw=0.8, ls=":", label="a map of ones")
        axis.set_ylim(0, 1)
        _title(axes, axis, group)
        axis.set_xlabel("finished epochs")
        columns = {"epoch": _finished(rows)}
        _columns(out, dataset, "map_iou", columns | {name: _series(rows, name, "epoch")[1] for name in names})
    axes[0, 0].set_ylabel("IoU with the target map")
    _legend_below(figure, axes)
    yield (
        "map_iou",
        figure,
        "How well each of the four attention maps matches the segmentation map, on validation people. A map "
        "that is one everywhere has the foreground's share as its IoU (dotted): only what lies above was learned.",
        "Intersection over union of the four maps over the epochs.",
    )


def _histories(
    results: Results, names: tuple[str, ...], kind: str = "step"
) -> list[tuple[str, Group, "pd.DataFrame"]]:
    """(dataset, guided group, history of its first seed) where the history has these columns."""
    groups = {dataset: results.guided(dataset) for dataset in results.params.datasets}
    found = [(dataset, group, group.history()) for dataset, group in groups.items() if group]
    return [one for one in found if all(len(_series(one[2], name, kind)[0]) for name in names)]


def _series(
    history: "pd.DataFrame", name: str, kind: str = "step", x: str = "step"
) -> tuple[np.ndarray, np.ndarray]:
    rows = history[history.kind == kind].dropna(subset=name)
    return rows[x].to_numpy(float), rows[name].to_numpy(float)


def _finished(rows: "pd.DataFrame") -> np.ndarray:
    """Epochs finished at each of the rows that hold the maps' IoU; histories count epochs from 0."""
    return _series(rows, "iou_1", "epoch", x="epoch")[0] + 1


def _title(axes, axis, group: Group) -> None:
    """The network and what it learned from, small where panels are many."""
    text = f"{tables_.method(group)}\n{tables_.data_name(group)}"
    axis.set_title(text, fontsize=8.5 if axes.shape[1] < 3 else 6.5)


def _legend_below(figure, axes) -> None:
    """One legend for all panels."""
    labels = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=min(4, len(labels)))


def _smooth(values: np.ndarray) -> np.ndarray:
    """A centred running mean over a 25th of the curve."""
    half = max(len(values) // 50, 1)
    sums = np.concatenate([[0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _resampled(rows: "pd.DataFrame", names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Smoothed curves at so many points of training, so that runs of any length can be laid over each other."""
    last = rows.step[rows.kind == "step"].max()
    progress = np.linspace(0, 100, _POINTS_OF_A_CURVE + 1)
    columns = {"progress": progress}
    for name in names:
        steps, values = _series(rows, name)
        columns[name] = np.interp(progress, 100 * steps / max(last, 1), _smooth(values))
    return columns


# Pictures --------------------------------------------------------------------------------------------------


def _predictions(results: Results) -> Iterator[tuple]:
    import matplotlib.pyplot as plt

    for dataset in results.params.datasets:
        shown = [(name, group, group.examples()) for name, group, _ in _pair(results, dataset)]
        shown = [(group, examples) for _, group, examples in shown if examples is not None]
        if not shown:
            continue
        count, height, width = shown[0][1]["input_BHW3"].shape[:3]
        # Both networks' pictures of a person stand below each other.
        starts = range(0, count, _ABREAST)
        strips = [(start, *pair) for start in starts for pair in shown]
        tall = 7.4 / _ABREAST * height / width + 0.3
        figure = plt.figure(figsize=(7.4, len(strips) * tall), layout="constrained")
        for (start, group, examples), part in zip(
            strips, np.atleast_1d(figure.subfigures(len(strips), 1)), strict=True
        ):
            title = f"{tables_.method(group)} ({tables_.data_name(group)})"
            part.suptitle(title, x=0.01, ha="left", fontsize=8)
            for index, axis in enumerate(part.subplots(1, _ABREAST, squeeze=False)[0], start):
                axis.set_axis_off()
                if index < count:
                    _picture(axis, examples["input_BHW3"][index])
                    _skeleton(axis, examples, index, dataset)
        yield (
            f"predictions-{dataset}",
            figure,
            f"{tables_.DATASETS[dataset]}: predictions on the same people, those with the most occluded joints, in "
            "the manner of the paper's Figure 4. Limbs: predicted, faint at low scores. Crosses: labelled joints.",
            f"Skeletons predicted by both networks on {count} crops.",
        )


def _attention(results: Results) -> Iterator[tuple]:
    for dataset in results.params.datasets:
        group = results.guided(dataset)
        examples = group.examples() if group else None
        if examples is None or "maps_B4hw" not in examples:
            continue
        count = min(4, len(examples["input_BHW3"]))
        height, width = examples["input_BHW3"].shape[1:3]
        titles = ("input", "map 1", "map 2", "map 3", "map 4", "input × maps", "target")
        figure, axes = _axes(count, 7, count * 7.4 / 7 * height / width + 0.3)
        for index, row in enumerate(axes):
            picture = examples["input_BHW3"][index]
            maps = examples["maps_B4hw"][index]
            _picture(row[0], picture)
            for axis, gate in zip(row[1:5], maps, strict=True):
                axis.imshow(gate, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            gate = np.kron(maps.prod(0), np.ones((height // maps.shape[1], width // maps.shape[2])))
            _picture(row[5], (picture * gate[..., None]).astype(np.uint8))
            row[6].imshow(
                examples["target_map_Bhw"][index], cmap="gray", vmin=0, vmax=1, interpolation="nearest"
            )
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, title in zip(axes[0], titles, strict=True):
            axis.set_title(title, fontsize=7.5)
        yield (
            f"attention-{dataset}",
            figure,
            f"{tables_.DATASETS[dataset]}, {tables_.method(group)} ({tables_.data_name(group)}): what the mechanism of "
            "the paper's Figure 3 makes of an input. The maps of stages 2, 3 and 4 and the one before the "
            "heatmaps, black 0 to white 1; the input times all four of them; and the target (Eq. 2) that supervises "
            "each. In the network a map multiplies the high-resolution features of its place (Eq. 4), not the input.",
            f"For {count} people the input, four attention maps, their product with it and the target map.",
        )


def _picture(axis, picture: np.ndarray) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set_axis_off()


def _skeleton(axis, examples: dict[str, np.ndarray], index: int, dataset: str) -> None:
    xy, score = examples["predicted_input_xy"][index], examples["score"][index]
    height, width = examples["input_BHW3"].shape[1:3]
    for a, b in DATASETS[dataset].KEYPOINTS.skeleton:
        strength = 1.0 if min(score[a], score[b]) > 0.2 else 0.35
        for colour, thickness in (("black", 2.4), ("#ffd23f", 1.2)):
            axis.plot(*xy[[a, b]].T, color=colour, lw=thickness, alpha=strength, solid_capstyle="round")
    labelled = examples["labelled"][index].astype(bool)
    true = examples["true_input_xy"][index][labelled]
    axis.plot(*true.T, "x", color="black", ms=3.6, mew=1.8)
    axis.plot(*true.T, "x", color="white", ms=3.2, mew=0.8)
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)


def _pair(results: Results, dataset: str) -> Iterator[tuple[str, Group, tuple]]:
    groups = (("baseline", results.baseline(dataset)), ("guided", results.guided(dataset)))
    for (name, group), style in zip(groups, _SERIES, strict=False):
        if group is not None:
            yield name, group, style


def _columns(out: Path, dataset: str, name: str, columns: dict) -> None:
    """Columns for `dvc plots`, whose definitions name files and columns."""
    import pandas as pd

    path = out / "plots" / f"{name}-{dataset}.csv"
    pd.DataFrame(columns).to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def _float(text: str | None) -> float:
    return float(text) if text not in (None, "", "-") else float("nan")


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
