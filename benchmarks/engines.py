"""What the same bytes cost: a small network's training steps by kernels and threads, alone and beside busy processes.

    python -m benchmarks.engines
    python -m benchmarks.engines --emulate Haswell EPYC-Rome Skylake-Server

Each measurement is a process of its own, in turns, `rounds` times; rates are medians. Two runs share `bytes` where
their weights after the steps are the same. Busy processes count up without an end, as many as told. --emulate runs
the pinned steps on processors that qemu-user (Debian's package) emulates instead: minutes each, and only their bytes
are of interest.
"""

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from pipeline import engines

SIZE = (128, 96)
COLUMNS = {
    "kernels": "{:>8}",
    "threads": "{:7}",
    "busy": "{:4}",
    "images_per_second": "{:17.1f}",
    "of_first": "{:8.2f}",
    "bytes": "{:>12}",
}


def one(network: str, batch: int, count: int, threads: int) -> dict[str, object]:
    """The steps, in this process."""
    import torch

    from benchmarks import steps
    from pipeline.training.step import Execution

    torch.set_num_threads(threads)
    device = torch.device("cpu")
    execution = Execution(bfloat16=False, compiled="eager", deterministic=True)
    step, people = steps.build(network, SIZE, device, execution), steps.batch(batch, SIZE, device)
    seconds = []
    for number in range(count):
        began = time.perf_counter()
        step(people, number, 1e-3)
        seconds.append(time.perf_counter() - began)
    digest = hashlib.sha256()
    for value in step.network.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    return {"images_per_second": batch / median(seconds), "bytes": digest.hexdigest()[:12]}


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(
    options: argparse.Namespace, kernels: str, threads: int, emulated: str | None = None
) -> dict[str, object]:
    """The steps, in a process of their own."""
    pins = engines.WAITING | (engines.ARRAYS | engines.TORCH if kernels == "avx2" else {})
    own = {name: value for name, value in os.environ.items() if name not in engines.ARRAYS | engines.TORCH}
    # An emulator takes the interpreter itself, and not a virtual environment's link to it.
    python = (
        ["qemu-x86_64", "-cpu", emulated, os.path.realpath(sys.executable)] if emulated else [sys.executable]
    )
    sizes = (str(number) for number in (options.batch, options.steps, threads))
    said = subprocess.run(
        [*python, "-m", "benchmarks.engines", "--one", options.network, *sizes],
        env=own | pins | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path[1:]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if emulated else None,
        text=True,
        check=True,
    ).stdout
    found: dict[str, object] = json.loads(said)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="sg_hrnet_small")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--emulate", nargs="+", metavar="PROCESSOR", help="as `qemu-x86_64 -cpu help` lists")
    parser.add_argument(
        "--one", nargs=4, metavar=("NETWORK", "BATCH", "STEPS", "THREADS"), help=argparse.SUPPRESS
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.one:
        network, *numbers = options.one
        print(json.dumps(one(network, *map(int, numbers))))
        return
    if options.emulate:
        print("this processor", run(options, "avx2", 1)["bytes"], flush=True)
        for processor in options.emulate:
            print(processor, run(options, "avx2", 1, processor)["bytes"], flush=True)
        return

    import torch

    from benchmarks import tables

    cores = os.cpu_count() or 1
    kinds = [("avx2", 1, 0), ("own", 1, 0), ("avx2", cores, 0)]
    kinds += [("avx2", threads, neighbours) for neighbours in (1, 2) for threads in (1, cores)]
    found: dict[tuple[str, int, int], list[dict]] = {kind: [] for kind in dict.fromkeys(kinds)}
    for _ in range(options.rounds):
        for (kernels, threads, neighbours), measured in found.items():
            with busy(neighbours):
                measured.append(run(options, kernels, threads))
    rates = {kind: median(each["images_per_second"] for each in measured) for kind, measured in found.items()}
    rows = [
        {
            "kernels": kind[0],
            "threads": kind[1],
            "busy": kind[2],
            "images_per_second": rates[kind],
            "of_first": rates[kind] / rates[kinds[0]],
            "bytes": " ".join(sorted({each["bytes"] for each in measured})),
        }
        for kind, measured in found.items()
    ]
    print(tables.table(rows, COLUMNS), end="")
    facts = {key: getattr(options, key) for key in ("network", "batch", "steps", "rounds")}
    facts |= {"input_size": SIZE, "cores": cores}
    print(tables.write(options.out or tables.FOLDER, "engines", torch.device("cpu"), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
