"""Training steps a second, from plain PyTorch to all that training uses, one change at a time.

    python -m benchmarks.training --device cuda --batch 32 256
    python -m benchmarks.training --device cpu --batch 2
    python -m benchmarks.training --device cpu --networks sg_hrnet_small --size 128 96 --batch 32

A step is the training's own (pipeline/training/step.py), on crops that lie in the host's memory. `outside` is the share
of its time that copying, targets and normalising take: what comes before forward, losses, dynamic weights, backward
and Adam. FLOP/s count multiply-adds as two, and backward as twice forward; `of ceiling` compares them
with a matrix product of the same type on the same device, and `of copy` the batches' bytes with what copying from
the host's pinned memory reaches.
"""

import argparse
import gc
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from benchmarks import steps, tables
from pipeline.models.complexity import count
from pipeline.training.step import Compiled, Execution


@dataclass(frozen=True)
class Rung:
    title: str
    execution: Execution
    # PyTorch's own choice for float32 convolutions on a GPU. Training does without: its float32 is float32.
    tf32: bool = False


EAGER = Execution(bfloat16=False, compiled="eager", deterministic=False, channels_last=False, fused=False)
FULL = replace(EAGER, bfloat16=True, channels_last=True, fused=True)
GRAPHS: Compiled = "compiled with CUDA graphs"
LADDER = (
    Rung("eager float32", EAGER),
    Rung("+ channels-last", replace(EAGER, channels_last=True)),
    Rung("+ TF32", replace(EAGER, channels_last=True), tf32=True),
    Rung("+ bfloat16", replace(FULL, fused=False)),
    Rung("+ fused Adam", FULL),
    Rung("+ compile", replace(FULL, compiled="compiled")),
    Rung("+ CUDA graphs", replace(FULL, compiled=GRAPHS)),
    Rung("deterministic", replace(FULL, compiled=GRAPHS, deterministic=True)),
    Rung("deterministic, eager float32", replace(FULL, bfloat16=False, deterministic=True)),
)
# What a CPU can tell: TF32 and CUDA graphs are not for it, and compiling W32 takes it many minutes.
ON_CPU = (
    *LADDER[:2],
    Rung("+ fused Adam", replace(FULL, bfloat16=False)),
    Rung("deterministic", replace(FULL, bfloat16=False, deterministic=True)),
    Rung("+ bfloat16", FULL),
)


def measure(
    name: str, size: tuple[int, int], rung: Rung, batch: int, device: torch.device, repeats: int, rounds: int
) -> dict:
    torch.set_float32_matmul_precision("high" if rung.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = rung.tf32
    step = steps.build(name, size, device, rung.execution)
    people = steps.batch(batch, size, device)
    prepared = step.prepare(people)

    def whole() -> None:
        step(people, 0, 1e-3)

    def bare() -> None:
        step.update(prepared, 0, 1e-3)

    began = time.perf_counter()
    # The first steps compile, and record CUDA graphs.
    for _ in range(1 if rung.execution.compiled == "eager" else 4):
        whole()
        bare()
    steps.wait(device)
    warmup = time.perf_counter() - began
    pairs = [
        (steps.seconds(whole, device, repeats), steps.seconds(bare, device, repeats)) for _ in range(rounds)
    ]
    seconds = median(pair[0] for pair in pairs)
    bfloat16 = rung.execution.bfloat16
    row = {
        "precision": "bfloat16" if bfloat16 else "TF32" if rung.tf32 else "float32",
        "deterministic": rung.execution.deterministic,
        "images_per_second": batch / seconds,
        "spread": [batch / max(pair[0] for pair in pairs), batch / min(pair[0] for pair in pairs)],
        "outside": median(1 - bare / whole for whole, bare in pairs),
        "warmup_seconds": warmup,
        "bytes_an_image": sum(tensor.nbytes for tensor in people.values()) / batch,
        "gmacs": count(step.network, size).gmacs,
    }
    if device.type == "cuda":
        row["peak_gigabytes"] = torch.cuda.max_memory_allocated() / 2**30
    return row


def ceiling(bfloat16: bool, tf32: bool, device: torch.device) -> float:
    """FLOP/s of a large matrix product."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    seconds = []
    for _ in range(12):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[2:])


def copying(device: torch.device) -> float:
    """Bytes a second from the host's memory, pinned for a GPU, to the device."""
    host = torch.ones(1 << 26, dtype=torch.uint8)
    host = host.pin_memory() if device.type == "cuda" else host
    there, seconds = torch.empty_like(host, device=device), []
    for _ in range(12):
        began = time.perf_counter()
        there.copy_(host, non_blocking=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return len(host) / min(seconds[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", nargs="+", default=["hrnet_w32", "sg_hrnet_w32"])
    parser.add_argument("--size", nargs=2, type=int, default=(256, 192), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", nargs="+", type=int)
    parser.add_argument("--steps", type=int, help="steps of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    rows, ceilings, copy_rate = [], {}, copying(device)
    size = tuple(options.size)
    facts = {"device": device.type, "input_size": size, "steps": options.steps, "rounds": options.rounds}
    facts["copy_gigabytes_per_second"] = copy_rate / 1e9
    for name in options.networks:
        for batch in options.batch or ([32, 256] if gpu else [2]):
            for rung in LADDER if gpu else ON_CPU:
                kind = rung.execution.bfloat16, rung.tf32
                if kind not in ceilings:
                    ceilings[kind] = ceiling(*kind, device)
                if gpu:
                    torch.cuda.reset_peak_memory_stats()
                repeats = options.steps or (20 if gpu else 1)
                row = measure(name, size, rung, batch, device, repeats, options.rounds)
                torch.compiler.reset()
                gc.collect()
                flops = 6e9 * row.pop("gmacs") * row["images_per_second"]
                row |= {"tflops": flops / 1e12, "of_ceiling": flops / ceilings[kind]}
                row["of_copy"] = row["bytes_an_image"] * row["images_per_second"] / copy_rate
                rows.append({"network": name, "batch": batch, "step": rung.title} | row)
                print(tables.table(rows[-1:], COLUMNS, header=len(rows) == 1), end="", flush=True)
                facts["matmul_tflops"] = {
                    ("bfloat16" if bf16 else "TF32" if tf32 and gpu else "float32"): value / 1e12
                    for (bf16, tf32), value in ceilings.items()
                }
                # After each row: what is measured stays, whatever ends the next.
                said = tables.write(options.out, "training", device, facts, rows, COLUMNS)
    print(said)


COLUMNS = {
    "network": "{:14}",
    "batch": "{:6}",
    "step": "{:28}",
    "images_per_second": "{:17.2f}",
    "tflops": "{:8.3f}",
    "of_ceiling": "{:10.1%}",
    "of_copy": "{:8.2%}",
    "outside": "{:8.1%}",
    "warmup_seconds": "{:14.1f}",
}

if __name__ == "__main__":
    main()
