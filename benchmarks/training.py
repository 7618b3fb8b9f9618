"""Training steps a second, from plain PyTorch to all that training uses, one change at a time.

    python -m benchmarks.training --device cuda --batch 32 256
    python -m benchmarks.training --device cpu --batch 2

A step is that of pipeline/training/loop.py, on crops that lie in the host's memory: copy, targets, forward,
losses, DWA, backward, Adam. `outside` is the share of its time that a step of forward, losses, backward and Adam
alone does not take. FLOP/s count multiply-adds as two, and backward as twice forward; `of ceiling` compares them
with a matrix product of the same type on the same device, and `of copy` the batches' bytes with what copying from
the host's pinned memory reaches.
"""

import argparse
import gc
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import torch

from benchmarks import results
from pipeline import loader, models
from pipeline.codec import heatmap, segmentation
from pipeline.models.complexity import count
from pipeline.training import loop
from pipeline.training.dwa import DynamicWeightAverage
from pipeline.training.losses import heatmap_loss, segmentation_loss

SIZE, HEATMAP, JOINTS, RADIUS = (256, 192), (64, 48), 17, 5


@dataclass(frozen=True)
class Rung:
    title: str
    channels_last: bool = True
    bfloat16: bool = True
    fused: bool = True
    compile: str | None = None
    deterministic: bool = False
    # PyTorch's own choice for float32 convolutions on a GPU. Training does without: its float32 is float32.
    tf32: bool = False


LADDER = (
    Rung("eager float32", channels_last=False, bfloat16=False, fused=False),
    Rung("+ channels-last", bfloat16=False, fused=False),
    Rung("+ TF32", bfloat16=False, fused=False, tf32=True),
    Rung("+ bfloat16", fused=False),
    Rung("+ fused Adam"),
    Rung("+ compile", compile="default"),
    Rung("+ CUDA graphs", compile="reduce-overhead"),
    Rung("deterministic", compile="reduce-overhead", deterministic=True),
    Rung("deterministic, eager float32", bfloat16=False, deterministic=True),
)
# What a CPU can tell: TF32 and CUDA graphs are not for it, and compiling W32 takes it many minutes.
ON_CPU = (
    *LADDER[:2],
    Rung("+ fused Adam", bfloat16=False),
    Rung("deterministic", bfloat16=False, deterministic=True),
    Rung("+ bfloat16"),
)


