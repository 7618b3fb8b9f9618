"""The paper's Tables 1 to 3, each reported row with the measured one under it, and the tables of our own."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets.keypoints import KEYPOINTS
from pipeline.report.results import Estimate, Group, Results, boxes, main_metric, metric_names

REPORTED = Path(__file__).parent / "reported"
DATASETS = {name: keypoints.title for name, keypoints in KEYPOINTS.items()}
BOXES = {"ground_truth": "ground truth", "detected": "detected", None: "label"}
NOT_AVAILABLE = "not available"
_ABLATIONS = {
    "no_seg_loss": "no segmentation loss (attention learned without supervision)",
    "no_attention": "no attention (maps learned, nothing multiplied)",
    "fixed_weights": "fixed loss weights instead of DWA",
    "bilinear_hrnet": "no guidance, bilinear fusion only",
    "every_module": "map multiplies in every module",
    "stage_input": "map multiplies the stage's input",
}
_FACTS = ("params", "gflops", "gmacs")


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
    radius: int | None = None
    seeds: int | None = None
    people: int | None = None
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
    with (REPORTED / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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
    if group.checkpoint:
        return f"{model_name(group.model)} (checkpoint {group.name})"
    if group.ablation:
        return f"{model_name(group.model)}: {_ABLATIONS[group.ablation]}"
    return model_name(group.model) + (f", r = {group.radius}" if group.radius else "")


def model_name(model: str) -> str:
    prefix = "SG-HRNet" if model.startswith("sg_") else "HRNet"
    if model.startswith("pose_resnet"):
        return f"SimpleBaseline ResNet-{model.removeprefix('pose_resnet')}"
    size = model.rsplit("_", 1)[1]
    return f"{prefix} (small)" if size == "small" else f"{prefix}-{size.upper()}"


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
        tuple(_under(reported("table1"), "table1", groups, _family, results)),
    )


def _table2(results: Results) -> Table:
    groups = [group for group in results.of("coco") if _is_plain(results, group)]

    def row_of(group: Group) -> str:
        pretrained = group.metrics[0]["pretrained"] != "none"
        if group.model.startswith("pose_resnet"):
            large = "_384" if group.metrics[0]["input_size"] == [384, 288] else ""
            return f"simple_baseline_{group.model.removeprefix('pose_resnet')}{large}"
        family = _family(group)
        return family if pretrained or family != "hrnet_w32" else "hrnet_w32_scratch"

    return Table(
        "table2",
        "OKS AP on COCO val2017, ground-truth and detected boxes apart",
        metric_names("coco"),
        tuple(_under(reported("table2"), "table2", groups, row_of, results)),
    )


def _table3(results: Results) -> Table:
    groups = [group for group in results.of("mpii") if group.radius and not group.ablation]
    return Table(
        "table3",
        "PCKh@0.5 on the MPII validation set for each radius of the segmentation map",
        metric_names("mpii"),
        tuple(_under(reported("table3"), "table3", groups, lambda group: f"r{group.radius}", results)),
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


def _family(group: Group) -> str:
    if group.model.startswith("pose_resnet"):
        return "simple_baseline"
    return "sg_hrnet" if group.model.startswith("sg_") else "hrnet_w32"


def _under(paper: list[dict], table: str, groups: list[Group], row_of, results: Results) -> list[Row]:
    rows, placed = [], set()
    for line in paper:
        rows.append(_reported(line, table))
        for group in groups:
            if row_of(group) == line["key"]:
                rows += _measured(group, results)
                placed.add(group.name)
    return rows + [row for group in groups if group.name not in placed for row in _measured(group, results)]


def _reported(line: dict[str, str], table: str) -> Row:
    name = line["method"]
    if line.get("backbone"):
        name += f", {line['backbone']}"
    return Row(
        method=name,
        measured=False,
        data="as reported",
        box=line.get("box", "label"),
        input_size=line.get("input_size", ""),
        pretraining=line.get("pretraining", ""),
        params=line.get("params", ""),
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
                input_size="{} × {}".format(*facts["input_size"]),
                pretraining=facts["pretrained"],
                **{fact: facts[fact] for fact in _FACTS},
                radius=group.radius,
                seeds=len(group.runs),
                people=group.people,
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
    absent = [name for name in _ABLATIONS if name not in params.ablations]
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
    names = _column_order(rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _column_order(rows: list[dict]) -> list[str]:
    # The row with the most columns sets the order: reported rows lack those of the intervals.
    return list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))


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


def _readable(table: Table) -> tuple[list[str], list[list[str]]]:
    header = [
        "Method",
        "Row",
        "Box",
        "Input",
        "Pretraining",
        "Params",
        "GFLOPs",
        "GMACs",
        "Seeds",
        *table.metrics,
    ]
    lines = []
    for row in table.rows:
        lines.append(
            [
                row.method,
                f"measured ({row.data})" if row.measured else "reported",
                row.box,
                row.input_size or "-",
                row.pretraining or "-",
                params_text(row),
                _fixed(row.gflops, 2) or "-",
                _fixed(row.gmacs, 2) or "-",
                str(row.seeds or "-"),
                *(cell_text(row, metric) for metric in table.metrics),
            ]
        )
        if table.gain:
            gain = row.gain
            lines[-1].append(f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]" if gain else "-")
    return header + ([table.gain] if table.gain else []), lines


def to_markdown(table: Table) -> str:
    header, lines = _readable(table)
    out = [f"**{table.title}.** {_legend(table)}", ""]
    out += [_pipes(header), _pipes(["---"] * len(header)), *map(_pipes, lines)]
    known, used = notes(), table_notes(table)
    return "\n".join(out + [""] + [f"- {known[note]}" for note in used]).rstrip() + "\n"


def to_latex(table: Table) -> str:
    """The table for LaTeX's packages booktabs and graphicx."""
    header, lines = _readable(table)
    body = [" & ".join(map(_tex, line)) + r" \\" for line in lines]
    columns = "lllll" + "r" * (len(header) - 5)
    return "\n".join(
        [
            r"\begin{table*}",
            rf"\caption{{{_tex(table.title)}. {_tex(_legend(table))}}}",
            rf"\label{{tab:{table.name}}}",
            rf"\resizebox{{\textwidth}}{{!}}{{\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_tex, header)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
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


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _tex(text: str) -> str:
    for character in "&%#_":
        text = text.replace(character, "\\" + character)
    return text.replace("×", r"$\times$").replace(" - ", " -- ")


def _fixed(value, decimals: int) -> str:
    """A number with so many decimals, nan and None as nothing, text as it is."""
    if value is None or isinstance(value, str):
        return value or ""
    return "" if value != value else f"{value:.{decimals}f}"
