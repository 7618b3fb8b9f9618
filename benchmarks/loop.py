"""The training loop against its own bare steps: what loading, targets and bookkeeping leave of the rate.

    python -m benchmarks.loop
    python -m benchmarks.loop --dataset lspet --batch 32

After `dvc repro` of a profile: it takes people and images from data/. In one process, by turns: an epoch of the loop
as the pipeline trains, with loaders, targets, history and checkpoints, but for validation; and steps on one prepared
batch, forward to Adam alone. `of_bare` is the median ratio of the rates over the rounds, with its quartiles;
`of_its_cpu` that of the training process's own processor time, which neighbours and a slow loader leave alone.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import torch

from pipeline import engines

engines.pin_torch(deterministic=True)

from benchmarks import tables, tasks  # noqa: E402
from pipeline import loader, models, params  # noqa: E402
from pipeline.datasets import DATASETS  # noqa: E402
from pipeline.ranks import Ranks  # noqa: E402
from pipeline.training import loop  # noqa: E402
from pipeline.training.checkpoint import Checkpoint  # noqa: E402
from pipeline.training.history import Row  # noqa: E402
from pipeline.training.schedule import Schedule  # noqa: E402
from pipeline.training.step import Step  # noqa: E402

COLUMNS = {
    "network": "{:>16}",
    "batch": "{:5}",
    "loop": "{:7.1f}",
    "bare": "{:7.1f}",
    "of_bare": "{:7.3f}",
    "quartiles": "{:>14}",
    "of_its_cpu": "{:10.3f}",
}


def now() -> tuple[float, float]:
    """Of the world and of this process, seconds."""
    return time.perf_counter(), time.process_time()


class Clock:
    """Told of the rows of a training, it notes when they came."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, float]] = []

    def start(self, steps: int) -> None:
        pass

    def log(self, row: Row, images_per_second: float) -> None:
        if row["kind"] == "step":
            self.seen.append((int(row["step"]), *now()))

    def close(self, status: str) -> None:
        pass


def measure(options: argparse.Namespace, p: params.Params, root: Path) -> dict[str, object]:
    ranks = Ranks.join("cpu")
    task = tasks.task(options.dataset, options.network, p, root, ranks)
    run, settings = task.run, task.settings
    assert settings.training is not None
    batch = settings.training.train.batch_size

    def looped() -> tuple[float, float]:
        """Images a second, of the world and of this process, between the first logged step and the last."""
        clock = Clock()
        with tempfile.TemporaryDirectory() as kept, Checkpoint(Path(kept), "loop") as checkpoint:
            loop.train(dataclasses.replace(task, tracker=clock), checkpoint, ranks)
        (first, *began), (last, *ended) = clock.seen[0], clock.seen[-1]
        return rates((last - first) * batch, began, ended)

    net = models.build(
        run.model,
        DATASETS[run.dataset].KEYPOINTS,
        model=settings.model,
        guidance=settings.guided.guidance if settings.guided else None,
    )
    step = Step(net, run, settings, ranks, steps_per_epoch=10**6)
    crops = loader.Crops(task.train, task.loaders.images, settings.input.size, settings.training.augment)
    schedule = Schedule(len(task.train), batch, 1, 0)
    prepared = step.prepare(next(iter(loader.batches(crops, schedule, workers=0))))

    def bare() -> tuple[float, float]:
        """The same of as many steps on one batch."""
        step.network.train()
        count = len(task.train) // batch
        began = now()
        for number in range(count):
            step.update(prepared, number, 1e-3)
        return rates(count * batch, began, now())

    def rates(count: int, began: Sequence[float], ended: Sequence[float]) -> tuple[float, float]:
        return count / (ended[0] - began[0]), count / (ended[1] - began[1])

    pairs = [(looped(), bare()) for _ in range(options.rounds)]
    ratios, own = ([of_loop[at] / of_bare[at] for of_loop, of_bare in pairs] for at in (0, 1))
    low, _, high = quantiles(ratios, n=4)
    return {
        "network": options.network,
        "batch": batch,
        "loop": median(of_loop[0] for of_loop, _ in pairs),
        "bare": median(of_bare[0] for _, of_bare in pairs),
        "of_bare": median(ratios),
        "quartiles": f"{low:.3f} to {high:.3f}",
        "of_its_cpu": median(own),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="mpii", choices=sorted(DATASETS))
    parser.add_argument("--network", default="sg_hrnet_small", choices=sorted(models.NETWORKS))
    parser.add_argument("--batch", type=int, help="instead of train.batch_size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    p = params.load()
    once = {"epochs": 1, "lr_drops": []}
    if options.batch:
        once["batch_size"] = options.batch
    p = p.model_copy(update={"train": p.train.model_copy(update=once)})
    rows = [measure(options, p, Path.cwd())]
    print(tables.table(rows, COLUMNS), end="")
    facts = {
        "dataset": options.dataset,
        "input_size": p.input.size,
        "precision": p.train.precision,
        "threads_of_a_step": p.train.threads,
        "workers": p.compute.workers,
        "rounds": options.rounds,
    }
    print(tables.write(options.out, "loop", torch.device("cpu"), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
