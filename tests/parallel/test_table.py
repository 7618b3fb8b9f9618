"""What people see of all runs at once."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import files, paths
from pipeline.parallel import table
from pipeline.parallel.engine import State

RUNS = {"train_sweep@mpii-sg-5-0": ("mpii", "sg-r5-s0"), "train_sweep@mpii-sg-9-0": ("mpii", "sg-r9-s0")}


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Of six stages one is done, three are at work, one has failed; of the trainings one tells how far it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    losses = {"loss": 0.0123, "loss_key": 0.01}
    told = {"epoch": 3, "epochs": 210, "images_per_second": 812.4, "losses": losses, "seconds_left": 7200.0}
    files.write_json(paths.progress("mpii", "sg-r5-s0"), told)
    began = dict.fromkeys([*RUNS, "complexity"], 0.0)
    return State(6, began=began, done={"code"}, failed={"evaluate": Path("build/logs/evaluate.log")})


def test_a_training_is_shown_by_epoch_rate_losses_and_time_left(state):
    console = Console(width=120, record=True, file=sys.stderr)
    console.print(table.Progress(RUNS)._table(state))
    lines = console.export_text().splitlines()
    assert "1 of 6 stages done, 3 at work, 1 failed" in lines[0]
    (row,) = [line for line in lines if "sg-5-0" in line]
    for text in ("epoch 3/210", "812 images/s", "loss 0.0123 loss_key 0.01", "2.0 h left"):
        assert text in row
    (other,) = [line for line in lines if "sg-9-0" in line]
    assert "for" in other and "epoch" not in other


def test_what_another_start_told_is_not_shown(state):
    began = paths.progress("mpii", "sg-r5-s0").stat().st_mtime + 1
    assert table.Progress(RUNS)._row("train_sweep@mpii-sg-5-0", began)[1] == ""


def test_without_a_terminal_there_is_a_line_a_minute_and_one_for_a_failure(state, capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(table.time, "monotonic", lambda: now[0])
    show = table.Progress(RUNS)
    for second in range(130):
        now[0] = 1000.0 + second
        show(state)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "evaluate failed; its log is build/logs/evaluate.log"
    assert len(lines) == 3
    assert "epoch 3/210 812 images/s" in lines[1]
