"""Steps on a copy of the network before a training: what fails at a first step fails here, and has an answer.

Compiling that fails steps down, from CUDA graphs to plain compiling to eager, and `run.json` tells how far. What runs
out of memory says what fits. Nothing here changes what a step computes.
"""

import contextlib
import gc
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.params import Train
from pipeline.ranks import Ranks, choose_algorithms
from pipeline.runs import Run, Settings
from pipeline.training.step import Compiled, Execution, Step

DOWN: dict[Compiled, Compiled] = {"compiled with CUDA graphs": "compiled", "compiled": "eager"}
# The first steps of a compiled network compile it, and record CUDA graphs.
WARM_UP = 4
BFLOAT16 = (8, 0)
"""Compute capability from which a GPU has it."""


@dataclass(frozen=True)
class Trial:
    """How a training's steps are carried out. Where some were tried, images_per_second of all ranks, without waiting
    for data, and a GPU's memory in bytes at its peak."""

    execution: Execution
    images_per_second: float | None = None
    peak_bytes: int | None = None


def is_small(name: str) -> bool:
    """Whether a network is one of those for the demo and for tests, which a CPU trains in minutes."""
    return name.endswith("_small")


def device_of(wanted: Literal["auto", "cpu", "cuda"], network: str) -> Literal["cpu", "cuda"]:
    """The device that `compute.device` means for training a network; raises ValueError where there is none.

    A real network takes weeks on a CPU: it trains there when asked to, and not because a GPU was not found.
    """
    if wanted == "cpu" or torch.cuda.is_available():
        return "cpu" if wanted == "cpu" else "cuda"
    if wanted == "cuda":
        raise ValueError(
            f"compute.device: cuda, but PyTorch {torch.__version__} finds no GPU here; `nvidia-smi` must show one, and "
            f"PyTorch be a build for its driver. cpu computes without"
        )
    if not is_small(network):
        raise ValueError(
            f"compute.device: auto finds no GPU, and {NETWORKS[network].title} takes weeks on a CPU; set cpu if that "
            f"is what you want"
        )
    return "cpu"


def check_precision(train: Train, device: torch.device) -> None:
    """Raise ValueError for bfloat16 on a GPU that only imitates it."""
    if device.type == "cuda" and train.precision == "bfloat16":
        capability = torch.cuda.get_device_capability(device)
        if capability < BFLOAT16:
            raise ValueError(
                "train.precision: bfloat16 needs a GPU of compute capability {}.{}, and {} has {}.{}; set "
                "train.precision: float32".format(*BFLOAT16, torch.cuda.get_device_name(device), *capability)
            )


def tried(run: Run, settings: Settings, ranks: Ranks) -> Trial:
    """How this training can be carried out here; all ranks come to the same.

    A line says where that is less than the parameters ask for. On a CPU an eager step of a real network, which takes
    a minute, is not tried. Raises ValueError for what cannot be carried out, and names the key.
    """
    assert settings.training is not None
    train = settings.training.train
    check_precision(train, ranks.device)
    wanted = Execution.of(train, ranks)
    if ranks.device.type == "cpu" and wanted.compiled == "eager" and not is_small(run.model):
        return Trial(wanted)
    people = train.batch_size // ranks.ranks
    # Each rank alone at first: were they to wait for each other, one that failed would leave the others waiting.
    trial, failures = _stepping_down(run, settings, replace(ranks, rank=0, ranks=1), wanted, people)
    if ranks.ranks > 1:
        trial = _lowest(trial, ranks)
        if trial.execution.compiled != "eager":
            trial, more = _stepping_down(run, settings, ranks, trial.execution, people)
            trial, failures = _lowest(trial, ranks), failures + more
        if trial.images_per_second is not None:
            trial = replace(trial, images_per_second=trial.images_per_second * ranks.ranks)
    if ranks.first and trial.execution != wanted:
        print(
            f"{run.dataset}/{run.name}: trains {trial.execution.compiled}, as run.json tells, since its first steps "
            f"fail {'; '.join(failures) or 'on another rank'}",
            flush=True,
        )
    return trial


def _lowest(trial: Trial, ranks: Ranks) -> Trial:
    """The trial with what the least able rank could do."""
    ladder: list[Compiled] = ["compiled with CUDA graphs", *DOWN.values()]
    lowest = ladder[ranks.largest(ladder.index(trial.execution.compiled))]
    return replace(trial, execution=replace(trial.execution, compiled=lowest))


def _stepping_down(
    run: Run, settings: Settings, ranks: Ranks, execution: Execution, people: int
) -> tuple[Trial, list[str]]:
    """The trial of an execution with batches of so many people, or of the next less demanding one that works; and how
    the others failed."""
    failures: list[str] = []
    while True:
        try:
            return steps(run, settings, ranks, execution, people), failures
        except Exception as error:
            failure = error
            # Its frames hold the network and its memory.
            traceback.clear_frames(error.__traceback__)
        _release()
        down = DOWN.get(execution.compiled)
        if down is None and ran_out_of_memory(failure):
            fits = _what_fits(run, settings, ranks, execution, people)
            raise ValueError(
                f"{_does_not_fit(settings, ranks.device)}; a batch of {fits} does"
                if fits
                else f"{_does_not_fit(settings, ranks.device)}, and not one person does"
            )
        if down is None or not _works(ranks.device):
            raise ValueError(
                f"{run.dataset}/{run.name}: the first steps fail, {execution.compiled} ({short(failure)})"
                + ("; try train.compile: false" if down else "")
            )
        failures.append(f"{execution.compiled} ({short(failure)})")
        execution = replace(execution, compiled=down)


