"""How good a network is on the validation people while it trains."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline import loader
from pipeline.arrays import Array
from pipeline.codec import crop, heatmap, segmentation
from pipeline.people import People
from pipeline.training.history import Row
from pipeline.training.losses import keypoint_loss, segmentation_loss
from pipeline.training.step import Step


@torch.inference_mode()
def validate(
    step: Step,
    people: People,
    maps: Array | None,
    batches: Iterable[Mapping[str, Tensor]],
    accuracy: Callable[[Array, Array], float],
    asked_to_stop: Callable[[], bool],
) -> Row | None:
    """Losses, the maps' IoU and the accuracy on people in their own boxes, without mirroring.

    maps: their packed true maps, None of a network without guidance. A map is 1 where its probability is above a
    half; its IoU with the truth is taken person by person. Returns None when asked to stop in between.
    """
    device, size = step.device, step.heatmap_size
    totals = torch.zeros(6, dtype=torch.float64, device=device)
    image_xy, scores = np.zeros_like(people.joints), np.zeros(people.labelled.shape)
    to_image = crop.invert(crop.affine(people.center, people.scale, size))
    predicts_maps = False
    step.network.eval()
    for batch in batches:
        if asked_to_stop():
            return None
        rows = batch["row"].numpy()
        centres_BK2, labelled_BK = batch["centres"].to(device), batch["labelled"].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=step.execution.bfloat16):
            output = step.network(loader.normalise(batch["input"].to(device)))
        target_BKhw, weight_BK, parts = step.targets(centres_BK2, labelled_BK)
        loss = keypoint_loss(output, target_BKhw, weight_BK, step.reduction, parts=parts)
        totals[0] += len(rows) * loss
        if maps is not None and output.map_logits is not None:
            predicts_maps = True
            truth_Bhw = torch.from_numpy(segmentation.unpack(maps[rows], size)).to(device)
            totals[1] += len(rows) * segmentation_loss(output.map_logits, truth_Bhw, step.reduction)
            totals[2:] += segmentation.iou(output.map_logits > 0, truth_Bhw).sum(0)
        heatmap_xy_BK2, scores_BK = heatmap.decode(output.heatmaps.float())
        image_xy[rows] = crop.transform(heatmap_xy_BK2.double().cpu().numpy(), to_image[rows])
        scores[rows] = scores_BK.cpu().numpy()
    step.network.train()
    loss_key, loss_seg, *ious = (totals / len(people)).tolist()
    row: Row = {"val_loss_key": loss_key, "accuracy": accuracy(image_xy, scores)}
    if predicts_maps:
        row |= {"val_loss_seg": loss_seg} | {f"iou_{number}": iou for number, iou in enumerate(ious, 1)}
    return row
