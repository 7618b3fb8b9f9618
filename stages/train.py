"""python -m stages.train DATASET RUN: train one run, named as `Params.runs` names it."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline import files, params, paths
from pipeline.codec import segmentation
from pipeline.datasets import DATASETS, sources
from pipeline.metrics import oks, pckh
from pipeline.models import pretrained
from pipeline.people import People
from pipeline.tracking import NoTracker, Tracker
from pipeline.training import loop
from pipeline.training.checkpoint import Checkpoint, fingerprint, hash_files
from stages import main

CHECKED = 64
# The code that determines a run: what the stages `train_...` of dvc.yaml depend on, for checkpoints to follow.
CODE = (
    "stages/train.py",
    "pipeline/codec",
    "pipeline/models",
    "pipeline/training",
    "pipeline/evaluation/oks.py",
    "pipeline/evaluation/pckh.py",
)


def records() -> Iterator[Path]:
    """Where DVC records what it has run: this workspace's lock, and the run cache of all experiments."""
    yield from Path(".").glob("dvc.lock")
    found = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    if found.returncode == 0:
        yield from (path for path in Path(found.stdout.strip(), "runs").rglob("*") if path.is_file())


def accuracy_of(people: People):
    """The accuracy of predictions on validation people under their own boxes, percent: PCKh@0.5 or AP."""
    keypoints = DATASETS[people.dataset].KEYPOINTS
    if keypoints.groups:
        return lambda image_xy, _: pckh.summarise(pckh.samples(image_xy, people), keypoints)["Mean"]

    def average_precision(image_xy: np.ndarray, scores: np.ndarray) -> float:
        # With HRNet's thresholds, and not those of `evaluate`: these may change without training again.
        found = oks.scored_results(people, image_xy, scores, np.ones(len(people)))
        return oks.evaluate(paths.people(people.dataset) / "val_annotations.json", found)[0]["AP"]

    return average_precision


def check_targets(people: People, packed: np.ndarray, p: params.Params, radius: int) -> None:
    """Render a sample of the precomputed maps again, by what renders them in training; raises ValueError."""
    rows = np.linspace(0, len(people) - 1, min(CHECKED, len(people))).round().astype(int)
    again = segmentation.of_people(people.select(rows), p.input.size, radius, p.segmentation.distance)
    if not np.array_equal(again, packed[rows]):
        raise ValueError(
            f"the precomputed maps of {people.dataset}/{people.split} at radius {radius} are not those that training "
            f"renders; run its stage `targets` again with `dvc repro --force`"
        )


def launch(dataset: str, name: str, nproc: int) -> None:
    """Become torchrun, which runs this stage once for each GPU; the first that fails ends them all."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={nproc}"]
    os.execv(sys.executable, [*command, "-m", "stages.train", dataset, name])


def train(dataset: str, name: str) -> None:
    p = params.load()
    trained = (run for run in p.runs() if run.checkpoint is None)
    run = next((run for run in trained if (run.dataset, run.name) == (dataset, name)), None)
    if run is None:
        raise ValueError(f"params.yaml names no run {dataset}/{name} to train")
    if p.compute.nproc > 1 and "RANK" not in os.environ:
        launch(dataset, name, p.compute.nproc)

    ranks = loop.Ranks.join(p.compute.device)
    root = paths.project_root()
    manifest = sources.fetch(dataset, p.data, root)
    folder = paths.people(dataset)
    people = {split: People.load(folder / f"{split}.npz") for split in ("train", "val")}
    maps = None
    if run.radius is not None:
        for split, table in people.items():
            maps = np.load(paths.targets(dataset, run.radius) / f"{split}.npy")
            check_targets(table, maps, p, run.radius)

    file = pretrained.find(run.model, p.model.pretrained, p.data.source, root)
    if file:
        files.check_recorded("model.pretrained", file, paths.given_weights(dataset))

    # Only what dvc.yaml has this run depend on: a value that it does not use must not change its output.
    groups = ("input", "heatmap", "augment", "model", "train")
    if run.radius is not None:
        groups += ("segmentation", "guidance", "loss", "dwa")
    used = {group: getattr(p, group).model_dump(mode="json", by_alias=True) for group in groups}
    used.setdefault("loss", {"reduction": p.loss.reduction})
    description = {
        "dataset": dataset,
        "run": name,
        "model": run.model,
        "radius": run.radius,
        "seed": run.seed,
        "ablation": run.ablation,
        "joints": DATASETS[dataset].KEYPOINTS.count,
        "data": {
            "source": manifest["source"],
            "people_sha256": hash_files(folder / "train.npz", folder / "val.npz"),
            "archives_sha256": fingerprint(manifest),
        },
        "params": used,
        # Batch norm sees each rank's share of a batch.
        "ranks": ranks.ranks,
    }
    # What changes the numbers and must never go on from an old checkpoint, but is no property of the run.
    here = {
        "code": hash_files(*(Path(__file__).parents[1] / part for part in CODE)),
        # Joints' order and symmetry, and COCO's labels, lie beside the tables of people.
        "people": hash_files(*sorted(folder.iterdir())),
        "first_weights": file and files.sha256(file),
        "torch": torch.__version__,
        "device": ranks.device.type,
    }
    tracker = Tracker(dataset, name, description) if ranks.rank == 0 else NoTracker()
    task = loop.Task(
        run=run,
        params=p,
        train=people["train"],
        val=people["val"],
        images=sources.open_images(dataset, p.data, root),
        maps=maps,
        pretrained=lambda network: pretrained.start(network, file),
        accuracy=accuracy_of(people["val"]),
        tracker=tracker,
    )
    checkpoint = Checkpoint(paths.checkpoints(), f"{dataset}-{name}-{fingerprint(description | here)}")
    if ranks.rank > 0:
        loop.train(task, checkpoint, ranks)
        ranks.leave()
        return
    with checkpoint:
        checkpoint.forget(records())
        finished = False
        try:
            result = loop.train(task, checkpoint, ranks)
            finished = True
        finally:
            # Asked to stop, it leaves within seconds.
            tracker.close(finished, timeout=30 if finished else 1)
        weights = io.BytesIO()
        torch.save(result["weights"], weights)
        checkpoint.finish(result, hashlib.md5(weights.getvalue(), usedforsecurity=False).hexdigest())
        description = {**description, "pretrained": result["origin"]}
        out = paths.emptied(paths.run(dataset, name))
        (out / "weights.pt").write_bytes(weights.getvalue())
        (out / "history.csv").write_bytes(loop.history_csv(result["history"]))
        (out / "run.json").write_text(json.dumps(description, indent=2) + "\n")
    ranks.leave()


if __name__ == "__main__":
    main(train)
