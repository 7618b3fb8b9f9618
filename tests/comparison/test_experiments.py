"""DVC's experiments in MLflow: commits of their own, whose files lie in DVC's cache alone."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import paths
from pipeline.comparison import tracked
from pipeline.report import tables
from pipeline.report.tables import forms
from pipeline.runs import named_by
from pipeline.tracking import store
from tests.comparison.conftest import md5, rebuild
from tests.report.synthetic import ERROR

pytest.importorskip("mlflow")
REFS = f"refs/exps/ab/{'ab' * 19}"
SLOWER = "mpii/sg_hrnet_small/r5/s0 lr=0.0001"


def git(*command: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *identity, *command], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def cache(project, monkeypatch):
    """DVC's cache, found without DVC, which takes a second to ask."""
    folder = project / ".dvc" / "cache"
    monkeypatch.setattr(tracked, "_CACHE", [folder])
    git("init", "-q")
    return folder / "files" / "md5"


def keep(cache, content: bytes, ending: str = "") -> str:
    name = md5(content) + ending
    (cache / name[:2]).mkdir(parents=True, exist_ok=True)
    (cache / name[:2] / name[2:]).write_bytes(content)
    return name


def commit(name: str) -> None:
    """Parameters and lock, as far as they are there, on no branch, as DVC keeps them."""
    git("add", "--force", *[file for file in ("params.yaml", "dvc.lock") if Path(file).exists()])
    git("update-ref", f"{REFS}/{name}", git("commit-tree", git("write-tree"), "-m", name))


def experiment(project, cache, results, name: str) -> None:
    """Have what lies in the workspace be an experiment: committed beside the branch, its files only in the cache."""
    lock = YAML(typ="safe").load(project / "dvc.lock")
    for run in named_by(results.params):
        folder = paths.results(run.dataset, run.name)
        files = [{"md5": keep(cache, file.read_bytes()), "relpath": file.name}
                 for file in sorted((project / folder).iterdir())]  # fmt: skip
        listing = keep(cache, json.dumps(files).encode(), ".dir")
        lock["stages"][f"evaluate {run.name}"] = {"outs": [{"path": str(folder), "md5": listing}]}
        for file in (project / paths.run(run.dataset, run.name)).iterdir():
            keep(cache, file.read_bytes())
    YAML(typ="safe").dump(lock, project / "dvc.lock")
    commit(name)
    for gone in ("runs", "results", "dvc.lock"):
        path = project / gone
        path.unlink() if path.is_file() else shutil.rmtree(path)


def test_an_experiment_is_a_row_beside_the_workspaces_with_its_own_numbers(made, project, cache, capsys):
    slower = made(errors={key: 2 * error for key, error in ERROR.items()}, train__lr=0.0001)
    (table,) = [t for t in tables.make(slower) if t.name == "table1"]
    measured = [row for row in csv.DictReader(io.StringIO(forms.to_csv(table))) if row["row"] == "measured"]
    (cells,) = [row for row in measured if row["radius"] == "5"]
    experiment(project, cache, slower, "slow-lr")
    made()
    rows = rebuild()
    assert set(rows) == {
        "mpii/hrnet_small/s0", "mpii/sg_hrnet_small/r5/s0", "mpii/hrnet_small/s0 lr=0.0001", SLOWER
    }  # fmt: skip
    row = rows[SLOWER]
    assert row.data.tags["dvc.experiment"] == "slow-lr" and row.data.params["train.lr"] == "0.0001"
    assert row.data.tags["mlflow.source.git.commit"] == git("rev-parse", f"{REFS}/slow-lr")
    assert [row.data.metrics[f"pckh.mean{end}"] for end in ("", ".low", ".high")] == [
        float(cells[column]) for column in ("Mean", "Mean_low", "Mean_high")
    ]
    assert len(store.connect().get_metric_history(row.info.run_id, "loss")) == 24
    own = rows["mpii/sg_hrnet_small/r5/s0"].data
    assert "dvc.experiment" not in own.tags and own.metrics["pckh.mean"] > row.data.metrics["pckh.mean"] + 5
    capsys.readouterr()
    rebuild()
    assert "4 runs are what DVC tracks, 0 of them changed" in capsys.readouterr().out


def test_what_lies_in_the_workspace_stands_for_the_same_run_in_an_experiment(made, project, cache):
    experiment(project, cache, made(), "same")
    made()
    rows = rebuild()
    assert len(rows) == 2 and not [row for row in rows.values() if "dvc.experiment" in row.data.tags]


def test_an_experiment_that_was_not_fetched_is_left_out_until_it_is(made, project, cache):
    experiment(project, cache, made(train__lr=0.0001), "slow-lr")
    made()
    cache.rename(project / "away")
    assert SLOWER not in rebuild()
    # A history without its results: the training is there, and not what was measured of it.
    shutil.copytree(project / "away", cache)
    for listing in cache.rglob("*.dir"):
        listing.unlink()
    assert "pckh.mean" not in rebuild()[SLOWER].data.metrics
    shutil.rmtree(cache)
    (project / "away").rename(cache)
    assert "pckh.mean" in rebuild()[SLOWER].data.metrics


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda project: (project / "dvc.lock").unlink(), "its commit has no dvc.lock"),
        (lambda project: (project / "params.yaml").write_text("radiuses: 3\n"), "params.yaml"),
    ],
)
def test_an_experiment_of_another_version_is_left_out_and_said(made, project, cache, capsys, change, why):
    made()
    kept = {name: (project / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    change(project)
    commit("old")
    for name, content in kept.items():
        (project / name).write_bytes(content)
    assert len(rebuild()) == 2
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("experiment")]
    assert said.startswith("experiment old is left out: ") and why in said
