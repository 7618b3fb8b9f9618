"""How well a network's maps find the joints wherever the gate is cut, and what lies around the person."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline import files
from pipeline.arrays import Array
from pipeline.codec import crop
from pipeline.people import People

# Thresholds that are tried for a map: as many quantiles of its logits.
_TRIED = 100


@dataclass(frozen=True)
class Look:
    """How maps are looked at. radius: of the true ones, heatmap pixels; thresholds: the logits (4,) above which each is
    closest to the truth on training people."""

    radius: float
    thresholds: Array


@dataclass(frozen=True)
class Attention:
    """What the four maps of N people are.

    iou_best: (N, 4), IoU with the true map above the look's thresholds. auroc: (N, 4), the share of pairs of a pixel
    of the true map and one outside in which the first has the higher probability, nan without such a pair. inside:
    (N, 4), the share of the probabilities' sum that lies on the person. clutter: (N,), how much the picture changes
    from one heatmap pixel to the next beside the person, 0 to 2, nan where there is nothing beside.
    """

    iou_best: Array
    auroc: Array
    inside: Array
    clutter: Array

    @classmethod
    def joined(cls, batches: list[Self]) -> Self:
        return cls(*(np.concatenate([getattr(one, f.name) for one in batches]) for f in fields(cls)))


def persons(centres_BK2: Array, labelled_BK: Array, size: tuple[int, int], radius: float) -> Array:
    """Where each person is, (B, h, w) bool: at most `radius` from the convex hull of their labelled joints.

    centres_BK2 int32 heatmap pixels (x, y); size (height, width) of the heatmap.
    """
    reach = math.ceil(radius)
    offsets = np.arange(-reach, reach + 1) ** 2
    disc = (offsets[:, None] + offsets <= radius * radius).astype(np.uint8)
    canvases = np.zeros((len(centres_BK2), size[0] + 2 * reach, size[1] + 2 * reach), np.uint8)
    for canvas, centres_K2, labelled_K in zip(canvases, centres_BK2, labelled_BK, strict=True):
        if labelled_K.any():
            hull = cv2.convexHull(centres_K2[labelled_K].astype(np.int32) + reach)
            cv2.fillConvexPoly(canvas, hull, 1)
            canvas[:] = cv2.dilate(canvas, disc)
    return canvases[:, reach : reach + size[0], reach : reach + size[1]].astype(bool)


def clutter(input_BHW3: Array, persons_Bhw: Array) -> Array:
    """The mean change, (B,), from a heatmap pixel to its right and lower neighbours beside the person, of a picture
    uint8; what lies outside the image is black, and left out."""
    (h, w), stride = persons_Bhw.shape[1:], crop.STRIDE
    grey = input_BHW3.reshape(-1, h, stride, w, stride, 3).mean((2, 4, 5)) / 255
    here, right, below = grey[:, :-1, :-1], grey[:, :-1, 1:], grey[:, 1:, :-1]
    beside = ~persons_Bhw[:, :-1, :-1] & (here > 0) & (right > 0) & (below > 0)
    change = (np.abs(right - here) + np.abs(below - here)) * beside
    count = beside.sum((1, 2))
    return np.where(count > 0, change.sum((1, 2)) / np.maximum(count, 1), np.nan)


def auroc(scores_BNHW: Tensor, truth_BHW: Tensor) -> Tensor:
    """Area under the ROC curve (B, N) float64 of N maps' scores against the true map, bool; equal scores count half.
    nan where the truth is all or nothing."""
    scores_BNP = scores_BNHW.flatten(2).contiguous()
    truth_B1P = truth_BHW.flatten(1)[:, None]
    ordered_BNP = scores_BNP.sort(-1).values
    below = torch.searchsorted(ordered_BNP, scores_BNP)
    up_to = torch.searchsorted(ordered_BNP, scores_BNP, right=True)
    rank_BNP = (below + up_to + 1).double() / 2
    true = truth_B1P.sum(-1).double()
    false = truth_B1P.shape[-1] - true
    above = (rank_BNP * truth_B1P).sum(-1) - true * (true + 1) / 2
    return above / torch.where(true * false > 0, true * false, math.nan)


def inside(probabilities_BNHW: Tensor, persons_BHW: Tensor) -> Tensor:
    """The share (B, N) float64 of N maps' sums that lies on the person."""
    maps_BNHW = probabilities_BNHW.double()
    return (maps_BNHW * persons_BHW[:, None]).sum((-2, -1)) / maps_BNHW.sum((-2, -1))


def best_thresholds(logits_NMhw: Array, truth_Nhw: Array) -> Array:
    """The logit (M,) above which each of M maps has the highest IoU with the true ones, mean over N people."""
    people, found = len(logits_NMhw), []
    true_NP = truth_Nhw.reshape(people, -1)
    for logits_NP in logits_NMhw.reshape(people, logits_NMhw.shape[1], -1).swapaxes(0, 1):
        tried = np.quantile(logits_NP, np.arange(_TRIED) / _TRIED)
        # A pixel lies above so many of them, that is above each threshold before.
        above_NP = np.searchsorted(tried, logits_NP) + (_TRIED + 1) * np.arange(people)[:, None]
        shape = people, _TRIED + 1
        counts = [
            np.bincount(above_NP.ravel(), weight, shape[0] * shape[1])
            .reshape(shape)[:, ::-1]
            .cumsum(1)[:, ::-1]
            for weight in (np.ones(true_NP.size), true_NP.ravel())
        ]
        predicted, both = (each[:, 1:] for each in counts)
        either = predicted + true_NP.sum(1)[:, None] - both
        iou = np.divide(both, either, out=np.ones_like(both), where=either > 0).mean(0)
        found.append(tried[iou.argmax()])
    return np.array(found)


def bystanders(folder: Path) -> dict[int, Array]:
    """By image id the labelled joints (P, 2), image_xy, of validation people who are in no table; folder: that of the
    stage `prepare`."""
    path = folder / "val_bystanders.json"
    points = files.read_json(path) if path.is_file() else {}
    return {int(image_id): np.array(each, float).reshape(-1, 2) for image_id, each in points.items()}


def others_near(people: People, size: tuple[int, int], beside: Mapping[int, Array]) -> Array:
    """Whether another labelled person of the image has a joint in one's own crop, (N,) bool; size of the crops;
    beside: joints of people who are not in the table, see `bystanders`."""
    matrices, near = crop.affine(people.center, people.scale, size), np.zeros(len(people), bool)
    for image_id in np.unique(people.image_id).tolist():
        rows = np.flatnonzero(people.image_id == image_id)
        points_P2 = beside.get(image_id, np.zeros((0, 2)))
        for row in rows if len(rows) > 1 or len(points_P2) else ():
            others = rows[rows != row]
            others_P2 = np.concatenate([people.joints[others][people.labelled[others]], points_P2])
            xy = crop.transform(others_P2[None], matrices[row][None])[0]
            near[row] = ((xy >= 0) & (xy < size[::-1])).all(-1).any()
    return near
