"""Target maps of larger parts of the body, bones and limbs, for networks that predict them beside the joints."""

import functools

import torch
from torch import Tensor

from pipeline.keypoints import Keypoints

Target = tuple[Tensor, Tensor]
"""Maps (B, M, h, w) and their weights (B, M)."""


def encode(
    centres_BK2: Tensor, labelled_BK: Tensor, size: tuple[int, int], sigma: float, keypoints: Keypoints
) -> tuple[Target, Target]:
    """Maps and weights of the bones, and those of the limbs, float32 (Tang et al. 2018, as their code draws them).

    centres_BK2, labelled_BK, size and sigma as in `heatmap.encode`. A bone is a Gaussian of the distance to the line
    between its two joints, up to 3 sigma; it counts where both are labelled and inside of the heatmap. A limb is the
    largest of its bones at each pixel, and counts where one of them does.
    """
    height, width = size
    device = centres_BK2.device
    start_T, end_T, limbs_LT = _indices(keypoints, device)
    x_BK, y_BK = centres_BK2.unbind(-1)
    known_BK = labelled_BK & (x_BK >= 0) & (x_BK < width) & (y_BK >= 0) & (y_BK < height)
    weight_BT = known_BK[:, start_T] & known_BK[:, end_T]

    # Of a pixel from the bone's start, and of the bone's end from there.
    x_BT11, y_BT11 = (axis_BK[:, start_T, None, None].float() for axis_BK in (x_BK, y_BK))
    dx_BT1W = torch.arange(width, device=device) - x_BT11
    dy_BTH1 = torch.arange(height, device=device)[:, None] - y_BT11
    along_x_BT11 = x_BK[:, end_T, None, None] - x_BT11
    along_y_BT11 = y_BK[:, end_T, None, None] - y_BT11
    # Two joints at one pixel are a bone of no length.
    length2_BT11 = (along_x_BT11.square() + along_y_BT11.square()).clamp(min=1)
    share_BTHW = ((dx_BT1W * along_x_BT11 + dy_BTH1 * along_y_BT11) / length2_BT11).clamp(0, 1)
    distance2_BTHW = (dx_BT1W - share_BTHW * along_x_BT11).square()
    distance2_BTHW = distance2_BTHW + (dy_BTH1 - share_BTHW * along_y_BT11).square()
    drawn_BTHW = (distance2_BTHW <= (3 * sigma) ** 2) & weight_BT[..., None, None]
    bones_BTHW = torch.where(drawn_BTHW, (-distance2_BTHW / (2 * sigma**2)).exp(), 0.0)

    limb_weight_BL = weight_BT[:, limbs_LT].any(-1)
    limbs_BLHW = bones_BTHW[:, limbs_LT].amax(2)
    return (bones_BTHW, weight_BT.float()), (limbs_BLHW, limb_weight_BL.float())


@functools.cache
@torch.inference_mode(False)
def _indices(keypoints: Keypoints, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The bones' first and second joints (T,), and the limbs' bones (L, most), padded by the first."""
    # Kept on the device: each copy to it would make the host wait.
    start_T, end_T = torch.tensor(keypoints.bones, device=device).unbind(1)
    most = max(len(limb) for limb in keypoints.limbs)
    filled = [(*limb, *limb[:1] * (most - len(limb))) for limb in keypoints.limbs]
    return start_T, end_T, torch.tensor(filled, device=device)
