"""Deeply learned compositional model (Tang et al. 2018, ECCV; the authors' code is the base of idotc/DLMSCM).

A body is joints, joints make bones, bones make limbs: hourglasses go up these levels and down again, each predicting
its level's parts, with the joints beside them. On the way down, an hourglass also receives what its level said on
the way up. Which parts there are is of the dataset (`Keypoints.bones`, `Keypoints.limbs`).
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.keypoints import Keypoints
from pipeline.models import hourglass
from pipeline.models.blocks import Choices, Output, check_image
from pipeline.networks import Network


class Stem(nn.Module):
    """3x3 convolutions at the image's size and, after pooling, at half of it; residual modules as an hourglass's."""

    def __init__(self, stem: int, out: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 3, padding=1), nn.BatchNorm2d(stem)
        self.conv2, self.bn2 = nn.Conv2d(stem, stem, 3, padding=1), nn.BatchNorm2d(stem)
        self.conv3, self.bn3 = nn.Conv2d(stem, stem, 3, padding=1), nn.BatchNorm2d(stem)
        self.residual1 = hourglass.Residual(stem, 2 * stem)
        self.residual2 = hourglass.Residual(2 * stem, 2 * stem)
        self.residual3 = hourglass.Residual(2 * stem, out)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        x_BSHW = F.relu(self.bn1(self.conv1(image_B3HW)), inplace=True)
        x_BShw = F.max_pool2d(x_BSHW, 2)
        x_BShw = F.relu(self.bn2(self.conv2(x_BShw)), inplace=True)
        x_BShw = F.relu(self.bn3(self.conv3(x_BShw)), inplace=True)
        x_BShw = F.max_pool2d(self.residual1(x_BShw), 2)
        return cast(Tensor, self.residual3(self.residual2(x_BShw)))


class DLCM(nn.Module):
    """Heatmaps of `joints` channels at a quarter of the image's size, by each of five hourglasses.

    parts: how many there are at the levels above the joints, 12 bones and 6 limbs in the paper.
    """

    def __init__(self, size: hourglass.Size, joints: int, parts: tuple[int, int]):
        super().__init__()
        # At the higher levels the joints, then the parts.
        up = [joints, *(joints + count for count in parts)]
        maps = [*up, *up[-2::-1]]
        self.levels = len(up)
        self.stem = Stem(size.stem, size.features)
        self.recall = nn.ModuleList(
            hourglass.Residual(size.features, size.features - count) for count in maps[self.levels :]
        )
        self.hourglasses = nn.ModuleList(hourglass.hourglass(size.depth, size.features) for _ in maps)
        self.predict = nn.ModuleList(
            hourglass.Predict(size.features, count, last=number == len(maps))
            for number, count in enumerate(maps, start=1)
        )

    def start(self, generator: torch.Generator) -> None:
        hourglass.start_as_torch7(self, generator)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        check_image(image_B3HW)
        x_BChw = self.stem(image_B3HW)
        maps: list[Tensor] = []
        for number, (glass, predict) in enumerate(zip(self.hourglasses, self.predict, strict=True)):
            if number >= self.levels:
                # The level below the last one: what the way up said of it takes the place of some features.
                level = 2 * (self.levels - 1) - number
                recalled_BChw = self.recall[number - self.levels](x_BChw)
                x_BChw = torch.cat([maps[level], recalled_BChw], dim=1)
            maps_BMhw, x_BChw = predict(x_BChw, glass(x_BChw))
            maps.append(maps_BMhw)
        climb = range(self.levels)
        return Output(maps[-1], earlier=tuple(maps[:-1]), levels=(*climb, *climb[-2:0:-1]))


def build(network: Network, keypoints: Keypoints, choices: Choices) -> DLCM:
    parts = len(keypoints.bones), len(keypoints.limbs)
    if not all(parts):
        raise ValueError("dlcm predicts bones and limbs: name them in the KEYPOINTS of the dataset's module")
    return DLCM(hourglass.Size.of(network), keypoints.count, parts)
