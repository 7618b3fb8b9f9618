"""What is said where a machine makes other bytes than the committed lock has."""

import subprocess

import pytest
import yaml

from pipeline import committed
from pipeline.lock import LOCK


@pytest.fixture
def workspace(finished, tmp_path):
    """A repository whose lock is committed."""
    (tmp_path / LOCK).write_text((finished / LOCK).read_text())
    git = ["git", "-C", tmp_path, "-c", "user.name=A", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", LOCK], ["commit", "-qm", "Run"]):
        subprocess.run([*git, *command], check=True)
    return tmp_path


def hash_of(workspace, path):
    return next(
        item
        for stage in committed.lock.load(workspace).values()
        for item in stage.outputs
        if item.path == path
    )


def test_nothing_is_said_of_the_committed_lock(workspace, capsys):
    committed.main(workspace)
    assert capsys.readouterr().out == ""


def test_other_weights_from_the_same_inputs_are_named_with_what_to_do(workspace, capsys):
    text, weights = (workspace / LOCK).read_text(), "runs/mpii/hrnet_small-s0/weights.safetensors"
    # What was evaluated then had other inputs, and is not named.
    (workspace / LOCK).write_text(text.replace(hash_of(workspace, weights).md5, "0" * 32))
    committed.main(workspace)
    said = capsys.readouterr().out
    assert "in 1 stages" in said and "train_baseline@mpii-hrnet_small-0" in said
    assert "git commit dvc.lock" in said


def test_nothing_is_said_where_inputs_or_parameters_differ(workspace, capsys):
    def changed(key, name, value):
        entries = yaml.safe_load((workspace / LOCK).read_text())
        stage = entries["stages"]["train_baseline@mpii-hrnet_small-0"]
        stage["outs"][0]["md5"] = "0" * 32
        stage[key][name] = value(stage[key][name])
        (workspace / LOCK).write_text(yaml.safe_dump(entries))
        committed.main(workspace)
        return capsys.readouterr().out

    text = (workspace / LOCK).read_text()
    assert changed("params", "params.yaml", lambda values: values | {"train": {"epochs": 9}}) == ""
    (workspace / LOCK).write_text(text)
    assert changed("deps", 0, lambda item: item | {"md5": "1" * 32}) == ""


def test_nothing_is_said_where_nothing_is_committed(tmp_path, finished, capsys):
    (tmp_path / LOCK).write_text((finished / LOCK).read_text())
    committed.main(tmp_path)
    assert capsys.readouterr().out == ""
