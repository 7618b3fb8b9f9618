"""The two losses that Eq. 7 adds up: heatmaps (Eq. 5) and segmentation maps (Eq. 6)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.codec.parts import Target
from pipeline.models import Output

QUALITY = 1 / 2000
"""Weight of the quality's loss beside the heatmaps' (Zhao et al.'s code multiplies the latter by 2000)."""
COVERED, TOLERANCE = 0.53, 0.146
"""Share of a person's box that the person covers; the mean over joints of COCO's OKS constants, 2 sigma."""


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


def keypoint_loss(
    output: Output,
    target_BKHW: Tensor,
    weight_BK: Tensor,
    reduction: str = "mean",
    hard_joints: int | None = None,
    parts: Sequence[Target] = (),
) -> Tensor:
    """Eq. 5 of each of a network's outputs, added up: a float32 scalar. Raises ValueError as heatmap_loss.

    hard_joints: so many joints of each person, the hardest, count in the last output's; None: all. parts: targets and
    weights of the bones, and of the limbs, for a network that predicts them behind the joints; an output's loss is then
    that of all its maps alike. A network that predicts its pose's quality learns that too.
    """
    if hard_joints is None:
        loss = heatmap_loss(output.heatmaps, target_BKHW, weight_BK, reduction)
    else:
        loss = hard_heatmap_loss(output.heatmaps, target_BKHW, weight_BK, hard_joints, reduction)
    levels = [(target_BKHW, weight_BK)]
    for maps_BPHW, weight_BP in parts:
        levels.append((torch.cat([target_BKHW, maps_BPHW], 1), torch.cat([weight_BK, weight_BP], 1)))
    for heatmaps_BMHW, level in zip(output.earlier, output.levels or [0] * len(output.earlier), strict=True):
        loss = loss + heatmap_loss(heatmaps_BMHW, *levels[level], reduction)
    if output.quality is not None:
        loss = loss + QUALITY * quality_loss(output.quality, output.heatmaps, target_BKHW, weight_BK)
    return loss


def hard_heatmap_loss(
    heatmaps_BKHW: Tensor, target_BKHW: Tensor, weight_BK: Tensor, hard_joints: int, reduction: str = "mean"
) -> Tensor:
    """As heatmap_loss, of each person's `hard_joints` joints with the largest error alone (Chen et al. 2018,
    arXiv:1711.07319, section 3.2)."""
    _check_shapes("heatmaps", heatmaps_BKHW, "their targets", target_BKHW.shape)
    _check_shapes("joint weights", weight_BK, "heatmaps' people and joints", heatmaps_BKHW.shape[:2])
    error_BKHW = (heatmaps_BKHW.float() - target_BKHW.float()) * weight_BK.float()[:, :, None, None]
    squares_BK = error_BKHW.square().sum((2, 3))
    hardest_BJ = squares_BK.topk(min(hard_joints, squares_BK.shape[1]), dim=1, sorted=False).values
    if reduction == "mean":
        return 0.5 * hardest_BJ.mean() / heatmaps_BKHW[0, 0].numel()
    if reduction == "sum":
        return hardest_BJ.sum() / len(hardest_BJ)
    raise ValueError(_REDUCTION.format(reduction))


def quality_loss(
    quality_B: Tensor, heatmaps_BKHW: Tensor, target_BKHW: Tensor, weight_BK: Tensor, hard: float = 0.25
) -> Tensor:
    """Distance of a predicted quality from the pose's OKS, the hardest people's enlarged: a float32 scalar.

    As Zhao et al.'s code: l, or exp(2 l) - 1 for the share `hard` of people with the largest l. OKS is taken on the
    heatmaps, with one tolerance for all joints; people without a label, of whom there is no OKS, do not count.
    """
    oks_B, known_B = _oks(heatmaps_BKHW.detach(), target_BKHW, weight_BK)
    distance_B = (quality_B.float() - oks_B).abs() * known_B
    hardest_H, rows_H = distance_B.topk(int(hard * len(distance_B)), sorted=False)
    distance_B = distance_B.scatter(0, rows_H, (2 * hardest_H).exp() - 1)
    return distance_B.mean()


def _oks(heatmaps_BKHW: Tensor, target_BKHW: Tensor, weight_BK: Tensor) -> tuple[Tensor, Tensor]:
    """OKS (B,) of the largest pixels, and 1 (B,) for people with a label."""
    height, width = target_BKHW.shape[2:]
    predicted_BK, true_BK = (maps_BKHW.flatten(2).argmax(2) for maps_BKHW in (heatmaps_BKHW, target_BKHW))
    down_BK = predicted_BK // width - true_BK // width
    right_BK = predicted_BK % width - true_BK % width
    # The crop is 1.25 times as large as the person's box.
    area = COVERED * height * width / 1.25**2
    similarity_BK = (-(down_BK.square() + right_BK.square()) / (2 * area * TOLERANCE**2)).exp()
    labelled_BK = (weight_BK > 0).float()
    labels_B = labelled_BK.sum(1)
    return (similarity_BK * labelled_BK).sum(1) / labels_B.clamp(min=1), (labels_B > 0).float()


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
