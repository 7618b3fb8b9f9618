"""Training on a GPU: nothing waits for it, and a stopped run goes on. Skipped where there is none."""

import warnings

import pytest
import torch

from pipeline.ranks import Ranks
from pipeline.training import loop
from pipeline.training.checkpoint import Checkpoint

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
FULL_SPEED = {"precision": "bfloat16", "compile": True, "deterministic": False}


ON_GPU = {"device": "cuda"}


def run(task, folder, key="run", device="cuda") -> loop.Trained:
    with Checkpoint(folder, key) as checkpoint:
        return loop.train(task, checkpoint, Ranks(0, 1, torch.device(device)))


def losses(result: loop.Trained) -> list[float]:
    return [row["loss"] for row in result.history if row["kind"] == "step"]


@pytest.mark.parametrize("radius", [None, 3])
@pytest.mark.parametrize("train", [{}, FULL_SPEED], ids=["float32", "bfloat16, compiled, CUDA graphs"])
def test_the_losses_are_those_of_the_cpu(make_task, tmp_path, radius, train):
    tolerance = 1e-3 if not train else 0.05
    # Few steps: small differences grow with each.
    few = {"log_every": 1, "epochs": 1, "lr": 1e-5}
    on_cpu = run(make_task(radius, train=few), tmp_path, "cpu", "cpu")
    on_gpu = run(make_task(radius, train=few | train, compute=ON_GPU), tmp_path, "gpu")
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), rel=tolerance)
    assert all(value.device.type == "cpu" for value in on_gpu.weights.values())


@pytest.mark.parametrize("train", [{}, FULL_SPEED], ids=["float32", "bfloat16, compiled, CUDA graphs"])
def test_the_host_waits_for_the_device_at_logged_steps_only(make_task, tmp_path, train):
    torch._dynamo.utils.counters.clear()
    # Six steps an epoch, of which none is logged.
    changes = train | {"batch_size": 2, "epochs": 1, "log_every": 1000}
    task = make_task(train=changes, compute=ON_GPU)
    run(task, tmp_path, "compiles, and leaves tables on the GPU")
    read, before_read = task.loaders.images.read, []

    def counting_read(name: str) -> bytes:
        before_read.append(sum("synchroniz" in str(warning.message) for warning in caught))
        return read(name)

    task.loaders.images.read = counting_read
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run(task, tmp_path)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    before_step = before_read[:12:2]
    # The first steps of a compiled network record its graphs.
    assert before_step[3] == before_step[4] == before_step[5]
    assert not torch._dynamo.utils.counters["inductor"]["cudagraph_skips"], "compiled without its CUDA graphs"
    assert before_read[-1] > before_step[5], "validation and saving wait: if they were not seen, nothing was"


def test_a_stopped_deterministic_run_goes_on_to_the_same_weights(make_task, tmp_path):
    train = {"deterministic": True, "log_every": 1, "epochs": 2, "checkpoint_minutes": 0}
    whole = run(make_task(train=train, compute=ON_GPU), tmp_path, "whole")
    task, reads = make_task(train=train, compute=ON_GPU), []
    read = task.loaders.images.read

    def failing(name: str) -> bytes:
        reads.append(name)
        if len(reads) > 22:
            raise RuntimeError("stop")
        return read(name)

    task.loaders.images.read = failing
    with pytest.raises(RuntimeError, match="stop"):
        run(task, tmp_path, "stopped")
    task.loaders.images.read = read
    resumed = run(task, tmp_path, "stopped")
    assert losses(resumed) == losses(whole)
    for name, value in whole.weights.items():
        assert torch.equal(resumed.weights[name], value), name
