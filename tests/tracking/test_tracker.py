"""What a training and an evaluation do where MLflow cannot be told: say so in a line, and go on."""

import subprocess
import sys

import pytest

from pipeline import tracking
from pipeline.tracking import Tracker

ROW = {"kind": "step", "epoch": 0, "step": 1, "loss": 0.5}


@pytest.fixture
def tracker(project, make_facts):
    facts = make_facts()
    return Tracker(facts.profile, facts.record, {}, "mpii-run-key")


def python(monkeypatch, code: str) -> None:
    """Have every process that is started run this, whatever it was to do."""
    started = subprocess.Popen
    monkeypatch.setattr(
        tracking.subprocess, "Popen", lambda _, **options: started([sys.executable, "-c", code], **options)
    )


def test_a_training_without_a_follower_goes_on_and_its_curves_grow(tracker, project, monkeypatch, capsys):
    monkeypatch.setattr(tracking.sys, "executable", str(project / "no-python"))
    tracker.start(0)
    tracker.log(ROW, 12.0)
    (curve,) = (project / "live" / "loss").iterdir()
    assert curve.read_text().splitlines()[1:] == ["mpii,sg_hrnet_small-r5-s0,1,0.5"]
    tracker.close("FINISHED")
    said = capsys.readouterr().out
    assert said.startswith("MLflow is left out of this run (") and said.count("\n") == 1
    assert "the history has it all" in said


def test_a_follower_that_dies_stops_no_training(tracker, monkeypatch, capsys):
    python(monkeypatch, "")
    tracker.start(0)
    tracker._process.wait(30)
    for _ in range(3):
        tracker.log(ROW, 12.0)
    tracker.close("FINISHED")
    # Told nothing after it has ended.
    tracker.log(ROW, 12.0)
    assert capsys.readouterr().out == ""


def test_a_training_that_was_stopped_waits_a_second_and_leaves_its_follower_alone(
    tracker, monkeypatch, capsys
):
    python(monkeypatch, "import time; time.sleep(9)")
    tracker.start(0)
    process = tracker._process
    tracker.close("KILLED")
    try:
        assert process.poll() is None and capsys.readouterr().out == ""
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", ""),
        ("import sys; print('first', file=sys.stderr); sys.exit('the store is away')", "(the store is away)"),
        ("import time; time.sleep(9)", ""),
    ],
)
def test_an_evaluation_says_why_mlflow_did_not_take_it_and_waits_no_longer_than_it_has_patience(
    project, monkeypatch, capsys, code, said
):
    python(monkeypatch, code)
    monkeypatch.setattr(tracking, "PATIENCE", 5.0 if "time" not in code else 0.5)
    tracking.bring("mpii", "hrnet_small-s0")
    out = capsys.readouterr().out
    assert said in out and bool(out) == bool(said)
    assert not out or out.endswith("; `make mlflow` brings it\n")


def test_an_evaluation_whose_python_is_gone_says_so(project, monkeypatch, capsys):
    monkeypatch.setattr(tracking.sys, "executable", str(project / "no-python"))
    tracking.bring("mpii", "hrnet_small-s0")
    assert "No such file or directory" in capsys.readouterr().out
