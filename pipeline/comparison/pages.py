"""What people see of a run in MLflow: a note with its numbers, its dataset, its pictures and plots, its verdicts."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import paths
from pipeline.comparison.tracked import Source, Tracked
from pipeline.datasets import DATASETS
from pipeline.report.claims.rules import Verdict
from pipeline.report.figures import pictures, training
from pipeline.report.figures.style import STYLE
from pipeline.report.results import Group, Results
from pipeline.report.tables.rows import data_name, method, words

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Row

# Of a tag, in every kind of store.
LONGEST = 5000
_FILES = ("history.csv", "metrics.json")


class OfOneRun(Results):
    """One run's results as if it were what the report's drawings show of its dataset."""

    def guided(self, dataset: str, radius: float | None = None) -> Group | None:
        group = self.groups[0]
        return group if group.run.guided and group.dataset == dataset else None

    def baseline(self, dataset: str) -> Group | None:
        group = self.groups[0]
        return None if group.run.guided or group.dataset != dataset else group


def note(results: Results) -> str:
    """A run's, or its configuration's, main numbers in words."""
    group = results.groups[0]
    metric, seeds = group.metric, len(group.runs)
    lines = [f"{method(group)}, {data_name(group)}, {seeds} training{'s' if seeds > 1 else ''}."]
    for box in metric.boxes:
        if estimates := results.estimates(group, box):
            main = estimates[metric.main]
            spread = f", standard deviation over seeds {main.spread:.2f}" if main.spread is not None else ""
            kind = f", {words(box)} boxes" if len(metric.boxes) > 1 else ""
            lines.append(
                f"**{metric.title} {main.value:.2f}**{kind} (95% interval {main.low:.2f} to {main.high:.2f}{spread})."
            )
    if seeds == 1:
        lines.append("The interval is over images; one training tells nothing of the next one's luck.")
    return " ".join(lines)


def log_dataset(client: "MlflowClient", row: "Row", one: Tracked, group: Group) -> None:
    """The people that it was trained on and measured with, as the run's input."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data, people = one.facts.record.data, group.first.people
    counts = {"people in validation": people, "images in validation": group.first.images}
    summary = paths.people(one.run.dataset) / "summary.json"
    if one.source.root is not None and (one.source.root / summary).is_file():
        splits = json.loads((one.source.root / summary).read_text())["splits"]
        counts = {f"people in {split}": read["people"] for split, read in splits.items()}
    given = Dataset(
        name=one.run.dataset,
        # MLflow takes 36 characters.
        digest=(data.people_sha256 or data.archives_sha256)[:36],
        source_type=data.source,
        source=json.dumps({"uri": f"{data.source}: archives {data.archives_sha256}"}),
        profile=json.dumps(counts),
    )
    tags = [InputTag("mlflow.data.context", "training and validation")]
    client.log_inputs(row.info.run_id, [DatasetInput(given, tags)])


def log_files(client: "MlflowClient", row: "Row", results: Results) -> None:
    """History, metrics, and the report's plots and pictures of this run alone."""
    import matplotlib

    matplotlib.use("svg")
    group, folder = results.groups[0], results.groups[0].folders[0]
    one = OfOneRun(results.params, results.root, [group.run])
    with tempfile.TemporaryDirectory() as name, matplotlib.rc_context(STYLE):
        out = Path(name)
        for file in _FILES:
            if (folder / file).is_file():
                shutil.copyfile(folder / file, out / file)
        made: list[Any] = []
        if (folder / "history.csv").is_file() and group.run.guided:
            made += [training.dynamic_weights(one, _no_columns), training.losses(one, _no_columns)]
            made.append(training.map_iou(one, _no_columns))
        if (folder / "examples.npz").is_file():
            made += [pictures.predictions(one), pictures.attention(one)]
        for sketch in (sketch for sketches in made for sketch in sketches):
            place = out / ("pictures" if sketch.picture else "plots")
            place.mkdir(exist_ok=True)
            sketch.save(place)
        client.log_artifacts(row.info.run_id, name)


def _no_columns(name: str, dataset: str, series: str, columns: dict[str, Any]) -> None:
    """Those are for `dvc plots`."""


def verdicts(source: Source) -> dict[str, dict[str, str]]:
    """By DATASET/RUN the claims that its guided runs are compared for: tags `claim.N`, a line for each part."""
    tags: dict[str, dict[str, str]] = {}
    for claim in claims_of(source):
        for run in claim["runs"].split():
            if claim["verdict"] == Verdict.NOT_MEASURED:
                continue
            key = f"claim.{claim['claim']}"
            lines = tags.setdefault(run, {}).get(key, "").splitlines()
            tags[run][key] = "\n".join([*lines, f"{claim['part']}: {verdict(claim)}"])[:LONGEST]
    return tags


def verdict(claim: dict[str, str]) -> str:
    """A claim's verdict and, while it is preliminary or withheld, what it would be; and its numbers."""
    said = claim["verdict"]
    if claim["preliminary"] and said != Verdict.PRELIMINARY:
        said += ", and preliminary"
    if claim["would_be"]:
        said += f"; would be {claim['would_be']}"
    if claim["difference"]:
        said += f" ({float(claim['difference']):+.2f} {claim['unit']}{_intervals(claim)})"
    return said


def _intervals(claim: dict[str, str]) -> str:
    """A difference's intervals: on new images and on these, or the one over seeds of what no image is known of."""
    if not claim["low"]:
        return ""
    new, these = (
        f", {claim[f'low{images}']} to {claim[f'high{images}']}" for images in ("", "_these_images")
    )
    if not claim["low_these_images"]:
        return f"{new} on new images"
    return f"{new} over seeds" if new == these else f"{new} on new images{these} on these"


def claims_of(source: Source) -> list[dict[str, str]]:
    """The rows of reports/claims.csv, where the report is there."""
    if source.root is None or not (file := source.root / "reports" / "claims.csv").is_file():
        return []
    return list(csv.DictReader(io.StringIO(file.read_text())))


def description(dataset: str, claims: Sequence[dict[str, str]]) -> str:
    """An experiment's: the verdicts on its dataset, in Markdown."""
    rows = [c for c in claims if dataset in c["dataset"].split() and c["runs"]]
    lines = [f"{DATASETS[dataset].TITLE}: what the report says of these runs.", ""]
    lines += ["| claim | part | verdict |", "| --- | --- | --- |"] if rows else []
    lines += [f"| {c['claim']} | {c['part']} | {verdict(c)} |" for c in rows]
    return "\n".join(lines)[:LONGEST]
