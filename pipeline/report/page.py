"""Everything under reports/: the tables as files, the summary that DVC shows, and one page for people."""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.report import claims as claims_
from pipeline.report import complexity, course, paper, resolution, split
from pipeline.report import figures as figures_
from pipeline.report import tables as tables_
from pipeline.report.alike import differing
from pipeline.report.claims import Claim, Verdict, effort
from pipeline.report.figures import Figure
from pipeline.report.figures.style import GRID, INK
from pipeline.report.results import Group, Results, printable
from pipeline.report.tables import Table, forms
from pipeline.report.tables.rows import data_name, method, unlearned, words

PAPER = "https://doi.org/10.18280/ts.410522"
# Matplotlib writes colours into its SVG; in the page those of ink follow the reader's light or dark theme.
_INK = {INK: "--figure-ink", GRID: "--figure-grid"}
# Of differences in the claims; two of all others.
_DECIMALS = {"parameters": 0, "percent": 1}


def write(results: Results, out: Path) -> None:
    """Write the whole report into the folder `out`, whose earlier content is removed."""
    paths.emptied(out)
    tables, claims = tables_.make(results), claims_.judge(results)
    for table in tables:
        (out / f"{table.name}.csv").write_text(forms.to_csv(table))
        (out / f"{table.name}.md").write_text(forms.to_markdown(table))
        (out / f"{table.name}.tex").write_text(forms.to_latex(table))
    (out / "resolution.csv").write_text(resolution.to_csv(resolution.make(results)))
    (out / "claims.csv").write_text(claims_.to_csv(claims))
    (out / "gain_split.csv").write_text(split.to_csv(split.steps(results)))
    (out / "gain_course.csv").write_text(course.to_csv(course.points(results)))
    (out / "summary.json").write_text(json.dumps(summary(results), indent=2) + "\n")
    if costs := complexity.make(results):
        (out / "complexity.csv").write_text(complexity.to_csv(costs))
        (out / "complexity.md").write_text(complexity.to_markdown(costs))
        (out / "complexity.tex").write_text(complexity.to_latex(costs))
    drawn = figures_.draw(results, tables, costs, out)
    (out / "index.html").write_text(render(results, tables, claims, drawn))


def summary(results: Results) -> dict[str, dict[str, Any]]:
    """The main metric of each dataset and kind of box, for `dvc exp show` and `dvc metrics diff`.

    at_radius: the guided network's at `radius`; gain_at_radius: what it has over its backbone, None of unequal runs,
    which `not_compared` names; gain_intervals: its 95% intervals, on new images and on these; runs: each by the name
    of its configuration, which is the same whatever `radius` is.
    """
    content: dict[str, dict[str, Any]] = {}
    for dataset in results.params.measured:
        metric, guided = DATASETS[dataset].METRIC, results.guided(dataset)
        for box in metric.boxes:
            scores = {group.run.configuration: results.values(group, box) for group in results.of(dataset)}
            runs = {name: means[metric.main] for name, means in scores.items() if means is not None}
            values: dict[str, Any] = {}
            if guided is not None and guided.run.configuration in runs:
                values["at_radius"] = _rounded(runs[guided.run.configuration])
                if (pair := results.pair(dataset)) is not None:
                    values |= _gain(results, pair, box)
            if runs:
                name = dataset if box == metric.boxes[0] else f"{dataset}_{box}"
                content[name] = values | {"runs": {name: _rounded(value) for name, value in runs.items()}}
    return content


