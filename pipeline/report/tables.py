"""The paper's Tables 1 to 3, each reported row with the measured one under it, and the tables of our own."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.datasets import DATASETS
from pipeline.params import ABLATIONS, BASELINES, GUIDED
from pipeline.report.results import Estimate, Group, Results, boxes, main_metric, metric_names

if TYPE_CHECKING:
    import pandas as pd

REPORTED = Path(__file__).parent / "reported"
DATASETS = {name: keypoints.title for name, keypoints in KEYPOINTS.items()}
BOXES = {"ground_truth": "ground truth", "detected": "detected", None: "label"}
NOT_AVAILABLE = "not available"
_MODELS = BASELINES | GUIDED
# Where in a table a network stands that has no row of its own: after the paper's last row of its family.
_FAMILIES = {"sg_": "sg_hrnet_w32", "hrnet": "hrnet_w32", "pose_resnet": "pose_resnet152"}


@dataclass(frozen=True)
class Row:
    """A row of a table. Reported values are text as the paper prints it; measured ones are estimates."""

    method: str
    measured: bool
    data: str
    box: str
    input_size: str
    pretraining: str
    params: str | int
    gflops: str | float
    gmacs: float | None
    precision: str | None = None
    radius: int | None = None
    seeds: int | None = None
    reported: dict[str, str] = field(default_factory=dict)
    estimates: dict[str, Estimate] | None = None
    gain: Estimate | None = None
    notes: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    # What `Row.gain` is, where the table has it.
    gain: str | None = None

    @property
    def measured(self) -> bool:
        return any(row.measured for row in self.rows)


def reported(name: str) -> list[dict[str, str]]:
    """A table of the paper, or its notes, verbatim: a dict a row."""
    import pandas as pd

    return pd.read_csv(REPORTED / f"{name}.csv", dtype=str, keep_default_na=False).to_dict("records")


def reported_pair(table: str, other: str, metric: str) -> tuple[str, str]:
    """What the paper reports of SG-HRNet and of another row."""
    rows = {row["key"]: row for row in reported(table)}
    return rows["sg_hrnet"][metric], rows[other][metric]


def reported_gain(table: str, other: str, metric: str) -> float:
    """The paper's own difference between SG-HRNet and another row, to its one decimal."""
    ours, theirs = reported_pair(table, other, metric)
    return round(float(ours) - float(theirs), 1)


def notes() -> dict[str, str]:
    """What decides how the tables are to be read, a sentence or more by the note's name."""
    return {row["note"]: row["text"] for row in reported("notes")}


def notes_of(place: str) -> tuple[str, ...]:
    """The notes of a reported row ("table2:prab") or a claim ("3")."""
    return tuple(
        row["note"] for row in reported("notes") if place in row["rows"].split() + row["claims"].split()
    )


def method(group: Group) -> str:
    """How a measured row is called."""
    name = _MODELS[group.model]
    if group.checkpoint:
        return f"{name} (checkpoint {group.name})"
    if group.ablation:
        return f"{name}: {ABLATIONS[group.ablation]}"
    return name + (f", r = {group.radius}" if group.radius else "")


def data_name(group: Group) -> str:
    """What the people are that a row was measured on, in words that no one takes for the paper's data."""
    name = DATASETS[group.dataset]
    if group.data["source"] == "demo":
        return f"demo: {group.people} synthetic people, not {name}"
    if not group.full_size:
        return f"sample: {group.people} people of {name}"
    return f"{name}, {group.people} people"


def make(results: Results) -> list[Table]:
    """Every table of the report, in its order; those of our own only where they have rows."""
    others = [_own(results, dataset) for dataset in DATASETS if dataset not in ("mpii", "coco")]
    tables = [_table1(results), _table2(results), _table3(results)]
    return tables + [table for table in (*others, _ablations(results)) if table.rows]


