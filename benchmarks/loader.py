"""Images a second of the training loader, in one process, against decoding alone.

    python -m benchmarks.loader [--source FOLDER] [--dataset coco]

Crops of 256x192 with full augmentation; the archives are in the page cache. `decoding` decodes the same files from
memory, by turns with the loader, so that both find the process's memory in the same state. Times are the CPU's.
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import tables
from pipeline import loader, params
from pipeline.datasets import sources
from pipeline.training.schedule import Schedule

COLUMNS = {"what": "{:26}", "images_per_second": "{:17.1f}", "of_decoding": "{:11.2f}"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", help="as data.source, and by default that of params.yaml")
    parser.add_argument("--dataset", default="coco")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    p = params.load()
    source = options.source or p.data.source
    if source not in ("demo", "official"):
        source = str(Path(source).resolve())
    data = p.data.model_copy(update={"source": source})
    out = options.out.resolve()
    # Away from this project's own archives and from what it records of them.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sources.fetch(options.dataset, data, Path(folder))
        images = sources.open_images(options.dataset, data, Path(folder))
        labels = sources.open_labels(options.dataset, data, Path(folder))
        people = sources.entry(options.dataset).people(labels, (256, 192))["train"].people
        measure(options, p.augment, images, people, out)


def measure(options: argparse.Namespace, augment, images, people, out: Path) -> None:
    schedule = Schedule(len(people), min(32, len(people)), epochs=4, seed=0)
    names = [str(people.images[people.image[row]]) for batch in schedule for _, row in batch]
    encoded = {name: np.frombuffer(images.read(name), np.uint8) for name in names}

    def decode() -> int:
        for name in names:
            cv2.imdecode(encoded[name], cv2.IMREAD_COLOR)
        return len(names)

    # Made once, as in a training.
    whole, reduced = (
        loader.Crops(people, images, (256, 192), augment, 0, reduce) for reduce in (False, True)
    )

    def load(crops: loader.Crops) -> int:
        return sum(len(batch["row"]) for batch in loader.batches(crops, schedule, workers=0))

    def rate(work, *arguments) -> float:
        began = time.process_time()
        return work(*arguments) / (time.process_time() - began)

    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for what, work, *arguments in (
            ("decoding", decode),
            ("loader", load, whole),
            ("loader, reduced decoding", load, reduced),
        ):
            best[what] = max(best.get(what, 0.0), rate(work, *arguments))
    rows = [
        {"what": what, "images_per_second": value, "of_decoding": value / best["decoding"]}
        for what, value in best.items()
    ]
    print(tables.table(rows, COLUMNS), end="")
    facts = {
        "dataset": options.dataset,
        "people": len(people),
        "images_a_round": len(names),
        "opencv": cv2.__version__,
    }
    print(tables.write(out, "loader", torch.device("cpu"), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
