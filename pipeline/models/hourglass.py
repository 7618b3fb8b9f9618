"""Stacked Hourglass (Newell et al. 2016, arXiv:1603.06937), as its authors' princeton-vl/pose-hg-train builds it.

Residual modules with batch norm first; an hourglass goes down by pooling and up by repetition and adds what it
passed on the way down. Each hourglass but the last hands on its features and its heatmaps, both through 1x1
convolutions, to the next, and each one's heatmaps are supervised. All convolutions have a bias, as there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import Choices, Output, check_image, enlarge
from pipeline.networks import Network


@dataclass(frozen=True)
class Size:
    """stacks: hourglasses in a row. features: channels of each. stem: of the first convolution. depth: how often
    an hourglass halves its input."""

    stacks: int
    features: int = 256
    stem: int = 64
    depth: int = 4

    @classmethod
    def of(cls, network: Network) -> "Size":
        options = network.options
        return cls(options["stacks"], options["features"], options["stem"], options["depth"])


class Residual(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each after batch norm and ReLU, around an identity or a 1x1 convolution."""

    def __init__(self, into: int, out: int):
        super().__init__()
        middle = out // 2
        self.bn1, self.conv1 = nn.BatchNorm2d(into), nn.Conv2d(into, middle, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(middle), nn.Conv2d(middle, middle, 3, padding=1)
        self.bn3, self.conv3 = nn.BatchNorm2d(middle), nn.Conv2d(middle, out, 1)
        self.skip: nn.Module = nn.Identity() if into == out else nn.Conv2d(into, out, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BMHW = self.conv1(F.relu(self.bn1(x_BCHW), inplace=True))
        y_BMHW = self.conv2(F.relu(self.bn2(y_BMHW), inplace=True))
        y_BDHW = self.conv3(F.relu(self.bn3(y_BMHW), inplace=True))
        return cast(Tensor, y_BDHW + self.skip(x_BCHW))


Module = Callable[[int], nn.Module]
"""Channels -> a module that keeps them, and its input's size."""


class Hourglass(nn.Module):
    """Halves its input `depth` times and comes back; what it passed at each size is added on the way up.

    across, down, up: what stands at each of the depths, from the coarsest at 1 to the finest at `depth`; between
    down and up there is the next coarser hourglass, or at the bottom another of `down`.
    """

    def __init__(self, depth: int, channels: int, across: list[Module], down: list[Module], up: list[Module]):
        super().__init__()
        self.across, self.down = across[depth - 1](channels), down[depth - 1](channels)
        self.inner: nn.Module = (
            Hourglass(depth - 1, channels, across, down, up) if depth > 1 else down[0](channels)
        )
        self.up = up[depth - 1](channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        across_BCHW = cast(Tensor, self.across(x_BCHW))
        # An odd side is halved upwards, so that each multiple of 32 will do.
        y_BChw = self.down(F.max_pool2d(x_BCHW, 2, ceil_mode=True))
        y_BChw = self.up(self.inner(y_BChw))
        return across_BCHW + enlarge(y_BChw, across_BCHW.shape[2:], "nearest")


def hourglass(depth: int, channels: int) -> Hourglass:
    """An hourglass of residual modules alone."""

    residuals: list[Module] = [lambda channels: Residual(channels, channels)] * depth
    return Hourglass(depth, channels, residuals, residuals, residuals)


class Stem(nn.Module):
    """7x7 convolution with stride 2, a residual module, pooling, two more: a quarter of the image's size."""

    def __init__(
        self,
        stem: int,
        out: int,
        first: Callable[[int, int], nn.Module] = Residual,
        then: Callable[[int, int], nn.Module] = Residual,
    ):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, stem, 7, 2, padding=3), nn.BatchNorm2d(stem)
        self.residual1 = first(stem, 2 * stem)
        self.residual2 = then(2 * stem, 2 * stem)
        self.residual3 = then(2 * stem, out)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        x_BSHW = F.relu(self.bn(self.conv(image_B3HW)), inplace=True)
        x_BShw = F.max_pool2d(self.residual1(x_BSHW), 2)
        return cast(Tensor, self.residual3(self.residual2(x_BShw)))


class Predict(nn.Module):
    """From an hourglass's output: a 1x1 convolution to features, another to maps; both go back for the next."""

    def __init__(self, channels: int, maps: int, last: bool):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)
        self.score = nn.Conv2d(channels, maps, 1)
        if not last:
            self.features_back = nn.Conv2d(channels, channels, 1)
            self.score_back = nn.Conv2d(maps, channels, 1)
        self.last = last

    def forward(self, x_BCHW: Tensor, y_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """What entered an hourglass and what left it -> maps, and what enters the next hourglass."""
        y_BCHW = F.relu(self.bn(self.conv(y_BCHW)), inplace=True)
        maps_BMHW = self.score(y_BCHW)
        if self.last:
            return maps_BMHW, x_BCHW
        return maps_BMHW, x_BCHW + self.features_back(y_BCHW) + self.score_back(maps_BMHW)


class StackedHourglass(nn.Module):
    """Heatmaps of `joints` channels at a quarter of the image's size, by each of several hourglasses."""

    def __init__(self, size: Size, joints: int):
        super().__init__()
        self.stem = Stem(size.stem, size.features)
        self.hourglasses = nn.ModuleList(hourglass(size.depth, size.features) for _ in range(size.stacks))
        self.predict = nn.ModuleList(
            Predict(size.features, joints, last=number == size.stacks) for number in range(1, size.stacks + 1)
        )

    def start(self, generator: torch.Generator) -> None:
        start_as_torch7(self, generator)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        check_image(image_B3HW)
        x_BChw, heatmaps = self.stem(image_B3HW), []
        for glass, predict in zip(self.hourglasses, self.predict, strict=True):
            heatmaps_BKhw, x_BChw = predict(x_BChw, glass(x_BChw))
            heatmaps.append(heatmaps_BKhw)
        return Output(heatmaps[-1], earlier=tuple(heatmaps[:-1]))


@torch.no_grad()
def start_as_torch7(net: nn.Module, generator: torch.Generator) -> None:
    """Start convolutions as Torch7 does, in which these networks were written: uniform, +-1/sqrt(fan in).

    With HRNet's values, a hundredth of these, the sums of a hundred residual modules would hold nothing at first.
    Those that end in heatmaps keep HRNet's, since almost all of a heatmap is 0: with larger ones, nothing but the
    way there is learned for epochs.
    """
    scores = {module.score for module in net.modules() if isinstance(module, Predict)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module not in scores:
            bound = module.weight[0].numel() ** -0.5
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)


def build(network: Network, keypoints: Keypoints, choices: Choices) -> StackedHourglass:
    return StackedHourglass(Size.of(network), keypoints.count)
