"""Ranks that torchrun starts on the CPU, against one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from pipeline.training.checkpoint import Checkpoint
from tests.conftest import ROOT

STEPS = {"train": {"log_every": 1}}


def start(folder, ranks: int, **options) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    torchrun = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    )
    command = [sys.executable, *torchrun, "-m", "tests.training.trainer", str(folder), json.dumps(options)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(folder, ranks: int, **options) -> list[dict]:
    process = start(folder, ranks, **options)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(ranks)]


def step_of(checkpoint) -> int:
    return Checkpoint(checkpoint.parent, checkpoint.stem).load().facts["step"]


def steps(result: dict) -> list[dict]:
    return [row for row in result["history"] if row["kind"] == "step"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Results of one rank, and of two, with batch norm in evaluation mode."""
    folder = tmp_path_factory.mktemp("ranks")
    options = {"groups": STEPS, "frozen": True}
    return finish(folder / "one", 1, **options)[0], finish(folder / "two", 2, **options)


def test_two_ranks_read_each_batch_of_one(pair):
    one, two = pair
    # The baseline's validation comes in between, on rank 0 alone: the first epoch has none.
    for step in range(3):
        halves = [set(result["reads"][2 * step : 2 * step + 2]) for result in two]
        assert (
            halves[0] | halves[1] == set(one["reads"][4 * step : 4 * step + 4]) and not halves[0] & halves[1]
        )


def test_first_losses_of_two_ranks_are_those_of_one(pair):
    one, two = pair
    for a, b in zip(steps(one)[:6], steps(two[0])[:6], strict=True):
        for key in ("loss", "loss_key", "loss_seg", "w_key", "w_seg"):
            assert b[key] == pytest.approx(a[key], abs=1e-5, rel=1e-5), (a["step"], key)


def test_both_ranks_weigh_the_losses_alike(pair):
    _, (first, second) = pair
    keys = ("loss", "loss_key", "loss_seg", "w_key", "w_seg", "r_key", "r_seg")
    assert [[row[key] for key in keys] for row in steps(first)] == [
        [row[key] for key in keys] for row in steps(second)
    ]
    assert len({row["w_key"] for row in steps(first)}) > 3


def test_both_ranks_end_with_the_same_weights_and_only_the_first_validates(pair):
    _, (first, second) = pair
    learned = [name for name in first["weights"] if "running" not in name]
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in learned)
    accuracies = [
        [row.get("accuracy") for row in r["history"] if row["kind"] == "epoch"] for r in (first, second)
    ]
    assert None not in accuracies[0] and accuracies[1] == [None, None]


@pytest.mark.slow
def test_a_dying_rank_ends_the_job_with_its_message(tmp_path):
    process = start(tmp_path / "two", 2, broken=1, groups={"train": {"epochs": 1000}})
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert ".jpg does not decode" in output and "rank      : 1" in output


@pytest.mark.slow
# Of three numbers, unlike of two, the sum depends on the order: on where DDP's buckets hold a gradient.
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_stopped_by_sigterm_go_on_as_if_never_stopped(tmp_path, ranks):
    options = {"groups": {"train": {"batch_size": 2 * ranks, "epochs": 4, "checkpoint_minutes": 1e-6}}}
    whole, *_ = finish(tmp_path / "whole", ranks, **options)
    process = start(tmp_path / "stopped", ranks, slow=0.3, **options)
    checkpoint, deadline = tmp_path / "stopped" / "run.safetensors", time.monotonic() + 300
    steps_per_epoch = 12 // (2 * ranks)
    while not (checkpoint.exists() and step_of(checkpoint) > steps_per_epoch) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    process.communicate(timeout=120)
    assert time.monotonic() - asked < 5 and process.returncode != 0
    with Checkpoint(tmp_path / "stopped", "run") as kept:
        assert steps_per_epoch < kept.load().facts["step"] < 4 * steps_per_epoch
    resumed, *_ = finish(tmp_path / "stopped", ranks, **options)
    assert resumed["history"] == whole["history"]
    assert all(torch.equal(resumed["weights"][name], value) for name, value in whole["weights"].items())


@pytest.mark.slow
def test_two_compiled_ranks_have_the_losses_of_two_eager_ones(tmp_path):
    eager, compiled = (
        finish(
            tmp_path / str(compile), 2, groups={"train": STEPS["train"] | {"epochs": 1, "compile": compile}}
        )
        for compile in (False, True)
    )
    for a, b in zip(steps(eager[0]), steps(compiled[0]), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-4, rel=1e-3)
    assert [row["loss"] for row in steps(compiled[0])] == [row["loss"] for row in steps(compiled[1])]
