"""The forms of a table: CSV for programs, in which a column holds numbers or nothing; Markdown and LaTeX for people."""

import csv
import io
import math
from collections.abc import Iterable, Mapping

from pipeline.report.results import Estimate
from pipeline.report.tables import Table
from pipeline.report.tables.rows import Row, words

NOT_AVAILABLE = "not available"
NOT_LEARNED = "not learned"
NOT_COMPARABLE = "not comparable"
Cell = str | float | None


def to_csv(table: Table) -> str:
    """All of a table; measured metrics with `_low` and `_high` of the 95% interval and `_sd` over seeds."""
    lines = []
    for row in table.rows:
        height, width = row.input_size or (None, None)
        line: dict[str, Cell] = {
            "method": row.method,
            "row": "measured" if row.measured else "reported",
            "data": row.data,
            "radius": row.radius,
            "box": words(row.box),
            "input_height": height,
            "input_width": width,
            "pretraining": row.pretraining,
            "precision": row.precision,
            "params": row.params,
            "gflops": fixed(row.gflops, 2) if row.measured else printed(row.gflops),
            "gmacs": fixed(row.gmacs, 3),
            "seeds": row.seeds,
        }
        for metric in table.metrics:
            line |= _cells(row, metric)
        if table.gain:
            low, high = _on_these(row.gain)
            line |= _interval("difference", row.gain)
            line |= {
                "difference_low_these_images": fixed(low, 2),
                "difference_high_these_images": fixed(high, 2),
            }
        lines.append({**line, "source": row.source, "notes": " ".join(row.remarks)})
    return csv_text(lines)


def _cells(row: Row, metric: str) -> dict[str, Cell]:
    if not row.measured:
        return _interval(metric, None) | {f"{metric}_sd": "", metric: printed(row.reported.get(metric))}
    estimate = row.estimates.get(metric) if row.estimates else None
    return _interval(metric, estimate) | {f"{metric}_sd": fixed(estimate.spread, 2) if estimate else ""}


def _interval(name: str, estimate: Estimate | None) -> dict[str, Cell]:
    return {
        name: fixed(estimate.value, 2) if estimate else "",
        f"{name}_low": fixed(estimate.low, 2) if estimate else "",
        f"{name}_high": fixed(estimate.high, 2) if estimate else "",
    }


def csv_text(rows: Iterable[Mapping[str, Cell]]) -> str:
    """Rows of the same keys as CSV; None is blank."""
    lines, file = list(rows), io.StringIO()
    writer = csv.DictWriter(file, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def to_markdown(table: Table) -> str:
    numbers: dict[str, int] = {}
    lines = []
    for row, cells in zip(table.rows, _readable(table), strict=True):
        said = sorted(numbers.setdefault(text, len(numbers) + 1) for text in row.remarks)
        marks = ", ".join(map(str, said))
        lines.append([cells["Method"] + (f"<sup>{marks}</sup>" if marks else ""), *list(cells.values())[1:]])
    head = list(_readable(table)[0])
    parts = [
        f"**{table.title}.** {_legend(table)}",
        "",
        *("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)),
        "",
        *(f"{number}. {text}" for text, number in numbers.items()),
    ]
    return "\n".join(parts).rstrip() + "\n"


def to_latex(table: Table) -> str:
    """The table for LaTeX's packages booktabs and graphicx."""
    import pandas as pd

    cells = pd.DataFrame(_readable(table))
    columns = "llllll" + "r" * (len(cells.columns) - 6)
    tabular = cells.to_latex(index=False, escape=True, column_format=columns).replace("×", r"$\times$")
    refused = dict.fromkeys(row.refused for row in table.rows if row.refused)
    caption = " ".join([f"{table.title}. {_legend(table)}", *refused])
    caption = caption.replace("%", r"\%").replace("_", r"\_")
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


def _readable(table: Table) -> list[dict[str, str]]:
    rows = []
    for row in table.rows:
        cells = {
            "Method": row.method,
            "Row": f"measured ({row.data})" if row.measured else "reported",
            "Box": words(row.box),
            "Input": size_text(row) or "-",
            "Pretraining": row.pretraining or "-",
            "Precision": row.precision or "-",
            "Params": params_text(row) or "-",
            "GFLOPs": gflops_text(row) or "-",
            "GMACs": fixed(row.gmacs, 2) or "-",
            "Seeds": str(row.seeds or "-"),
        }
        cells |= {metric: _cell_text(row, metric) for metric in table.metrics}
        if table.gain:
            cells[table.gain] = NOT_COMPARABLE if row.refused else _gain_text(row.gain)
        rows.append(cells)
    return rows


def _on_these(gain: Estimate | None) -> tuple[float, float]:
    return gain.on_these_images if gain else (math.nan, math.nan)


def _gain_text(gain: Estimate | None) -> str:
    """A difference with its interval on new images, and of several seeds that on these."""
    if gain is None:
        return "-"
    (low, high), text = _on_these(gain), f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    return text if math.isnan(low) else f"{text}, on these images [{low:+.2f}, {high:+.2f}]"


def _cell_text(row: Row, metric: str) -> str:
    """A metric as people read it: as the paper prints it, or value and interval to one decimal."""
    if not row.measured:
        return printed(row.reported.get(metric)) or "-"
    if row.estimates is None:
        return NOT_AVAILABLE
    if metric not in row.estimates:
        return "-"
    if metric in row.unlearned:
        return NOT_LEARNED
    estimate = row.estimates[metric]
    return "{} [{}, {}]".format(*(number(x) for x in (estimate.value, estimate.low, estimate.high)))


def size_text(row: Row) -> str:
    return "{} × {}".format(*row.input_size) if row.input_size else ""


def params_text(row: Row) -> str:
    if row.params is None:
        return ""
    return f"{row.params / 1e6:.2f}M" if row.measured else f"{printed(row.params / 1e6)}M"


def gflops_text(row: Row) -> str:
    return fixed(row.gflops, 2) if row.measured else printed(row.gflops)


def printed(value: float | None) -> str:
    """A number of the paper's, which prints no zeros after the point."""
    return "" if value is None else f"{value:g}"


def number(value: float | None, decimals: int = 1) -> str:
    return fixed(value, decimals) or "-"


def signed(value: float | None, decimals: int = 2) -> str:
    """A difference for people, with a minus sign as wide as the plus."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:+,.{decimals}f}".replace("-", "−")


def fixed(value: float | None, decimals: int) -> str:
    """A number with so many decimals, nan and None as nothing."""
    return "" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _legend(table: Table) -> str:
    if not table.measured:
        return "Percent. Reported rows as printed; nothing was measured with these parameters."
    return "Percent. Reported rows as printed; measured ones with 95% intervals."
