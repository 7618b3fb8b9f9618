"""Compiled networks, and networks exported to ONNX, give the same numbers."""

import numpy as np
import pytest
import torch

from pipeline.training.losses import heatmap_loss, segmentation_loss

# Tracing takes its time for each layer: one module of each kind is enough.
SMALLEST = {"modules": (1, 1, 1)}


def images(people=2):
    return torch.randn(people, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def step(net, image):
    """Losses and gradients of one training step."""
    output = net(image)
    key = heatmap_loss(output.heatmaps, torch.zeros_like(output.heatmaps), torch.ones(len(image), 17))
    segmentation = segmentation_loss(output.map_logits, torch.ones_like(output.map_logits[:, 0]))
    (key + segmentation).backward()
    return key, segmentation


# aot_eager: all of compilation but the generated kernels. fullgraph: an error if it must return to Python.
@pytest.mark.slow
def test_compiled_training_step_is_the_same(make, ruled):
    plain, compiled = (ruled(make("sg_hrnet_small", **SMALLEST)).train() for _ in range(2))
    losses = step(plain, images())
    others = step(torch.compile(compiled, backend="aot_eager", fullgraph=True), images())
    assert torch.allclose(torch.stack(losses), torch.stack(others), rtol=1e-5)
    state = compiled.state_dict()
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, state[name], rtol=1e-4, atol=1e-6), name
    gradients = dict(compiled.named_parameters())
    for name, parameter in plain.named_parameters():
        scale = parameter.grad.abs().max().item()
        assert torch.allclose(parameter.grad, gradients[name].grad, atol=1e-3 * scale), name


# Their fusions differ: nearest and bilinear.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["hrnet_small", "sg_hrnet_small"])
def test_onnx_gives_the_same_heatmaps(name, make, ruled, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = ruled(make(name, **SMALLEST))
    names = ["heatmaps", "map_logits"] if name.startswith("sg_") else ["heatmaps"]
    torch.onnx.export(
        net,
        (images(),),
        tmp_path / "net.onnx",
        input_names=["image"],
        output_names=names,
        dynamic_shapes=({0: "people"},),
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == names
    image = images(3)
    with torch.no_grad():
        expected = net(image)
    for output, value in zip(session.run(None, {"image": image.numpy()}), expected, strict=False):
        assert np.abs(output - value.numpy()).max() < 1e-4 * value.std().item()
