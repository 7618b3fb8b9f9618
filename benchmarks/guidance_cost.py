"""What guidance costs: step time and peak memory of SG-HRNet against HRNet, interleaved in one run.

    python -m benchmarks.guidance_cost --width w32 --size 256 192 --batch 4 --repeats 15

Each round runs every network once, in a new order, and a ratio compares a network with HRNet in the same
round (the median, with the quartiles `low` and `high`): what slows the machine for a while slows all of them.
Bilinear HRNet has SG-HRNet's fusion alone.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from types import SimpleNamespace

import torch

from benchmarks import results
from pipeline.models import build
from pipeline.models.complexity import count
from pipeline.training import loop
from pipeline.training.losses import heatmap_loss, segmentation_loss

NETWORKS = {"HRNet": (False, None), "bilinear HRNet": (True, "bilinear_hrnet"), "SG-HRNet": (True, None)}
WORK = ("train", "infer")
JOINTS = 17
COLUMNS = {"network": "{:>14}", "params": "{:>11,}", "gflops": "{:6.2f}"} | {
    f"{what}_{figure}": form
    for what in WORK
    for figure, form in (
        ("ms", "{:8.1f}"),
        ("ratio", "{:11.3f}"),
        ("low", "{:9.3f}"),
        ("high", "{:10.3f}"),
        ("peak_mb", "{:13.0f}"),
    )
}


def network(title: str, width: str) -> torch.nn.Module:
    guided, ablation = NETWORKS[title]
    model = SimpleNamespace(fuse_upsample="nearest")
    guidance = SimpleNamespace(apply="last_module", gate_bias=0.0, fuse_upsample="bilinear")
    name = f"sg_hrnet_{width}" if guided else f"hrnet_{width}"
    return build(name, JOINTS, model=model, guidance=guidance, ablation=ablation)


class Work:
    """One network, its optimiser and a batch; `train` and `infer` do one step."""

    def __init__(self, title: str, options: argparse.Namespace):
        self.device = torch.device(options.device)
        self.autocast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"
        )
        net = network(title, options.width)
        self.complexity = count(net, tuple(options.size))
        layout = torch.channels_last
        self.net = net.to(self.device, memory_format=layout)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        generator = torch.Generator().manual_seed(0)
        height, width = options.size
        self.image = torch.randn(options.batch, 3, height, width, generator=generator)
        self.image = self.image.to(self.device, memory_format=layout)
        small = (height // 4, width // 4)
        self.target = torch.rand(options.batch, JOINTS, *small, generator=generator).to(self.device)
        self.truth = (torch.rand(options.batch, *small, generator=generator) > 0.9).to(self.device)
        self.labelled = torch.ones(options.batch, JOINTS, device=self.device)

    def train(self) -> None:
        self.net.train()
        with self.autocast:
            output = self.net(self.image)
        loss = heatmap_loss(output.heatmaps, self.target, self.labelled)
        if output.map_logits is not None:
            loss = loss + 0.002 * segmentation_loss(output.map_logits, self.truth)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    @torch.no_grad()
    def infer(self) -> None:
        self.net.eval()
        with self.autocast:
            self.net(self.image)

    def seconds(self, what: str) -> float:
        self.wait()
        start = time.perf_counter()
        getattr(self, what)()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def times(options: argparse.Namespace) -> list[dict]:
    """A row a network: milliseconds a step, and the ratio to HRNet's of the same round with its quartiles."""
    work = {title: Work(title, options) for title in NETWORKS}
    shuffle = random.Random(0)
    rows = [
        {"network": title, "params": one.complexity.params, "gflops": one.complexity.gflops}
        for title, one in work.items()
    ]
    for what in WORK:
        rounds = []
        for number in range(options.warmup + options.repeats):
            order = shuffle.sample(list(work), len(work))
            seconds = {title: work[title].seconds(what) for title in order}
            if number >= options.warmup:
                rounds.append(seconds)
        for row in rows:
            ratios = [seconds[row["network"]] / seconds["HRNet"] for seconds in rounds]
            low, middle, high = quantiles(ratios, n=4, method="inclusive")
            row |= {
                f"{what}_ms": 1e3 * median(seconds[row["network"]] for seconds in rounds),
                f"{what}_ratio": middle,
                f"{what}_low": low,
                f"{what}_high": high,
            }
    return rows


def peak_megabytes(title: str, what: str, options: argparse.Namespace) -> float:
    """Peak of three steps: of the GPU's allocator, or of a process of its own (Linux) with all it imports."""
    work = Work(title, options)
    for _ in range(3):
        getattr(work, what)()
    work.wait()
    if work.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # Not getrusage's ru_maxrss: a process inherits that from the one that started it.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", default="w32", choices=["w32", "w48"])
    parser.add_argument("--size", type=int, nargs=2, default=[256, 192], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=results.FOLDER)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # float32 as in training, never TF32.
    loop.Ranks.join(options.device)
    if options.peak:
        print(peak_megabytes(*options.peak, options))
        return

    rows = times(options)
    for row in rows:
        for what in WORK:
            command = [sys.executable, "-m", "benchmarks.guidance_cost", *sys.argv[1:], "--peak"]
            peak = subprocess.check_output([*command, row["network"], what], text=True)
            row[f"{what}_peak_mb"] = float(peak)
    print(results.table(rows, COLUMNS), end="")
    settings = {key: getattr(options, key) for key in ("width", "size", "batch", "precision", "repeats")}
    print(results.write(options.out, "guidance_cost", torch.device(options.device), settings, rows, COLUMNS))


if __name__ == "__main__":
    main()
