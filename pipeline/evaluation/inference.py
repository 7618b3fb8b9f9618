"""Prediction as HRNet tests it: two passes, one mirrored, decoded on the device, back to the image."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import loader, models
from pipeline.codec import crop, heatmap, segmentation
from pipeline.datasets import DATASETS
from pipeline.people import People


@dataclass(frozen=True)
class Predictions:
    """What a network says of N people, in the order of their table.

    image_xy: (N, K, 2) float64, image pixels, 0-based. score: (N, K) float32, the heatmaps' heights.
    map_iou: (N, 4) float64, IoU of each map, thresholded at a half, with the true one; None without maps.
    """

    image_xy: np.ndarray
    score: np.ndarray
    map_iou: np.ndarray | None


def load(folder: Path) -> tuple[dict, nn.Module, SimpleNamespace]:
    """A trained run: its run.json, its network with its weights, its parameters as attributes.

    Raises ValueError where the folder holds none.
    """
    try:
        run = json.loads((folder / "run.json").read_text()) | {"checkpoint": None}
        network, params = build(run)
        weights = torch.load(folder / "weights.pt", map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
    except FileNotFoundError as error:
        raise ValueError(
            f"{error.filename} is not there: {folder} holds no trained run; train it first"
        ) from None
    except RuntimeError as error:
        raise ValueError(
            f"{folder} holds weights of another network than its run.json names: {error}"
        ) from error
    return run, network, params


def build(run: dict) -> tuple[nn.Module, SimpleNamespace]:
    """The fresh network that a run.json describes, and the parameters in it as attributes."""
    params = _attributes(run["params"])
    params.input.heatmap_size = tuple(side // crop.STRIDE for side in params.input.size)
    network = models.build(
        run["model"],
        run["joints"],
        model=params.model,
        # A baseline's run.json has no such group.
        guidance=getattr(params, "guidance", None),
        ablation=run["ablation"],
    )
    return network, params


def _attributes(value):
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _attributes(inner) for key, inner in value.items()})
    return tuple(_attributes(inner) for inner in value) if isinstance(value, list) else value


@torch.inference_mode()
def predict(
    network: nn.Module, people: People, images, params, device: torch.device, maps: np.ndarray | None = None
) -> Predictions:
    """Predict everybody's joints in float32, with the flip test that `params.evaluate` asks for.

    images: an image store; maps: the people's packed true maps, for a guided network's IoU. The device
    never waits for the host between batches.
    """
    size = params.input.heatmap_size
    crops = loader.Crops(people, images, params.input.size, reduced_decoding=params.input.reduced_decoding)
    schedule = loader.in_order(len(people), params.train.batch_size)
    order = torch.from_numpy(crops.flip_order).to(device) if params.evaluate.flip_test else None
    network.to(device, memory_format=torch.channels_last).eval()
    joints, ious = [], []
    for batch in loader.batches(crops, schedule, params.compute.workers, pin=device.type == "cuda"):
        input_BCHW = loader.normalise(batch["input"].to(device, non_blocking=True))
        heatmaps_BKHW, map_logits_B4HW = forward(network, input_BCHW, order)
        heatmap_xy_BK2, score_BK = heatmap.decode(heatmaps_BKHW)
        joints.append(torch.cat([heatmap_xy_BK2, score_BK[..., None]], -1))
        if maps is not None and map_logits_B4HW is not None:
            truth = torch.from_numpy(segmentation.unpack(maps[batch["row"].numpy()], size))
            # A copy from memory that is not pinned may wait for what the device does.
            truth = truth.pin_memory() if device.type == "cuda" else truth
            ious.append(segmentation.iou(map_logits_B4HW > 0, truth.to(device, non_blocking=True)))
    joints = torch.cat(joints).cpu().numpy()
    return Predictions(
        to_image(joints[..., :2], people, size),
        joints[..., 2],
        torch.cat(ious).cpu().numpy() if ious else None,
    )


def forward(
    network: nn.Module, input_BCHW: Tensor, flip_order: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Heatmaps_BKHW, averaged with the mirror image's if `flip_order` is given, and the plain map logits."""
    heatmaps_BKHW, map_logits_B4HW = network(input_BCHW)
    if flip_order is not None:
        heatmaps_BKHW = average(heatmaps_BKHW, network(input_BCHW.flip(-1)).heatmaps, flip_order)
    return heatmaps_BKHW, map_logits_B4HW


