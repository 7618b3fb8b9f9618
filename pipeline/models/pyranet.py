"""PyraNet: hourglasses of pyramid residual modules, PRMs (Yang et al. 2017, arXiv:1708.01101; bearpaw/PyraNet).

A PRM adds to a residual module's 3x3 convolution others of the same input at several smaller sizes. As in the
authors' code, the two coarsest sizes of an hourglass have plain residual modules, but for the way across at the
second of them; on the way up the identity is a 1x1 convolution, so that variances do not add up without end.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.keypoints import Keypoints
from pipeline.models import hourglass
from pipeline.models.blocks import Choices, Output, check_image, enlarge
from pipeline.networks import Network

BASE_WIDTH, LEVELS = 9, 4
"""Features are divided by the first for the pyramid's channels; its sizes fall to a half in so many steps."""


class Pyramid(nn.Module):
    """3x3 convolutions of the input at 2**(-1/4), 2**(-2/4), 2**(-3/4) and 1/2 of its size, enlarged and added."""

    def __init__(self, channels: int):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(LEVELS))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        height, width = x_BCHW.shape[2:]
        total_BCHW = torch.zeros_like(x_BCHW)
        for level, conv in enumerate(self.convs, start=1):
            ratio = 2.0 ** (-level / LEVELS)
            y_BChw = conv(fractional_max_pool(x_BCHW, (int(height * ratio), int(width * ratio))))
            total_BCHW = total_BCHW + enlarge(y_BChw, (height, width), "bilinear")
        return total_BCHW


class PyramidResidual(nn.Module):
    """PRM-B of the paper's Fig. 3: residual module with a pyramid beside its 3x3 convolution.

    activated: batch norm and ReLU come first, as everywhere but at the stem. project: a 1x1 convolution after
    batch norm and ReLU in place of the identity, which is there anyway where the channels change.
    """

    def __init__(self, into: int, out: int, activated: bool = True, project: bool = False):
        super().__init__()
        middle, narrow = out // 2, out // BASE_WIDTH
        self.enter = _norm(into) if activated else nn.Identity()
        self.full = nn.Sequential(
            nn.Conv2d(into, middle, 1), *_norm(middle), nn.Conv2d(middle, middle, 3, padding=1)
        )
        self.enter_pyramid = _norm(into) if activated else nn.Identity()
        self.pyramid = nn.Sequential(
            nn.Conv2d(into, narrow, 1),
            *_norm(narrow),
            Pyramid(narrow),
            *_norm(narrow),
            nn.Conv2d(narrow, middle, 1),
        )
        self.leave = nn.Sequential(*_norm(middle), nn.Conv2d(middle, out, 1))
        self.skip = _skip(into, out, project)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BMHW = self.full(self.enter(x_BCHW)) + self.pyramid(self.enter_pyramid(x_BCHW))
        return cast(Tensor, self.leave(y_BMHW) + self.skip(x_BCHW))


class ProjectedResidual(hourglass.Residual):
    """The plain residual module with a 1x1 convolution after batch norm and ReLU in place of the identity."""

    def __init__(self, channels: int):
        super().__init__(channels, channels)
        self.skip = _skip(channels, channels, project=True)


class PyraNet(nn.Module):
    """Heatmaps of `joints` channels at a quarter of the image's size, by each of several hourglasses."""

    def __init__(self, size: hourglass.Size, joints: int):
        super().__init__()
        first = partial(PyramidResidual, activated=False)
        self.stem = hourglass.Stem(size.stem, size.features, first, PyramidResidual)
        self.hourglasses = nn.ModuleList(_hourglass(size) for _ in range(size.stacks))
        # An hourglass ends in sums that no batch norm has seen.
        self.norms = nn.ModuleList(_norm(size.features) for _ in range(size.stacks))
        self.predict = nn.ModuleList(
            hourglass.Predict(size.features, joints, last=number == size.stacks)
            for number in range(1, size.stacks + 1)
        )

    def start(self, generator: torch.Generator) -> None:
        hourglass.start_as_torch7(self, generator)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        check_image(image_B3HW)
        x_BChw, heatmaps = self.stem(image_B3HW), []
        for glass, norm, predict in zip(self.hourglasses, self.norms, self.predict, strict=True):
            heatmaps_BKhw, x_BChw = predict(x_BChw, norm(glass(x_BChw)))
            heatmaps.append(heatmaps_BKhw)
        return Output(heatmaps[-1], earlier=tuple(heatmaps[:-1]))


def fractional_max_pool(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The largest of 2x2 pixels at `size` (height, width) places, spread evenly over the input.

    The paper's pooling draws these places anew each time, from global state; here a network is a function.
    """
    for dim, out in zip((2, 3), size, strict=True):
        steps = torch.arange(out, device=x_BCHW.device)
        starts = steps * (x_BCHW.shape[dim] - 2) // max(out - 1, 1)
        x_BCHW = torch.maximum(x_BCHW.index_select(dim, starts), x_BCHW.index_select(dim, starts + 1))
    return x_BCHW


def _hourglass(size: hourglass.Size) -> hourglass.Hourglass:
    def plain(channels: int) -> nn.Module:
        return hourglass.Residual(channels, channels)

    def pyramid(channels: int) -> nn.Module:
        return PyramidResidual(channels, channels)

    def pyramid_up(channels: int) -> nn.Module:
        return PyramidResidual(channels, channels, project=True)

    fine = size.depth - 2
    return hourglass.Hourglass(
        size.depth,
        size.features,
        across=[plain, *[pyramid] * (size.depth - 1)],
        down=[plain, plain, *[pyramid] * fine],
        up=[ProjectedResidual, ProjectedResidual, *[pyramid_up] * fine],
    )


def _norm(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def _skip(into: int, out: int, project: bool) -> nn.Module:
    if into == out and not project:
        return nn.Identity()
    return nn.Sequential(*_norm(into), nn.Conv2d(into, out, 1))


def build(network: Network, keypoints: Keypoints, choices: Choices) -> PyraNet:
    return PyraNet(hourglass.Size.of(network), keypoints.count)
