"""What a network costs: parameters, and multiplications counted by hooks while an image passes through it."""

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn


@dataclass(frozen=True)
class Complexity:
    """Parameters; GFLOPs as HRNet's summary tool counts them; true multiply-adds in units of 10^9."""

    params: int
    gflops: float
    gmacs: float


def count(net: nn.Module, input_size: tuple[int, int]) -> Complexity:
    """Complexity of a network for one image of `input_size` (height, width).

    Both columns count convolutions, transposed ones and linear layers, each once per call, and nothing else.
    HRNet's tool takes a convolution's weights times its output's pixels, and divides by 1024^3. A transposed
    convolution multiplies its weights with each pixel of its input, of which there are fewer: the tool
    overstates those. The network itself is left as it was.
    """
    # Without values: sizes follow from sizes, and nothing is multiplied while multiplications are counted.
    skeleton = copy.deepcopy(net).to("meta").eval()
    tool = true = 0

    def add(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal tool, true
        weights = cast(torch.Tensor, module.weight).numel()
        if isinstance(module, nn.Linear):
            pixels_in = pixels_out = output.numel() // output.shape[-1]
        else:
            pixels_in, pixels_out = inputs[0][0, 0].numel(), output[0, 0].numel()
        tool += weights * pixels_out
        true += weights * (pixels_in if isinstance(module, nn.ConvTranspose2d) else pixels_out)

    for module in skeleton.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad():
        skeleton(torch.empty(1, 3, *input_size, device="meta"))
    params = sum(parameter.numel() for parameter in net.parameters())
    return Complexity(params, tool / 1024**3, true / 1e9)