def average(heatmaps_BKHW: Tensor, mirrored_BKHW: Tensor, flip_order: Tensor) -> Tensor:
    """The mean of heatmaps and of those of the mirror image, as HRNet's code takes it.

    Mirrored back, the latter lie three quarters of a pixel too far to the left, since heatmap pixel x stands
    for input pixel 4x. HRNet moves them by one to the right; their first column stays.
    """
    back_BKHW = mirrored_BKHW[:, flip_order].flip(-1)
    shifted_BKHW = torch.cat([back_BKHW[..., :1], back_BKHW[..., :-1]], dim=-1)
    return (heatmaps_BKHW + shifted_BKHW) * 0.5


def to_image(heatmap_xy: np.ndarray, people: People, heatmap_size: tuple[int, int]) -> np.ndarray:
    """Points (N, K, 2) of people's heatmaps as image_xy (N, K, 2) float64."""
    to_heatmap = crop.affine(people.center, people.scale, heatmap_size)
    return crop.transform(heatmap_xy.astype(np.float64), crop.invert(to_heatmap))


def hardest(people: People, count: int = 8) -> np.ndarray:
    """Rows (at most count) of the people to show in pictures, the same for every network.

    Those with the most occluded joints among those with at least half of their joints labelled; at equal
    numbers the larger person; one an image.
    """
    labelled = people.labelled.sum(1)
    occluded = labelled - people.visible.sum(1)
    enough = labelled * 2 >= people.labelled.shape[1]
    order = np.lexsort((people.person_id, -people.scale[:, 0], -occluded, ~enough))
    first = np.unique(people.image[order], return_index=True)[1]
    return order[np.sort(first)[:count]]


@torch.inference_mode()
def examples(
    network: nn.Module, people: People, images, params, device: torch.device, maps: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """What pictures of `people`, a few, need.

    input_BHW3 uint8 crops, predicted_input_xy and true_input_xy (B, K, 2), score and labelled (B, K),
    person_id (B,); of a guided network also maps_B4hw float32 probabilities; with `maps` target_map_Bhw bool.
    """
    size = params.input.heatmap_size
    crops = loader.Crops(people, images, params.input.size)
    input_BHW3 = np.stack([crops[0, row]["input"] for row in range(len(people))])
    order = torch.from_numpy(DATASETS[people.dataset].KEYPOINTS.flip_order).to(device)
    network.to(device, memory_format=torch.channels_last).eval()
    heatmaps_BKHW, map_logits_B4HW = forward(
        network,
        loader.normalise(torch.from_numpy(input_BHW3).to(device)),
        order if params.evaluate.flip_test else None,
    )
    heatmap_xy_BK2, score_BK = heatmap.decode(heatmaps_BKHW)
    to_input = crop.affine(people.center, people.scale, params.input.size)
    arrays = {
        "input_BHW3": input_BHW3,
        "predicted_input_xy": heatmap_xy_BK2.cpu().numpy() * crop.STRIDE,
        "score": score_BK.cpu().numpy(),
        "true_input_xy": crop.transform(people.joints, to_input).astype(np.float32),
        "labelled": people.labelled,
        "person_id": people.person_id,
    }
    if map_logits_B4HW is not None:
        arrays["maps_B4hw"] = map_logits_B4HW.sigmoid().cpu().numpy()
    if maps is not None:
        arrays["target_map_Bhw"] = segmentation.unpack(maps, size)
    return arrays
