"""The segmentation guided module and SG-HRNet (the paper's sections 3.2 and 3.3, Eq. 4)."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.keypoints import Keypoints
from pipeline.models.blocks import Choices, Output
from pipeline.models.hrnet import HRNet, Module, Size, enter, size_of
from pipeline.networks import Network

APPLY = ("last_module", "every_module", "stage_input", "stage_output")
MAPS = 4
"""N of Eq. 6: stages 2, 3 and 4 have a map each, and the head has one."""


class SegmentationGuidedModule(nn.Module):
    """3x3 and 1x1 convolution to the logits of one map (Fig. 2); their sigmoid is the gate of Eq. 4.

    The text and the figure name no batch norm or ReLU, and there is none.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return cast(Tensor, self.score(self.conv(x_BCHW)))


class SGHRNet(HRNet):
    """HRNet whose finest branch is multiplied by predicted maps of where the joints are.

    The map of stages 2, 3 and 4 is predicted from the finest feature that enters the stage (section 3.3). `apply` says
    where it multiplies: last_module (before the fusion that ends the stage), every_module (the same map before each
    fusion) or stage_input (what it was predicted from). With stage_output it is predicted from what it multiplies, the
    finest branch before the fusion that ends the stage (section 3.2). The fourth is predicted from, and multiplies,
    what enters the head. Without `attention` the maps are predicted and multiply nothing.
    """

    def __init__(
        self,
        size: Size,
        joints: int,
        upsample: str = "bilinear",
        apply: str = "last_module",
        attention: bool = True,
        gate_bias: float = 0.0,
    ):
        super().__init__(size, joints, upsample)
        if apply not in APPLY:
            raise ValueError(f"guidance.apply: {apply!r} must be one of {', '.join(APPLY)}")
        # `nn.Module.apply` is a method.
        self.applied = apply if attention else "nowhere"
        self.of_own_output = apply == "stage_output"
        self.guidance = nn.ModuleList(SegmentationGuidedModule(size.width) for _ in range(MAPS))
        self.gate_bias = gate_bias

    def start(self, generator: torch.Generator) -> None:
        for guide in self.guidance:
            nn.init.constant_(cast(Tensor, cast(SegmentationGuidedModule, guide).score.bias), self.gate_bias)

    def forward(self, image_B3HW: Tensor) -> Output:
        """Heatmaps and map logits of an image; raises ValueError if its size is no multiple of 32."""
        *stage_guidance, head_guidance = self.guidance
        features, logits = [self.stem(image_B3HW)], []
        for guide, (transition, stage) in zip(stage_guidance, self.stages(), strict=True):
            features = enter(transition, features)
            if not self.of_own_output:
                logits.append(guide(features[0]))
                gate_B1hw = logits[-1].sigmoid()
            if self.applied == "stage_input":
                features[0] = features[0] * gate_B1hw
            for number, module in enumerate(cast(Iterable[Module], stage), start=1):
                features = module.branch(features)
                last = number == len(stage)
                if last and self.of_own_output:
                    logits.append(guide(features[0]))
                    gate_B1hw = logits[-1].sigmoid()
                if self.applied == "every_module" or (
                    last and self.applied in ("last_module", "stage_output")
                ):
                    features[0] = features[0] * gate_B1hw
                features = module.fuse(features)
        x_BChw = features[0]
        logits.append(head_guidance(x_BChw))
        if self.applied != "nowhere":
            x_BChw = x_BChw * logits[-1].sigmoid()
        return Output(self.final_layer(x_BChw), torch.cat(logits, dim=1))


def build(network: Network, keypoints: Keypoints, choices: Choices) -> HRNet:
    """The guided network as params.yaml's guidance and the variant say; without guidance HRNet, fused alike."""
    guidance, variant = choices.guidance, choices.variant
    if guidance is None:
        raise ValueError("a guided network needs the parameters `guidance`")
    size = size_of(network, choices.model)
    if not variant.guided:
        return HRNet(size, keypoints.count, upsample=guidance.fuse_upsample)
    return SGHRNet(
        size,
        keypoints.count,
        upsample=guidance.fuse_upsample,
        apply=variant.apply or guidance.apply,
        attention=variant.attention,
        gate_bias=guidance.gate_bias,
    )
