"""The report's drawings and pictures, and the columns behind them for `dvc plots`; the same bytes every time."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets import DATASETS
from pipeline.report.complexity import Cost
from pipeline.report.figures import accuracy, cost, pictures, training
from pipeline.report.figures.style import STYLE
from pipeline.report.results import Results
from pipeline.report.tables import Table

# Files under reports/plots/, `name.csv`, each one plot of dvc.yaml. A row is a point of a line, which is that of a
# `series` on a `dataset`; those of a dataset that the parameters leave out are not there.
PLOTS = {
    "accuracy_by_radius": ("radius", "accuracy", "low", "high", "foreground"),
    "pckh_curves": ("threshold", "found"),
    "dwa": ("progress", "weight", "rate"),
    "losses": ("progress", "loss_key", "loss_seg"),
    "map_iou": ("epoch", "iou"),
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
    for folder in ("figures/tables", "plots"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    lines = Lines({name: [] for name in PLOTS})

    measured = [table for table in tables if table.measured]
    drawers = (
        accuracy.by_radius(results, lines),
        accuracy.differences(results),
        accuracy.curves(results, lines),
        cost.accuracy_by_cost(costs),
        training.dynamic_weights(results, lines),
        training.losses(results, lines),
        training.map_iou(results, lines),
        pictures.predictions(results),
        pictures.attention(results),
    )
    with matplotlib.rc_context(STYLE):
        drawn = [
            Figure(one.name, one.save(out / folder), one.caption, one.alt, one.picture)
            for folder, sketches in (
                # `dvc plots` shows what is in this folder.
                ("figures/tables", accuracy.of_tables(measured)),
                *(("figures", each) for each in drawers),
            )
            for one in sketches
        ]
    lines.write(out / "plots")
    return drawn


@dataclass(frozen=True)
class Lines:
    """Lines for `dvc plots`: rows by the plot's name."""

    rows: dict[str, list[list[str]]]

    def __call__(self, name: str, dataset: str, series: str, columns: Mapping[str, Sequence[float]]) -> None:
        """Add a line, its columns in their order in PLOTS; nan is blank."""
        for point in zip(*(columns[column] for column in PLOTS[name]), strict=True):
            values = ("" if value != value else f"{value:.6g}" for value in point)
            self.rows[name].append([DATASETS[dataset].TITLE, series, *values])

    def write(self, folder: Path) -> None:
        for name, rows in self.rows.items():
            with (folder / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["dataset", "series", *PLOTS[name]])
                writer.writerows(rows)
