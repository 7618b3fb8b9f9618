"""Weights from files: whole pose networks, and backbones trained on ImageNet.

Files hold a state dict of the official code, plain or under the key `state_dict`, with or without the prefix
that DataParallel or mmpose puts before its names. They are read with weights_only: a file can bring numbers,
and run nothing.
"""

import pickle
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.files import sha256

PREFIX = re.compile(r"(module\.)?(backbone\.|(keypoint_)?head\.(?=final_layer|deconv_layers))?")
HEAD = ("deconv_layers.", "final_layer.", "guidance.")
"""What is made for poses, and no ImageNet file holds."""

_MMPOSE, _TORCHVISION = (
    "https://download.openmmlab.com/mmpose/pretrain_models",
    "https://download.pytorch.org/models",
)
IMAGENET = {
    "hrnet_w32": f"{_MMPOSE}/hrnet_w32-36af842e.pth",
    "hrnet_w48": f"{_MMPOSE}/hrnet_w48-8ef0771d.pth",
    "pose_resnet50": f"{_TORCHVISION}/resnet50-0676ba61.pth",
    "pose_resnet101": f"{_TORCHVISION}/resnet101-63fe2227.pth",
    "pose_resnet152": f"{_TORCHVISION}/resnet152-394f9c45.pth",
}
"""Where each backbone's ImageNet weights are published; the digits in a name are its sha256's first."""


class CheckpointError(ValueError):
    """A file of weights that is not what its name says, or not this network's; one sentence."""


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
    kind = "ImageNet: " if file.name in map(_file_name, IMAGENET.values()) else ""
    return f"{kind}{len(report.loaded):,} tensors of {file.name}, {len(report.fresh):,} started anew"


def find(name: str, wanted: str, source: str, root: Path) -> Path | None:
    """The file that a network called `name` starts from, as `model.pretrained` wants it; None for none.

    wanted: none, imagenet, imagenet_if_there or a file of weights. An ImageNet file is looked for in the
    folder `source` (`data.source`) and under data/archives/pretrained, both of `root`; where `source` is
    `official` a missing one is downloaded. Raises CheckpointError with the folders looked in.
    """
    if wanted == "none":
        return None
    if wanted not in ("imagenet", "imagenet_if_there"):
        file = root / Path(wanted).expanduser()
        if not file.is_file():
            raise CheckpointError(f"model.pretrained: {file} is missing; put the file of weights there")
        return file
    url = IMAGENET.get(name.removeprefix("sg_"))
    if url is None:
        if wanted == "imagenet_if_there":
            return None
        raise CheckpointError(f"model.pretrained: no ImageNet weights are published for {name}; use none")
    kept = root / "data" / "archives" / "pretrained"
    file = _file_name(url)
    places = [kept / file] if source in ("demo", "official") else [root / source / file, kept / file]
    found = next((place for place in places if place.is_file()), None)
    if found is None and source == "official":
        from pipeline.datasets import sources, transfer

        found = kept / file
        kept.mkdir(parents=True, exist_ok=True)
        with sources.lock(kept / ".lock"):
            if not found.is_file():
                transfer.download(url, found)
    if found is None and wanted == "imagenet":
        looked = " and ".join(str(place.parent) for place in places)
        raise CheckpointError(
            f"model.pretrained: imagenet, but {file} is not in {looked}; put it there, or use none"
        )
    return found


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]


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
    backbone = {name: value for name, value in state.items() if not name.startswith(HEAD)}
    found = {name: value for name, value in weights.items() if name in backbone}
    _check(backbone, found, path)
    net.load_state_dict(found, strict=False)
    return BackboneReport(
        str(path),
        loaded=tuple(found),
        fresh=tuple(name for name in state if name not in found and not _counts(name)),
        unused=tuple(name for name in weights if name not in found),
    )


def read(path: Path | str) -> dict[str, Tensor]:
    """Names and tensors of a file, on the CPU; raises CheckpointError if it is missing, damaged or other."""
    check_hash(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is damaged, or holds something else than weights; fetch it again"
        ) from error
    weights = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path} holds no state dict; it must map names to tensors")
    return {name[PREFIX.match(name).end() :]: value for name, value in weights.items()}


def check_hash(path: Path | str) -> None:
    """Raise CheckpointError unless a file is there and its sha256 starts as its name says.

    The names of published files end in its first digits, as in hrnet_w32-36af842e.pth; a date may follow, as
    in -6c4f923f_20200812.pth. A name without digits promises nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; put the file of weights there")
    promised = re.search(r"-([0-9a-f]{8,64})(_\d{8})?\.pth(\.tar)?$", path.name)
    if not promised:
        return
    found = sha256(path)
    if not found.startswith(promised[1]):
        raise CheckpointError(
            f"{path} is damaged: its name promises a sha256 of {promised[1]}..., and it is {found[:16]}...; "
            "fetch it again"
        )


def _check(expected: dict[str, Tensor], found: dict[str, Tensor], path: Path | str) -> None:
    """Compare names and shapes; the first difference is shown with both shapes."""
    names = [name for name in {**expected, **found} if not _counts(name)]
    shapes = {name: (_shape(found.get(name)), _shape(expected.get(name))) for name in names}
    differing = [name for name, (there, here) in shapes.items() if there != here]
    if differing:
        there, here = shapes[differing[0]]
        more = f", and {len(differing) - 1:,} more differ" if len(differing) > 1 else ""
        raise CheckpointError(
            f"{path} is of another network or another number of joints: "
            f"{differing[0]} is {there} there and {here} here{more}"
        )


def _shape(tensor: Tensor | None) -> tuple[int, ...] | str:
    return "absent" if tensor is None else tuple(tensor.shape)


def _counts(name: str) -> bool:
    # Files from before PyTorch 0.4.1 lack these counters; nothing here reads them.
    return name.endswith(".num_batches_tracked")