def _table1(results: Results) -> Table:
    groups = [group for group in results.of("mpii") if _is_plain(results, group)]
    return Table(
        "table1",
        "PCKh@0.5 on the MPII validation set",
        metric_names("mpii"),
        _under("table1", groups, results),
    )


def _table2(results: Results) -> Table:
    groups = [group for group in results.of("coco") if _is_plain(results, group)]
    return Table(
        "table2",
        "OKS AP on COCO val2017, ground-truth and detected boxes apart",
        metric_names("coco"),
        _under("table2", groups, results),
    )


def _table3(results: Results) -> Table:
    groups = [group for group in results.of("mpii") if group.radius and not group.ablation]
    rows = [_reported(line, "table3") for line in reported("table3")]
    rows += [row for group in groups for row in _measured(group, results)]
    return Table(
        "table3",
        "PCKh@0.5 on the MPII validation set for each radius of the segmentation map",
        metric_names("mpii"),
        tuple(sorted(rows, key=lambda row: (row.radius, row.measured))),
    )


def _own(results: Results, dataset: str) -> Table:
    groups = [group for group in results.of(dataset) if not group.ablation]
    rows = [row for group in groups for row in _measured(group, results)]
    title = f"PCKh@0.5 on {DATASETS[dataset]}, a set the paper does not use"
    return Table(dataset, title, metric_names(dataset), tuple(rows))


def _ablations(results: Results) -> Table:
    rows = []
    for dataset in results.params.datasets:
        ablations = [group for group in results.of(dataset) if group.ablation]
        guided = results.guided(dataset)
        if not ablations or guided is None:
            continue
        for group in filter(None, (results.baseline(dataset), guided, *ablations)):
            rows += _measured(group, results, against=guided)
    return Table(
        "ablations",
        f"PCKh@0.5, and the change of its mean against the guided network at r = {results.params.radius}",
        metric_names("mpii"),
        tuple(rows),
        gain="Change",
    )


def _is_plain(results: Results, group: Group) -> bool:
    """Whether a group is a row of Tables 1 and 2: no ablation, and no radius but the chosen one."""
    return not group.ablation and group.radius in (None, results.params.radius)


def _under(table: str, groups: list[Group], results: Results) -> tuple[Row, ...]:
    """The paper's rows, under each the measured ones that belong to it."""
    paper = reported(table)
    places = [_place(group, paper) for group in groups]
    rows = []
    for place, line in enumerate(paper):
        rows.append(_reported(line, table))
        for group, its in zip(groups, places, strict=True):
            rows += _measured(group, results) if its == place else []
    return tuple(rows)


def _place(group: Group, paper: list[dict]) -> int:
    """The row of the same network, pretraining and input size, else the last row of the network's family."""
    facts = {
        "model": group.model,
        "pretraining": "N" if group.metrics[0]["pretrained"] == "none" else "Y",
        "input_size": _size(group),
    }
    own = [
        place
        for place, line in enumerate(paper)
        # Table 1 names neither pretraining nor input size.
        if line["model"] and all(line[key] in ("", fact) for key, fact in facts.items())
    ]
    family = next(model for prefix, model in _FAMILIES.items() if group.model.startswith(prefix))
    return (own or [place for place, line in enumerate(paper) if line["model"] == family])[-1]


def _size(group: Group) -> str:
    return "{} × {}".format(*group.metrics[0]["input_size"])


def _reported(line: dict[str, str], table: str) -> Row:
    name = line["method"]
    if line.get("backbone"):
        name += f", {line['backbone']}"
    if line.get("pretraining") == "N":
        name += ", no pretraining"
    # Table 2 prints millions without the M.
    params = line.get("params", "").rstrip("M").strip("-")
    return Row(
        method=name,
        measured=False,
        data="as reported",
        box=line.get("box", "label"),
        input_size=line.get("input_size", ""),
        pretraining=line.get("pretraining", ""),
        params=params and f"{params}M",
        gflops=line.get("gflops", ""),
        gmacs=None,
        radius=int(line["radius"]) if line.get("radius") else None,
        reported={
            metric: line[metric] for metric in metric_names("coco") + metric_names("mpii") if metric in line
        },
        notes=notes_of(f"{table}:{line['key']}"),
        source=line["source"],
    )


