"""A training in a process of its own: python -m tests.training.trainer FOLDER OPTIONS

Each rank writes what it read and what came out to FOLDER. OPTIONS, JSON: `groups` of parameters; `frozen`, batch
norm in evaluation mode; `broken`, a rank whose images do not decode from its eighth on; `slow`, seconds that each
image takes.
"""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

from pipeline.ranks import Ranks
from pipeline.training import loop
from pipeline.training.checkpoint import Checkpoint
from tests.training.conftest import some_task


def main(folder: Path, groups=None, frozen=False, broken=None, slow=0.0) -> None:
    if frozen:
        nn.BatchNorm2d.train = lambda self, mode=True: nn.Module.train(self, False)
    ranks = Ranks.join("cpu")
    task, reads = some_task(**(groups or {})), []
    read = task.loaders.images.read

    def recording(name: str) -> bytes:
        reads.append(name)
        if ranks.rank == broken and len(reads) == 8:
            sys.exit(f"the image {name} does not decode")
        time.sleep(slow)
        return read(name)

    task.loaders.images.read = recording
    checkpoint = Checkpoint(folder, "run")
    if ranks.rank > 0:
        result = loop.train(task, checkpoint, ranks)
    else:
        with checkpoint:
            result = loop.train(task, checkpoint, ranks)
    torch.save(vars(result) | {"reads": reads}, folder / f"rank{ranks.rank}.pt")
    ranks.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), **json.loads(sys.argv[2]))
