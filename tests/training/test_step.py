"""A step where nothing can be read: on PyTorch's device `meta`, which has shapes and no numbers."""

import contextlib

import pytest
import torch

from pipeline import runs
from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.ranks import Ranks
from pipeline.training import trial
from pipeline.training.step import Execution, Step
from pipeline.variants import VARIANTS
from tests.training.conftest import some_params

SMALL = sorted(name for name in NETWORKS if trial.is_small(name))


@pytest.mark.parametrize(
    ("model", "ablation"),
    [*((name, None) for name in SMALL), *(("sg_hrnet_small", name) for name in VARIANTS)],
)
def test_all_of_a_step_is_on_its_device_and_none_of_it_read(model, ablation, monkeypatch):
    """As a GPU wants it: a number read is an error here, and so is an operation between two devices."""
    # Autocast knows no such device; precision is not what this is about.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    p = some_params()
    guided = model.startswith("sg_")
    run = runs.Run(dataset="mpii", model=model, radius=3 if guided else None, seed=0, ablation=ablation)
    settings = runs.Settings.of(p, guided=guided, input_size=None)
    step = Step(
        trial.fresh(run, settings),
        run,
        settings,
        Ranks(0, 1, torch.device("meta")),
        steps_per_epoch=2,
        execution=Execution(bfloat16=False, compiled="eager", deterministic=False, fused=False),
    )
    step.network.train()
    batch = trial.random_batch(4, settings.input.size, DATASETS["mpii"].KEYPOINTS.count)
    for number in range(3):
        made = step(batch, number, 1e-3)
    elsewhere = {name.split("/")[:2][-1] for name, value in step.state_dict().items() if not value.is_meta}
    # Adam counts its steps on the host, where it is not fused.
    assert made.losses.is_meta and step.total(made).is_meta and elsewhere == {"step"}
    with pytest.raises(RuntimeError, match="meta"):
        float(step.total(made))
