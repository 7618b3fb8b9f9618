"""HRNet for poses (Sun et al. 2019, arXiv:1902.09212), its weights named as in the official PyTorch code.

Names follow leoxiaobin/deep-high-resolution-net.pytorch, so that its released checkpoints load as they are.
Branch i of a stage has `width * 2**i` channels at 1 / 2**(i + 2) of the image's height and width.
"""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import (
    BasicBlock,
    Bottleneck,
    Choices,
    Output,
    bottlenecks,
    check_image,
    conv,
    conv_bn,
)
from pipeline.networks import Network
from pipeline.params import Model

Block = Callable[[int], nn.Module]
"""Channels -> a residual block that keeps them, and its input's size."""


@dataclass(frozen=True)
class Size:
    """Numbers that tell one HRNet from another; the official networks differ in width alone."""

    width: int = 32
    stem: int = 64
    bottlenecks: int = 4
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4


class Module(nn.Module):
    """Parallel branches of residual blocks, then an exchange in which each branch receives all the others."""

    def __init__(self, widths: list[int], blocks: int, outputs: int, upsample: str, block: Block):
        super().__init__()
        self.upsample = upsample
        self.branches = nn.ModuleList(
            nn.Sequential(*(block(width) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Features of each branch, fused."""
        return self.fuse(self.branch(features))

    def branch(self, features: list[Tensor]) -> list[Tensor]:
        """What each branch makes of its features, before they are exchanged."""
        return [branch(x_BCHW) for branch, x_BCHW in zip(self.branches, features, strict=True)]

    def fuse(self, features: list[Tensor]) -> list[Tensor]:
        """For each branch the sum of what all of them give it."""
        return [self._fuse(target, features) for target in range(len(self.fuse_layers))]

    def _fuse(self, target: int, features: list[Tensor]) -> Tensor:
        # Enlarged and added up in float32, and rounded once: under autocast an eager step and a compiled one, nearest
        # and bilinear, then lose the same digits, backward too, where each coarse pixel's gradient is a sum of many.
        parts = []
        layers = cast(nn.ModuleList, self.fuse_layers[target])
        for source, (layer, x) in enumerate(zip(layers, features, strict=True)):
            y_BCHW = layer(x).float()
            if source > target:
                y_BCHW = _enlarge(y_BCHW, 2 ** (source - target), self.upsample)
            parts.append(y_BCHW)
        return F.relu(functools.reduce(operator.add, parts).to(features[target].dtype), inplace=True)


class HRNet(nn.Module):
    """HRNet with a 1x1 head: heatmaps of `joints` channels at a quarter of the image's height and width.

    `upsample` is how a fusion brings a coarse branch to a finer one: nearest (HRNet's) or bilinear. `block` is what
    the branches of stages 2 to 4 consist of.
    """

    transition1: nn.ModuleList
    transition2: nn.ModuleList
    transition3: nn.ModuleList
    stage2: nn.ModuleList
    stage3: nn.ModuleList
    stage4: nn.ModuleList

    def __init__(self, size: Size, joints: int, upsample: str = "nearest", block: Block = BasicBlock):
        super().__init__()
        if upsample not in ("nearest", "bilinear"):
            raise ValueError(f"fuse_upsample: {upsample!r} must be nearest or bilinear")
        self.conv1, self.bn1 = conv(3, size.stem, 3, 2), nn.BatchNorm2d(size.stem)
        self.conv2, self.bn2 = conv(size.stem, size.stem, 3, 2), nn.BatchNorm2d(size.stem)
        self.layer1 = bottlenecks(size.stem, size.stem, size.bottlenecks)
        widths = [size.width * 2**branch for branch in range(4)]
        before = [size.stem * Bottleneck.expansion]
        for number, modules in zip((2, 3, 4), size.modules, strict=True):
            # Registered in the order of the official code: its optimiser states and lists follow it.
            self.add_module(f"transition{number - 1}", _transition(before, widths[:number]))
            # The head reads the finest branch alone, so the last module of stage 4 fuses nothing else.
            outputs = [number] * (modules - 1) + [1 if number == 4 else number]
            before = widths[:number]
            stage = nn.ModuleList(Module(before, size.blocks, out, upsample, block) for out in outputs)
            self.add_module(f"stage{number}", stage)
        self.final_layer = nn.Conv2d(size.width, joints, 1)

    def stem(self, image_B3HW: Tensor) -> Tensor:
        """Stage 1: a quarter of the image's size, 4 * stem channels."""
        check_image(image_B3HW)
        x_BSHW = F.relu(self.bn1(self.conv1(image_B3HW)), inplace=True)
        x_BShw = F.relu(self.bn2(self.conv2(x_BSHW)), inplace=True)
        return cast(Tensor, self.layer1(x_BShw))

    def stages(self) -> list[tuple[nn.ModuleList, nn.ModuleList]]:
        """The transition into, and the modules of, stages 2, 3 and 4."""
        return [
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ]

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        return Output(self.final_layer(self.features(image_B3HW)))

    def features(self, image_B3HW: Tensor) -> Tensor:
        """What enters the head: a quarter of the image's size, `width` channels."""
        features = [self.stem(image_B3HW)]
        for transition, stage in self.stages():
            features = enter(transition, features)
            for module in stage:
                features = module(features)
        return features[0]


def size_of(network: Network, model: Model) -> Size:
    """The numbers of a network of the catalogue; those of a small one are parameters."""
    if "width" in network.options:
        return Size(width=network.options["width"])
    small = model.small
    return Size(small.width, small.stem, small.bottlenecks, small.modules, small.blocks)


def build(network: Network, keypoints: Keypoints, choices: Choices) -> HRNet:
    return HRNet(size_of(network, choices.model), keypoints.count, upsample=choices.model.fuse_upsample)


def enter(transition: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """Features as a stage receives them: those before, and a new, coarser branch made from the last."""
    sources = [*features, features[-1]]
    return [layer(x_BCHW) for layer, x_BCHW in zip(transition, sources[: len(transition)], strict=True)]


def _enlarge(x_BChw: Tensor, factor: int, mode: str) -> Tensor:
    corners = False if mode == "bilinear" else None
    return F.interpolate(x_BChw, scale_factor=float(factor), mode=mode, align_corners=corners)


def _exchange(widths: list[int], source: int, target: int) -> nn.Module:
    """From one branch's channels and size to another's; enlarging follows in Module._fuse."""
    if source == target:
        return nn.Identity()
    if source > target:
        return conv_bn(widths[source], widths[target], 1)
    # Each step halves the size; the channels change, and the ReLU is left out, in the last one.
    steps = [conv_bn(widths[source], widths[source], 3, 2, relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_bn(widths[source], widths[target], 3, 2))


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    layers = [
        nn.Identity() if into == out else conv_bn(into, out, 3, relu=True)
        for into, out in zip(before, after, strict=False)
    ]
    # One level deeper, because HRNet's code allows for several steps here.
    new = nn.Sequential(conv_bn(before[-1], after[-1], 3, 2, relu=True))
    return nn.ModuleList([*layers, new])
