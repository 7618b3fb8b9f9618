"""Trainings to time, as the stage makes them, of people that `dvc repro` has prepared; validation takes no part."""

from pathlib import Path

import numpy as np

from pipeline import models, params, runs
from pipeline.datasets import sources
from pipeline.people import People
from pipeline.ranks import Ranks
from pipeline.tracking import NoTracker
from pipeline.training import loop
from pipeline.training.loaders import Loaders
from pipeline.training.step import Execution


def task(dataset: str, network: str, p: params.Params, root: Path, ranks: Ranks) -> loop.Task:
    """The training of a network from random weights, at the radius of the parameters if it is guided."""
    folder = root / "data" / dataset / "people"
    train, val = (People.load(folder / f"{split}.npz") for split in ("train", "val"))
    val = val.select(np.array([0]))
    guided = models.NETWORKS[network].backbone is not None
    settings = runs.Settings.of(p, guided=guided)
    radius = p.radius if guided else None
    images = sources.open_images(dataset, p.data, root)
    return loop.Task(
        run=runs.Run(dataset=dataset, model=network, radius=radius, seed=0, ablation=None),
        settings=settings,
        execution=Execution.of(p.train, ranks),
        train=train,
        val=val,
        loaders=Loaders(train, val, images, settings, 0, p.compute.workers),
        maps=None,
        pretrained=lambda network: "none",
        accuracy=lambda image_xy, scores: 0.0,
        tracker=NoTracker(),
    )
