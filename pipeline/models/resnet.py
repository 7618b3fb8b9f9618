"""SimpleBaseline: ResNet with three deconvolutions (Xiao et al. 2018, arXiv:1804.06208).

Its weights are named as in the official code's pose_resnet, and so, up to the deconvolutions, as in
torchvision's ResNet.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import Bottleneck, Choices, Output, bottlenecks, check_image
from pipeline.networks import Network

LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Bottlenecks in each of the four layers of ResNet-50, -101 and -152 (He et al. 2016, Table 1)."""
FILTERS = 256


class ResNet(nn.Module):
    """The layers of a ResNet, without what follows them: features at a quarter to a 32nd of the image's size.

    layers: bottlenecks in each. width: channels of the first convolution.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, layers: tuple[int, int, int, int], width: int = 64):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        self.channels = []
        for layer, count in enumerate(layers):
            middle = width * 2**layer
            self.add_module(f"layer{layer + 1}", bottlenecks(channels, middle, count, min(layer, 1) + 1))
            channels = middle * Bottleneck.expansion
            self.channels.append(channels)

    def features(self, image_B3HW: Tensor) -> list[Tensor]:
        """Each layer's output, from the finest to the coarsest; ValueError if a side is no multiple of 32."""
        check_image(image_B3HW)
        x_BCHW = F.relu(self.bn1(self.conv1(image_B3HW)), inplace=True)
        features = [self.layer1(F.max_pool2d(x_BCHW, 3, 2, padding=1))]
        for layer in (self.layer2, self.layer3, self.layer4):
            features.append(layer(features[-1]))
        return features


class PoseResNet(ResNet):
    """ResNet of `depth` 50, 101 or 152: heatmaps of `joints` channels at a quarter of the image's size."""

    def __init__(self, depth: int, joints: int):
        super().__init__(LAYERS[depth])
        deconvolutions = []
        for into in (self.channels[-1], FILTERS, FILTERS):
            deconvolutions += [
                nn.ConvTranspose2d(into, FILTERS, 4, 2, padding=1, bias=False),
                nn.BatchNorm2d(FILTERS),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*deconvolutions)
        self.final_layer = nn.Conv2d(FILTERS, joints, 1)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps of an image; raises ValueError if its size is no multiple of 32."""
        return Output(self.final_layer(self.deconv_layers(self.features(image_B3HW)[-1])))


def build(network: Network, keypoints: Keypoints, choices: Choices) -> PoseResNet:
    return PoseResNet(network.options["depth"], keypoints.count)
