"""Curves of a training while it goes on, as files in live/ that `dvc plots` and VS Code draw again as they grow."""

import csv
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path("live")
CURVES = ("loss", "accuracy")
"""Columns of the history, each with a folder of its own; in each a file without rows is committed, so that DVC
finds the folder at every commit."""


class Live:
    """The curves of one run, a file each. They go when the run has ended, since the report draws them then."""

    def __init__(self, dataset: str, name: str, folder: Path = FOLDER):
        self._dataset, self._name = dataset, name
        self._files = {curve: folder / curve / f"{dataset}-{name}.csv" for curve in CURVES}

    def start(self, steps: int) -> None:
        """Begin, or go on after so many steps: what was made after them is made again."""
        for curve, file in self._files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            kept = list(csv.reader(file.open())) if file.is_file() and steps else []
            with file.open("w", newline="") as new:
                rows = csv.writer(new, lineterminator="\n")
                rows.writerow(("dataset", "series", "step", curve))
                rows.writerows(row for row in kept[1:] if int(row[2]) <= steps)

    def log(self, row: Mapping[str, str | int | float]) -> None:
        """Add a row of the history to the curves that it is a point of."""
        for curve, file in self._files.items():
            if curve in row:
                with file.open("a", newline="") as more:
                    point = (self._dataset, self._name, row["step"], row[curve])
                    csv.writer(more, lineterminator="\n").writerow(point)

    def end(self) -> None:
        for file in self._files.values():
            file.unlink(missing_ok=True)
