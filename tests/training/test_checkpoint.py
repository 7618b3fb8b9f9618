"""Checkpoints survive crashes, belong to one trainer, and are gone once DVC has the result."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from pipeline.training.checkpoint import Busy, Checkpoint


def test_a_second_trainer_is_turned_away(tmp_path):
    with Checkpoint(tmp_path, "a"):
        with pytest.raises(Busy, match="another trainer"):
            Checkpoint(tmp_path, "a").__enter__()
        with Checkpoint(tmp_path, "b"):
            pass
    with Checkpoint(tmp_path, "a"):
        pass


def test_a_trainer_that_waits_gets_the_run_once_it_is_free(tmp_path):
    with Checkpoint(tmp_path, "a"):
        second = Checkpoint(tmp_path, "a")
        assert not second.hold()
    assert second.hold() and not Checkpoint(tmp_path, "a").hold()


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    with Checkpoint(tmp_path, "a") as checkpoint:
        checkpoint.save({"step": 1})

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save({"step": 2})
        assert checkpoint.load() == {"step": 1}
        assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def _write_for_ever(folder):
    with Checkpoint(folder, "a") as checkpoint:
        step = 0
        while True:
            step += 1
            checkpoint.save({"step": step, "same": torch.full((50_000,), step)})


def test_kill_9_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    context = multiprocessing.get_context("spawn")
    for delay in (0.01, 0.113, 0.237):
        process = context.Process(target=_write_for_ever, args=(tmp_path,))
        (tmp_path / "a.pt").unlink(missing_ok=True)
        process.start()
        deadline = time.monotonic() + 300
        while not (tmp_path / "a.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with Checkpoint(tmp_path, "a") as checkpoint:
            state = checkpoint.load()
        assert (state["same"] == state["step"]).all()
