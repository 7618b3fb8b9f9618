"""The networks by name. They are plain modules: an image in, an `Output` of heatmaps and map logits out."""

import re

import torch
from torch import nn

from pipeline.models.blocks import Output, initialise
from pipeline.models.guidance import SGHRNet
from pipeline.models.hrnet import HRNet, Size
from pipeline.models.resnet import LAYERS, PoseResNet

__all__ = ["NAMES", "Output", "build"]

WIDTHS = {"w32": 32, "w48": 48}
NAMES = (
    *(f"{kind}_{size}" for kind in ("hrnet", "sg_hrnet") for size in (*WIDTHS, "small")),
    *(f"pose_resnet{depth}" for depth in LAYERS),
)
ABLATIONS = ("no_seg_loss", "no_attention", "fixed_weights", "bilinear_hrnet", "every_module", "stage_input")


def build(
    name: str, joints: int, *, model, guidance, ablation: str | None = None, seed: int = 0
) -> nn.Module:
    """A network with fresh weights, on the CPU; it maps images_B3HW to an Output at a quarter of their size.

    `model` and `guidance` hold params.yaml's groups of these names as attributes. `ablation` changes a guided
    network as params.yaml says; no_seg_loss and fixed_weights concern the objective and change nothing here.
    Equal seeds start a guided network and its backbone alike. Raises ValueError for an unknown name, or an
    ablation of a network without guidance.
    """
    if name not in NAMES:
        raise ValueError(f"model {name!r} is unknown; it must be one of {', '.join(NAMES)}")
    if ablation is not None and (ablation not in ABLATIONS or not name.startswith("sg_")):
        raise ValueError(
            f"ablation {ablation!r} of {name}: it must be one of {', '.join(ABLATIONS)}, of a model sg_..."
        )
    # Shapes first and values after: otherwise PyTorch draws its own from global state, to be thrown away.
    with torch.device("meta"):
        net = _shapes(name, joints, model, guidance, ablation)
    net.to_empty(device="cpu")
    initialise(net, seed)
    if isinstance(net, SGHRNet):
        for guide in net.guidance:
            nn.init.constant_(guide.score.bias, guidance.gate_bias)
    return net


def _shapes(name: str, joints: int, model, guidance, ablation: str | None) -> nn.Module:
    if match := re.fullmatch(r"pose_resnet(\d+)", name):
        return PoseResNet(int(match[1]), joints)
    size = _size(name.rpartition("_")[2], model)
    if ablation == "bilinear_hrnet":
        return HRNet(size, joints, upsample="bilinear")
    if name.startswith("hrnet"):
        return HRNet(size, joints, upsample=model.fuse_upsample)
    return SGHRNet(
        size,
        joints,
        upsample=guidance.fuse_upsample,
        apply=ablation if ablation in ("every_module", "stage_input") else guidance.apply,
        attention=ablation != "no_attention",
    )


def _size(suffix: str, model) -> Size:
    if suffix in WIDTHS:
        return Size(width=WIDTHS[suffix])
    small = model.small
    return Size(small.width, small.stem, small.bottlenecks, tuple(small.modules), small.blocks)
