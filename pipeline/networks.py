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
    body_parts: whether it predicts the dataset's bones and limbs too, which are then drawn for it.
    hard_joints: so many of a person's joints, the hardest of each step, train the last output; None: all.
    settled: in what it departs from its paper, or what its paper leaves open; docs/networks.md tells the whole.
    """

    title: str
    family: str
    options: Mapping[str, int] = field(default_factory=dict)
    imagenet: str | None = None
    backbone: str | None = None
    row: str = ""
    body_parts: bool = False
    hard_joints: int | None = None
    settled: str = ""


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
    "hourglass": Network(
        title="Hourglass, 8 stacks",
        family="hourglass",
        options={"stacks": 8, "features": 256, "stem": 64, "depth": 4},
        row="hourglass",
        settled="Built as the authors' code, which has the reported GFLOPs and fewer parameters.",
    ),
    "hourglass_2": Network(
        title="Hourglass, 2 stacks",
        family="hourglass",
        options={"stacks": 2, "features": 256, "stem": 64, "depth": 4},
        row="hourglass",
    ),
    "hourglass_small": Network(
        title="Hourglass (small)",
        family="hourglass",
        options={"stacks": 2, "features": 32, "stem": 16, "depth": 3},
        row="hourglass",
    ),
    "pyranet": Network(
        title="PRM (PyraNet)",
        family="pyranet",
        options={"stacks": 8, "features": 256, "stem": 64, "depth": 4},
        row="prm",
        settled="Pooling is at fixed places, not drawn ones.",
    ),
    "pyranet_small": Network(
        title="PRM (small)",
        family="pyranet",
        options={"stacks": 2, "features": 32, "stem": 16, "depth": 3},
        row="prm",
        settled="Pooling is at fixed places, not drawn ones.",
    ),
    "dlcm": Network(
        title="DLCM",
        family="dlcm",
        options={"stacks": 5, "features": 256, "stem": 64, "depth": 4},
        body_parts=True,
        row="dlcm",
        settled="Bones are drawn as straight lines; which they are in COCO is settled here.",
    ),
    "dlcm_small": Network(
        title="DLCM (small)",
        family="dlcm",
        options={"stacks": 5, "features": 48, "stem": 8, "depth": 3},
        body_parts=True,
        row="dlcm",
        settled="Bones are drawn as straight lines; which they are in COCO is settled here.",
    ),
    "cpn": Network(
        title="CPN ResNet-50",
        family="cpn",
        options={"depth": 50, "trunk": 64, "width": 256},
        imagenet=f"{_TORCHVISION}/resnet50-0676ba61.pth",
        row="cpn",
        settled="Each output learns from the same targets; the authors count fewer GFLOPs.",
    ),
    "cpn_small": Network(
        title="CPN (small)",
        family="cpn",
        options={"blocks": 1, "trunk": 16, "width": 32},
        row="cpn",
        settled="Each output learns from the same targets.",
    ),
    "cpn_ohkm": Network(
        title="CPN ResNet-50 + OHKM",
        family="cpn",
        options={"depth": 50, "trunk": 64, "width": 256},
        imagenet=f"{_TORCHVISION}/resnet50-0676ba61.pth",
        hard_joints=8,
        row="cpn_ohkm",
        settled="Each output learns from the same targets; the authors count fewer GFLOPs.",
    ),
    "cpn_ohkm_small": Network(
        title="CPN + OHKM (small)",
        family="cpn",
        options={"blocks": 1, "trunk": 16, "width": 32},
        hard_joints=8,
        row="cpn_ohkm",
        settled="Each output learns from the same targets.",
    ),
    "prab": Network(
        title="PRAB HRNet-W32",
        family="prab",
        options={"width": 32},
        imagenet=f"{_MMPOSE}/hrnet_w32-36af842e.pth",
        row="prab",
        settled="Nothing public shows its block: here channel and spatial attention, as in CBAM.",
    ),
    "prab_small": Network(
        title="PRAB (small)",
        family="prab",
        row="prab",
        settled="Nothing public shows its block: here channel and spatial attention, as in CBAM.",
    ),
    "empose": Network(
        title="EMpose HRNet-W32",
        family="empose",
        options={"width": 32, "hidden": 1024},
        imagenet=f"{_MMPOSE}/hrnet_w32-36af842e.pth",
        row="empose",
        settled="Built as the authors' code; neither parameters nor GFLOPs are those reported. One tolerance in OKS.",
    ),
    "empose_small": Network(
        title="EMpose (small)",
        family="empose",
        options={"hidden": 64},
        row="empose",
        settled="One tolerance in OKS for all joints.",
    ),
}
BASELINES = tuple(name for name, network in NETWORKS.items() if network.backbone is None)
GUIDED = tuple(name for name, network in NETWORKS.items() if network.backbone is not None)
