"""python -m stages.train DATASET RUN: train one run, named as `runs.named_by` names it."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from pipeline import consumers, engines, files, params, paths, runs, tensors, weights
from pipeline.arrays import Array
from pipeline.codec import segmentation
from pipeline.datasets import DATASETS, sources
from pipeline.models import pretrained
from pipeline.people import People
from pipeline.ranks import Ranks, position
from pipeline.tracking import NoTracker, Tracker
from pipeline.training import history, loop, outlook, trial
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.finished import Cache, Finished
from pipeline.training.loaders import Loaders
from stages import STARTED, main

CHECKED = 64


def check_targets(people: People, packed: Array, p: params.Params, radius: float) -> None:
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
    os.execve(
        sys.executable,
        [*command, "-m", "stages.train", dataset, name],
        os.environ | {"STAGE_STARTED": str(STARTED)},
    )


def hold(checkpoint: Checkpoint, ranks: Ranks, heading: str) -> bool:
    """Take a run for these ranks, once no other trainer has it; returns whether they had to wait."""
    waited = False
    while not ranks.same(checkpoint.hold() if ranks.first else None):
        if ranks.first and not waited:
            print(f"{heading} is being trained by another process: waiting to take it over", flush=True)
        waited = True
        time.sleep(1)
    return waited


def found(finished: Finished, cache: Cache, waited: bool) -> dict[str, bytes] | None:
    """The outputs of this very run, if it ended before and nobody forces it to be trained anew."""
    stage = os.environ.get("DVC_STAGE", "")
    marks = finished.marks
    if marks and not waited and cache.would_restore(marks, stage, STARTED, Path("dvc.lock")):
        finished.forget()
    outputs = finished.outputs()
    if outputs:
        again = f"; `dvc repro --force --single-item {stage}` trains it anew" if stage else ""
        print(f"taken over from the same run, which was trained before{again}", flush=True)
    return outputs


def train(dataset: str, name: str) -> None:
    p = params.load()
    named = (run for run in runs.named_by(p) if run.checkpoint is None)
    run = next((run for run in named if (run.dataset, run.name) == (dataset, name)), None)
    if run is None:
        raise ValueError(f"params.yaml names no run {dataset}/{name} to train")
    device = trial.device_of(p.compute.device, run.model)
    if p.compute.nproc > 1 and "RANK" not in os.environ:
        launch(dataset, name, p.compute.nproc)

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

    given = paths.given_weights(dataset)
    file = weights.recorded(run.model, p.model.pretrained, p.data.source, root, given)
    if file:
        files.check_recorded("model.pretrained", file, given)
    metric = DATASETS[dataset].METRIC
    settings = runs.Settings.of(p, guided=run.radius is not None, input_size=run.input)
    # Before anything takes a thread.
    loaders = Loaders(
        people["train"],
        people["val"],
        sources.open_images(dataset, p.data, root),
        settings,
        run.seed or 0,
        p.compute.workers,
        *position(),
        pin=device == "cuda",
    )
    ranks = Ranks.join(device)
    tried = trial.tried(run, settings, ranks)
    if ranks.first:
        print(*outlook.lines(p, run, settings, ranks, tried, outlook.prepared(p)), sep="\n", flush=True)
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
            kernels=None if ranks.device.type == "cuda" else engines.pinned(),
            torch=torch.__version__.partition("+")[0],
            compiled=tried.execution.compiled,
        ),
    )
    reachable = consumers.of_run("train", dataset, run.model, run.ablation).reachable()
    key = files.hash_json(
        {
            "record": record.model_dump(mode="json"),
            "code": reachable,
            # Joints' order and symmetry, and COCO's labels, lie beside the tables of people.
            "people": files.hash_files(*sorted(folder.iterdir())),
            "first_weights": file and files.sha256(file),
            "torch": torch.__version__,
        }
    )
    name_of_all = f"{dataset}-{name}-{key}"
    checkpoint, cache = Checkpoint(paths.checkpoints(), name_of_all), Cache.of_workspace()
    finished = Finished(paths.checkpoints(), name_of_all, cache)
    waited = hold(checkpoint, ranks, f"{dataset}/{name}")
    outputs = found(finished, cache, waited) if ranks.first else None
    if ranks.same(outputs is None):
        tracker = Tracker(p.profile, record, reachable, name_of_all) if ranks.first else NoTracker()
        task = loop.Task(
            run=run,
            settings=settings,
            execution=tried.execution,
            train=people["train"],
            val=people["val"],
            loaders=loaders,
            maps=maps,
            pretrained=lambda network: pretrained.start(network, file),
            accuracy=metric.accuracy(people["val"], folder),
            tracker=tracker,
        )
        with trial.explained(settings, ranks.device, tried):
            outputs = outputs_of(task, checkpoint, ranks, record)
        if ranks.first:
            finished.keep(outputs)
            checkpoint.delete()
    if ranks.first and outputs:
        out = paths.emptied(paths.run(dataset, name))
        for file_name, data in outputs.items():
            (out / file_name).write_bytes(data)
    ranks.leave()


def outputs_of(
    task: loop.Task, checkpoint: Checkpoint, ranks: Ranks, record: runs.Record
) -> dict[str, bytes]:
    """Train, and give the files of runs/DATASET/RUN by their names."""
    ended = "FAILED"
    try:
        trained = loop.train(task, checkpoint, ranks)
        ended = "FINISHED"
    except loop.Interrupted:
        ended = "KILLED"
        raise
    finally:
        task.tracker.close(ended)
    return {
        paths.WEIGHTS: tensors.pack(trained.weights),
        "history.csv": history.to_csv(trained.history),
        "run.json": record.model_copy(update={"first_weights": trained.first_weights}).to_json().encode(),
    }


if __name__ == "__main__":
    main(train)
