"""Cascaded pyramid network (Chen et al. 2018, arXiv:1711.07319), as the authors' chenyilun95/tf-cpn builds it.

GlobalNet goes down a ResNet's layers from the coarsest and predicts heatmaps at each; RefineNet sends each layer's
features through the more bottlenecks the coarser they are, and predicts from all of them together. The trunk's
weights are named as in torchvision's ResNet.
"""

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import Bottleneck, Choices, Output, conv_bn, enlarge
from pipeline.models.resnet import LAYERS, ResNet
from pipeline.networks import Network


class GlobalNet(nn.Module):
    """From a ResNet's layers to features of one width, each with those of the coarser ones, and heatmaps of each."""

    def __init__(self, into: list[int], width: int, joints: int):
        super().__init__()
        self.lateral = nn.ModuleList(conv_bn(channels, width, 1, relu=True) for channels in into)
        self.merge = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in into[1:])
        self.predict = nn.ModuleList(
            nn.Sequential(*conv_bn(width, width, 1, relu=True), *conv_bn(width, joints, 3)) for _ in into
        )

    def forward(self, layers: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Features at each layer's size, and heatmaps, all of the finest's size; both from the finest on."""
        features = [lateral(x_BCHW) for lateral, x_BCHW in zip(self.lateral, layers, strict=True)]
        for level in reversed(range(len(self.merge))):
            coarser_BCHW = enlarge(features[level + 1], features[level].shape[2:], "bilinear")
            features[level] = features[level] + self.merge[level](coarser_BCHW)
        size = features[0].shape[2:]
        heatmaps = [
            enlarge(predict(x_BCHW), size, "bilinear")
            for predict, x_BCHW in zip(self.predict, features, strict=True)
        ]
        return features, heatmaps


class RefineNet(nn.Module):
    """Level n's features through n bottlenecks, enlarged, joined, one bottleneck more and a 3x3 convolution."""

    def __init__(self, levels: int, width: int, joints: int):
        super().__init__()
        self.refine = nn.ModuleList(
            nn.Sequential(*(_bottleneck(width, width) for _ in range(level))) for level in range(levels)
        )
        self.predict = nn.Sequential(_bottleneck(levels * width, width), *conv_bn(width, joints, 3))

    def forward(self, features: list[Tensor]) -> Tensor:
        size = features[0].shape[2:]
        refined = [
            enlarge(refine(x_BCHW), size, "bilinear")
            for refine, x_BCHW in zip(self.refine, features, strict=True)
        ]
        return cast(Tensor, self.predict(torch.cat(refined, dim=1)))


class CPN(ResNet):
    """Heatmaps of `joints` channels at a quarter of the image's size: GlobalNet's four, then RefineNet's.

    layers and trunk: the ResNet's bottlenecks and width; width: of what comes after it.
    """

    def __init__(self, layers: tuple[int, int, int, int], trunk: int, width: int, joints: int):
        super().__init__(layers, trunk)
        self.global_net = GlobalNet(self.channels, width, joints)
        self.refine_net = RefineNet(len(layers), width, joints)

    @torch.no_grad()
    def start(self, generator: torch.Generator) -> None:
        """Xavier's values after the trunk, as there: not all of its convolutions are followed by batch norm.

        The batch norms that end in heatmaps start at HRNet's 0.001, since almost all of a heatmap is 0.
        """
        for net in (self.global_net, self.refine_net):
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.xavier_uniform_(module.weight, generator=generator)
        for predict in (*self.global_net.predict, self.refine_net.predict):
            nn.init.constant_(cast(nn.BatchNorm2d, cast(nn.Sequential, predict)[-1]).weight, 0.001)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        features, heatmaps = self.global_net(self.features(image_B3HW))
        return Output(self.refine_net(features), earlier=tuple(reversed(heatmaps)))


def _bottleneck(into: int, out: int) -> Bottleneck:
    """Half as wide in the middle as at its end, where a ResNet's is a quarter."""
    return Bottleneck(into, out // 2, expansion=2)


def build(network: Network, keypoints: Keypoints, choices: Choices) -> CPN:
    options = network.options
    layers = LAYERS[options["depth"]] if "depth" in options else (options["blocks"],) * 4
    return CPN(layers, options["trunk"], options["width"], keypoints.count)
