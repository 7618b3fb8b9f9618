"""Runs as DVC tracks them in a project, and the rows of its store."""

import hashlib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import dvc_stages, paths
from pipeline.comparison import __main__ as comparison
from pipeline.comparison import pages
from pipeline.report.results import Results
from pipeline.runs import Evaluation, named_by
from pipeline.tracking import store
from tests.report.synthetic import ERROR, make_params, write_results

ONE = {"datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"]}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def seven_digits(text: str) -> str:
    """A history as a training writes it."""
    rows = [
        [f"{float(cell):.7g}" if "." in cell else cell for cell in line.split(",")]
        for line in text.split("\n")
    ]
    return "\n".join(",".join(row) for row in rows)


def record(root: Path, params) -> None:
    """Leave each run as `train` does, and dvc.lock as DVC does."""
    stages = {}
    named = {
        arguments: name for name, arguments in dvc_stages.arguments(params).items() if name[:5] == "train"
    }
    for run in named_by(params):
        if run.checkpoint:
            continue
        results, out = paths.results(run.dataset, run.name), paths.run(run.dataset, run.name)
        (root / out).mkdir(parents=True, exist_ok=True)
        trained = Evaluation.load(root / results / "metrics.json").record
        trained.save(root / out / "run.json")
        (root / out / "history.csv").write_text(seven_digits((root / results / "history.csv").read_text()))
        outs = [
            {"path": (out / name).as_posix(), "md5": md5((root / out / name).read_bytes())}
            for name in ("history.csv", "run.json", paths.WEIGHTS)
            if (root / out / name).is_file()
        ]
        deps = [
            {"path": f"build/code/train/{run.dataset}/x/x.json", "md5": "c0de" * 8},
            {"path": f"data/{run.dataset}/people", "md5": "da7a" * 8 + ".dir"},
        ]
        stages[named[run.dataset, run.name]] = {"cmd": "python -m stages.train", "deps": deps, "outs": outs}
    with (root / "dvc.lock").open("w") as file:
        YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, file)


@pytest.fixture(autouse=True)
def without_drawing(request, monkeypatch):
    """Pictures take seconds, and one test looks at them."""
    if "files" not in request.node.name:
        monkeypatch.setattr(pages, "log_files", lambda *_: None)


@pytest.fixture
def made(project):
    """Function of changed parameters, and of how far off joints are -> Results whose runs DVC tracks in the project."""

    def make(errors=ERROR, **changes) -> Results:
        params = make_params(project, **ONE, **changes)
        results = write_results(project, params, errors=errors)
        record(project, params)
        return results

    return make


def all_rows(view=1) -> dict[str, object]:
    client = store.connect()
    experiments = [each.experiment_id for each in client.search_experiments()]
    rows = client.search_runs(experiments, run_view_type=view)
    assert len({row.info.run_name for row in rows}) == len(rows)
    return {row.info.run_name: row for row in rows}


def rebuild() -> dict[str, object]:
    comparison.rebuild(store.connect())
    return all_rows()
