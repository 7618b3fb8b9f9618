"""Segmentation maps (Eq. 2): 1 in a disc around each labelled joint, 0 elsewhere."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Array
from pipeline.codec import crop, heatmap
from pipeline.people import People


def encode(
    centres_BK2: Tensor,
    labelled_BK: Tensor,
    size: tuple[int, int],
    radius: float,
    distance: str = "euclidean",
) -> Tensor:
    """The maps_BHW bool of a batch of people, Eq. 2, at the heatmap's resolution.

    centres_BK2 int32 heatmap pixels (x, y), `heatmap.centres`; labelled_BK bool; size (height, width); radius
    in heatmap pixels. distance: `euclidean`, a pixel is in where its distance is at most the radius, or
    `squared`, where the square of its distance is. A disc counts where it reaches in, also when its centre
    lies outside.
    """
    height, width = size
    device = centres_BK2.device
    # Squares of distances between pixels are whole numbers.
    limit = math.floor(radius * radius if distance == "euclidean" else radius)
    x_BK1, y_BK1 = centres_BK2[..., :1], centres_BK2[..., 1:]
    dx2_BKW = (torch.arange(width, dtype=torch.int32, device=device) - x_BK1).square_()
    dy2_BKH = (torch.arange(height, dtype=torch.int32, device=device) - y_BK1).square_()
    dy2_BKH = torch.where(labelled_BK[..., None], dy2_BKH, limit + 1)
    return (dx2_BKW[..., None, :] <= (limit - dy2_BKH)[..., None]).any(1)


# So many people's discs stay in the processor's cache.
AT_ONCE = 64


def of_people(
    people: People, input_size: tuple[int, int], radius: float, distance: str = "euclidean"
) -> Array:
    """The packed maps (N, H * W / 8) uint8 of everybody's plain crop, input_size (height, width)."""
    size = crop.heatmap_size(input_size)
    packed = np.empty((len(people), size[0] * size[1] // 8), np.uint8)
    for at in range(0, len(people), AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        matrices = crop.affine(people.center[rows], people.scale[rows], input_size)
        centres = heatmap.centres(crop.transform(people.joints[rows], matrices))
        labelled = torch.from_numpy(people.labelled[rows])
        maps = encode(torch.from_numpy(centres), labelled, size, radius, distance)
        packed[rows] = pack(maps.numpy())
    return packed


def pack(maps_NHW: Array) -> Array:
    """Maps (N, H, W) bool as bits, row after row: (N, H * W / 8) uint8, 384 bytes for 64x48."""
    return np.packbits(maps_NHW.reshape(len(maps_NHW), -1), axis=1)


def unpack(packed: Array, size: tuple[int, int]) -> Array:
    """The maps (N, H, W) bool that `pack` packed."""
    return np.unpackbits(packed, axis=1, count=size[0] * size[1]).reshape(-1, *size).astype(bool)


def iou(predicted_BNHW: Tensor, truth_BHW: Tensor) -> Tensor:
    """Intersection over union (B, N) float64 of N predicted maps with the true one, bool; 1 where both are empty."""
    truth_B1HW = truth_BHW[:, None]
    both = (predicted_BNHW & truth_B1HW).sum((-2, -1)).double()
    either = (predicted_BNHW | truth_B1HW).sum((-2, -1)).double()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)
