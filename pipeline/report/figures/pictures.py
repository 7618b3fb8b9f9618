"""Pictures: predictions and attention on people of the validation split."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets import DATASETS
from pipeline.metrics import Array
from pipeline.report.figures.style import WIDTH, Sketch, Sketches, panels
from pipeline.report.results import Group, Results
from pipeline.report.tables.rows import data_name, method

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABREAST = 4
# Limbs between joints of lower scores are faint.
CLEAR = 0.2


def predictions(results: Results) -> Sketches:
    """Both networks' predictions on the same people."""
    import matplotlib.pyplot as plt

    for dataset in results.params.measured:
        groups = [
            group for group in (results.baseline(dataset), results.guided(dataset)) if group is not None
        ]
        examples = [(group, group.examples()) for group in groups]
        shown = [(group, arrays) for group, arrays in examples if arrays is not None]
        if not shown:
            continue
        count, height, width = shown[0][1]["input_BHW3"].shape[:3]
        # Both networks' pictures of a person stand below each other.
        strips = [(start, *pair) for start in range(0, count, ABREAST) for pair in shown]
        tall = WIDTH / ABREAST * height / width + 0.3
        figure = plt.figure(figsize=(WIDTH, len(strips) * tall), layout="constrained")
        parts = figure.subfigures(len(strips), 1, squeeze=False)[:, 0]
        for (start, group, arrays), part in zip(strips, parts, strict=True):
            part.suptitle(f"{method(group)} ({_data(group, arrays)})", x=0.01, ha="left", fontsize=8)
            for index, axis in enumerate(part.subplots(1, ABREAST, squeeze=False)[0], start):
                axis.set_axis_off()
                if index < count:
                    _picture(axis, arrays["input_BHW3"][index])
                    _skeleton(axis, arrays, index, dataset)
        yield Sketch(
            f"predictions-{dataset}",
            figure,
            f"{_subject(dataset, shown[0][1])}: predictions on the same people, in the manner of the paper's Figure 4"
            f"{_whom(shown[0][1])}. Limbs: predicted, faint at low scores. Crosses: labelled joints.",
            f"Skeletons predicted by both networks on {count} crops.",
            picture=True,
        )


def attention(results: Results) -> Sketches:
    """The guided network's four maps, and what they leave of the input."""
    for dataset in results.params.measured:
        group = results.guided(dataset)
        examples = None if group is None else group.examples()
        if group is None or examples is None or "maps_B4hw" not in examples:
            continue
        count = min(4, len(examples["input_BHW3"]))
        height, width = examples["input_BHW3"].shape[1:3]
        titles = ("input", "map 1", "map 2", "map 3", "map 4", "input × maps", "target")
        figure, axes = panels(count, 7, count * WIDTH / 7 * height / width + 0.3)
        for index, row in enumerate(axes):
            picture = examples["input_BHW3"][index]
            maps = examples["maps_B4hw"][index]
            _picture(row[0], picture)
            for axis, gate in zip(row[1:5], maps, strict=True):
                _map(axis, gate)
            gate = np.kron(maps.prod(0), np.ones((height // maps.shape[1], width // maps.shape[2])))
            _picture(row[5], (picture * gate[..., None]).astype(np.uint8))
            _map(row[6], examples["target_map_Bhw"][index])
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, head in zip(axes[0], titles, strict=True):
            axis.set_title(head, fontsize=7.5)
        yield Sketch(
            f"attention-{dataset}",
            figure,
            f"{_subject(dataset, examples)}, {method(group)} ({_data(group, examples)}): what the mechanism of "
            "the paper's Figure 3 makes of an input. The maps of stages 2, 3 and 4 and the one before the "
            "heatmaps, black 0 to white 1; the input times all four of them; and the target (Eq. 2) that supervises "
            "each. In the network a map multiplies the high-resolution features of its place (Eq. 4), not the "
            f"input{_whom(examples, count)}.",
            f"For {count} people the input, four attention maps, their product with it and the target map.",
            picture=True,
        )


def _subject(dataset: str, examples: dict[str, Array]) -> str:
    """Of what the pictures are, the beginning of a sentence."""
    return "Other photographs" if "source" in examples else DATASETS[dataset].TITLE


def _data(group: Group, examples: dict[str, Array]) -> str:
    """The people in the pictures: the dataset's own, or others than the network was trained on."""
    if "source" not in examples:
        return data_name(group)
    return f"trained on {DATASETS[group.dataset].TITLE}; other photographs"


def _whom(examples: dict[str, Array], count: int | None = None) -> str:
    """Of whom the pictures are, the end of a sentence. count: of the people, None for all."""
    if "source" not in examples:
        return "; people with the most occluded joints"
    sources = ", ".join(dict.fromkeys(examples["source"][:count].tolist()))
    return f"; the dataset's own images may not be passed on, and these are parts of other photographs: {sources}"


def _picture(axis: "Axes", picture: Array) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set_axis_off()


def _map(axis: "Axes", gate: Array) -> None:
    axis.imshow(gate, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _skeleton(axis: "Axes", examples: dict[str, Array], index: int, dataset: str) -> None:
    xy, score = examples["predicted_input_xy"][index], examples["score"][index]
    height, width = examples["input_BHW3"].shape[1:3]
    for a, b in DATASETS[dataset].KEYPOINTS.skeleton:
        strength = 1.0 if min(score[a], score[b]) > CLEAR else 0.35
        for colour, thickness in (("black", 2.4), ("#ffd23f", 1.2)):
            axis.plot(*xy[[a, b]].T, color=colour, lw=thickness, alpha=strength, solid_capstyle="round")
    labelled = examples["labelled"][index].astype(bool)
    true = examples["true_input_xy"][index][labelled]
    axis.plot(*true.T, "x", color="black", ms=3.6, mew=1.8)
    axis.plot(*true.T, "x", color="white", ms=3.2, mew=0.8)
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