def _measured(group: Group, results: Results, against: Group | None = None) -> list[Row]:
    """A group's rows: one, or one for each kind of box, which are never mixed."""
    facts = group.metrics[0]
    rows = []
    for box in boxes(group.dataset):
        estimates = results.estimates(group, box)
        gain = None
        if against is not None and against is not group and estimates is not None:
            metric = main_metric(group.dataset)
            gain = estimates[metric] - results.estimates(against, box)[metric]
        rows.append(
            Row(
                method=method(group),
                measured=True,
                data=data_name(group),
                box=BOXES[box],
                input_size=_size(group),
                # The rest of it says how many tensors were taken.
                pretraining=facts["pretrained"].partition(":")[0],
                precision=group.precision,
                params=facts["params"],
                gflops=facts["gflops"],
                gmacs=facts["gmacs"],
                radius=group.radius,
                seeds=len(group.runs),
                estimates=estimates,
                gain=gain,
                source=" ".join(f"{run.dataset}/{run.name}" for run in group.runs),
            )
        )
    return rows


def heading(table: Table) -> str:
    """The table's short name: Table 1 of the paper, or one of our own."""
    own = DATASETS | {"ablations": "Ablations"}
    return own.get(table.name, f"Table {table.name[-1]}")


def left_out(results: Results) -> list[str]:
    """What these parameters leave out of the report, each with the parameter that adds it."""
    params, missing = results.params, []
    for dataset, name in DATASETS.items():
        lists = "`radius_only`" if dataset == "coco" else "`radius_sweep`"
        if dataset not in params.datasets:
            missing.append(f"{name}: add `{dataset}` to `datasets` and to {lists}.")
        elif dataset != "coco" and dataset not in params.radius_sweep:
            missing.append(f"The radii of {name}: move `{dataset}` from `radius_only` to `radius_sweep`.")
    coco = results.of("coco")
    if coco and all(results.values(group, "detected") is None for group in coco):
        missing.append("COCO with detected boxes: name the detector's file in `evaluate.detections`.")
    absent = [name for name in ABLATIONS if name not in params.ablations]
    if absent and params.radius_sweep:
        missing.append(f"Ablations: add {', '.join(f'`{name}`' for name in absent)} to `ablations`.")
    if len(params.seeds) == 1:
        missing.append("Spread over seeds: name more than one in `seeds`.")
    return missing


def to_csv(table: Table) -> str:
    """All of a table; measured metrics with `_low` and `_high` of the 95% interval and `_sd` over seeds."""
    rows = []
    for row in table.rows:
        line = {
            "method": row.method,
            "row": "measured" if row.measured else "reported",
            "data": row.data,
            "radius": row.radius,
            "box": row.box,
            "input_size": row.input_size,
            "pretraining": row.pretraining,
            "precision": row.precision,
            "params": row.params,
            "gflops": _fixed(row.gflops, 2),
            "gmacs": _fixed(row.gmacs, 3),
            "seeds": row.seeds,
        }
        for metric in table.metrics:
            line.update(_cells(row, metric))
        if table.gain:
            gain = row.gain
            line["difference"] = _fixed(gain and gain.value, 2)
            line["difference_low"] = _fixed(gain and gain.low, 2)
            line["difference_high"] = _fixed(gain and gain.high, 2)
        rows.append({**line, "source": row.source, "notes": " ".join(row.notes)})
    return csv_text(rows)


