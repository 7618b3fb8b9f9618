"""HRNet that also predicts how good its pose is, EMpose (Zhao et al. 2020, doi:10.1109/TCSVT.2020.3005522).

As the authors' sharling-lz/pose_quality builds it: a head of three convolutions for the heatmaps, and beside it a
block that learns the pose's object keypoint similarity (OKS) from the same features, weighted channel by channel.
"""

from typing import cast

from torch import Tensor, nn

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import Choices, Output, conv_bn, enlarge
from pipeline.models.hrnet import HRNet, Size, size_of
from pipeline.networks import Network

GRID = (8, 6)
"""What three strides leave of the published heatmap, 64x48; other sizes are brought to it by averaging."""


class Quality(nn.Module):
    """Gates of channels from the largest of each, three strided convolutions, three linear layers: one number."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.Sigmoid()
        )
        self.convs = nn.Sequential(
            conv_bn(channels, channels, 3, 2, relu=True),
            conv_bn(channels, channels, 3, 2, relu=True),
            conv_bn(channels, channels, 3, 2),
        )
        pixels = GRID[0] * GRID[1]
        self.linear = nn.Sequential(
            nn.Linear(channels * pixels, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        gate_BC = self.gate(x_BCHW.amax((2, 3)))
        y_BChw = self.convs(x_BCHW * gate_BC[:, :, None, None])
        if y_BChw.shape[2:] != GRID:
            y_BChw = enlarge(y_BChw, GRID, "bilinear")
        return cast(Tensor, self.linear(y_BChw.flatten(1))[:, 0])


class EMpose(HRNet):
    """Heatmaps of `joints` channels at a quarter of the image's size, and the pose's quality.

    hidden: outputs of the quality's linear layers.
    """

    def __init__(self, size: Size, joints: int, upsample: str, hidden: int):
        super().__init__(size, joints, upsample)
        self.head = nn.Sequential(
            conv_bn(size.width, size.width, 3, relu=True), conv_bn(size.width, size.width, 3, relu=True)
        )
        self.quality = Quality(size.width, hidden)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps and quality of an image; raises ValueError if its size is no multiple of 32."""
        x_BChw = self.features(image_B3HW)
        return Output(self.final_layer(self.head(x_BChw)), quality=self.quality(x_BChw))


def build(network: Network, keypoints: Keypoints, choices: Choices) -> EMpose:
    size = size_of(network, choices.model)
    return EMpose(size, keypoints.count, choices.model.fuse_upsample, network.options["hidden"])
