"""What every network costs: parameters, both GFLOPs columns, and milliseconds an image, without training.

    python -m benchmarks.complexity
    python -m benchmarks.complexity hrnet_w32 hourglass --device cuda --batch 32

`gflops` counts as HRNet's summary tool, `gmacs` true multiply-adds in units of 10^9 (pipeline/models/complexity.py);
joints are as in the paper's tables, COCO's 17 at 256x192 and MPII's 16 at 256x256. `ms` is an image's share of a pass
in evaluation mode, the median of `--repeats` after two more. Each round takes all networks in a new order, so that
what slows the machine for a while slows all of them; `low` and `high` are the quartiles.
"""

import argparse
import os
import random
import time
from pathlib import Path
from statistics import quantiles

import torch
from torch import nn

from benchmarks import tables
from pipeline import params
from pipeline.datasets import DATASETS
from pipeline.models import build, complexity
from pipeline.networks import NETWORKS
from pipeline.ranks import Ranks, place

DATASETS_AT = {(256, 192): "coco", (256, 256): "mpii"}
WARMUP = 2
COLUMNS = {
    "network": "{:>18}",
    "size": "{:>9}",
    "params": "{:>11,}",
    "gflops": "{:7.2f}",
    "gmacs": "{:7.2f}",
    "ms": "{:8.1f}",
    "low": "{:8.1f}",
    "high": "{:8.1f}",
}


def costs(name: str, net: nn.Module, size: tuple[int, int]) -> dict[str, str | int | float]:
    """A network's part of its row that is the same on every machine."""
    cost = complexity.count(net, size)
    row = {"network": name, "size": f"{size[0]}x{size[1]}"}
    return row | {"params": cost.params, "gflops": cost.gflops, "gmacs": cost.gmacs}


@torch.inference_mode()
def milliseconds(net: nn.Module, image_B3HW: torch.Tensor) -> float:
    """One pass, divided by the batch."""
    _wait(image_B3HW.device)
    start = time.perf_counter()
    net(image_B3HW)
    _wait(image_B3HW.device)
    return 1e3 * (time.perf_counter() - start) / len(image_B3HW)


def measure(names: list[str], options: argparse.Namespace) -> list[dict[str, str | int | float]]:
    """A row for each network and size."""
    p = params.load(Path("profiles") / "demo.yaml")
    device = Ranks.join(options.device).device
    shuffle, rows = random.Random(0), []
    for size, dataset in DATASETS_AT.items():
        keypoints = DATASETS[dataset].KEYPOINTS
        nets = {name: build(name, keypoints, model=p.model, guidance=p.guidance).eval() for name in names}
        rows += [costs(name, net, size) for name, net in nets.items()]
        nets = {name: place(net, device) for name, net in nets.items()}
        image = torch.randn(options.batch, 3, *size, generator=torch.Generator().manual_seed(0))
        image = image.to(device, memory_format=torch.channels_last)
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(WARMUP + options.repeats):
            for name in shuffle.sample(names, len(names)):
                times[name].append(milliseconds(nets[name], image))
        for row, name in zip(rows[-len(names) :], names, strict=True):
            row["low"], row["ms"], row["high"] = quantiles(times[name][WARMUP:], n=4, method="inclusive")
    return rows


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all but the small ones")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    unknown = set(options.networks) - set(NETWORKS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: it must be one of {', '.join(NETWORKS)}")
    names = options.networks or [name for name in NETWORKS if not name.endswith("_small")]
    torch.set_num_threads(options.threads)
    rows = measure(names, options)
    print(tables.table(rows, COLUMNS), end="")
    facts = {"batch": options.batch, "repeats": options.repeats, "precision": "float32"}
    print(tables.write(options.out, "complexity", torch.device(options.device), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
