"""Drawings: a figure's layout, to the last bit."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline import drawing


def drawn(noise: float, settled: bool) -> tuple[bytes, list[tuple[float, ...]]]:
    """A picture in a part of a figure, laid out with so much noise: its PNG, and where things are."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    left, right = figure.subfigures(1, 2)
    for part in (left, right):
        part.subplots().imshow(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.get_axes():
        axes.set_position([value + noise for value in (0.1, 0.1, 0.8, 0.8)])
    right.bbox_relative.p0 = right.bbox_relative.p0 + noise
    if settled:
        drawing.settle(figure, 100)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    places = [axes.get_position(original=True).bounds for axes in figure.get_axes()]
    return file.getvalue(), [*places, right.bbox_relative.bounds]


@pytest.mark.parametrize("noise", [1e-15, -1e-15, 1e-12])
def test_what_a_layout_leaves_to_chance_does_not_reach_the_picture(noise):
    assert drawn(noise, settled=False)[1] != drawn(0.0, settled=False)[1]
    assert drawn(noise, settled=True) == drawn(0.0, settled=True)
    # Nothing moves that one could see.
    for one, other in zip(drawn(noise, True)[1], drawn(noise, False)[1], strict=True):
        assert one == pytest.approx(other, abs=1e-8)


def test_a_figure_is_laid_out_before_it_is_settled():
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel("a long label\nof two lines")
    before = axes.get_position().bounds
    drawing.settle(figure, 100)
    after = axes.get_position().bounds
    assert after != pytest.approx(before, abs=1e-3)
    figure.savefig(io.BytesIO(), format="svg")
    assert axes.get_position().bounds == after