class Training:
    """A network and all that its steps need."""

    def __init__(self, name: str, rung: Rung, batch: int, device: torch.device):
        loop._choose_algorithms(rung.deterministic)
        torch.set_float32_matmul_precision("high" if rung.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = rung.tf32
        self.rung, self.device, self.guided = rung, device, name.startswith("sg_")
        model = SimpleNamespace(fuse_upsample="nearest")
        guidance = SimpleNamespace(apply="last_module", gate_bias=0.0, fuse_upsample="bilinear")
        network = models.build(name, JOINTS, model=model, guidance=guidance)
        layout = torch.channels_last if rung.channels_last else torch.contiguous_format
        self.layout, network = layout, network.to(device, memory_format=layout).train()
        self.adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=rung.fused)
        self.forward = torch.compile(network, mode=rung.compile, dynamic=False) if rung.compile else network
        self.dwa = DynamicWeightAverage(device=device)
        generator = torch.Generator().manual_seed(0)
        self.host = [
            torch.randint(0, 256, (batch, *SIZE, 3), dtype=torch.uint8, generator=generator),
            torch.randint(0, 48, (batch, JOINTS, 2), dtype=torch.int32, generator=generator),
            torch.ones(batch, JOINTS, dtype=torch.bool),
        ]
        if device.type == "cuda":
            self.host = [tensor.pin_memory() for tensor in self.host]
        self.ready = self.prepare()

    def prepare(self):
        input_BHWC, centres, labelled = (tensor.to(self.device, non_blocking=True) for tensor in self.host)
        target = heatmap.encode(centres, labelled, HEATMAP, 2)
        maps = segmentation.encode(centres, labelled, HEATMAP, RADIUS) if self.guided else None
        return loader.normalise(input_BHWC).contiguous(memory_format=self.layout), *target, maps

    def whole(self) -> None:
        losses = self.bare(self.prepare(), self.dwa.weights() if self.guided else None)
        if self.guided:
            self.dwa.update(losses)

    def bare(self, ready=None, weights=None) -> torch.Tensor:
        input_BCHW, target, weight, maps = ready or self.ready
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.rung.bfloat16):
            output = self.forward(input_BCHW)
        loss = losses = heatmap_loss(output.heatmaps, target, weight)
        if self.guided:
            loss_seg = segmentation_loss(output.map_logits, maps)
            losses = torch.stack([loss, loss_seg]).detach()
            loss = (
                loss + 0.002 * loss_seg
                if weights is None
                else weights[0] * loss + weights[1] * 0.002 * loss_seg
            )
        loss.backward()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return losses

    def seconds(self, work, steps: int) -> float:
        self.wait()
        began = time.perf_counter()
        for _ in range(steps):
            work()
        self.wait()
        return (time.perf_counter() - began) / steps

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(name: str, rung: Rung, batch: int, device: torch.device, steps: int, rounds: int) -> dict:
    training = Training(name, rung, batch, device)
    began = time.perf_counter()
    # The first steps compile, and record CUDA graphs.
    for _ in range(4 if rung.compile else 1):
        training.whole()
        training.bare()
    training.wait()
    warmup = time.perf_counter() - began
    pairs = [
        (training.seconds(training.whole, steps), training.seconds(training.bare, steps))
        for _ in range(rounds)
    ]
    whole = median(pair[0] for pair in pairs)
    row = {
        "images_per_second": batch / whole,
        "spread": [batch / max(pair[0] for pair in pairs), batch / min(pair[0] for pair in pairs)],
        "outside": median(1 - bare / whole for whole, bare in pairs),
        "warmup_seconds": warmup,
        "bytes_an_image": sum(tensor.nbytes for tensor in training.host) / batch,
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
    parser.add_argument("--batch", nargs="+", type=int)
    parser.add_argument("--steps", type=int, help="steps of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=results.FOLDER)
    options = parser.parse_args()
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    rows, ceilings, copy_rate = [], {}, copying(device)
    facts = {"input_size": SIZE, "steps": options.steps, "rounds": options.rounds}
    facts["copy_gigabytes_per_second"] = copy_rate / 1e9
    for name in options.networks:
        for batch in options.batch or ([32, 256] if gpu else [2]):
            for rung in LADDER if gpu else ON_CPU:
                kind = rung.bfloat16, rung.tf32
                if kind not in ceilings:
                    ceilings[kind] = ceiling(*kind, device)
                if gpu:
                    torch.cuda.reset_peak_memory_stats()
                row = measure(name, rung, batch, device, options.steps or (20 if gpu else 1), options.rounds)
                torch.compiler.reset()
                gc.collect()
                guidance = SimpleNamespace(apply="last_module", gate_bias=0.0, fuse_upsample="bilinear")
                shape = models.build(
                    name, JOINTS, model=SimpleNamespace(fuse_upsample="nearest"), guidance=guidance
                )
                flops = 6e9 * count(shape, SIZE).gmacs * row["images_per_second"]
                row |= {"tflops": flops / 1e12, "of_ceiling": flops / ceilings[kind]}
                row["of_copy"] = row["bytes_an_image"] * row["images_per_second"] / copy_rate
                rows.append({"network": name, "batch": batch, "step": rung.title} | row)
                print(results.table(rows[-1:], COLUMNS, header=len(rows) == 1), end="", flush=True)
                facts["matmul_tflops"] = {
                    ("bfloat16" if bf16 else "TF32" if tf32 and gpu else "float32"): value / 1e12
                    for (bf16, tf32), value in ceilings.items()
                }
                # After each row: what is measured stays, whatever ends the next.
                said = results.write(options.out, "training", device, facts, rows, COLUMNS)
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
