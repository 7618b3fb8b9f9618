"""A training is followed into MLflow, into one row, and is never held up."""

import io
import json
import os
import signal
import socket
import threading
import time

import pytest

from pipeline.tracking import Tracker, follower, store

mlflow = pytest.importorskip("mlflow")


def step(number: int, loss: float | None = None) -> dict:
    row = {
        "kind": "step",
        "epoch": 0,
        "step": number,
        "lr": 0.002,
        "loss": 1 / number if loss is None else loss,
    }
    return row | {"w_key": 0.9, "w_seg": 1.1, "images_per_second": 123.0}


def lines(facts, *rows: dict, steps: int = 0, status: str | None = "FINISHED") -> io.StringIO:
    told = [{"facts": facts.model_dump(mode="json", by_alias=True), "steps": steps}]
    told += [{"row": row} for row in rows] + ([{"status": status}] if status else [])
    return io.StringIO("".join(json.dumps(line) + "\n" for line in told))


@pytest.fixture
def row(project):
    """Function of facts -> the only row of their training."""

    def find(facts):
        client = store.connect()
        (only,) = store.rows(client, store.experiment_id(client, facts.experiment), facts.key)
        return client, only

    return find


def losses(client, row) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(row.info.run_id, "loss")]


def test_losses_and_dwa_weights_are_there_by_step(make_facts, row):
    facts = make_facts()
    follower.follow(lines(facts, *(step(n) for n in range(1, 4))))
    client, only = row(facts)
    assert losses(client, only) == [(1, 1.0), (2, 0.5), (3, 0.3333333)]
    assert only.data.metrics["w_seg"] == 1.1 and only.data.metrics["images_per_second"] == 123.0
    assert only.info.status == "FINISHED" and only.info.run_name == "mpii/sg_hrnet_small/r5/s0"
    found = client.search_runs([only.info.experiment_id], "params.`train.epochs` = '8'")
    assert [run.info.run_id for run in found] == [only.info.run_id]


def test_a_resumed_training_goes_on_in_its_row_and_tells_nothing_twice(make_facts, row):
    facts = make_facts()
    follower.follow(lines(facts, step(1), step(2), step(3), status=None))
    client, first = row(facts)
    # Its lines ended without a word of how: it was killed.
    assert first.info.status == "KILLED"
    # The checkpoint is from before the last row.
    follower.follow(lines(facts, step(3), step(4), steps=2))
    client, only = row(facts)
    assert only.info.run_id == first.info.run_id and only.info.status == "FINISHED"
    assert losses(client, only) == [(1, 1.0), (2, 0.5), (3, 0.3333333), (4, 0.25)]


def test_a_retraining_takes_the_place_of_the_row_that_was(make_facts, row):
    facts = make_facts()
    follower.follow(lines(facts, step(1), step(2)))
    follower.follow(lines(make_facts(torch="2.12.0"), step(1, 9.0)))
    client, only = row(facts)
    assert losses(client, only) == [(1, 9.0)]


def test_a_password_is_in_no_line(project, make_facts, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cr%40t@127.0.0.1:{port}")
    follower.follow(lines(make_facts(), step(1)))
    said = capsys.readouterr()
    assert "MLflow does not take this run for now" in said.out and "make mlflow" in said.out
    assert said.out.count("\n") == 1
    assert store.redacted("at http://me:s3cr%40t@host, s3cr@t") == "at http://me:***@host, ***"
    assert "s3cr" not in said.out + said.err


def tracked(facts, rows) -> float:
    """The seconds that a training of its own process spends on telling."""
    tracker = Tracker(facts.profile, facts.record, {"stages.train:train": "c0de"}, "mpii-run-key")
    began = time.monotonic()
    tracker.start(0)
    for row in rows:
        tracker.log(row, 1.0)
    spent = time.monotonic() - began
    tracker.close("FINISHED")
    return spent


@pytest.fixture
def code(project):
    """The follower's module is found from the project's folder."""
    from tests.conftest import ROOT

    (project / "pipeline").symlink_to(ROOT / "pipeline")
    return project


def test_a_server_that_never_answers_holds_the_end_for_ten_seconds_at_most(
    code, make_facts, monkeypatch, capfd
):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
        monkeypatch.setattr("pipeline.tracking.PATIENCE", 2.0)
        began = time.monotonic()
        assert tracked(make_facts(), [step(1)]) < 2
        assert 2 <= time.monotonic() - began < 10
    assert "`make mlflow` brings it" in capfd.readouterr().out


def test_a_follower_that_stands_still_holds_no_row_up(code, make_facts, monkeypatch):
    monkeypatch.setattr("pipeline.tracking.PATIENCE", 0.1)
    facts = make_facts()
    tracker = Tracker(facts.profile, facts.record, {}, "mpii-run-key")
    tracker.start(0)
    os.kill(tracker._process.pid, signal.SIGSTOP)
    done = threading.Event()

    def tell():
        for number in range(1, 5000):  # ten times what a pipe holds
            tracker.log(step(number), 1.0)
        tracker.close("FINISHED")
        done.set()

    threading.Thread(target=tell, daemon=True).start()
    assert done.wait(60)
