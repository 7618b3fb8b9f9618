"""What is tried before a training: devices, precision, compiling that fails, memory, shared memory."""

import re

import pytest
import torch

from pipeline import loader, runs
from pipeline.ranks import Ranks
from pipeline.training import outlook, step, trial
from pipeline.training.step import Execution
from tests.conftest import ROOT
from tests.training.conftest import some_params

CPU = Ranks(0, 1, torch.device("cpu"))
RUN = runs.Run(dataset="mpii", model="sg_hrnet_small", radius=3, seed=0, ablation=None)


def settings(**train) -> runs.Settings:
    return runs.Settings.of(some_params(train=train), guided=True)


def with_gpu(monkeypatch, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)


def failing(monkeypatch, *modes: str) -> None:
    """Have the first compiled step fail in some of torch.compile's modes."""

    def compiled(forward, mode, dynamic):
        def call(images):
            if mode in modes:
                raise torch._dynamo.exc.TorchRuntimeError(f"no Triton for {mode}")
            return forward(images)

        return call

    monkeypatch.setattr(step.torch, "compile", compiled)


@pytest.mark.parametrize("name", ["paper", "lspet"])
def test_profiles_of_real_networks_ask_for_a_gpu(name, monkeypatch):
    from pipeline import profiles

    assert re.search(r"^  device: cuda$", profiles.merged(name, ROOT / "profiles"), re.MULTILINE)


@pytest.mark.parametrize(
    ("wanted", "network", "gpu", "taken"),
    [
        ("auto", "hrnet_w32", True, "cuda"),
        ("auto", "hrnet_small", False, "cpu"),
        ("cpu", "hrnet_w32", False, "cpu"),
        ("cpu", "hrnet_w32", True, "cpu"),
        ("cuda", "hrnet_small", True, "cuda"),
    ],
)
def test_a_device_is_taken(monkeypatch, wanted, network, gpu, taken):
    with_gpu(monkeypatch, gpu)
    assert trial.device_of(wanted, network) == taken


@pytest.mark.parametrize(
    ("wanted", "network", "told"),
    [
        ("auto", "sg_hrnet_w32", "auto finds no GPU, and SG-HRNet-W32 takes weeks on a CPU; set cpu"),
        ("cuda", "hrnet_small", "compute.device: cuda, but PyTorch .* finds no GPU here; `nvidia-smi`"),
    ],
)
def test_no_real_network_is_trained_on_a_cpu_unasked(monkeypatch, wanted, network, told):
    with_gpu(monkeypatch, False)
    with pytest.raises(ValueError, match=told):
        trial.device_of(wanted, network)


def test_bfloat16_is_refused_where_a_gpu_imitates_it(monkeypatch):
    train, gpu = settings(precision="bfloat16").training.train, torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    with pytest.raises(ValueError, match=r"Tesla V100 has 7.0; set train.precision: float32"):
        trial.check_precision(train, gpu)
    trial.check_precision(train, torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    trial.check_precision(train, gpu)


@pytest.mark.parametrize(
    ("broken", "left"),
    [
        ((), "compiled with CUDA graphs"),
        (("reduce-overhead",), "compiled"),
        (("reduce-overhead", "default"), "eager"),
    ],
)
def test_compiling_that_fails_steps_down(monkeypatch, broken, left):
    failing(monkeypatch, *broken)
    execution = Execution(False, "compiled with CUDA graphs", deterministic=True)
    tried, failures = trial._stepping_down(RUN, settings(), CPU, execution, people=2)
    assert tried.execution.compiled == left and tried.images_per_second > 0
    assert all(f"no Triton for {mode}" in failure for mode, failure in zip(broken, failures, strict=True))


def test_the_user_reads_one_line_of_it(monkeypatch, capsys):
    failing(monkeypatch, "default")
    tried = trial.tried(RUN, settings(compile=True), CPU)
    assert tried.execution == Execution.of(settings().training.train, CPU)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "mpii/sg_hrnet_small-r3-s0: trains eager, as run.json tells, since its first steps fail"
    )
    assert "TorchRuntimeError: no Triton for default" in line


