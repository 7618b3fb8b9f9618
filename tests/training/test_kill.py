"""Training processes that are killed at random moments, and others that end in time."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from pipeline.training.checkpoint import Checkpoint
from tests.conftest import ROOT

# A checkpoint after each step.
OFTEN = {"train": {"epochs": 8, "checkpoint_minutes": 1e-6}, "compute": {"workers": 1}}


def start(folder, **options) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.training.trainer", str(folder), json.dumps(options)]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )


def step_of(folder) -> int:
    with Checkpoint(folder, "run") as checkpoint:
        return (saved.facts if (saved := checkpoint.load()) else {"step": 0})["step"]


def wait_for(path) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


@pytest.mark.slow
def test_kill_9_at_random_moments_and_resumed_ends_as_if_never_killed(tmp_path):
    random_seconds, steps = random.Random(0), []
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, groups=OFTEN).wait(120) == 0
    for _ in range(3):
        process = start(killed, groups=OFTEN)
        wait_for(killed / "run.safetensors")
        time.sleep(random_seconds.uniform(0, 4))
        process.kill()
        process.wait()
        # The loader's processes outlive their trainer for seconds; the next one need not wait for them.
        steps.append(step_of(killed))
    process = start(killed, groups=OFTEN)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0 and f"going on from step {steps[-1]} of 24" in output
    a, b = (torch.load(folder / "rank0.pt") for folder in (whole, killed))
    assert a["history"] == b["history"]
    assert all(torch.equal(b["weights"][name], value) for name, value in a["weights"].items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_the_training_within_seconds(tmp_path, number):
    process = start(tmp_path, groups={**OFTEN, "train": OFTEN["train"] | {"epochs": 1000}})
    wait_for(tmp_path / "run.safetensors")
    before = step_of_unlocked(tmp_path)
    time.sleep(0.5)
    asked = time.monotonic()
    process.send_signal(number)
    assert process.wait(120) == 128 + number and time.monotonic() - asked < 5
    assert step_of(tmp_path) > before


def step_of_unlocked(folder) -> int:
    return Checkpoint(folder, "run").load().facts["step"]


def test_a_signal_in_a_step_of_minutes_ends_it_within_seconds_and_keeps_the_checkpoint(tmp_path):
    # Four images of a batch take a minute; the first checkpoint is there from a run of one step.
    process = start(tmp_path, groups=OFTEN)
    wait_for(tmp_path / "run.safetensors")
    process.kill()
    process.wait()
    kept = (tmp_path / "run.safetensors").read_bytes()
    process = start(tmp_path, groups=OFTEN | {"compute": {"workers": 0}}, slow=15)
    assert "going on" in process.stdout.readline()
    time.sleep(0.5)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM and time.monotonic() - asked < 5
    assert (tmp_path / "run.safetensors").read_bytes() == kept
