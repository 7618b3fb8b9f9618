"""The report's drawings and pictures, and the columns behind them for `dvc plots`; the same bytes every time."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import DATASETS
from pipeline.metrics.pckh import PCKh
from pipeline.report.complexity import Cost
from pipeline.report.figures import accuracy, cost, pictures, training
from pipeline.report.figures.style import STYLE
from pipeline.report.results import Results
from pipeline.report.tables import Table

# Files under reports/plots/, `name-dataset.csv`. dvc.yaml names them all, so all are written: those of
# datasets that the parameters leave out hold a header and no rows, which `dvc plots` takes without complaint.
PLOTS = {
    "accuracy_by_radius": ("radius", "accuracy", "low", "high", "foreground"),
    "pckh_curves": ("threshold", "baseline", "guided"),
    "dwa": ("progress", "w_key", "w_seg", "r_key", "r_seg"),
    "losses": ("progress", "loss_key", "loss_seg"),
    "map_iou": ("epoch", *training.MAPS),
}


@dataclass(frozen=True)
class Figure:
    """A file under reports/figures/ with what the page says of it."""

    name: str
    path: Path
    caption: str
    alt: str
    picture: bool


def draw(results: Results, tables: list[Table], costs: Sequence[Cost], out: Path) -> list[Figure]:
    """Draw everything that these results have, under out/figures, and its columns under out/plots."""
    import matplotlib

    matplotlib.use("svg")
    for folder in ("figures", "plots"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for name, dataset in plots():
        _write(out / "plots", name, dataset, dict.fromkeys(PLOTS[name], ()))

    def columns(name: str, dataset: str, values: dict[str, Any]) -> None:
        _write(out / "plots", name, dataset, values)

    drawers = (
        accuracy.of_tables(tables),
        accuracy.by_radius(results, columns),
        accuracy.differences(results),
        accuracy.curves(results, columns),
        cost.accuracy_by_cost(costs),
        training.dynamic_weights(results, columns),
        training.losses(results, columns),
        training.map_iou(results, columns),
        pictures.predictions(results),
        pictures.attention(results),
    )
    with matplotlib.rc_context(STYLE):
        return [
            Figure(one.name, one.save(out / "figures"), one.caption, one.alt, one.picture)
            for sketches in drawers
            for one in sketches
        ]


def plots() -> list[tuple[str, str]]:
    """Every plot's name and dataset; PCKh's curves are of the datasets that it measures."""
    return [
        (name, dataset)
        for name in PLOTS
        for dataset in DATASETS
        if name != "pckh_curves" or isinstance(DATASETS[dataset].METRIC, PCKh)
    ]


def _write(folder: Path, name: str, dataset: str, columns: dict[str, Sequence[float]]) -> None:
    """Columns for `dvc plots`, whose definitions name files and columns; nan is blank."""
    rows = zip(*columns.values(), strict=True)
    with (folder / f"{name}-{dataset}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(["" if value != value else f"{value:.6g}" for value in row] for row in rows)
