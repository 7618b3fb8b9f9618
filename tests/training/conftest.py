"""A few small pictures with joints, enough to train on for a moment."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline import params, runs
from pipeline.codec import segmentation
from pipeline.people import People
from pipeline.ranks import Ranks, position
from pipeline.tracking import NoTracker
from pipeline.training import loop
from pipeline.training.loaders import Loaders
from pipeline.training.step import Execution
from tests.conftest import ROOT, Pictures


class HostWaits(TorchDispatchMode):
    """Counts operations for which the host waits for the device: reading a number, as .item() does, and copies."""

    READS = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select")

    def __init__(self):
        super().__init__()
        self.count = 0

    def add(self) -> None:
        self.count += 1

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        out = operation(*args, **(kwargs or {}))
        copies = name in ("_to_copy", "copy_") and args[-1 if name == "copy_" else 0].device != out.device
        self.count += name in self.READS or copies
        return out


def some_people(count: int, split: str = "train") -> People:
    rng = np.random.default_rng(len(split))
    joints = rng.uniform(10, 70, (count, 16, 2))
    labelled = rng.random((count, 16)) < 0.9
    return People(
        dataset="mpii", split=split, images=np.array([f"{i}.jpg" for i in range(count)]),
        image=np.arange(count, dtype=np.int32), image_id=np.arange(1, count + 1),
        person_id=np.arange(1, count + 1) * 1000 + 1, box=np.tile([5.0, 5, 70, 80], (count, 1)),
        center=np.tile([40.0, 45.0], (count, 1)), scale=np.tile([0.35, 0.45], (count, 1)),
        joints=joints * labelled[..., None], labelled=labelled, visible=labelled,
        head_size=np.full(count, 12.0), area=np.full(count, 5600.0),
    )  # fmt: skip


def some_params(**groups) -> params.Params:
    """The demo's parameters with a smaller network and input; keyword groups replace single values."""
    p = params.load(ROOT / "profiles" / "demo.yaml")
    small = {"width": 4, "stem": 8, "bottlenecks": 1, "modules": (1, 1, 1), "blocks": 1}
    changes = {
        "input": {"size": (64, 64)},
        "model": {"small": p.model.small.model_copy(update=small)},
        "train": {"epochs": 3, "batch_size": 4, "lr_drops": [2], "log_every": 2, "validate_every": 2},
        "compute": {"workers": 0, "device": "cpu"},
    }
    for group, values in groups.items():
        changes[group] = changes.get(group, {}) | values
    return p.model_copy(update={k: getattr(p, k).model_copy(update=v) for k, v in changes.items()})


def some_task(
    radius: int | None = 3, ablation: str | None = None, execution: Execution | None = None, **groups
) -> loop.Task:
    """A task of training on twelve pictures; `radius` None is the baseline."""
    p = some_params(**groups)
    train, val, settings = (
        some_people(12),
        some_people(6, "val"),
        runs.Settings.of(p, guided=radius is not None),
    )
    rank, ranks = position()
    device = torch.device(p.compute.device)
    pin = device.type == "cuda"
    model = "hrnet_small" if radius is None else "sg_hrnet_small"
    return loop.Task(
        run=runs.Run(dataset="mpii", model=model, radius=radius, seed=0, ablation=ablation),
        settings=settings,
        execution=execution or Execution.of(p.train, Ranks(rank, ranks, device)),
        train=train,
        val=val,
        loaders=Loaders(train, val, Pictures((90, 80)), settings, 0, p.compute.workers, rank, ranks, pin),
        maps=None if radius is None else segmentation.of_people(val, p.input.size, radius),
        pretrained=lambda network: "none",
        accuracy=lambda image_xy, scores: float(np.linalg.norm(image_xy - val.joints, axis=-1).mean()),
        tracker=NoTracker(),
    )


@pytest.fixture
def make_task():
    return some_task
