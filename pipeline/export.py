"""A trained network as ONNX, for programs without torch: `python -m pipeline.predict --export FILE.onnx`.

Input `crops`: (people, height, width, 3) uint8 RGB, each the crop of one person; the file normalises them itself.
Outputs: `heatmaps` (people, K, height / 4, width / 4), and of a guided network `maps`, (people, 4, height / 4,
width / 4) probabilities. How a crop is cut and a heatmap read stands in the file's metadata, under the keys of
`description`.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline import loader
from pipeline.codec import crop
from pipeline.datasets import DATASETS
from pipeline.people import PADDING
from pipeline.runs import Record

# Of the largest value: float32's digits, after a network's many sums in another order.
TOLERANCE = 1e-3


class Exported(nn.Module):
    """From crops as they are cut to probabilities; normalising is the file's own, as loader.normalise does it."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(loader.MEAN))
        self.register_buffer("std", torch.tensor(loader.STD))

    def forward(self, crops_BHWC: Tensor) -> tuple[Tensor, ...]:
        output = self.network(((crops_BHWC.float() - self.mean) / self.std).permute(0, 3, 1, 2))
        if output.map_logits is None:
            return (output.heatmaps,)
        return output.heatmaps, output.map_logits.sigmoid()


def description(record: Record) -> dict[str, str]:
    """What a user of the file must know, by key."""
    height, width = record.used.input.size
    return {
        "run": f"{record.run.dataset}/{record.run.name}",
        "joints": json.dumps(DATASETS[record.run.dataset].KEYPOINTS.names),
        "crop": f"around the box's centre, {PADDING:g} times the box once its shorter side is stretched to the ratio "
        f"{height}:{width}, scaled to {height}x{width} by bilinear interpolation, black outside of the image",
        "pixels": "uint8, RGB, 0 to 255; the file subtracts ImageNet's mean and divides by its deviation",
        "joint": f"the highest pixel (x, y) of its heatmap, a quarter pixel towards the higher neighbour on each axis, "
        f"times {crop.STRIDE}: crop's pixels; the height is its score",
        "flip": "reported numbers average the heatmaps with those of the mirror image; this file does not",
    }


def export(record: Record, network: nn.Module, file: Path) -> float:
    """Write the file and run it by onnxruntime beside torch; returns how far apart they are, of the largest value.

    Raises ValueError, and leaves no file, where that is more than TOLERANCE.
    """
    import onnx
    import onnxruntime

    height, width = record.used.input.size
    exported = Exported(network.cpu()).eval()
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
    names = ["heatmaps", "maps"] if record.used.guided else ["heatmaps"]
    with torch.inference_mode(False), torch.no_grad(), quiet():
        # One axis that may have any length: a batch of one would fix it.
        torch.onnx.export(
            exported,
            (crops,),
            file,
            input_names=["crops"],
            output_names=names,
            dynamic_shapes=({0: "people"},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        expected = [value.numpy() for value in exported(crops[:1])]
    model = onnx.load(file)
    onnx.helper.set_model_props(model, description(record))
    onnx.save(model, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = session.run(names, {"crops": crops[:1].numpy()})
    apart = max(
        float(abs(one - other).max() / abs(other).max()) for one, other in zip(found, expected, strict=True)
    )
    if not apart < TOLERANCE:
        file.unlink()
        raise ValueError(
            f"onnxruntime computes otherwise than torch, by {apart:.2g} of the largest value: not written"
        )
    return apart


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter tells of its steps on the standard output; here that is what a user asked for."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
