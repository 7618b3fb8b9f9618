"""Heatmaps: from joints (Eq. 3) and back. Encoding and decoding stand side by side, not to drift apart."""

import functools

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Array
from pipeline.codec.crop import STRIDE


def centres(input_xy: Array) -> Array:
    """The heatmap pixels (..., 2) int32 nearest to points (..., 2) of the input.

    Cut toward zero after adding a half, as HRNet's code rounds: this matters left of and above the heatmap.
    """
    return np.trunc(input_xy / STRIDE + 0.5).astype(np.int32)


def encode(
    centres_BK2: Tensor, labelled_BK: Tensor, size: tuple[int, int], sigma: int
) -> tuple[Tensor, Tensor]:
    """Target heatmaps, Eq. 3, and the weights of the joints.

    centres_BK2 int32 heatmap pixels (x, y); labelled_BK bool; size (height, width) of the heatmap. Returns
    heatmaps_BKHW float32, unnormalised Gaussians in a square window of 3 sigma to each side, and weights_BK
    float32, 0 where a joint is unlabelled or its whole window lies outside. Equal bit for bit to HRNet's
    targets on every device: the Gaussian is drawn once, by NumPy, and each heatmap is a cut-out of that drawing.
    """
    height, width = size
    reach = 3 * sigma
    x_BK, y_BK = centres_BK2.unbind(-1)
    # `>= 0` with the window's open end: HRNet keeps a joint whose window ends right before the first pixel.
    inside_BK = (
        (x_BK - reach < width) & (y_BK - reach < height) & (x_BK + reach + 1 >= 0) & (y_BK + reach + 1 >= 0)
    )
    weights_BK = labelled_BK & inside_BK
    # The further right the joint, the further left the cut-out; the first of all holds nothing of the Gaussian.
    left_BK = torch.where(weights_BK, width + reach - x_BK, 0)
    top_BK = torch.where(weights_BK, height + reach - y_BK, 0)
    return _cut_outs(size, sigma, centres_BK2.device)[top_BK, left_BK], weights_BK.float()


@functools.cache
@torch.inference_mode(False)
def _cut_outs(size: tuple[int, int], sigma: int, device: torch.device) -> Tensor:
    """Every heatmap there can be, as views (top, left, height, width) into one drawing of Eq. 3."""
    # Kept on the device: each copy to it would make the host wait.
    height, width = size
    reach = 3 * sigma
    dy, dx = (np.arange(-(side + reach), side + reach + 1, dtype=np.float32) for side in size)
    drawing = np.exp(-(dy[:, None] ** 2 + dx**2) / (2 * sigma**2))
    drawing *= (abs(dy)[:, None] <= reach) & (abs(dx) <= reach)
    return torch.from_numpy(drawing).to(device).unfold(0, height, 1).unfold(1, width, 1)


def decode(heatmaps_BKHW: Tensor) -> tuple[Tensor, Tensor]:
    """Joints from heatmaps: the highest pixel, moved a quarter pixel to its higher neighbour on each axis.

    Returns heatmap_xy_BK2 float32 and scores_BK, the heights. As in HRNet's code a joint whose height is not
    positive is at (0, 0), and one within a pixel of the border is not moved.
    """
    height, width = heatmaps_BKHW.shape[-2:]
    # A network in channels-last memory gives heatmaps in it too; joint by joint they are read much faster.
    heatmaps_BKP = heatmaps_BKHW.flatten(2).contiguous()
    index_BK = _argmax(heatmaps_BKP)
    scores_BK = heatmaps_BKP.gather(-1, index_BK[..., None]).squeeze(-1)
    x_BK, y_BK = index_BK % width, index_BK // width
    found_BK = scores_BK > 0
    inner_BK = (x_BK > 1) & (x_BK < width - 1) & (y_BK > 1) & (y_BK < height - 1) & found_BK

    around_BK4 = torch.stack([index_BK + step for step in (1, width, -1, -width)], -1)
    # Outside of `inner` a neighbour may be anywhere, and counts for nothing.
    around_BK4 = around_BK4.clamp(0, height * width - 1)
    around_BK4 = heatmaps_BKP.gather(-1, around_BK4)
    shift_BK2 = (around_BK4[..., :2] - around_BK4[..., 2:]).sign()
    xy_BK2 = torch.stack([x_BK, y_BK], -1) * found_BK[..., None]
    return xy_BK2 + 0.25 * shift_BK2 * inner_BK[..., None], scores_BK


def _argmax(heatmaps_BKP: Tensor) -> Tensor:
    """The place of each row's maximum; of equal heights the first counts, as in HRNet's code."""
    if heatmaps_BKP.is_cpu and heatmaps_BKP.dtype == torch.float32:
        # NumPy's search is several times as fast as that of torch on a CPU.
        return torch.from_numpy(heatmaps_BKP.detach().numpy().argmax(-1))
    return heatmaps_BKP.argmax(-1)
