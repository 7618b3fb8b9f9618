"""The networks by name. They are plain modules: an image in, an `Output` of heatmaps and map logits out."""

from collections.abc import Callable

import torch
from torch import nn

from pipeline.keypoints import Keypoints
from pipeline.models import cpn, dlcm, empose, hourglass, hrnet, prab, pyranet, resnet
from pipeline.models import guidance as guidance_
from pipeline.models.blocks import Choices, Output, initialise
from pipeline.networks import NETWORKS, Network
from pipeline.params import Guidance, Model
from pipeline.variants import VARIANTS, variant

__all__ = ["FAMILIES", "Output", "build", "skeleton"]

FAMILIES: dict[str, Callable[[Network, Keypoints, Choices], nn.Module]] = {
    "hrnet": hrnet.build,
    "sg_hrnet": guidance_.build,
    "pose_resnet": resnet.build,
    "hourglass": hourglass.build,
    "pyranet": pyranet.build,
    "dlcm": dlcm.build,
    "cpn": cpn.build,
    "prab": prab.build,
    "empose": empose.build,
}


def build(
    name: str,
    keypoints: Keypoints,
    *,
    model: Model,
    guidance: Guidance | None,
    ablation: str | None = None,
    seed: int = 0,
) -> nn.Module:
    """A network with fresh weights, on the CPU; it maps images_B3HW to an Output at a quarter of their size.

    `model` and `guidance` are params.yaml's groups of these names; a network without guidance takes no notice of
    the second. `ablation` is a row of `pipeline.variants`. Equal seeds start a guided network and its backbone
    alike. Raises ValueError for an unknown name, or an ablation of a network without guidance.
    """
    # Shapes first and values after: otherwise PyTorch draws its own from global state, to be thrown away.
    net = skeleton(name, keypoints, model=model, guidance=guidance, ablation=ablation)
    net.to_empty(device="cpu")
    initialise(net, seed)
    return net


def skeleton(
    name: str, keypoints: Keypoints, *, model: Model, guidance: Guidance | None, ablation: str | None = None
) -> nn.Module:
    """A network without values, on the meta device: what it costs and gives follows from shapes. As `build`."""
    if name not in NETWORKS:
        raise ValueError(f"model {name!r} is unknown; it must be one of {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    if ablation is not None and (ablation not in VARIANTS or network.backbone is None):
        raise ValueError(
            f"ablation {ablation!r} of {name}: it must be one of {', '.join(VARIANTS)}, of a guided network"
        )
    with torch.device("meta"):
        return FAMILIES[network.family](network, keypoints, Choices(model, guidance, variant(ablation)))
