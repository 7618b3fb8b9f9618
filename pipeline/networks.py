"""The networks by name, as data: an entry makes one known to the parameters, the tables and the downloads.

What an entry's family and options become is built in `pipeline.models`; nothing here needs torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_MMPOSE, _TORCHVISION = (
    "https://download.openmmlab.com/mmpose/pretrain_models",
    "https://download.pytorch.org/models",
)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network.

    title: what people call it. family: its builder in `pipeline.models.FAMILIES`; options: what that is told.
    imagenet: where its backbone's ImageNet weights are published; the digits in a name are its sha256's first.
    backbone: of a guided network, the same one without guidance, against which it is measured.
    row: of the paper's tables, the key of the row under which it stands, after which all of its kind stand.
    """

    title: str
    family: str
    options: Mapping[str, int] = field(default_factory=dict)
    imagenet: str | None = None
    backbone: str | None = None
    row: str = ""


NETWORKS = {
    "hrnet_w32": Network(
        title="HRNet-W32",
        family="hrnet",
        options={"width": 32},
        imagenet=f"{_MMPOSE}/hrnet_w32-36af842e.pth",
        row="hrnet_w32",
    ),
    "hrnet_w48": Network(
        title="HRNet-W48",
        family="hrnet",
        options={"width": 48},
        imagenet=f"{_MMPOSE}/hrnet_w48-8ef0771d.pth",
        row="hrnet_w32",
    ),
    "hrnet_small": Network(title="HRNet (small)", family="hrnet", row="hrnet_w32"),
    "sg_hrnet_w32": Network(
        title="SG-HRNet-W32",
        family="sg_hrnet",
        options={"width": 32},
        imagenet=f"{_MMPOSE}/hrnet_w32-36af842e.pth",
        backbone="hrnet_w32",
        row="sg_hrnet",
    ),
    "sg_hrnet_w48": Network(
        title="SG-HRNet-W48",
        family="sg_hrnet",
        options={"width": 48},
        imagenet=f"{_MMPOSE}/hrnet_w48-8ef0771d.pth",
        backbone="hrnet_w48",
        row="sg_hrnet",
    ),
    "sg_hrnet_small": Network(
        title="SG-HRNet (small)", family="sg_hrnet", backbone="hrnet_small", row="sg_hrnet"
    ),
    "pose_resnet50": Network(
        title="SimpleBaseline ResNet-50",
        family="pose_resnet",
        options={"depth": 50},
        imagenet=f"{_TORCHVISION}/resnet50-0676ba61.pth",
        row="simple_baseline",
    ),
    "pose_resnet101": Network(
        title="SimpleBaseline ResNet-101",
        family="pose_resnet",
        options={"depth": 101},
        imagenet=f"{_TORCHVISION}/resnet101-63fe2227.pth",
        row="simple_baseline",
    ),
    "pose_resnet152": Network(
        title="SimpleBaseline ResNet-152",
        family="pose_resnet",
        options={"depth": 152},
        imagenet=f"{_TORCHVISION}/resnet152-394f9c45.pth",
        row="simple_baseline",
    ),
}
BASELINES = tuple(name for name, network in NETWORKS.items() if network.backbone is None)
GUIDED = tuple(name for name, network in NETWORKS.items() if network.backbone is not None)
