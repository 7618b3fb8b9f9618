"""A workspace as `dvc repro` leaves it, made in a second: results of small random numbers, and the lock to them."""

import csv
import hashlib
import json
from pathlib import Path

import yaml

from pipeline import dvc_stages, paths
from pipeline.datasets import DATASETS
from pipeline.lock import Workspace
from pipeline.params import Params
from pipeline.report import tables
from pipeline.report.tables import forms
from tests.project import copy, stages_of
from tests.report.synthetic import make_results

PACKED = b"a zip"


def finished(folder: Path, **changes) -> Path:
    """The workspace; `changes` are of the parameters (radius=7, report__resamples=90)."""
    copy(folder, "benchmarks")
    results = make_results(folder, **changes)
    for dataset in results.params.datasets:
        name, sha256 = archive(dataset), hashlib.sha256(PACKED).hexdigest()
        packed = folder / "data" / "archives" / dataset / "demo-1" / name
        write(packed, PACKED.decode())
        entry = {"name": name, "bytes": len(PACKED), "sha256": sha256}
        write(folder / paths.manifest(dataset), json.dumps({"source": "demo", "archives": [entry]}))
    for name, (dataset, run) in trainings(results.params).items():
        record = results_of(folder, dataset, run)["record"]
        write(folder / paths.run(dataset, run) / "run.json", json.dumps(record))
        assert name.startswith("train_")
    for table in tables.make(results):
        write(folder / "reports" / f"{table.name}.csv", forms.to_csv(table))
    write(folder / paths.complexity(), "[]\n")
    write(folder / "reports" / "index.html", "<html>")
    write(folder / "reports" / "environment.html", "of today")
    write_lock(folder)
    return folder


def archive(dataset: str) -> str:
    """The name of the one archive that a dataset has here."""
    return DATASETS[dataset].ARCHIVES[0].name


def trainings(params: Params) -> dict[str, tuple[str, ...]]:
    known = dvc_stages.arguments(params)
    return {name: known[name] for name in known if name.startswith("train_")}


def results_of(folder: Path, dataset: str, run: str) -> dict:
    return json.loads((folder / paths.results(dataset, run) / "metrics.json").read_text())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_lock(folder: Path) -> None:
    """dvc.lock of what lies there, as DVC would have written it; what no test needs in particular is made up."""
    stages = list(stages_of(folder))
    params = yaml.safe_load((folder / "params.yaml").read_text())
    outs = {out.def_path for stage in stages for out in stage.outs}
    for path in outs | {dep.def_path for stage in stages for dep in stage.deps if not hasattr(dep, "params")}:
        inside = any(other != path and other.startswith(f"{path}/") for other in outs)
        if not (folder / path).exists() and not inside:
            # A folder's name has no ending.
            write(folder / path / "file" if "." not in Path(path).name else folder / path, f"{path}\n")
    workspace, entries = Workspace(folder), {}
    for stage in stages:
        deps = [dep.def_path for dep in stage.deps if not hasattr(dep, "params")]
        # A file of which no key is named counts as a whole.
        named = [key for dep in stage.deps if hasattr(dep, "params") for key in dep.params or params]
        entries[stage.name] = {
            "cmd": stage.cmd,
            "deps": [item(workspace, path) for path in deps],
            "params": {"params.yaml": {key: value_at(params, key) for key in named}},
            "outs": [item(workspace, out.def_path) for out in stage.outs],
        }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": entries}, sort_keys=False))


def item(workspace: Workspace, path: str) -> dict:
    return {"path": path, "hash": "md5", "md5": workspace.digest(path), "size": 1}


def value_at(tree: dict, key: str):
    for name in key.split("."):
        tree = tree[name]
    return tree


def rows_of(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / "reports" / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
