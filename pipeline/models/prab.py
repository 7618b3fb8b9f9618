"""HRNet with double attention residual blocks, PRAB (Huo et al. 2020, doi:10.1109/ACCESS.2020.3044885).

Neither code nor a drawing of the block is public. It is settled here as the residual block of HRNet's branches whose
residual passes the channel and the spatial attention of Woo et al. 2018 (arXiv:1807.06521) before it is added;
the narrowing of 8 gives the 28.9 million parameters reported.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import BasicBlock, Choices
from pipeline.models.hrnet import HRNet, size_of
from pipeline.networks import Network

NARROWING, KERNEL = 8, 7
"""Channels over those of the channel attention's hidden layer; side of the spatial attention's window."""


class Attention(nn.Module):
    """Gates of channels, from the mean and the largest of each, then gates of pixels, from those over channels."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // NARROWING, 1)
        self.narrow = nn.Conv2d(channels, hidden, 1, bias=False)
        self.widen = nn.Conv2d(hidden, channels, 1, bias=False)
        self.spatial = nn.Conv2d(2, 1, KERNEL, padding=KERNEL // 2, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # amax shares its gradient among equals: no choice among them to differ between runs.
        mean_BC11, largest_BC11 = x_BCHW.mean((2, 3), keepdim=True), x_BCHW.amax((2, 3), keepdim=True)
        x_BCHW = x_BCHW * (self._gate(mean_BC11) + self._gate(largest_BC11)).sigmoid()
        over_B2HW = torch.cat([x_BCHW.mean(1, keepdim=True), x_BCHW.amax(1, keepdim=True)], dim=1)
        return cast(Tensor, x_BCHW * self.spatial(over_B2HW).sigmoid())

    def _gate(self, x_BC11: Tensor) -> Tensor:
        return cast(Tensor, self.widen(F.relu(self.narrow(x_BC11), inplace=True)))


class AttentionBlock(BasicBlock):
    """HRNet's residual block with both attentions on the residual; its other weights are named as there."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.attention = Attention(channels)

    def residual(self, x_BCHW: Tensor) -> Tensor:
        return cast(Tensor, self.attention(super().residual(x_BCHW)))


def build(network: Network, keypoints: Keypoints, choices: Choices) -> HRNet:
    size = size_of(network, choices.model)
    return HRNet(size, keypoints.count, choices.model.fuse_upsample, block=AttentionBlock)
