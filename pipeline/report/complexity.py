"""What every network costs, as counted, beside what the paper reports of it: in one table, without any training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import files, paths
from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.report import paper
from pipeline.report.paper import Line, Sheet
from pipeline.report.results import Estimate, Results
from pipeline.report.tables.forms import Cell, csv_text, fixed, printed
from pipeline.report.tables.rows import apart, network_of, settled, words

TITLE = "Parameters and multiplications of every network of the tables, counted, beside the reported ones"


@dataclass(frozen=True)
class Cost:
    """A network at one input size (height, width), and the paper's row of it, where there is one.

    reported: the row's main number, percent; measured: ours by method, of the same network and input size, under the
    row's kind of box. milliseconds: of an image, by machine.
    """

    network: str
    dataset: str
    size: tuple[int, int]
    params: int
    gflops: float
    gmacs: float
    line: Line | None
    reported: float | None
    measured: Mapping[str, Estimate] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return NETWORKS[self.network].title

    @property
    def apart(self) -> float | None:
        return apart(self.network, self.params, self.line)

    @property
    def remark(self) -> str:
        return settled(self.network, self.params, self.line)


def make(results: Results) -> list[Cost]:
    """Every counted network: at the sizes of the paper's rows, and those without a row at the paper's own size."""
    path = results.root / paths.complexity()
    if not path.is_file():
        return []
    counted: dict[tuple[str, str, tuple[int, int]], Mapping[str, Any]] = {
        (row["dataset"], row["network"], (row["size"][0], row["size"][1])): row
        for row in files.read_json(path)
    }
    times, costs = _milliseconds(results), []
    for sheet in paper.sheets().values():
        if sheet.rows != "networks":
            continue
        for name in dict.fromkeys(network for dataset, network, _ in counted if dataset == sheet.dataset):
            sizes = {
                size for dataset, network, size in counted if (dataset, network) == (sheet.dataset, name)
            }
            own: list[tuple[Line | None, tuple[int, int]]] = [*_own(sheet, name, sizes, counted)]
            for line, size in own or [(None, tuple(paper.protocol()["input.size"]))]:
                row = counted[sheet.dataset, name, size]
                main = DATASETS[sheet.dataset].METRIC.main
                costs.append(
                    Cost(
                        network=name,
                        dataset=sheet.dataset,
                        size=size,
                        params=row["params"],
                        gflops=row["gflops"],
                        gmacs=row["gmacs"],
                        line=line,
                        reported=line.values.get(main) if line else None,
                        measured=_measured(results, sheet.dataset, name, size, line),
                        milliseconds=times.get((name, size), {}),
                    )
                )
    return costs


def _own(
    sheet: Sheet,
    name: str,
    sizes: set[tuple[int, int]],
    counted: Mapping[tuple[str, str, tuple[int, int]], Mapping[str, Any]],
) -> list[tuple[Line, tuple[int, int]]]:
    """The paper's rows of a network with their input sizes; where none is named, the one that the GFLOPs speak for."""
    rows = []
    for line in sheet.lines:
        if network_of(line) != name or line.gflops is None:
            continue
        gflops = line.gflops

        def miss(size: tuple[int, int], gflops: float = gflops) -> float:
            return abs(float(counted[sheet.dataset, name, size]["gflops"]) - gflops)

        size = line.input_size or min(sorted(sizes), key=miss)
        if size in sizes:
            rows.append((line, size))
    return rows


def _measured(
    results: Results, dataset: str, name: str, size: tuple[int, int], line: Line | None
) -> dict[str, Estimate]:
    """The main number of each measured row of a network at an input size, under the paper's kind of box."""
    measured = {}
    for group in results.of(dataset):
        settings = group.first.record.settings
        if group.run.ablation or group.run.model != name or settings is None or settings.input.size != size:
            continue
        estimates = results.estimates(group, line.box if line else group.metric.boxes[0])
        if estimates is not None:
            measured[group.run.configuration] = estimates[group.metric.main]
    return measured


