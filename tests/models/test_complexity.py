"""Parameters and multiplications, against the figures that the papers print and numbers worked by hand."""

import pytest
import torch
from torch import nn

from pipeline.models.complexity import count


@pytest.mark.parametrize(
    "name, joints, size, params, gflops, gmacs",
    [
        # Sun et al. 2019, Table 1, and Xiao et al. 2018: 28.5M and 7.10, 34.0M and 8.90, 68.6M and 15.7.
        ("hrnet_w32", 17, (256, 192), 28_536_113, 7.12, 7.645),
        ("pose_resnet50", 17, (256, 192), 33_999_697, 8.99, 5.426),
        ("pose_resnet152", 17, (256, 192), 68_635_473, 15.76, 12.699),
        ("hrnet_w32", 16, (256, 256), 28_536_080, 9.49, 10.193),
        # 4 x (3 x 3 x 32 x 32 + 32 + 32 + 1) parameters more, 4 x (9,216 + 32) x 64 x 48 products more.
        ("sg_hrnet_w32", 17, (256, 192), 28_573_237, 7.23, 7.759),
    ],
)
def test_complexity_of_the_papers_networks(name, joints, size, params, gflops, gmacs, shape):
    cost = count(shape(name, joints), size)
    assert cost.params == params
    assert round(cost.gflops, 2) == gflops
    assert round(cost.gmacs, 3) == gmacs


def test_w48_and_resnet101_have_the_papers_sizes(shape):
    # Sun et al. 2019: HRNet-W48 63.6M and 14.6; Xiao et al. 2018: ResNet-101 53.0M and 12.4.
    w48, resnet101 = (count(shape(name), (256, 192)) for name in ("hrnet_w48", "pose_resnet101"))
    assert round(w48.params / 1e6, 1) == 63.6 and round(w48.gflops, 1) == 14.6
    assert round(resnet101.params / 1e6, 1) == 53.0 and round(resnet101.gflops, 1) == 12.4


def test_one_layer_of_each_kind_by_hand():
    class OneOfEach(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1)
            self.split = nn.Conv2d(4, 4, 1, groups=2)
            self.up = nn.ConvTranspose2d(4, 5, 4, stride=2, padding=1)
            self.linear = nn.Linear(5, 7)

        def forward(self, image):
            x = self.up(self.split(self.conv(image)))
            return self.linear(x.mean((2, 3)))

    # Conv 108 weights on 4x3 pixels, grouped 8 on 4x3, transposed 320 from 4x3 to 8x6, linear 35.
    cost = count(OneOfEach(), (8, 6))
    assert cost.gmacs * 1e9 == pytest.approx(108 * 12 + 8 * 12 + 320 * 12 + 35)
    assert cost.gflops * 1024**3 == pytest.approx(108 * 12 + 8 * 12 + 320 * 48 + 35)
    assert cost.params == 108 + 4 + 8 + 4 + 320 + 5 + 35 + 7


def test_a_layer_used_twice_counts_twice():
    layer = nn.Conv2d(3, 3, 1, bias=False)
    assert count(nn.Sequential(layer, layer), (4, 4)).gmacs * 1e9 == pytest.approx(2 * 9 * 16)
    assert count(nn.Sequential(layer, layer), (4, 4)).params == 9


def test_counting_leaves_the_network_as_it_was(make):
    net = make("sg_hrnet_small").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    count(net, (64, 64))
    assert net.training and not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
