"""The whole line as a user runs it, on a handful of drawn people: `dvc repro` in a fresh clone."""

import csv
import json
import os
import sqlite3
import subprocess
import sys

import pytest

from tests.conftest import ROOT, write_params
from tests.project import clone, dvc, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone with the demo made as small as it goes, after its first `dvc repro`."""
    folder = clone(tmp_path_factory.mktemp("project") / "clone")
    write_params(
        folder / "params.yaml",
        {
            "datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"], "data.demo.train_people": 24,
            "data.demo.val_people": 12, "train.epochs": 2, "train.batch_size": 8, "train.lr_drops": [1],
            "train.log_every": 1, "model.small.width": 4, "model.small.stem": 8, "report.resamples": 50,
            "compute.device": "cpu", "compute.workers": 1,
        },
    )  # fmt: skip
    dvc(folder, "repro")
    return folder


def ran(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split("'")[1] for line in result.stdout.splitlines() if line.startswith("Running stage")]


def test_it_ends_in_tables_claims_and_a_page(project):
    for name in ("table1.csv", "table2.csv", "table3.csv", "claims.csv", "index.html", "summary.json"):
        assert (project / "reports" / name).stat().st_size > 0
    with (project / "reports" / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"HRNet-W32 [4]", "Our"} <= {row["method"] for row in rows if row["row"] == "reported"}
    assert sum(row["row"] == "measured" for row in rows) == 2


def test_nothing_that_dvc_tracks_holds_a_path_or_a_host(project):
    folders = [project / name for name in ("data/mpii", "runs", "results", "reports")]
    kinds = (".json", ".csv", ".md", ".tex", ".html", ".svg")
    texts = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]
    assert len(texts) > 20
    for path in texts:
        text = path.read_text()
        assert str(project) not in text and os.uname().nodename not in text.split(), path


def test_git_sees_nothing_of_a_run_but_its_lock(project):
    assert (project / ".gitignore").read_bytes() == (ROOT / ".gitignore").read_bytes()
    command = ["git", "ls-files", "--others", "--exclude-standard", ":!pipeline", ":!stages", ":!profiles"]
    new = subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout
    assert set(new.split()) <= {"dvc.lock"}


def test_history_holds_losses_and_weights_by_step(project):
    with (project / "runs" / "mpii" / "sg_hrnet_small-r5-s0" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = [row for row in rows if row["kind"] == "step"]
    assert [int(row["step"]) for row in steps] == list(range(1, 7))
    assert all(abs(float(row["w_key"]) + float(row["w_seg"]) - 2) < 1e-5 for row in steps)


def test_mlflow_has_every_run(project):
    # A server's first answer may take longer than these trainings; what it missed then comes now.
    subprocess.run(
        [sys.executable, "-m", "pipeline.comparison", "--no-server"],
        cwd=project,
        env=environment(),
        check=True,
    )
    with sqlite3.connect(project / "mlflow.db") as store:
        runs = dict(store.execute("select name, status from runs"))
        keys = {key for (key,) in store.execute("select distinct key from metrics")}
    assert set(runs.values()) == {"FINISHED"}
    assert sorted(name.split(" ")[0] for name in runs) == ["mpii/hrnet_small/s0", "mpii/sg_hrnet_small/r5/s0"]
    assert {"loss_key", "loss_seg", "w_key", "w_seg", "images_per_second", "accuracy"} <= keys


def test_without_a_change_nothing_runs(project):
    assert ran(dvc(project, "repro")) == []


def test_another_radius_trains_the_guided_network_alone(project):
    params = project / "params.yaml"
    text = params.read_text()
    try:
        params.write_text(text.replace("radius: 5", "radius: 7"))
        result = dvc(project, "repro")
        assert ran(result) == [
            "code", "targets_radius@mpii-7", "train_radius@mpii-sg_hrnet_small-7-0",
            "evaluate_radius@mpii-sg_hrnet_small-7-0", "report",
        ]  # fmt: skip
        assert sorted(path.name for path in (project / "results" / "mpii").iterdir()) == [
            "hrnet_small-s0", "sg_hrnet_small-r7-s0"
        ]  # fmt: skip
        assert "r5" not in json.dumps(json.loads((project / "reports" / "summary.json").read_text()))
    finally:
        params.write_text(text)
    # And back: everything comes from DVC's cache.
    back = dvc(project, "repro")
    assert "stages.train" not in back.stdout and "is cached - skipping run" in back.stdout


def test_forced_training_gives_the_same_lock_byte_for_byte(project):
    before = (project / "dvc.lock").read_bytes()
    result = dvc(
        project,
        "repro",
        "--force",
        "train_baseline@mpii-hrnet_small-0",
        "train_radius@mpii-sg_hrnet_small-5-0",
    )
    assert len(ran(result)) >= 2
    assert (project / "dvc.lock").read_bytes() == before


def test_a_wrong_parameter_stops_the_stage_with_one_sentence(project):
    text = (project / "params.yaml").read_text()
    try:
        (project / "params.yaml").write_text(text.replace("rotation_std:", "rotation_sd:"))
        stage = subprocess.run(
            [sys.executable, "-m", "stages.prepare", "mpii"],
            cwd=project,
            env=environment() | {"PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
        )
    finally:
        (project / "params.yaml").write_text(text)
    assert stage.returncode == 1
    assert stage.stderr.strip() == "stages.prepare: params.yaml: augment.rotation_sd is no parameter"
