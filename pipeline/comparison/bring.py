"""A run's row in MLflow made what DVC tracks of it; where it already is, nothing is sent."""

import csv
import fcntl
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files, paths
from pipeline.comparison import pages
from pipeline.comparison.tracked import Tracked, Untracked
from pipeline.datasets import DATASETS
from pipeline.report import attention
from pipeline.report.results import Estimate, Group, Results
from pipeline.report.tables.forms import fixed
from pipeline.tracking import store
from pipeline.tracking.rows import Facts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Row

Steps = dict[tuple[str, int], float]
# What only those who watched a training know.
_LIVE = ("images_per_second", "system/")
# What was measured of the four maps, mean over them.
MAPS = {
    "iou": "iou.mean",
    "iou_best": "iou.best_threshold",
    "auroc": "auroc.mean",
    "inside": "attention.on_person",
}
_ONCE = ("mlflow.source.git.commit", "dvc.experiment")


def bring(
    client: "MlflowClient",
    one: Tracked,
    claims: dict[str, dict[str, str]] | None = None,
    with_weights: bool = False,
) -> bool:
    """Whether anything had to be sent. claims: tags of verdicts by run, as `pages.verdicts` gives them."""
    facts = one.facts
    with store.locked():
        experiment = store.experiment_id(client, facts.experiment)
        row = _only(client, store.rows(client, experiment, facts.key))
        if row is not None and row.info.status == "RUNNING" and at_work(row.data.tags.get("checkpoint", "")):
            return False
        history = _history(one)
        if row is not None and not _continues(client, row, history):
            client.delete_run(row.info.run_id)
            row = None
        row = row or _new(client, experiment, one)
    before = row.data.tags
    told = _complete(client, row, history) if history.md5 != before.get("history") else False
    scored = _score(client, row, one)
    logged = False
    if with_weights:
        # Not at the top: it takes PyTorch.
        from pipeline.comparison import weights

        logged = weights.log(client, row, one)
    # When it came here nobody knows better than what watched it.
    kept = {key: before[key] for key in _ONCE if key in before}
    wanted = facts.tags | _places(one) | kept | (claims or {}).get(f"{one.run.dataset}/{one.run.name}", {})
    wanted |= {"history": history.md5} if history.md5 else {}
    wanted |= {"results": _digest(one)} if one.results else {}
    changed = {key: value for key, value in wanted.items() if before.get(key) != value}
    # Last, since they say that all the rest is there.
    store.set_tags(client, row.info.run_id, changed)
    if row.info.status != "FINISHED":
        client.set_terminated(row.info.run_id, "FINISHED", end_time=row.info.end_time or row.info.start_time)
    return told or scored or logged or bool(changed)


def bring_parent(client: "MlflowClient", seeds: Sequence[Tracked]) -> bool:
    """The row above the seeds of one configuration: mean, interval over images and seeds, spread."""
    first = min(seeds, key=lambda one: one.run.seed or 0)
    facts = first.seedless
    digest = files.hash_json(sorted(_digest(one) for one in seeds))
    with store.locked():
        experiment = store.experiment_id(client, facts.experiment)
        children = [r for one in seeds for r in store.rows(client, experiment, one.facts.key)]
        row = _only(client, store.rows(client, experiment, facts.key))
        if row is None:
            # As old as its first seed, so that lists by time keep the order in which they were trained.
            began = min((child.info.start_time for child in children), default=None)
            row = _new(client, experiment, first, facts, began)
    for child in children:
        if child.data.tags.get("mlflow.parentRunId") != row.info.run_id:
            store.set_tags(client, child.info.run_id, {"mlflow.parentRunId": row.info.run_id})
    if row.data.tags.get("results") == digest:
        return False
    with together(seeds) as root:
        results = Results(first.source.params, root, [one.run for one in seeds])
        _log(client, row, dict(finals(results, results.groups[0])))
    numbers = " ".join(str(one.run.seed) for one in seeds)
    store.set_tags(client, row.info.run_id, {"seeds": numbers, "results": digest} | _note(results))
    if row.info.status != "FINISHED":
        client.set_terminated(row.info.run_id, "FINISHED", end_time=row.info.start_time)
    return True


@contextmanager
def together(seeds: Sequence[Tracked]) -> Iterator[Path]:
    """A folder with the results of all, from whatever sources they are."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for one in seeds:
            results = paths.results(one.run.dataset, one.run.name)
            place = Path(name) / results
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to((stack.enter_context(one.source.folder(results)) / results).absolute())
        yield Path(name)


def finals(results: Results, group: Group) -> Iterator[tuple[str, float]]:
    """The final metrics with their intervals, to the tables' digits, nan where nothing counts.

    pckh.mean, pckh.mean.low, .high; of a metric with several kinds of person box ap.ground_truth and so on; .spread,
    the standard deviation over seeds, where there are several.
    """
    metric = group.metric
    for box in metric.boxes:
        for name, estimate in (results.estimates(group, box) or {}).items():
            key = final_name(group.dataset, name, box)
            yield from _with_interval(key, estimate)
    for name, estimate in (attention.of_maps(results, group) or {}).items():
        yield from _with_interval(MAPS[name], estimate)


def final_name(dataset: str, column: str, box: str) -> str:
    metric = DATASETS[dataset].METRIC
    if len(metric.boxes) > 1:
        return f"{column.lower()}.{box}"
    # MLflow takes no @ in a name.
    return f"pckh.{column.lower()}".replace("@", "_at_")


def _with_interval(key: str, estimate: Estimate) -> Iterator[tuple[str, float]]:
    values = {"": estimate.value, ".low": estimate.low, ".high": estimate.high}
    if estimate.spread is not None:
        values[".spread"] = estimate.spread
    for end, value in values.items():
        yield f"{key}{end}", float(fixed(value, 2) or "nan")


class _History:
    """history.csv by metric and step; nothing of what was trained elsewhere."""

    def __init__(self, content: bytes):
        self.md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() if content else ""
        self.steps: Steps = {
            (key, int(row["step"])): float(value)
            for row in csv.DictReader(io.StringIO(content.decode()))
            for key, value in row.items()
            if key not in ("kind", "step") and value
        }


def _history(one: Tracked) -> _History:
    if one.run.checkpoint is not None:
        return _History(b"")
    return _History(one.source.read(paths.run(one.run.dataset, one.run.name) / "history.csv"))


def _told(client: "MlflowClient", row: "Row") -> Steps:
    """What a row's metrics over steps are; of final ones nothing."""
    keys = [key for key in row.data.metrics if not key.startswith(_LIVE) and "." not in key]
    return {
        (key, metric.step): metric.value
        for key in keys
        for metric in client.get_metric_history(row.info.run_id, key)
    }


