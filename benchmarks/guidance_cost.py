"""What guidance costs: step time and peak memory of SG-HRNet against HRNet, interleaved in one run.

    python -m benchmarks.guidance_cost --width w32 --size 256 192 --batch 4 --repeats 21

A step is the training's own, targets, dynamic weights and Adam included; on a GPU compiled, as it trains there. Each
round runs every network once, in a new order, and a ratio compares a network with HRNet in the same round: what slows
the machine for a while slows all of them. The ratio is the rounds' median, with its 95% interval `low` to `high`, which
supposes nothing of how they are spread (order statistics). Bilinear HRNet has SG-HRNet's fusion alone.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch
from scipy.stats import binom

from benchmarks import steps, tables
from pipeline.models.complexity import count
from pipeline.ranks import Ranks
from pipeline.training.step import Execution

# Network of the catalogue, without its width, and ablation.
NETWORKS = {
    "HRNet": ("hrnet", None),
    "bilinear HRNet": ("sg_hrnet", "bilinear_hrnet"),
    "SG-HRNet": ("sg_hrnet", None),
}
WORK = ("train", "infer")
LEVEL = 0.95
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


class Work:
    """One network with its step and a batch; `train` and `infer` do one step, after `begin`."""

    def __init__(self, title: str, options: argparse.Namespace):
        self.device, size = torch.device(options.device), tuple(options.size)
        self.held_before = torch.cuda.memory_allocated() if self.device.type == "cuda" else 0
        family, ablation = NETWORKS[title]
        gpu = self.device.type == "cuda"
        execution = Execution(
            bfloat16=options.precision == "bfloat16",
            compiled="compiled with CUDA graphs" if gpu else "eager",
            deterministic=False,
        )
        self.step = steps.build(f"{family}_{options.width}", size, self.device, execution, ablation)
        self.complexity = count(self.step.network, size)
        self.batch = steps.batch(options.batch, size, self.device)
        self.prepared = self.step.prepare(self.batch)
        self.number = 0

    def begin(self, what: str) -> None:
        self.step.network.train(what == "train")

    def train(self) -> None:
        self.step(self.batch, self.number, 1e-3)
        self.number += 1

    @torch.no_grad()
    def infer(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.step.execution.bfloat16):
            self.step.network(self.prepared.input_BCHW)


def interval(ratios: list[float]) -> tuple[float, float]:
    """The interval of the ratios' median at LEVEL: two of the ratios themselves, by the binomial distribution."""
    rank = int(binom.ppf((1 - LEVEL) / 2, len(ratios), 0.5))
    if rank < 1:
        raise ValueError(f"--repeats {len(ratios)}: a {LEVEL:.0%} interval needs at least 6 rounds")
    ordered = sorted(ratios)
    return ordered[rank - 1], ordered[len(ratios) - rank]


def times(options: argparse.Namespace) -> list[dict]:
    """A row a network: milliseconds a step, and the ratio to HRNet's of the same round with its interval."""
    gpu, work, rows = options.device == "cuda", {}, []
    for title in NETWORKS:
        one = work[title] = Work(title, options)
        row = {"network": title, "params": one.complexity.params, "gflops": one.complexity.gflops}
        for what in WORK:
            if gpu:
                # Of this process: in another one it would have to compile again, for minutes.
                torch.cuda.reset_peak_memory_stats()
            peak = peak_megabytes(one, what) if gpu else peak_of_process(title, what)
            row[f"{what}_peak_mb"] = peak
        rows.append(row)
    shuffle = random.Random(0)
    # On a GPU steps follow each other without a wait in between, as in training.
    repeats = 20 if gpu else 1
    for what in WORK:
        rounds = []
        for one in work.values():
            one.begin(what)
        for number in range(options.warmup + options.repeats):
            order = shuffle.sample(list(work), len(work))
            seconds = {
                title: steps.seconds(getattr(work[title], what), work[title].device, repeats)
                for title in order
            }
            if number >= options.warmup:
                rounds.append(seconds)
        for row in rows:
            ratios = [seconds[row["network"]] / seconds["HRNet"] for seconds in rounds]
            low, high = interval(ratios)
            row |= {
                f"{what}_ms": 1e3 * median(seconds[row["network"]] for seconds in rounds),
                f"{what}_ratio": median(ratios),
                f"{what}_low": low,
                f"{what}_high": high,
            }
    return rows


def peak_megabytes(work: Work, what: str) -> float:
    """Peak of three steps: what a GPU's allocator holds more than without this network, or a CPU's process (Linux)."""
    work.begin(what)
    for _ in range(3):
        getattr(work, what)()
    steps.wait(work.device)
    if work.device.type == "cuda":
        return (torch.cuda.max_memory_allocated() - work.held_before) / 2**20
    # Not getrusage's ru_maxrss: a process inherits that from the one that started it.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10


def peak_of_process(title: str, what: str) -> float:
    """The peak of a process of its own, with all it imports."""
    command = [sys.executable, "-m", "benchmarks.guidance_cost", *sys.argv[1:], "--peak", title, what]
    return float(subprocess.check_output(command, text=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", default="w32", choices=["w32", "w48"])
    parser.add_argument("--size", type=int, nargs=2, default=[256, 192], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # float32 as in training, never TF32.
    Ranks.join(options.device)
    if options.peak:
        title, what = options.peak
        print(peak_megabytes(Work(title, options), what))
        return

    rows = times(options)
    print(tables.table(rows, COLUMNS), end="")
    facts = {key: getattr(options, key) for key in ("width", "size", "batch", "precision", "repeats")}
    facts |= {"compiled": options.device == "cuda", "interval": LEVEL}
    print(tables.write(options.out, "guidance_cost", torch.device(options.device), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