def _gain(results: Results, pair: tuple[Group, Group], box: str) -> dict[str, Any]:
    """The summary's keys of what a network has over another."""
    if reason := differing(pair):
        return {"gain_at_radius": None, "not_compared": reason}
    values = [estimate[pair[0].metric.main] for group in pair if (estimate := results.estimates(group, box))]
    gain = values[0] - values[1]
    low, high = gain.on_these_images
    ends = {"low": gain.low, "high": gain.high, "low_these_images": low, "high_these_images": high}
    return {
        "gain_at_radius": _rounded(gain.value),
        "gain_intervals": {end: _rounded(value) for end, value in ends.items()},
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def render(
    results: Results, tables: Sequence[Table], claims: Sequence[Claim], drawn: Sequence[Figure]
) -> str:
    """The page as one file that needs no other; environment.html beside it adds what differs by run."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": forms.number, "signed": forms.signed, "slug": _slug, "words": words}
    rates = effort.measured_rates(results)
    conclusions = claims_.conclude(claims)
    demo = [group for group in results.groups if group.first.record.data.source == "demo"]
    return environment.get_template("page.html.j2").render(
        paper=PAPER,
        params=results.params,
        resolutions=resolution.make(results),
        costs=complexity.readable(complexity.make(results)),
        costs_title=complexity.TITLE,
        parameters=yaml.safe_dump(
            printable(results.params), sort_keys=False, default_flow_style=None, width=100
        ),
        demo=demo,
        partial=_partial(results),
        headlines=_headlines(results),
        reported=_reported(),
        steps=split.steps(results),
        course=course.points(results),
        by_number=claims_.by_number(claims),
        basis=claims_.basis,
        titles=paper.titles(),
        counts=claims_.counts(conclusions),
        glance={
            basis: {
                number: [each for each in conclusions if each.number == number]
                for number in paper.titles()
                if claims_.basis(number) == basis
            }
            for basis in claims_.Basis
        },
        clusterings=[
            (DATASETS[name].TITLE, clustering)
            for name in results.params.measured
            if (clustering := results.clustering(name)) is not None
            and not differing(results.pair(name) or ())
        ],
        difference=_difference,
        intervals=_intervals,
        identity=id,
        efforts={
            id(claim): plan.words
            for claim in claims
            if claim.verdict in (Verdict.PRELIMINARY, Verdict.INCONCLUSIVE)
            and (plan := effort.of(results, claim, rates)) is not None
        },
        tables=tables,
        forms=forms,
        notes=paper.notes(),
        notes_of=paper.notes_of,
        figures={figure.name: figure for figure in drawn},
        pictures=[figure.name for figure in drawn if figure.picture],
        embedded=_embedded,
        runs=_runs(results),
        left_out=tables_.left_out(results),
    )


def _partial(results: Results) -> str:
    """How many people of which datasets, where they are real and not all."""
    groups = {
        g.dataset: g for g in results.groups if not g.full_size and g.first.record.data.source != "demo"
    }
    return ", ".join(
        f"{group.first.people} people of {DATASETS[name].TITLE}" for name, group in groups.items()
    )


def _headlines(results: Results) -> list[dict[str, Any]]:
    """For each dataset and kind of box: the guided network against its backbone, the page's first answer."""
    lines = []
    for dataset in results.params.measured:
        pair, metric = results.pair(dataset), DATASETS[dataset].METRIC
        for box in metric.boxes if pair else ():
            estimates = [results.estimates(group, box) for group in pair or ()]
            values = [estimate[metric.main] for estimate in estimates if estimate is not None]
            if pair is None or len(values) < 2:
                continue
            lines.append(
                {
                    "data": data_name(pair[0]),
                    "points": metric.title + (f", {words(box)} boxes" if len(metric.boxes) > 1 else ""),
                    "names": [method(group) for group in pair],
                    "pair": values,
                    "refused": differing(pair),
                    "unlearned": unlearned(results, pair, box),
                    "gain": values[0] - values[1],
                    "these": (values[0] - values[1]).on_these_images,
                    "seeds": min(len(group.runs) for group in pair),
                    "full_size": pair[0].full_size,
                }
            )
    return lines


def _reported() -> dict[str, Any]:
    """The paper's own first answer, from those of its tables that have one."""
    sheets = [sheet for sheet in paper.sheets().values() if sheet.other]
    mains = [DATASETS[sheet.dataset].METRIC for sheet in sheets]
    pairs = [s.pair(s.row, s.other, metric.main) for s, metric in zip(sheets, mains, strict=True)]
    return {
        "gains": [s.gain(s.row, s.other, metric.main) for s, metric in zip(sheets, mains, strict=True)],
        "points": " / ".join(
            f"of {metric.title} on {DATASETS[s.dataset].TITLE}"
            for s, metric in zip(sheets, mains, strict=True)
        ),
        "names": [NETWORKS[sheets[0].line(key).model].title for key in (sheets[0].row, sheets[0].other)],
        "numbers": [" / ".join(forms.printed(pair[side]) for pair in pairs) for side in (0, 1)],
    }


def _difference(claim: Claim) -> str:
    """A claim's measured difference with its interval, as people read it; empty where there is none."""
    if claim.difference is None:
        return ""
    percent = "%" if claim.unit == "percent" else ""
    decimals = _DECIMALS.get(claim.unit, 2)
    value, low, high = (
        forms.signed(number, decimals) + percent for number in (claim.difference, claim.low, claim.high)
    )
    return value if claim.low is None else f"{value} [{low}, {high}]"


def _intervals(claim: Claim) -> str:
    """What a claim's difference is on the same images, and its p-values."""
    decimals, known = _DECIMALS.get(claim.unit, 2), claim.low_these_images
    said = []
    if known is not None and not math.isnan(known):
        limits = (forms.signed(limit, decimals) for limit in (known, claim.high_these_images))
        said.append(f"on these images [{', '.join(limits)}]")
    if claim.p is not None and claim.p_holm is not None:
        said.append(f"p {_p(claim.p)}, Holm's {_p(claim.p_holm)}")
    return "; ".join(said)


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def _runs(results: Results) -> list[dict[str, Any]]:
    """Where the numbers come from, a mapping for each run."""
    return [
        {
            "id": f"{run.dataset}/{run.name}",
            "run": run,
            "method": method(group),
            "evaluation": evaluation,
            "record": evaluation.record,
            "data": data_name(group),
            "results": str(paths.results(run.dataset, run.name)),
        }
        for group in results.groups
        for run, evaluation in zip(group.runs, group.evaluations, strict=True)
    ]


def _embedded(figure: Figure) -> str:
    """A figure as a data URI; the ink of a drawing follows the theme of the page."""
    content = figure.path.read_bytes()
    if figure.picture:
        return "data:image/png;base64," + base64.b64encode(content).decode()
    text = content.decode()
    style = (
        f"<style>:root{{--figure-ink:{INK};--figure-grid:{GRID}}}"
        "@media(prefers-color-scheme:dark){:root{--figure-ink:#d6d3cc;--figure-grid:#45484d}}</style>"
    )
    for colour, variable in _INK.items():
        text = text.replace(colour, f"var({variable})")
    head, rest = text.split("<defs>", 1)
    return "data:image/svg+xml;base64," + base64.b64encode(f"{head}{style}<defs>{rest}".encode()).decode()


def _slug(text: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in text.lower())