def _continues(client: "MlflowClient", row: "Row", history: _History) -> bool:
    """Whether a row holds nothing that the history does not."""
    if row.data.tags.get("history") in (history.md5, ""):
        return True
    return _told(client, row).items() <= history.steps.items()


def _complete(client: "MlflowClient", row: "Row", history: _History) -> bool:
    missing = history.steps.items() - _told(client, row).items()
    # Nobody knows when it was; a step a millisecond keeps them in their order.
    began = row.info.start_time
    points = [
        (key, value, began + step, step) for (key, step), value in sorted(missing, key=lambda p: p[0][1])
    ]
    store.log_points(client, row.info.run_id, points)
    return bool(points)


def _score(client: "MlflowClient", row: "Row", one: Tracked) -> bool:
    """The final metrics, the dataset and the files; False where they are those already."""
    digest = _digest(one)
    if one.results is None or row.data.tags.get("results") == digest:
        return False
    source, run = one.source, one.run
    with source.folder(paths.results(run.dataset, run.name)) as root:
        results = Results(source.params, root, [run])
        if results.groups[0].first.record != one.facts.record:
            raise Untracked(f"{run.dataset}/{run.name}: its results are of another training; `dvc repro`")
        measured = dict(finals(results, results.groups[0]))
        gone = [key for key in row.data.metrics if "." in key and key not in measured]
        _log(client, row, measured | dict.fromkeys(gone, float("nan")))
        pages.log_dataset(client, row, one, results.groups[0])
        pages.log_files(client, row, results)
        store.set_tags(client, row.info.run_id, _note(results))
    return True


def _log(client: "MlflowClient", row: "Row", measured: dict[str, float]) -> None:
    now = int(time.time() * 1000)
    store.log_points(client, row.info.run_id, [(key, value, now, 0) for key, value in measured.items()])


def _digest(one: Tracked) -> str:
    """Of all that the final metrics are made from."""
    report = one.source.params.report
    return files.hash_json([one.results, report.resamples, report.seed])


def _note(results: Results) -> dict[str, str]:
    return {"mlflow.note.content": pages.note(results)}


def _places(one: Tracked) -> dict[str, str]:
    """DVC's stage, its entry of dvc.lock, the hashes in it, and the commit and experiment that have it."""
    source, run = one.source, one.run
    kind = "train" if run.checkpoint is None else "evaluate"
    entry = source.entry(kind, run) or {}
    short = {key: entry.get(key, []) for key in ("deps", "outs")}
    tags = {
        "dvc.stage": source.stage(kind, run),
        "dvc.lock": json.dumps({stage: [f"{o['path']} {o['md5']}" for o in v] for stage, v in short.items()}),
        "mlflow.source.name": f"stages/{kind}.py",
        "mlflow.source.git.commit": source.commit,
    }
    if source.experiment:
        tags["dvc.experiment"] = source.experiment
    for dep in entry.get("deps", []):
        if dep["path"].endswith("/people"):
            tags["data.md5"] = dep["md5"]
        if dep["path"].endswith("/train.npy"):
            tags["targets.md5"] = dep["md5"]
    return tags


def _only(client: "MlflowClient", rows: "list[Row]") -> "Row | None":
    """The first of a training's rows; others are removed."""
    for row in rows[1:]:
        client.delete_run(row.info.run_id)
    return rows[0] if rows else None


def _new(
    client: "MlflowClient",
    experiment: str,
    one: Tracked,
    facts: Facts | None = None,
    began: int | None = None,
) -> "Row":
    facts = facts or one.facts
    start = int(time.time() * 1000) if began is None else began
    row = store.new_row(client, experiment, facts.name, facts.params, facts.tags, start)
    return client.get_run(row)


def at_work(checkpoint: str) -> bool:
    """Whether a training may be at work: one of this project whose trainer holds its lock, or one of elsewhere."""
    if not checkpoint:
        return False
    lock = paths.checkpoints() / f"{checkpoint}.lock"
    if not lock.is_file():
        return True
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def remove_dead(client: "MlflowClient", tracked: Iterable[str]) -> None:
    """Remove rows of trainings that neither ended, nor are at work, nor can go on from a checkpoint; also those of
    profiles and datasets of which nothing is tracked now."""
    alive = {*tracked}
    for experiment in store.experiments(client):
        found = client.search_runs([experiment], "attributes.status != 'FINISHED'")
        for row in found:
            checkpoint = row.data.tags.get("checkpoint", "")
            if row.data.tags.get("training", "") in alive or not checkpoint or at_work(checkpoint):
                continue
            if not (paths.checkpoints() / f"{checkpoint}.safetensors").is_file():
                client.delete_run(row.info.run_id)
            elif row.info.status == "RUNNING":
                client.set_terminated(row.info.run_id, "KILLED")
