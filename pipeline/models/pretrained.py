"""Weights from files: whole pose networks, and backbones trained on ImageNet.

Files hold a state dict of the official code, plain or under the key `state_dict`, with or without the prefix
that DataParallel or mmpose puts before its names. They are read with weights_only, or are safetensors: a file can
bring numbers, and run nothing.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import tensors
from pipeline.weights import CheckpointError, check_hash, published

PREFIX = re.compile(r"^(module\.)?(backbone\.|(keypoint_)?head\.(?=final_layer|deconv_layers))?")
HEAD = {
    "deconv_layers",
    "final_layer",
    "guidance",
    "global_net",
    "refine_net",
    "attention",
    "head",
    "quality",
}
"""Modules made for poses, which no ImageNet file holds."""


@dataclass(frozen=True)
class BackboneReport:
    """Which tensors a backbone's file gave to a network; `str` of it is a line for the log."""

    path: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded):,} of {len(self.loaded) + len(self.fresh):,} tensors from {self.path}"]
        if self.fresh:
            parts.append(f"started anew: {', '.join(self.fresh)}")
        if self.unused:
            groups = Counter(name.split(".")[0] for name in self.unused)
            names = ", ".join(f"{name} {count}" for name, count in groups.items())
            parts.append(f"unused in the file: {len(self.unused):,} ({names})")
        return "; ".join(parts)


def start(net: nn.Module, file: Path | None) -> str:
    """Give a fresh network the backbone of a file, if there is one; returns in a sentence what it got."""
    if file is None:
        return "none"
    report = load_backbone(net, file)
    print(report, flush=True)
    kind = "ImageNet: " if published(file) else ""
    return f"{kind}{len(report.loaded):,} tensors of {file.name}, {len(report.fresh):,} started anew"


def load_checkpoint(net: nn.Module, path: Path | str) -> None:
    """Give a network a pose checkpoint's weights; raises CheckpointError unless all are there and fit."""
    weights = read(path)
    _check(net.state_dict(), weights, path)
    net.load_state_dict(weights)


def load_backbone(net: nn.Module, path: Path | str) -> BackboneReport:
    """Give a network a file's backbone and no head; raises CheckpointError unless it is complete and fits.

    The official code takes whatever fits and says nothing; half a backbone then trains as if it were whole.
    """
    weights = read(path)
    state = net.state_dict()
    backbone = {name: value for name, value in state.items() if HEAD.isdisjoint(name.split("."))}
    trained = {name: value for name, value in weights.items() if name in backbone}
    _check(backbone, trained, path)
    net.load_state_dict(trained, strict=False)
    return BackboneReport(
        str(path),
        loaded=tuple(trained),
        fresh=tuple(name for name in state if name not in trained and not _counts(name)),
        unused=tuple(name for name in weights if name not in trained),
    )


def read(path: Path | str) -> dict[str, Tensor]:
    """Names and tensors of a file, on the CPU; raises CheckpointError if it is missing, damaged or other."""
    check_hash(path)
    try:
        if Path(path).suffix == ".safetensors":
            content: Any = tensors.read(Path(path), foreign=True)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged pickle leads to any exception there is.
    except Exception as error:
        raise CheckpointError(
            f"{path} is damaged, or holds something else than weights; fetch it again"
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise CheckpointError(f"{path} holds no state dict; it must map names to tensors")
    plain: dict[str, str] = {}
    for name in weights:
        other = plain.setdefault(PREFIX.sub("", name), name)
        if other != name:
            raise CheckpointError(
                f"{path} holds {other} and {name}, two values for one tensor; leave one of them in it"
            )
    return {name: weights[there] for name, there in plain.items()}


def _check(expected: dict[str, Tensor], weights: dict[str, Tensor], path: Path | str) -> None:
    """Compare names and shapes, of which the first difference is shown with both shapes; then look at the values."""
    # Files from before PyTorch 0.4.1 lack the counters of batches; nothing here reads them.
    names = [name for name in {**expected, **weights} if name in weights or not _counts(name)]
    shapes = {name: (_shape(weights.get(name)), _shape(expected.get(name))) for name in names}
    differing = [name for name, (there, here) in shapes.items() if there != here]
    if differing:
        there, here = shapes[differing[0]]
        more = f", and {len(differing) - 1:,} more differ" if len(differing) > 1 else ""
        raise CheckpointError(
            f"{path} is of another network or another number of joints: "
            f"{differing[0]} is {there} there and {here} here{more}"
        )
    # After the shapes, since a file of a few bytes can bring a tensor of any size.
    for name, value in weights.items():
        if fault := _fault(name, value, expected[name].dtype):
            raise CheckpointError(f"{path} holds {name} {fault}; fetch it again, or take another file")


def _fault(name: str, value: Tensor, dtype: torch.dtype) -> str | None:
    """What is wrong with a tensor from elsewhere."""
    if value.layout != torch.strided:
        return f"as a sparse tensor ({value.layout}), and a plain one is needed"
    if value.is_quantized or value.dtype != dtype:
        return f"as {value.dtype}, and the network has {dtype}"
    if value.is_meta:
        return "without its numbers, as a meta tensor"
    if not value.isfinite().all():
        return "with values that are no finite numbers"
    if name.endswith("running_var") and (value < 0).any():
        return "with a negative variance"
    return None


def _shape(tensor: Tensor | None) -> tuple[int, ...] | str:
    if tensor is None:
        return "absent"
    return "a nested tensor" if tensor.is_nested else tuple(tensor.shape)


def _counts(name: str) -> bool:
    return name.endswith(".num_batches_tracked")
