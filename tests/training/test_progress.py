"""What people see of a training while it goes on: a line an epoch, a bar on a terminal, a file for tables."""

import io
import json
import sys

import pytest
import torch

from pipeline import paths
from pipeline.ranks import Ranks
from pipeline.training import progress
from pipeline.training.schedule import Schedule

STEP = {
    "kind": "step", "epoch": 1, "step": 6, "lr": 0.002, "loss": 0.51234, "loss_key": 0.5, "loss_seg": 0.25,
    "w_key": 0.9, "w_seg": 1.1, "r_key": 1.0, "r_seg": 1.0,
}  # fmt: skip
VALIDATED = {"kind": "epoch", "epoch": 1, "step": 6, "lr": 0.002, "val_loss_key": 0.4, "accuracy": 61.25}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Seconds, as a test sets them."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def show(rank: int = 0) -> progress.Progress:
    """Of twelve steps, four an epoch of five people each, that go on after the fourth."""
    schedule = Schedule(people=21, batch_size=5, epochs=3, seed=0)
    schedule.start = 4
    return progress.Progress("mpii/hrnet-s0", schedule, Ranks(rank, 2, torch.device("cpu")))


def advance(shown: progress.Progress, clock: list[float], *histories: list) -> None:
    """A step a second."""
    for history in histories:
        clock[0] += 1
        shown.advance(history)


def told() -> dict | None:
    path = paths.progress("mpii", "hrnet-s0")
    return json.loads(path.read_text()) if path.exists() else None


def test_the_file_tells_epoch_rate_losses_and_the_time_that_is_left(clock):
    with show() as shown:
        advance(shown, clock, [], [STEP])
        # Every two seconds, and no sooner.
        assert told() is None
        advance(shown, clock, [STEP, VALIDATED])
        assert told() == {
            "epoch": 2, "epochs": 3, "images_per_second": 5.0, "seconds_left": 5.0,
            "losses": {"loss": 0.51234, "loss_key": 0.5, "loss_seg": 0.25},
        }  # fmt: skip
        # What is shown is whole at any time: it takes the place of what was there.
        assert [path.name for path in paths.progress("mpii", "hrnet-s0").parent.iterdir()] == [
            "hrnet-s0.json"
        ]


def test_a_file_that_cannot_be_written_stops_no_training(clock, tmp_path):
    (tmp_path / "build").write_text("a file in the folder's place")
    with show() as shown:
        advance(shown, clock, *[[STEP]] * 5)
    assert shown.done == 5 and told() is None


def test_without_a_terminal_there_is_a_line_an_epoch(clock, capfd):
    with show() as shown:
        advance(shown, clock, [STEP])
        shown.epoch_ends(0, [])
        shown.epoch_ends(1, [STEP, VALIDATED])
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "mpii/hrnet-s0  epoch 1/3  5 images/s  ",
        "mpii/hrnet-s0  epoch 2/3  5 images/s  lr 0.002  val_loss_key 0.4  accuracy 61.25",
    ]
    assert said.err == ""


def test_on_a_terminal_a_bar_goes_on_where_the_training_does_and_shows_its_losses(clock, capsys, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with show() as shown:
        advance(shown, clock, [], [STEP])
        shown.epoch_ends(1, [STEP])
    last = terminal.getvalue().rpartition("\r")[2]
    assert last.startswith("mpii/hrnet-s0:  50%") and "30/60" in last
    assert "loss=0.512, loss_key=0.5, loss_seg=0.25, w_key=0.9, w_seg=1.1" in last
    assert capsys.readouterr().out == ""


def test_other_ranks_than_the_first_are_silent(clock, capfd, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with show(rank=1) as shown:
        advance(shown, clock, *[[STEP]] * 3)
        shown.epoch_ends(0, [STEP])
    assert (capfd.readouterr().out, sys.stderr.getvalue(), told()) == ("", "", None)