def test_a_step_that_fails_uncompiled_is_no_matter_of_compiling(monkeypatch):
    monkeypatch.setattr(step.Step, "prepare", lambda self, batch: batch.missing)
    with pytest.raises(ValueError, match=r"the first steps fail, eager \(AttributeError"):
        trial.tried(RUN, settings(), CPU)


def test_a_batch_too_large_for_memory_is_told_what_fits(monkeypatch):
    prepare = step.Step.prepare

    def short_of_memory(self, batch):
        if len(batch["input"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return prepare(self, batch)

    monkeypatch.setattr(step.Step, "prepare", short_of_memory)
    told = "train.batch_size: 12 does not fit into this machine's memory; a batch of"
    with pytest.raises(ValueError, match=f"{told} 1 does|{told} 2 does"):
        trial.tried(RUN, settings(batch_size=12), CPU)


def test_memory_that_runs_out_later_says_so():
    tried = trial.Trial(Execution.of(settings().training.train, CPU), 100.0, 5 << 30)
    told = "train.batch_size: 4 does not fit .* before the training 5.0 GiB sufficed"
    with pytest.raises(ValueError, match=told), trial.explained(settings(), CPU.device, tried):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_what_is_no_lack_of_memory_stays_as_it_is():
    tried = trial.Trial(Execution.of(settings().training.train, CPU))
    with pytest.raises(RuntimeError, match="else"), trial.explained(settings(), CPU.device, tried):
        raise RuntimeError("something else")


# A batch of 32 crops of 256 x 192 takes 4.6 MiB; each of two loaders has half of what is free.
@pytest.mark.parametrize(("mebibytes", "ready"), [(1024, loader.PREFETCH), (256, loader.PREFETCH), (160, 1)])
def test_loaders_prefetch_what_shared_memory_holds(monkeypatch, mebibytes, ready):
    monkeypatch.setattr(loader, "free_shared_memory", lambda: mebibytes << 20)
    assert loader.prefetched((256, 192), people=32, workers=4 if mebibytes > 200 else 8, loaders=2) == ready


def test_dockers_default_of_shared_memory_is_refused_with_the_flag(monkeypatch):
    monkeypatch.setattr(loader, "free_shared_memory", lambda: 64 << 20)
    with pytest.raises(ValueError, match=r"64 MiB free, too few .*docker run --shm-size=\d+m"):
        loader.prefetched((256, 192), people=32, workers=8, loaders=2)


def test_a_training_begins_with_what_to_expect():
    p = some_params(train={"compile": True})
    tried = trial.Trial(Execution.of(p.train, CPU), images_per_second=100.0)
    planned = [run for run in runs.named_by(p) if run.checkpoint is None]
    run = next(run for run in planned if run.dataset == "mpii")
    lines = list(outlook.lines(p, run, settings(compile=True), CPU, tried, {"mpii": 1000}))
    assert [line.split()[0] for line in lines] == "device step deterministic, loading disk expected".split()
    assert lines[1] == "step      float32, compiled, deterministic, batches of 4"
    # Three epochs of 1000 images at 100 a second.
    assert "about 100 images/s" in lines[-1] and "this run 30 s" in lines[-1]


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (59.6, "1 min"), (3725, "1 h 2 min"), (200_000, "2 d 7 h")]
)
def test_durations_have_two_units(seconds, told):
    assert outlook.duration(seconds) == told


def test_low_resolution_is_enlarged_in_float32(monkeypatch):
    from pipeline.models import hrnet

    seen, enlarge = set(), hrnet._enlarge

    def recording(y_BCHW, scale, mode):
        seen.add(y_BCHW.dtype)
        return enlarge(y_BCHW, scale, mode)

    monkeypatch.setattr(hrnet, "_enlarge", recording)
    net = trial.fresh(RUN, settings())
    with torch.autocast("cpu", torch.bfloat16):
        net(torch.zeros(1, 3, 64, 64))
    assert seen == {torch.float32}
