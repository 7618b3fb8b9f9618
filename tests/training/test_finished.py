"""A run that ended is found again by whoever asks for the same one, unless DVC was told to make it anew."""

import os

import pytest
import yaml

from pipeline.training.finished import Cache, Finished, md5

OUTPUTS = {"weights.safetensors": b"weights", "history.csv": b"kind,step\n", "run.json": b"{}\n"}
MARKS = {name: md5(data) for name, data in OUTPUTS.items()}
# When DVC started the stage, and when others recorded what they ran before and after.
STARTED, BEFORE, AFTER = 1000.0, 900.0, 1000.5


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def finished(tmp_path, cache):
    kept = Finished(tmp_path / "checkpoints", "a", cache)
    kept.keep(OUTPUTS)
    return kept


def commit(cache, outputs=OUTPUTS) -> None:
    """As DVC puts files into its cache."""
    for data in outputs.values():
        path = cache.folder / "files" / "md5" / md5(data)[:2] / md5(data)[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def outs(marks) -> list[dict]:
    return [{"path": f"runs/mpii/a/{name}", "md5": mark} for name, mark in marks.items()]


def record(cache, at: float) -> None:
    """As DVC records a run that it ran."""
    path = cache.folder / "runs" / "12" / "12ab" / "34cd"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"cmd": "python -m stages.train", "outs": outs(MARKS)}))
    os.utime(path, (at, at))


def lock(folder, marks):
    path = folder / "dvc.lock"
    path.write_text(yaml.safe_dump({"stages": {"train@a": {"outs": outs(marks)}}}))
    return path


def restores(cache, path) -> bool:
    return cache.would_restore(MARKS, "train@a", STARTED, path)


def test_outputs_are_kept_until_the_cache_has_them_and_found_there_afterwards(tmp_path, cache, finished):
    assert finished.outputs() == OUTPUTS
    other = Finished(tmp_path / "checkpoints", "b", cache)
    other.keep({"weights.safetensors": b"others"})
    assert (tmp_path / "checkpoints" / "a").is_dir()
    commit(cache)
    other.keep({"weights.safetensors": b"others"})
    assert not (tmp_path / "checkpoints" / "a").exists() and (tmp_path / "checkpoints" / "b").exists()
    assert finished.outputs() == OUTPUTS and other.outputs() == {"weights.safetensors": b"others"}


def test_outputs_that_are_gone_or_damaged_are_not_taken_over(cache, finished, tmp_path):
    (tmp_path / "checkpoints" / "a" / "history.csv").write_bytes(b"kind,step\nstep")
    assert finished.outputs() is None
    commit(cache)
    assert finished.outputs() == OUTPUTS
    finished.forget()
    assert finished.outputs() is None and finished.marks is None


def test_what_dvc_recorded_it_restores_itself_so_that_its_run_was_forced(tmp_path, cache):
    nowhere = tmp_path / "none"
    commit(cache)
    assert not restores(cache, nowhere)
    record(cache, BEFORE)
    assert restores(cache, nowhere)
    assert restores(cache, lock(tmp_path, MARKS))


def test_what_another_experiment_recorded_since_dvc_looked_is_taken_over(tmp_path, cache):
    commit(cache)
    record(cache, AFTER)
    assert not restores(cache, tmp_path / "none")


def test_a_lock_of_another_machine_hides_from_dvc_what_this_one_made(tmp_path, cache):
    commit(cache)
    record(cache, BEFORE)
    foreign = {name: md5(data + b"elsewhere") for name, data in OUTPUTS.items()}
    assert not restores(cache, lock(tmp_path, foreign))


def test_without_dvc_nothing_is_forced(finished):
    assert Cache(None).file(MARKS["run.json"]) is None
    assert not Cache(None).would_restore(MARKS, "", STARTED, finished._record.with_name("none"))
