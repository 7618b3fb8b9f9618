"""Training steps to time: the very step of training, on batches of random crops, under the paper's parameters."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline import models, params, profiles, runs
from pipeline.datasets import DATASETS
from pipeline.ranks import Ranks, choose_algorithms
from pipeline.training.step import Execution, Step

DATASET = "coco"


def settings(size: tuple[int, int], guided: bool, **train) -> runs.Settings:
    """The parameters of the profile `paper`, at an input's (height, width); `train` replaces single values."""
    p = params.parse(profiles.merged("paper"), "profiles/paper.yaml")
    given = {
        "input": p.input.model_copy(update={"size": size}),
        "train": p.train.model_copy(update=train),
    }
    return runs.Settings.of(p.model_copy(update=given), guided=guided)


def build(
    network: str,
    size: tuple[int, int],
    device: torch.device,
    execution: Execution | None = None,
    ablation: str | None = None,
    **train,
) -> Step:
    """A step of a network with fresh weights, as training makes it; `execution` replaces how it is carried out."""
    guided = models.NETWORKS[network].backbone is not None
    chosen = settings(size, guided, **train)
    assert chosen.training is not None
    deterministic = execution.deterministic if execution else chosen.training.train.deterministic
    choose_algorithms(deterministic, torch.get_num_threads())
    net = models.build(
        network,
        DATASETS[DATASET].KEYPOINTS,
        model=chosen.model,
        guidance=chosen.guided.guidance if chosen.guided else None,
        ablation=ablation,
    )
    radius = 5 if guided else None
    run = runs.Run(dataset=DATASET, model=network, radius=radius, seed=0, ablation=ablation)
    step = Step(net, run, chosen, Ranks(0, 1, device), steps_per_epoch=10**6, execution=execution)
    step.network.train()
    return step


def batch(people: int, size: tuple[int, int], device: torch.device) -> dict[str, Tensor]:
    """A batch as the loader gives it, in the host's memory: pinned where the device is a GPU."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    crops = {
        "input": torch.randint(0, 256, (people, *size, 3), dtype=torch.uint8, generator=generator),
        "centres": torch.stack(
            [
                torch.randint(
                    0,
                    side // 4,
                    (people, DATASETS[DATASET].KEYPOINTS.count),
                    dtype=torch.int32,
                    generator=generator,
                )
                for side in (width, height)
            ],
            -1,
        ),
        "labelled": torch.ones(people, DATASETS[DATASET].KEYPOINTS.count, dtype=torch.bool),
    }
    return {key: value.pin_memory() for key, value in crops.items()} if device.type == "cuda" else crops


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """How long one of `times` calls takes, the device's work included."""
    wait(device)
    began = time.perf_counter()
    for _ in range(times):
        work()
    wait(device)
    return (time.perf_counter() - began) / times
