"""Everything under reports/: the tables as files, the summary that DVC shows, and one page for people."""

import base64
import json
from pathlib import Path

import jinja2
import yaml

from pipeline import paths
from pipeline.report import claims as claims_
from pipeline.report import figures as figures_
from pipeline.report import tables as tables_
from pipeline.report.results import Group, Results, boxes, main_metric, printable

PAPER = "https://doi.org/10.18280/ts.410522"
_REPORTED = (("table1", "hrnet_w32", "Mean"), ("table2", "hrnet_w32", "AP"))
# Matplotlib writes colours into its SVG; in the page those of ink follow the reader's light or dark theme.
_INK = {figures_.INK: "--figure-ink", figures_.GRID: "--figure-grid"}


def write(results: Results, out: Path) -> None:
    """Write the whole report into the folder `out`, whose earlier content is removed."""
    paths.emptied(out)
    tables, claims = tables_.make(results), claims_.judge(results)
    for table in tables:
        (out / f"{table.name}.csv").write_text(tables_.to_csv(table))
        (out / f"{table.name}.md").write_text(tables_.to_markdown(table))
        (out / f"{table.name}.tex").write_text(tables_.to_latex(table))
    (out / "claims.csv").write_text(claims_.to_csv(claims))
    (out / "summary.json").write_text(json.dumps(summary(results), indent=2) + "\n")
    drawn = figures_.draw(results, tables, out)
    (out / "index.html").write_text(render(results, tables, claims, drawn))


def summary(results: Results) -> dict[str, dict[str, float]]:
    """The main metric of each dataset, short enough for `dvc exp show`: baseline, guided at `radius`, gain."""
    found = {}
    for dataset in results.params.datasets:
        metric = main_metric(dataset)
        for box in boxes(dataset):
            values = {}
            for group in results.of(dataset):
                means = results.values(group, box)
                if means is not None:
                    values[_short(group, results)] = means[metric]
            if not values:
                continue
            baseline = results.params.guided.removeprefix("sg_")
            if "sg" in values and baseline in values:
                values["gain"] = values["sg"] - values[baseline]
            name = dataset if box in (None, "ground_truth") else f"{dataset}_{box}"
            found[name] = {key: None if value != value else round(value, 2) for key, value in values.items()}
    return found


def _short(group: Group, results: Results) -> str:
    if group.checkpoint:
        return group.name
    if group.ablation:
        return group.ablation
    if group.radius is None:
        return group.model
    return "sg" if group.radius == results.params.radius else f"sg_r{group.radius}"


def render(
    results: Results, tables: list[tables_.Table], claims: list[claims_.Claim], drawn: list[figures_.Figure]
) -> str:
    """The page as one file that needs no other; environment.html beside it adds what differs by run."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": tables_.number, "signed": _signed, "slug": _slug}
    return environment.get_template("page.html.j2").render(
        paper=PAPER,
        params=results.params,
        parameters=yaml.safe_dump(
            printable(results.params), sort_keys=False, default_flow_style=None, width=100
        ),
        datasets=tables_.DATASETS,
        demo=[g for g in results.groups if g.data["source"] == "demo"],
        partial=[g for g in results.groups if g.data["source"] != "demo" and not g.full_size],
        headlines=_headlines(results),
        reported_gains=[tables_.reported_gain(*place) for place in _REPORTED],
        reported_pairs=[tables_.reported_pair(*place) for place in _REPORTED],
        by_number=claims_.by_number(claims),
        titles=claims_.TITLES,
        counts=claims_.counts(claims),
        glance=claims_.at_a_glance(claims),
        tables=tables,
        tables_=tables_,
        notes=tables_.notes(),
        notes_of=tables_.notes_of,
        figures={figure.name: figure for figure in drawn},
        embedded=_embedded,
        runs=_runs(results),
        left_out=tables_.left_out(results),
    )


def _headlines(results: Results) -> list[dict]:
    """For each dataset and kind of box: the guided network against its backbone, the page's first answer."""
    found = []
    for dataset in results.params.datasets:
        guided, baseline = results.guided(dataset), results.baseline(dataset)
        if guided is None or baseline is None:
            continue
        metric = main_metric(dataset)
        for box in boxes(dataset):
            pair = [results.estimates(group, box) for group in (guided, baseline)]
            if None in pair:
                continue
            found.append(
                {
                    "dataset": tables_.DATASETS[dataset],
                    "data": tables_.data_name(guided),
                    "metric": "AP" if metric == "AP" else "mean PCKh@0.5",
                    "box": tables_.BOXES[box],
                    "names": (tables_.method(guided), tables_.method(baseline)),
                    "pair": [estimates[metric] for estimates in pair],
                    "gain": pair[0][metric] - pair[1][metric],
                    "seeds": len(guided.runs),
                    "full_size": guided.full_size,
                }
            )
    return found


def _runs(results: Results) -> list[dict]:
    """Where the numbers come from, a mapping for each run."""
    found = []
    for group in results.groups:
        for run, metrics in zip(group.runs, group.metrics, strict=True):
            found.append(
                {
                    "id": f"{run.dataset}/{run.name}",
                    "method": tables_.method(group),
                    "seed": metrics.get("seed"),
                    "facts": metrics,
                    "data": tables_.data_name(group),
                    "precision": group.precision,
                    "results": str(paths.results(run.dataset, run.name)),
                }
            )
    return found


def _embedded(figure: figures_.Figure) -> str:
    """A figure as a data URI; the ink of a drawing follows the theme of the page."""
    content = figure.path.read_bytes()
    if figure.path.suffix != ".svg":
        return "data:image/png;base64," + base64.b64encode(content).decode()
    text = content.decode()
    style = (
        f"<style>:root{{--figure-ink:{figures_.INK};--figure-grid:{figures_.GRID}}}"
        "@media(prefers-color-scheme:dark){:root{--figure-ink:#d6d3cc;--figure-grid:#45484d}}</style>"
    )
    for colour, variable in _INK.items():
        text = text.replace(colour, f"var({variable})")
    head, rest = text.split("<defs>", 1)
    return "data:image/svg+xml;base64," + base64.b64encode(f"{head}{style}<defs>{rest}".encode()).decode()


def _signed(value: float | None, decimals: int = 2) -> str:
    if value is None or value != value:
        return ""
    return f"{value:+.{decimals}f}".replace("-", "−")


def _slug(text: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in text.lower())
