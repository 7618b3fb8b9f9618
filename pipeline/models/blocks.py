"""What HRNet and ResNet share: their residual blocks, what goes in, what comes out, how weights start."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.params import Guidance, Model
from pipeline.variants import Variant

STRIDE = 32
"""The coarsest stride of every network here: height and width of an image must be multiples of it."""


class Output(NamedTuple):
    """What every network returns.

    heatmaps: (B, K, h, w), its prediction. map_logits: (B, 4, h, w), those of a guided network's four maps.
    earlier: heatmaps of the same shape that a network with several outputs makes on its way, first to last; each
    is supervised like the prediction. levels: of each of `earlier`, where some also predict parts of the body behind
    their K joints: 0 none, 1 bones, 2 limbs. quality: (B,), a network's own estimate of its pose's OKS.
    """

    heatmaps: Tensor
    map_logits: Tensor | None = None
    earlier: tuple[Tensor, ...] = ()
    levels: tuple[int, ...] = ()
    quality: Tensor | None = None


@dataclass(frozen=True)
class Choices:
    """What params.yaml leaves open of a network: its groups `model` and `guidance`, and the ablation's row."""

    model: Model
    guidance: Guidance | None
    variant: Variant


def check_image(image_B3HW: Tensor) -> None:
    """Raise ValueError unless images are (B, 3, H, W) with H and W multiples of 32."""
    shape = tuple(image_B3HW.shape)
    if len(shape) != 4 or shape[1] != 3 or shape[2] % STRIDE or shape[3] % STRIDE:
        raise ValueError(
            f"images are {shape}, and must be (batch, 3, height, width) "
            f"with height and width multiples of {STRIDE}, such as (batch, 3, 256, 192)"
        )


def conv_bn(into: int, out: int, kernel: int, stride: int = 1, *, relu: bool = False) -> nn.Sequential:
    """Convolution without bias, batch norm (their names are 0 and 1, as in HRNet's code), perhaps ReLU."""
    layers = [conv(into, out, kernel, stride), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def conv(into: int, out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Convolution without bias that keeps the size, but for its stride."""
    return nn.Conv2d(into, out, kernel, stride, padding=kernel // 2, bias=False)


def enlarge(x_BChw: Tensor, size: tuple[int, int] | torch.Size, mode: str) -> Tensor:
    """Features of another height and width, `nearest` or `bilinear`.

    Computed in float32 and rounded once, under autocast too: an eager step and a compiled one then lose the same
    digits, backward as well, where each coarse pixel's gradient is a sum of many.
    """
    corners = False if mode == "bilinear" else None
    y_BCHW = F.interpolate(x_BChw.float(), size=tuple(size), mode=mode, align_corners=corners)
    return y_BCHW.to(x_BChw.dtype)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al. 2016, Fig. 5 left)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, channels, 3), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), nn.BatchNorm2d(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.residual(x_BCHW) + x_BCHW, inplace=True)

    def residual(self, x_BCHW: Tensor) -> Tensor:
        """What is added to the identity."""
        y_BCHW = F.relu(self.bn1(self.conv1(x_BCHW)), inplace=True)
        y_BCHW = self.bn2(self.conv2(y_BCHW))
        return cast(Tensor, y_BCHW)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions, `expansion` times wider at the end (He et al. 2016: 4)."""

    expansion = 4

    def __init__(self, into: int, middle: int, stride: int = 1, expansion: int = expansion):
        super().__init__()
        out = middle * expansion
        self.conv1, self.bn1 = conv(into, middle, 1), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, out, 1), nn.BatchNorm2d(out)
        same = stride == 1 and into == out
        self.downsample = nn.Identity() if same else conv_bn(into, out, 1, stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BMHW = F.relu(self.bn1(self.conv1(x_BCHW)), inplace=True)
        y_BMhw = F.relu(self.bn2(self.conv2(y_BMHW)), inplace=True)
        y_BDhw = self.bn3(self.conv3(y_BMhw))
        return F.relu(y_BDhw + self.downsample(x_BCHW), inplace=True)


def bottlenecks(into: int, middle: int, count: int, stride: int = 1) -> nn.Sequential:
    """`count` bottlenecks in a row, from `into` to 4 * middle channels; the first has the stride."""
    first = Bottleneck(into, middle, stride)
    rest = (Bottleneck(middle * Bottleneck.expansion, middle) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


@runtime_checkable
class Starts(Protocol):
    """A network or module whose paper lets some of its weights start otherwise."""

    def start(self, generator: torch.Generator) -> None:
        """Set them, after all of the network's weights were started alike."""
        ...


@torch.no_grad()
def initialise(net: nn.Module, seed: int) -> None:
    """Start all weights as HRNet's code does: convolutions normal with std 0.001, biases 0, batch norm 1.

    Linear layers, which HRNet has none of, start as its convolutions.

    Values come from a generator of their own, in the order of the modules, so that networks which share their
    first modules start these alike from equal seeds.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.normal_(std=0.001, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.weight.fill_(1)
            module.bias.zero_()
    for module in net.modules():
        if isinstance(module, Starts):
            module.start(generator)
