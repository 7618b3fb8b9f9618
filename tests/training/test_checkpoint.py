"""Checkpoints survive crashes, belong to one trainer, and are gone once DVC has the result."""

import multiprocessing
import os
import pickle
import signal
import time

import pytest
import torch

from pipeline.training.checkpoint import Busy, Checkpoint, Saved


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
        checkpoint.save({}, {"step": 1})

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save({}, {"step": 2})
        assert checkpoint.load() == Saved({}, {"step": 1})
        assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def _write_for_ever(folder):
    with Checkpoint(folder, "a") as checkpoint:
        step = 0
        while True:
            step += 1
            checkpoint.save({"same": torch.full((50_000,), step)}, {"step": step})


def test_kill_9_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    context = multiprocessing.get_context("spawn")
    for delay in (0.01, 0.113, 0.237):
        process = context.Process(target=_write_for_ever, args=(tmp_path,))
        (tmp_path / "a.safetensors").unlink(missing_ok=True)
        process.start()
        deadline = time.monotonic() + 300
        while not (tmp_path / "a.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with Checkpoint(tmp_path, "a") as checkpoint:
            saved = checkpoint.load()
        assert (saved.tensors["same"] == saved.facts["step"]).all()


def test_a_bit_that_flips_is_noticed_before_a_training_goes_on(tmp_path):
    with Checkpoint(tmp_path, "a") as checkpoint:
        checkpoint.save({"x": torch.rand(100)}, {"step": 3, "history": [{"loss": 0.1}]})
        path = tmp_path / "a.safetensors"
        whole = path.read_bytes()
        # In the header, in the numbers, and in the history.
        for place in (9, whole.index(b"sha256") + 20, len(whole) - 200, whole.index(b"history")):
            data = bytearray(whole)
            data[place] ^= 4
            path.write_bytes(data)
            with pytest.raises(
                ValueError, match=r"a\.safetensors is damaged .*; delete it to start this run anew"
            ):
                checkpoint.load()


def test_no_unpickler_reads_what_this_project_wrote(tmp_path, monkeypatch):
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, pytest.fail)
    monkeypatch.setattr(torch, "load", pytest.fail)
    with Checkpoint(tmp_path, "a") as checkpoint:
        checkpoint.save({"x": torch.ones(2)}, {"step": 1})
        assert checkpoint.load().facts == {"step": 1}
