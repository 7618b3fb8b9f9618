"""The two losses that Eq. 7 adds up: heatmaps (Eq. 5) and segmentation maps (Eq. 6)."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from pipeline.models import Output


def heatmap_loss(
    heatmaps_BKHW: Tensor, target_BKHW: Tensor, weight_BK: Tensor, reduction: str = "mean"
) -> Tensor:
    """Squared error of heatmaps, joints weighted by their label (0 or 1): a float32 scalar.

    mean: half the mean over people, joints and pixels, as HRNet's JointsMSELoss. sum: Eq. 5, over joints and
    pixels, averaged over people. Raises ValueError for other reductions, or shapes that differ.
    """
    _check_shapes("heatmaps", heatmaps_BKHW, "their targets", target_BKHW.shape)
    _check_shapes("joint weights", weight_BK, "heatmaps' people and joints", heatmaps_BKHW.shape[:2])
    # In float32 whatever autocast made of the heatmaps: squares of small errors are where bfloat16 is coarse.
    error_BKHW = (heatmaps_BKHW.float() - target_BKHW.float()) * weight_BK.float()[:, :, None, None]
    squares_BKHW = error_BKHW.square()
    if reduction == "mean":
        return 0.5 * squares_BKHW.mean()
    if reduction == "sum":
        return squares_BKHW.sum() / len(squares_BKHW)
    raise ValueError(_REDUCTION.format(reduction))


def keypoint_loss(output: Output, target_BKHW: Tensor, weight_BK: Tensor, reduction: str = "mean") -> Tensor:
    """Eq. 5 of each of a network's outputs, added up: a float32 scalar. Raises ValueError as heatmap_loss."""
    loss = heatmap_loss(output.heatmaps, target_BKHW, weight_BK, reduction)
    for heatmaps_BKHW in output.earlier:
        loss = loss + heatmap_loss(heatmaps_BKHW, target_BKHW, weight_BK, reduction)
    return loss


def segmentation_loss(logits_BNHW: Tensor, map_BHW: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross entropy of the N predicted maps against the true one (0, 1): a float32 scalar.

    mean: over people, maps and pixels. sum: Eq. 6, over pixels, averaged over maps and people. Eq. 6 as
    printed takes logarithms of the truth; here they are the prediction's. Raises ValueError as heatmap_loss.
    """
    people, _, *pixels = logits_BNHW.shape
    _check_shapes("true maps", map_BHW, "predicted ones' people and pixels", (people, *pixels))
    truth_BNHW = map_BHW[:, None].float().expand_as(logits_BNHW)
    mean = F.binary_cross_entropy_with_logits(logits_BNHW.float(), truth_BNHW)
    if reduction == "mean":
        return mean
    if reduction == "sum":
        return mean * map_BHW[0].numel()
    raise ValueError(_REDUCTION.format(reduction))


_REDUCTION = "loss.reduction: {!r} must be mean or sum"


def _check_shapes(what: str, tensor: Tensor, other: str, shape: Sequence[int]) -> None:
    # Broadcasting would otherwise turn a wrong shape into a wrong number.
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{what} are {tuple(tensor.shape)} and {other} {tuple(shape)}; they must agree")