def steps(run: Run, settings: Settings, ranks: Ranks, execution: Execution, people: int) -> Trial:
    """Carry out some steps on a fresh network, with random batches of so many people; raises whatever they raise."""
    assert settings.training is not None
    choose_algorithms(execution.deterministic, settings.training.train.threads)
    device, gpu = ranks.device, ranks.device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    step = Step(fresh(run, settings), run, settings, ranks, 10**6, execution)
    step.network.train()
    batch, compiled = (
        random_batch(people, settings.input.size, DATASETS[run.dataset].KEYPOINTS.count, pin=gpu),
        execution.compiled,
    )
    skipped = _skipped_graphs() if compiled == "compiled with CUDA graphs" else 0
    for number in range(WARM_UP if compiled != "eager" else 1):
        step(batch, number, 1e-5)
    if compiled == "compiled with CUDA graphs" and _skipped_graphs() > skipped:
        raise RuntimeError("the compiler leaves CUDA graphs out")
    rate = images_per_second(step, batch, device)
    peak = torch.cuda.max_memory_allocated(device) if gpu else None
    del step
    _release()
    return Trial(execution, rate, peak)


def images_per_second(step: Step, batch: Mapping[str, Tensor], device: torch.device) -> float:
    """Of one rank's further steps, on a batch that is there: twenty on a GPU, two on a CPU."""
    count = 20 if device.type == "cuda" else 2
    wait(device)
    began = time.perf_counter()
    for number in range(count):
        step(batch, number, 1e-5)
    wait(device)
    return count * len(batch["input"]) / (time.perf_counter() - began)


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fresh(run: Run, settings: Settings) -> nn.Module:
    """A run's network as it starts, but for ImageNet's weights."""
    return models.build(
        run.model,
        DATASETS[run.dataset].KEYPOINTS,
        model=settings.model,
        guidance=settings.guided.guidance if settings.guided else None,
        ablation=run.ablation,
        seed=run.seed or 0,
    )


def random_batch(people: int, size: tuple[int, int], joints: int, pin: bool = False) -> dict[str, Tensor]:
    """A batch as the loader gives it, of noise with joints anywhere; pin: in memory from which a GPU copies."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    x_BK, y_BK = (
        torch.randint(0, side // 4, (people, joints), dtype=torch.int32, generator=generator)
        for side in (width, height)
    )
    crops = {
        "input": torch.randint(0, 256, (people, *size, 3), dtype=torch.uint8, generator=generator),
        "centres": torch.stack([x_BK, y_BK], -1),
        "labelled": torch.ones(people, joints, dtype=torch.bool),
    }
    return {key: value.pin_memory() for key, value in crops.items()} if pin else crops


@contextlib.contextmanager
def explained(settings: Settings, device: torch.device, trial: Trial) -> Iterator[None]:
    """Turn memory that runs out in the middle of a training into a sentence (ValueError)."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if ran_out_of_memory(error):
            raise ValueError(f"{_does_not_fit(settings, device)}; {_needed(settings, trial)}") from None
        raise


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that memory ran out: a GPU's or the host's."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _what_fits(run: Run, settings: Settings, ranks: Ranks, execution: Execution, people: int) -> int:
    """The largest half, quarter and so on of a batch with which a step works; 0 where none does."""
    while people > 1:
        people //= 2
        try:
            steps(run, settings, ranks, execution, people)
            return people
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)
        _release()
    return 0


def _does_not_fit(settings: Settings, device: torch.device) -> str:
    assert settings.training is not None
    train = settings.training.train
    where = "this machine's memory"
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        where = f"{torch.cuda.get_device_name(device)}'s {total / 2**30:.1f} GiB ({free / 2**30:.1f} free)"
    less = " in float32" if device.type == "cuda" and train.precision == "float32" else ""
    return f"train.batch_size: {train.batch_size} does not fit into {where}{less}"


def _needed(settings: Settings, trial: Trial) -> str:
    assert settings.training is not None
    if trial.peak_bytes is None:
        return f"try half of it, {max(settings.training.train.batch_size // 2, 1)}"
    return (
        f"before the training {trial.peak_bytes / 2**30:.1f} GiB sufficed, so something else came to hold the rest: "
        f"wait for it, or take a smaller batch"
    )


def _skipped_graphs() -> int:
    return int(torch._dynamo.utils.counters["inductor"]["cudagraph_skips"])


def _works(device: torch.device) -> bool:
    """Whether a device still computes: some errors of a GPU's program leave it useless to the process."""
    try:
        return bool(torch.ones(1, device=device).add(1).item() == 2)
    except RuntimeError:
        return False


def _release() -> None:
    """Give back what a copy of the network held."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def short(error: BaseException) -> str:
    """An error in one line: of a chain, what was raised last."""
    text = " ".join(str(error).split()).partition(" Set TORCHDYNAMO_VERBOSE")[0]
    return f"{type(error).__name__}: {text}"[:200]
