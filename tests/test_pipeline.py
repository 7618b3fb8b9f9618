"""The whole line as a user runs it, on a handful of drawn people: `dvc repro` in a fresh clone."""

import csv
import json
import os
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT

DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone with the demo made as small as it goes, after its first `dvc repro`."""
    folder = tmp_path_factory.mktemp("project") / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
    # The working tree, not only what is committed.
    for name in ("dvc.yaml", "pipeline", "stages", "profiles", ".gitignore", ".dvcignore"):
        subprocess.run(["cp", "-r", ROOT / name, folder], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    raw = yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())
    raw |= {"datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"]}
    raw["data"]["demo"] |= {"train_people": 24, "val_people": 12}
    raw["train"] |= {"epochs": 2, "batch_size": 8, "lr_drops": [1], "log_every": 1}
    raw["model"]["small"] |= {"width": 4, "stem": 8}
    raw["report"]["resamples"] = 50
    raw["compute"] |= {"device": "cpu", "workers": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    result = dvc(folder, "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def dvc(folder, *arguments) -> subprocess.CompletedProcess:
    # The first `python` on the path is the one that runs the stages.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*DVC, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def ran(result: subprocess.CompletedProcess) -> list[str]:
    return [line.split("'")[1] for line in result.stdout.splitlines() if line.startswith("Running stage")]


def test_it_ends_in_tables_claims_and_a_page(project):
    for name in ("table1.csv", "table2.csv", "table3.csv", "claims.csv", "index.html", "summary.json"):
        assert (project / "reports" / name).stat().st_size > 0
    with (project / "reports" / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"HRNet-W32 [4]", "Our"} <= {row["method"] for row in rows if row["row"] == "reported"}
    assert sum(row["row"] == "measured" for row in rows) == 2


def test_nothing_that_dvc_tracks_holds_a_path_or_a_host(project):
    found = [
        path for name in ("data/mpii", "runs", "results", "reports") for path in (project / name).rglob("*")
    ]
    texts = [p for p in found if p.suffix in (".json", ".csv", ".md", ".tex", ".html", ".svg")]
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
    import sqlite3

    with sqlite3.connect(project / "mlflow.db") as store:
        runs = dict(store.execute("select name, status from runs"))
        keys = {key for (key,) in store.execute("select distinct key from metrics")}
    assert runs == {"hrnet_small-s0": "FINISHED", "sg_hrnet_small-r5-s0": "FINISHED"}
    assert {"loss_key", "loss_seg", "w_key", "w_seg", "images_per_second", "accuracy"} <= keys


def test_without_a_change_nothing_runs(project):
    assert ran(dvc(project, "repro")) == []


def test_another_radius_trains_the_guided_network_alone(project):
    params = project / "params.yaml"
    text = params.read_text()
    try:
        params.write_text(text.replace("radius: 5", "radius: 7"))
        result = dvc(project, "repro")
        assert result.returncode == 0, result.stderr
        assert ran(result) == [
            "targets_radius@mpii-7", "train_radius@mpii-sg_hrnet_small-7-0",
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
    assert result.returncode == 0 and len(ran(result)) >= 2
    assert (project / "dvc.lock").read_bytes() == before


def test_a_wrong_parameter_stops_the_stage_with_one_sentence(project):
    text = (project / "params.yaml").read_text()
    try:
        (project / "params.yaml").write_text(text.replace("rotation_std:", "rotation_sd:"))
        environment = os.environ | {"PYTHONPATH": str(project)}
        stage = subprocess.run(
            [sys.executable, "-m", "stages.prepare", "mpii"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
        )
    finally:
        (project / "params.yaml").write_text(text)
    assert stage.returncode == 1
    assert stage.stderr.strip() == "stages.prepare: params.yaml: augment.rotation_sd is no parameter"
