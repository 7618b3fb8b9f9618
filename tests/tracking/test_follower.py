"""A training is followed into MLflow, into one row, and is never held up."""

import io
import json
import os
import signal
import socket
import subprocess
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
    assert store.redacted("at http://me:s3cr%40t@host, s3cr@t") == "at http://***@host, ***"
    assert "s3cr" not in said.out + said.err


def test_rows_that_a_server_missed_come_when_it_is_back(make_facts, row, monkeypatch, capsys):
    facts, send, back = make_facts(), store.log_points, []

    def away_at_first(client, row, points):
        if any(number >= 3 for *_, number in points):
            back.append(True)
        if not back:
            raise ConnectionError("the server is away")
        send(client, row, points)

    monkeypatch.setattr(store, "log_points", away_at_first)
    monkeypatch.setattr(follower, "TOGETHER", 0.01)
    monkeypatch.setattr(follower, "AGAIN", 0.0)

    class Slowly(io.StringIO):
        """A line whenever the one before was dealt with."""

        def __iter__(self):
            for line in self.getvalue().splitlines(True):
                yield line
                time.sleep(0.1)

    follower.follow(Slowly(lines(facts, *(step(n) for n in range(1, 5))).getvalue()))
    client, only = row(facts)
    assert losses(client, only) == [(1, 1.0), (2, 0.5), (3, 0.3333333), (4, 0.25)]
    assert only.info.status == "FINISHED"
    # Once, however often it fails.
    assert capsys.readouterr().out == (
        "MLflow does not take this run for now (ConnectionError: the server is away); `make mlflow` brings it\n"
    )


def test_a_line_that_was_cut_by_a_kill_is_left_out(make_facts, row):
    facts = make_facts()
    whole = lines(facts, step(1), status=None).getvalue()
    follower.follow(io.StringIO(whole + '{"row": {"kind": "st'))
    client, only = row(facts)
    assert losses(client, only) == [(1, 1.0)] and only.info.status == "KILLED"


def test_a_follower_that_is_told_nothing_makes_no_row(project):
    follower.follow(io.StringIO(""))
    assert {each.name for each in store.connect().search_experiments()} == {"Default"}


def test_a_row_says_where_its_training_ran_in_dvc_and_git(make_facts, row, monkeypatch):
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "all"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    monkeypatch.setenv("DVC_EXP_NAME", "slow-lr")
    monkeypatch.setenv("DVC_STAGE", "train_sweep@mpii-sg_hrnet_small-5-0")
    facts = make_facts()
    follower.follow(lines(facts, step(1)))
    tags = row(facts)[1].data.tags
    assert tags["dvc.experiment"] == "slow-lr" and tags["dvc.stage"] == "train_sweep@mpii-sg_hrnet_small-5-0"
    assert tags["mlflow.source.git.commit"] == head.strip()


def test_the_machine_is_watched_where_mlflows_own_variable_asks_for_it(make_facts, row, monkeypatch):
    watched = []
    monkeypatch.setattr(follower, "watch_the_machine", lambda row, resumed: watched.append((row, resumed)))
    facts = make_facts()
    follower.follow(lines(facts, step(1), status=None))
    assert watched == []
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    follower.follow(lines(facts, step(2), steps=1))
    assert watched == [(row(facts)[1].info.run_id, True)]


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