def _cells(row: Row, metric: str) -> dict[str, str]:
    if not row.measured:
        return {metric: row.reported.get(metric, "")}
    if row.estimates is None:
        return {metric: NOT_AVAILABLE, f"{metric}_low": "", f"{metric}_high": "", f"{metric}_sd": ""}
    estimate = row.estimates[metric]
    return {
        metric: _fixed(estimate.value, 2),
        f"{metric}_low": _fixed(estimate.low, 2),
        f"{metric}_high": _fixed(estimate.high, 2),
        f"{metric}_sd": _fixed(estimate.spread, 2),
    }


def csv_text(rows: list[dict]) -> str:
    """Rows as CSV under the union of their keys; None is blank."""
    import pandas as pd

    # The row with the most columns sets the order: reported rows lack those of the intervals.
    columns = dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row)
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def cell_text(row: Row, metric: str) -> str:
    """A metric as people read it: the paper's own text, or value and interval to one decimal."""
    if not row.measured:
        return row.reported.get(metric, "") or "-"
    if row.estimates is None:
        return NOT_AVAILABLE
    estimate = row.estimates[metric]
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def number(value: float | None, decimals: int = 1) -> str:
    return _fixed(value, decimals) or "-"


def params_text(row: Row) -> str:
    return f"{row.params / 1e6:.2f}M" if isinstance(row.params, int) else row.params or "-"


def _readable(table: Table) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for row in table.rows:
        cells = {
            "Method": row.method,
            "Row": f"measured ({row.data})" if row.measured else "reported",
            "Box": row.box,
            "Input": row.input_size or "-",
            "Pretraining": row.pretraining or "-",
            "Precision": row.precision or "-",
            "Params": params_text(row),
            "GFLOPs": _fixed(row.gflops, 2) or "-",
            "GMACs": _fixed(row.gmacs, 2) or "-",
            "Seeds": str(row.seeds or "-"),
        }
        cells |= {metric: cell_text(row, metric) for metric in table.metrics}
        if table.gain:
            gain = row.gain
            cells[table.gain] = f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]" if gain else "-"
        rows.append(cells)
    return pd.DataFrame(rows)


def to_markdown(table: Table) -> str:
    cells = _readable(table)
    known, said = notes(), table_notes(table)
    marks = [sorted(said.index(note) + 1 for note in row.notes) for row in table.rows]
    cells["Method"] += [f"<sup>{', '.join(map(str, mark))}</sup>" if mark else "" for mark in marks]
    lines = [cells.columns, ["---"] * len(cells.columns), *cells.to_numpy()]
    return (
        "\n".join(
            [
                f"**{table.title}.** {_legend(table)}",
                "",
                *("| " + " | ".join(line) + " |" for line in lines),
                "",
                *(f"{number}. {known[note]}" for number, note in enumerate(said, 1)),
            ]
        ).rstrip()
        + "\n"
    )


def to_latex(table: Table) -> str:
    """The table for LaTeX's packages booktabs and graphicx."""
    cells = _readable(table)
    columns = "llllll" + "r" * (len(cells.columns) - 6)
    tabular = cells.to_latex(index=False, escape=True, column_format=columns).replace("×", r"$\times$")
    caption = f"{table.title}. {_legend(table)}".replace("%", r"\%")
    return "\n".join(
        [
            r"\begin{table*}",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\resizebox{{\textwidth}}{{!}}{{{tabular}}}",
            r"\end{table*}",
            "",
        ]
    )


def table_notes(table: Table) -> list[str]:
    return list(dict.fromkeys(note for row in table.rows for note in row.notes))


def _legend(table: Table) -> str:
    if not table.measured:
        return "Percent. Reported rows as printed; nothing was measured with these parameters."
    return "Percent. Reported rows as printed; measured ones with 95% intervals."


def _fixed(value, decimals: int) -> str:
    """A number with so many decimals, nan and None as nothing, text as it is."""
    if value is None or isinstance(value, str):
        return value or ""
    return "" if value != value else f"{value:.{decimals}f}"
