"""MLflow follows the history, and never holds a training up."""

import socket
import time

import pytest

from pipeline import tracking
from pipeline.tracking import Tracker, flatten

mlflow = pytest.importorskip("mlflow")

PARAMS = {"run": "sg_hrnet_small-r5-s0", "params": {"train": {"lr": 0.002}, "dwa": {"per": "step"}}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own, with its own store."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for key in tracking._LIMITS:
        monkeypatch.setenv(key, "1")
    return tmp_path


def step(number: int) -> dict:
    row = {"kind": "step", "epoch": 0, "step": number, "lr": 0.002, "loss": 1 / number}
    return row | {
        "loss_key": 0.5 / number,
        "loss_seg": 0.7,
        "w_key": 0.9,
        "w_seg": 1.1,
        "r_key": 1.0,
        "r_seg": 1.2,
    }


def track(rows, run_id=None, finished=True) -> Tracker:
    tracker = Tracker("mpii", "sg_hrnet_small-r5-s0", PARAMS)
    tracker.start(run_id)
    for row in rows:
        tracker.log(row, 123.0)
    tracker.close(finished, timeout=600)
    return tracker


def test_losses_and_dwa_weights_are_there_by_step_and_a_resumed_run_goes_on(project, capsys):
    first = track([step(n) for n in range(1, 4)], finished=False)
    assert first.run_id, capsys.readouterr().out
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    assert client.get_run(first.run_id).info.status == "KILLED"
    second = track([step(4), {"kind": "epoch", "epoch": 0, "step": 4, "accuracy": 55.5}], first.run_id)
    assert second.run_id == first.run_id
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "sg_hrnet_small-r5-s0"
    assert run.data.params["params.train.lr"] == "0.002" and run.data.params["params.dwa.per"] == "step"
    loss = client.get_metric_history(first.run_id, "loss")
    assert [(m.step, m.value) for m in loss] == [(n, pytest.approx(1 / n)) for n in range(1, 5)]
    assert run.data.metrics["w_seg"] == pytest.approx(1.1) and run.data.metrics["accuracy"] == 55.5
    assert run.data.metrics["images_per_second"] == 123.0
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_a_server_that_refuses_does_not_hold_the_training(project, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    tracker = track([step(1)])
    assert "MLflow is left out of this run" in capsys.readouterr().out
    assert tracker.run_id is None


def test_a_server_that_never_answers_holds_the_end_for_no_longer_than_asked(project, monkeypatch, capsys):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        tracker = Tracker("mpii", "run", PARAMS)
        tracker.start(None)
        began = time.monotonic()
        tracker.log(step(1), 1.0)
        tracker.close(True, timeout=0.5)
        # The server's answer would be waited for 60 s, and longer with each retry.
        assert time.monotonic() - began < 20
    assert "did not take everything" in capsys.readouterr().out


def test_parameters_have_dotted_names():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