def _milliseconds(results: Results) -> dict[tuple[str, tuple[int, int]], dict[str, float]]:
    """What benchmarks/complexity.py measured, by network and size, of each machine."""
    times: dict[tuple[str, tuple[int, int]], dict[str, float]] = {}
    for path in sorted((results.root / paths.benchmarks()).glob("complexity-*.json")):
        report = json.loads(path.read_text())
        machine = f"{report['machine']}, batch of {report['batch']}"
        for row in report["rows"]:
            height, width = (int(side) for side in row["size"].split("x"))
            times.setdefault((row["network"], (height, width)), {})[machine] = float(row["ms"])
    return times


def machines(costs: Sequence[Cost]) -> list[str]:
    """Whose milliseconds are known, in the order of their columns."""
    return sorted({machine for cost in costs for machine in cost.milliseconds})


def to_csv(costs: Sequence[Cost]) -> str:
    """All of it; milliseconds in a column for each machine."""
    rows: list[dict[str, Cell]] = []
    for cost in costs:
        height, width = cost.size
        line = cost.line
        rows.append(
            {
                "network": cost.network,
                "title": cost.title,
                "dataset": cost.dataset,
                "input_height": height,
                "input_width": width,
                "params": cost.params,
                "gflops": fixed(cost.gflops, 2),
                "gmacs": fixed(cost.gmacs, 3),
                "reported_row": line.method if line else "",
                "reported_box": words(line.box) if line else "",
                "reported_params": line.params if line else None,
                "reported_gflops": printed(line.gflops) if line else "",
                "params_differ_percent": fixed(cost.apart, 1),
                "reported_accuracy": printed(cost.reported),
                "measured": "; ".join(f"{name} {e.value:.2f}" for name, e in cost.measured.items()),
                **{f"ms, {name}": fixed(cost.milliseconds.get(name), 1) for name in machines(costs)},
                "remark": cost.remark,
            }
        )
    return csv_text(rows)


def readable(costs: Sequence[Cost]) -> list[dict[str, str]]:
    """The table as people read it, a mapping of columns for each row."""
    return [
        {
            "Network": cost.title,
            "Joints": f"{DATASETS[cost.dataset].KEYPOINTS.count} ({DATASETS[cost.dataset].TITLE})",
            "Input": "{} × {}".format(*cost.size),
            "Params": f"{cost.params / 1e6:.2f}M",
            "reported": f"{printed(cost.line.params / 1e6)}M" if cost.line and cost.line.params else "-",
            "GFLOPs": fixed(cost.gflops, 2),
            "reported GFLOPs": printed(cost.line.gflops) if cost.line else "-",
            "True GMACs": fixed(cost.gmacs, 2),
            "Reported accuracy": printed(cost.reported) or "-",
            "Measured": ", ".join(f"{e.value:.1f}" for e in cost.measured.values()) or "-",
            **{f"ms, {name}": fixed(cost.milliseconds.get(name), 1) or "-" for name in machines(costs)},
            "Remark": cost.remark or "-",
        }
        for cost in costs
    ]


def to_markdown(costs: Sequence[Cost]) -> str:
    rows = readable(costs)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join([f"**{TITLE}.**", "", *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def to_latex(costs: Sequence[Cost]) -> str:
    """The table for LaTeX's packages booktabs and graphicx."""
    import pandas as pd

    cells = pd.DataFrame(readable(costs))
    columns = "lll" + "r" * (len(cells.columns) - 4) + "l"
    tabular = cells.to_latex(index=False, escape=True, column_format=columns).replace("×", r"$\times$")
    scaled = rf"\resizebox{{\textwidth}}{{!}}{{{tabular}}}"
    head = [r"\begin{table*}", rf"\caption{{{TITLE}.}}", r"\label{tab:complexity}"]
    return "\n".join([*head, scaled, r"\end{table*}", ""])
