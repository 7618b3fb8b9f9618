"""python -m stages.train DATASET RUN: train one run, named as `runs.named_by` names it."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline import consumers, files, params, paths, runs, weights
from pipeline.arrays import Array
from pipeline.codec import segmentation
from pipeline.datasets import DATASETS, sources
from pipeline.models import pretrained
from pipeline.people import People
from pipeline.ranks import Ranks
from pipeline.tracking import NoTracker, Tracker
from pipeline.training import history, loop
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.step import Execution
from stages import main

CHECKED = 64


def records() -> Iterator[Path]:
    """Where DVC records what it has run: this workspace's lock, and the run cache of all experiments."""
    yield from Path(".").glob("dvc.lock")
    asked = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    if asked.returncode == 0:
        yield from (path for path in Path(asked.stdout.strip(), "runs").rglob("*") if path.is_file())


def check_targets(people: People, packed: Array, p: params.Params, radius: int) -> None:
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
    named = (run for run in runs.named_by(p) if run.checkpoint is None)
    run = next((run for run in named if (run.dataset, run.name) == (dataset, name)), None)
    if run is None:
        raise ValueError(f"params.yaml names no run {dataset}/{name} to train")
    if p.compute.nproc > 1 and "RANK" not in os.environ:
        launch(dataset, name, p.compute.nproc)

    ranks = Ranks.join(p.compute.device)
    root = paths.project_root()
    manifest = sources.fetch(dataset, p.data, root)
    folder = paths.people(dataset)
    people = {split: People.load(folder / f"{split}.npz") for split in ("train", "val")}
    if run.input and not DATASETS[dataset].SQUARE_CROPS:
        people = {split: table.cropped_for(run.input) for split, table in people.items()}
    maps = None
    if run.radius is not None:
        for split, table in people.items():
            maps = np.load(paths.targets(dataset, run.radius) / f"{split}.npy")
            check_targets(table, maps, p, run.radius)

    file = weights.fetch(run.model, p.model.pretrained, p.data.source, root)
    if file:
        files.check_recorded("model.pretrained", file, paths.given_weights(dataset))
    metric = DATASETS[dataset].METRIC
    settings = runs.Settings.of(p, guided=run.radius is not None, input_size=run.input)
    record = runs.Record(
        run=run,
        joints=DATASETS[dataset].KEYPOINTS.count,
        settings=settings,
        data=runs.Data(
            source=manifest["source"],
            people_sha256=files.hash_files(folder / "train.npz", folder / "val.npz"),
            archives_sha256=files.hash_json(manifest),
        ),
        first_weights="",
        machine=runs.Machine(
            ranks=ranks.ranks,
            device="cuda" if ranks.device.type == "cuda" else "cpu",
            torch=torch.__version__.partition("+")[0],
            compiled=Execution.of(p.train, ranks).compiled,
        ),
    )
    key = files.hash_json(
        {
            "record": record.model_dump(mode="json"),
            "code": consumers.of_run("train", dataset, run.model, run.ablation).reachable(),
            # Joints' order and symmetry, and COCO's labels, lie beside the tables of people.
            "people": files.hash_files(*sorted(folder.iterdir())),
            "first_weights": file and files.sha256(file),
            "torch": torch.__version__,
        }
    )
    tracker = (
        Tracker(dataset, name, record.model_dump(mode="json", by_alias=True)) if ranks.first else NoTracker()
    )
    task = loop.Task(
        run=run,
        settings=settings,
        compute=p.compute,
        train=people["train"],
        val=people["val"],
        images=sources.open_images(dataset, p.data, root),
        maps=maps,
        pretrained=lambda network: pretrained.start(network, file),
        accuracy=metric.accuracy(people["val"], folder),
        tracker=tracker,
    )
    checkpoint = Checkpoint(paths.checkpoints(), f"{dataset}-{name}-{key}")
    if not ranks.first:
        loop.train(task, checkpoint, ranks)
        ranks.leave()
        return
    with checkpoint:
        checkpoint.forget(records())
        finished = False
        try:
            trained = loop.train(task, checkpoint, ranks)
            finished = True
        finally:
            # Asked to stop, it leaves within seconds.
            tracker.close(finished, timeout=30 if finished else 1)
        content = io.BytesIO()
        torch.save(trained.weights, content)
        mark = hashlib.md5(content.getvalue(), usedforsecurity=False).hexdigest()
        checkpoint.finish(vars(trained), mark)
        out = paths.emptied(paths.run(dataset, name))
        (out / "weights.pt").write_bytes(content.getvalue())
        (out / "history.csv").write_bytes(history.to_csv(trained.history))
        record.model_copy(update={"first_weights": trained.first_weights}).save(out / "run.json")
    ranks.leave()


if __name__ == "__main__":
    main(train)
