"""SimpleBaseline: ResNet with three deconvolutions (Xiao et al. 2018, arXiv:1804.06208).

Its weights are named as in the official code's pose_resnet, and so, up to the deconvolutions, as in
torchvision's ResNet.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models.blocks import Bottleneck, Choices, Output, bottlenecks, check_image
from pipeline.networks import Network

LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottlenecks in each of the four layers of ResNet-50, -101 and -152 (He et al. 2016, Table 1)."""
FILTERS = 256


class PoseResNet(nn.Module):
    """ResNet of `depth` 50, 101 or 152: heatmaps of `joints` channels at a quarter of the image's size."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, depth: int, joints: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for layer, count in enumerate(LAYERS[depth]):
            middle = 64 * 2**layer
            self.add_module(f"layer{layer + 1}", bottlenecks(channels, middle, count, min(layer, 1) + 1))
            channels = middle * Bottleneck.expansion
        deconvolutions = []
        for into in (channels, FILTERS, FILTERS):
            deconvolutions += [
                nn.ConvTranspose2d(into, FILTERS, 4, 2, padding=1, bias=False),
                nn.BatchNorm2d(FILTERS),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*deconvolutions)
        self.final_layer = nn.Conv2d(FILTERS, joints, 1)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        check_image(image_B3HW)
        x_BCHW = F.relu(self.bn1(self.conv1(image_B3HW)), inplace=True)
        x_BChw = F.max_pool2d(x_BCHW, 3, 2, padding=1)
        x_BChw = self.layer4(self.layer3(self.layer2(self.layer1(x_BChw))))
        return Output(self.final_layer(self.deconv_layers(x_BChw)))


def build(network: Network, joints: int, choices: Choices) -> PoseResNet:
    return PoseResNet(network.options["depth"], joints)
