"""Names, shapes and outputs of the networks are those of the official code.

golden/ holds, for two networks of the official PyTorch code in evaluation mode, the names and shapes of the
weights, and the heatmaps for the input `image` and the weights `ruled` of conftest.py.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"
NETWORKS = ("hrnet_w32", "pose_resnet50")


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_equal_the_official_code(name, make):
    official = json.loads((GOLDEN / f"{name}_coco_256x192.state_dict.json").read_text())
    ours = {key: list(value.shape) for key, value in make(name).state_dict().items()}
    assert ours == official
    # The order too: lists of parameters, as in an optimiser's state, follow it.
    assert list(ours) == list(official)


@pytest.mark.parametrize("name", NETWORKS)
def test_heatmaps_equal_the_official_code(name, make, ruled, image):
    official = np.load(GOLDEN / f"{name}_coco_256x192.npz")["heatmaps"]
    with torch.no_grad():
        output = ruled(make(name))(image)
    assert output.map_logits is None
    assert np.abs(output.heatmaps.numpy() - official).max() < 1e-4 * official.std()


def test_w48_is_w32_with_branches_half_as_wide_again(make):
    def widened(name, shape):
        # The stem and stage 1 do not depend on the width, nor what comes from them or goes to the joints.
        if name.startswith(("conv", "bn", "layer1")) or not shape:
            return shape
        channels = [size * 3 // 2 for size in shape[:2]]
        if name.startswith("transition1") and len(shape) == 4:
            channels[1] = 256
        if name.startswith("final_layer"):
            channels[0] = 17
        return [*channels, *shape[2:]]

    w32 = json.loads((GOLDEN / "hrnet_w32_coco_256x192.state_dict.json").read_text())
    w48 = {name: list(value.shape) for name, value in make("hrnet_w48").state_dict().items()}
    assert w48 == {name: widened(name, shape) for name, shape in w32.items()}
