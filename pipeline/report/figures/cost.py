"""A drawing of accuracy against cost: what the paper reports, and what was measured."""

from collections.abc import Sequence

from pipeline.datasets import DATASETS
from pipeline.report.complexity import Cost
from pipeline.report.figures.style import GUIDED, INK, Sketch, Sketches, errorbar, panels


def accuracy_by_cost(costs: Sequence[Cost]) -> Sketches:
    """The main number over GFLOPs, a panel for each dataset of the paper's tables."""
    shown = [cost for cost in costs if cost.reported is not None or cost.measured]
    datasets = list(dict.fromkeys(cost.dataset for cost in shown))
    if not datasets:
        return
    figure, axes = panels(1, len(datasets), 3.8)
    for dataset, axis in zip(datasets, axes[0], strict=True):
        rows = [cost for cost in shown if cost.dataset == dataset]
        reported = {
            (cost.title, cost.gflops, cost.reported): cost for cost in rows if cost.reported is not None
        }
        middle = sum(gflops for _, gflops, _ in reported) / max(len(reported), 1)
        for index, ((name, gflops, accuracy), cost) in enumerate(reported.items()):
            # In COCO's table kinds of box differ between rows, and are never compared.
            detected = cost.line is not None and cost.line.box != DATASETS[dataset].METRIC.boxes[0]
            axis.plot(gflops, accuracy, "s" if detected else "o", mfc="none", mec=INK, ms=4.5)
            # Names stand inside the panel, and those of neighbours above and below.
            left, above = gflops > middle, index % 2 == 0
            axis.annotate(
                name,
                (gflops, accuracy or 0),
                xytext=(-4 if left else 4, 4 if above else -8),
                textcoords="offset points",
                ha="right" if left else "left",
                fontsize=6,
            )
        for cost in rows:
            for estimate in cost.measured.values():
                errorbar(axis, [cost.gflops], [estimate], fmt="D", color=GUIDED)
        axis.set_title(DATASETS[dataset].TITLE)
        axis.set_xlabel("GFLOPs, as counted")
        axis.set_ylabel(f"{DATASETS[dataset].METRIC.title}, percent")
        axis.margins(x=0.25)
    yield Sketch(
        "complexity",
        figure,
        "Accuracy against cost. Hollow: the paper's figures, squares under detected boxes. Filled: measured, with 95% "
        "intervals, where the same network was measured at the same input size.",
        "Points of accuracy over GFLOPs for each network, a panel for each dataset.",
    )
