"""Does each network learn: the small form of each, trained on the demo's MPII as the pipeline trains it.

    python -m benchmarks.networks
    python -m benchmarks.networks hourglass_small dlcm_small --epochs 8

After `dvc repro` of the demo: it takes the people and images from data/. A minute or two each; `pckh` is that of the
validation people without mirroring, `seconds` the whole training's.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from benchmarks import tables
from pipeline import params, runs
from pipeline.datasets import DATASETS, sources
from pipeline.models import complexity, skeleton
from pipeline.networks import BASELINES, NETWORKS
from pipeline.people import People
from pipeline.ranks import Ranks
from pipeline.tracking import NoTracker
from pipeline.training import loop
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.loaders import Loaders
from pipeline.training.step import Execution

DATASET = "mpii"
SMALL = tuple(name for name in BASELINES if name.endswith("_small"))
COLUMNS = {
    "network": "{:>22}",
    "params": "{:>9,}",
    "gmacs": "{:6.3f}",
    "seconds": "{:7.0f}",
    "loss_first": "{:10.5f}",
    "loss_last": "{:10.5f}",
    "pckh": "{:5.1f}",
}


def train(name: str, p: params.Params, root: Path) -> dict[str, str | int | float]:
    """One network's row of the table."""
    people = {
        split: People.load(root / "data" / DATASET / "people" / f"{split}.npz") for split in ("train", "val")
    }
    settings, ranks = runs.Settings.of(p, guided=False), Ranks.join("cpu")
    images = sources.open_images(DATASET, p.data, root)
    task = loop.Task(
        run=runs.Run(dataset=DATASET, model=name, radius=None, seed=0, ablation=None),
        settings=settings,
        execution=Execution.of(p.train, ranks),
        train=people["train"],
        val=people["val"],
        loaders=Loaders(people["train"], people["val"], images, settings, 0, p.compute.workers),
        maps=None,
        pretrained=lambda network: "none",
        accuracy=DATASETS[DATASET].METRIC.accuracy(people["val"], root / "data" / DATASET / "people"),
        tracker=NoTracker(),
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Checkpoint(Path(folder), name) as checkpoint:
        history = loop.train(task, checkpoint, ranks).history
    seconds = time.perf_counter() - start
    keypoints = DATASETS[DATASET].KEYPOINTS
    cost = complexity.count(skeleton(name, keypoints, model=p.model, guidance=None), p.input.size)
    losses = [row["loss_key"] for row in history if row.get("loss_key") is not None]
    accuracies = [row["accuracy"] for row in history if row.get("accuracy") is not None]
    return {
        "network": name,
        "params": cost.params,
        "gmacs": cost.gmacs,
        "seconds": seconds,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "pckh": accuracies[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all small ones")
    parser.add_argument("--epochs", type=int, help="default: the demo's")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--root", type=Path, default=Path(), help="the project whose data/ is used")
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    unknown = set(options.networks) - set(NETWORKS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: it must be one of {', '.join(NETWORKS)}")
    torch.set_num_threads(options.threads)
    p = params.load(Path("profiles") / "demo.yaml")
    if options.epochs:
        p = p.model_copy(update={"train": p.train.model_copy(update={"epochs": options.epochs})})
    rows = []
    for name in options.networks or SMALL:
        rows.append(train(name, p, options.root.resolve()))
        print(tables.table(rows[-1:], COLUMNS, header=len(rows) == 1), end="", flush=True)
    facts = {"data": "demo, MPII", "size": list(p.input.size), "epochs": p.train.epochs}
    print(tables.write(options.out, "networks", torch.device("cpu"), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
