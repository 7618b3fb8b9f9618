"""How the report's drawings look, and what they are put together from."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import drawing
from pipeline.metrics import Array
from pipeline.report.results import Estimate, Group
from pipeline.report.tables.rows import data_name, method

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK, GRID = "#26292d", "#d4d3ce"
# Apart in hue and, for readers of grey, in lightness; marks and dashes differ as well.
BASELINE, GUIDED, THIRD, FOURTH = "#e0932c", "#3f78c9", "#5fae8b", "#a45c9c"
SERIES = (
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
STYLE: "dict[RcKeyType, Any]" = {
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
WIDTH = 7.4


@dataclass(frozen=True)
class Sketch:
    """A figure that is drawn and not yet saved, with what the page says of it. picture: whether it holds pixels."""

    name: str
    figure: "Figure"
    caption: str
    alt: str
    picture: bool = False

    def save(self, folder: Path) -> Path:
        import matplotlib.pyplot as plt

        # SVG's points are 72 an inch.
        drawing.settle(self.figure, 150 if self.picture else 72)
        path = folder / f"{self.name}.{'png' if self.picture else 'svg'}"
        if self.picture:
            self.figure.savefig(path, dpi=150, metadata={"Software": None}, facecolor="white")
        else:
            self.figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(self.figure)
        return path


Sketches = Iterator[Sketch]
# Takes a line for `dvc plots`: (name of the plot, dataset, series, columns).
Columns = Callable[[str, str, str, dict[str, Any]], None]


def panels(rows: int, columns: int, height: float, **options: Any) -> "tuple[Figure, Array]":
    """A figure of `height` inches and its axes (rows, columns)."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, height), layout="constrained", squeeze=False, **options
    )
    return figure, axes


def errorbar(axis: "Axes", x: Any, estimates: Sequence[Estimate], **style: Any) -> None:
    """Values over x with their intervals."""
    values, lengths = _lengths(estimates)
    axis.errorbar(x, values, lengths, ms=4.5, capsize=2.5, elinewidth=1.1, **style)


def across(axis: "Axes", y: Array, estimates: Sequence[Estimate]) -> None:
    """Differences as horizontal intervals about a line at zero: a line on new images, a pale bar on these images."""
    values, lengths = _lengths(estimates)
    axis.axvline(0, color=INK, lw=0.8)
    for place, estimate in zip(y, estimates, strict=True):
        low, high = estimate.on_these_images
        if not math.isnan(low):
            axis.plot([low, high], [place, place], color=GUIDED, lw=6, alpha=0.3, solid_capstyle="butt")
    axis.errorbar(values, y, xerr=lengths, fmt="s", color=GUIDED, ms=4.5, capsize=2.5, elinewidth=1.1)
    axis.set_ylim(min(y) - 0.6, max(y) + 0.6)
    axis.grid(axis="y", visible=False)


def intervals_of(differences: Sequence[Estimate]) -> str:
    """What a caption says of `across`, the middle of a sentence."""
    said = "paired by image, with 95% intervals on new images"
    several = any(not math.isnan(each.on_these_images[0]) for each in differences)
    return said + (" (lines), of several seeds also on these images (pale bars)" if several else "")


def _lengths(estimates: Sequence[Estimate]) -> tuple[Array, Array]:
    values = np.array([estimate.value for estimate in estimates])
    low = np.array([estimate.low for estimate in estimates])
    high = np.array([estimate.high for estimate in estimates])
    # A mean over seeds may lie a hair outside a percentile interval; matplotlib takes no negative length.
    return values, np.clip([values - low, high - values], 0, None)


def title(axes: Array, axis: "Axes", group: Group) -> None:
    """The network and what it learned from, small where panels are many."""
    text = f"{method(group)}\n{data_name(group)}"
    axis.set_title(text, fontsize=8.5 if axes.shape[1] < 3 else 6.5)


def legend_below(figure: "Figure", axes: Array) -> None:
    """One legend for all panels."""
    labels: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    figure.legend(list(labels.values()), list(labels), loc="outside lower center", ncols=min(4, len(labels)))
