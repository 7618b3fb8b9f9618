"""What the report says of the copy that lies here: where it was written, and when its trainings ran."""

import json
import re
import shutil
import subprocess

import pytest

from pipeline import params
from pipeline.report import environment
from pipeline.tracking import store
from tests.conftest import ROOT, write_params


@pytest.fixture
def facts(project):
    """Function -> what the page is told."""
    p = params.load(write_params(project / "params.yaml", {}))

    def told() -> dict:
        environment.write(project / "environment.html", p)
        text = (project / "environment.html").read_text()
        return json.loads(re.search(r"<pre>(.*)</pre>", text, re.DOTALL)[1])

    return told


def test_of_each_training_the_latest_row_of_mlflow_is_named_with_its_times(facts, project):
    client = store.connect()
    experiment = store.experiment_id(client, "demo-mpii")
    ids = []
    for run, start in (("mpii/hrnet_small-s0", 30_000), ("mpii/hrnet_small-s0", 60_000), ("mpii/gone-s0", 1)):
        ids.append(store.new_row(client, experiment, run, {}, {"run": run}, start_time=start))
    client.set_terminated(ids[1], end_time=3_660_000)
    deleted = store.new_row(client, experiment, "x", {}, {"run": "mpii/hrnet_small-s0"}, start_time=120_000)
    client.delete_run(deleted)
    assert facts()["mlflow"] == [
        {
            "run": "mpii/hrnet_small-s0",
            "id": ids[1],
            "started": "1970-01-01 00:01:00 UTC",
            "ended": "1970-01-01 01:01:00 UTC",
        }
    ]
    client.update_run(ids[1], status="RUNNING")
    (project / "mlflow.db").write_text("no store")
    (said,) = facts()["mlflow"]
    assert said["run"] == "the store cannot be read: file is not a database"
    (project / "mlflow.db").unlink()
    assert facts()["mlflow"] == []


def test_the_commit_is_named_with_what_is_not_in_it(facts, project, monkeypatch):
    assert facts()["commit"] is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert facts()["commit"] == head
    (project / "params.yaml").write_text("")
    assert facts()["commit"] == f"{head}-dirty"
    monkeypatch.setenv("PATH", str(project))
    assert shutil.which("git") is None and facts()["commit"] is None


def test_versions_are_those_that_are_installed(facts):
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    told = facts()["packages"]
    assert {"torch", "numpy", "dvc", "mlflow"} <= told.keys()
    assert told["numpy"] == pinned["numpy"] and told["dvc"] == pinned["dvc"]
    assert environment.packages("numpy", "no-such-package") == {"numpy": told["numpy"]}
