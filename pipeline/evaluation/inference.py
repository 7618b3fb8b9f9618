"""Prediction as HRNet tests it: two passes, one mirrored, decoded on the device, back to the image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline import loader, models, paths, tensors
from pipeline.arrays import Array
from pipeline.codec import crop, heatmap, segmentation
from pipeline.datasets import DATASETS
from pipeline.evaluation import attention
from pipeline.evaluation.attention import Attention, Look
from pipeline.params import Input
from pipeline.people import People
from pipeline.ranks import place
from pipeline.runs import Record


@dataclass(frozen=True)
class Predictions:
    """What a network says of N people, in the order of their table.

    image_xy: (N, K, 2) float64, image pixels, 0-based. score: (N, K) float32, the heatmaps' heights.
    map_iou: (N, 4) float64, IoU of each map, thresholded at a half, with the true one; None without maps.
    attention: what else they are, where a look at them was asked for.
    """

    image_xy: Array
    score: Array
    map_iou: Array | None
    attention: Attention | None = None


def load(folder: Path) -> tuple[Record, nn.Module]:
    """A trained run: its record and its network with its weights; raises ValueError where the folder holds none."""
    record = Record.load(folder / "run.json")
    network = build(record)
    file = folder / paths.WEIGHTS
    try:
        network.load_state_dict(tensors.read(file))
    except FileNotFoundError:
        raise ValueError(f"{file} is not there: {folder} holds no trained run; train it first") from None
    except tensors.DamagedError as error:
        raise ValueError(
            f"{file} is damaged: {error}; run its stage `train` again with `dvc repro --force`"
        ) from None
    except RuntimeError as error:
        raise ValueError(
            f"{file} holds weights of another network than its run.json names: {error}"
        ) from error
    return record, network


def build(record: Record) -> nn.Module:
    """The fresh network that a record describes."""
    guided = record.used.guided
    return models.build(
        record.run.model,
        DATASETS[record.run.dataset].KEYPOINTS,
        model=record.used.model,
        guidance=guided.guidance if guided else None,
        ablation=record.run.ablation,
    )


@dataclass(frozen=True)
class Inference:
    """A network at work in float32. flip_test: average with the mirror image; workers: processes that load."""

    network: nn.Module
    input: Input
    device: torch.device
    flip_test: bool = True
    batch_size: int = 32
    workers: int = 0

    @torch.inference_mode()
    def predict(
        self, people: People, images: loader.Images, maps: Array | None = None, look: Look | None = None
    ) -> Predictions:
        """Everybody's joints. maps: the people's packed true maps, for a guided network's IoU; look: also for what else
        its maps are.

        The device never waits for the host between batches, except for a look.
        """
        size, pin = crop.heatmap_size(self.input.size), self.device.type == "cuda"
        crops = loader.Crops(people, images, self.input.size, reduced_decoding=self.input.reduced_decoding)
        flip_order = self._flip_order(people.dataset) if self.flip_test else None
        network = place(self.network, self.device).eval()
        joints: list[Tensor] = []
        ious: list[Tensor] = []
        looks: list[Attention] = []
        for batch in loader.batches(crops, loader.in_order(len(people), self.batch_size), self.workers, pin):
            input_BCHW = loader.normalise(batch["input"].to(self.device, non_blocking=True))
            output = forward(network, input_BCHW, flip_order)
            map_logits_B4hw = output.map_logits
            heatmap_xy_BK2, score_BK = decode(output)
            joints.append(torch.cat([heatmap_xy_BK2, score_BK[..., None]], -1))
            if maps is not None and map_logits_B4hw is not None:
                truth = torch.from_numpy(segmentation.unpack(maps[batch["row"].numpy()], size))
                # A copy from memory that is not pinned may wait for what the device does.
                truth = truth.pin_memory() if pin else truth
                truth = truth.to(self.device, non_blocking=True)
                ious.append(segmentation.iou(map_logits_B4hw > 0, truth))
                if look is not None:
                    looks.append(_look(look, batch, map_logits_B4hw, truth))
        joints_NK3 = torch.cat(joints).cpu().numpy()
        return Predictions(
            to_image(joints_NK3[..., :2], people, size),
            joints_NK3[..., 2],
            torch.cat(ious).cpu().numpy() if ious else None,
            Attention.joined(looks) if looks else None,
        )

    @torch.inference_mode()
    def map_logits(self, people: People, images: loader.Images) -> Array:
        """The logits (N, 4, h, w) float32 of a guided network's maps."""
        crops = loader.Crops(people, images, self.input.size, reduced_decoding=self.input.reduced_decoding)
        network, found = place(self.network, self.device).eval(), []
        for batch in loader.batches(crops, loader.in_order(len(people), self.batch_size), self.workers):
            logits = network(loader.normalise(batch["input"].to(self.device))).map_logits
            found.append(logits.float().cpu().numpy())
        return np.concatenate(found)

    @torch.inference_mode()
    def examples(self, people: People, images: loader.Images, maps: Array | None = None) -> dict[str, Array]:
        """What pictures of `people`, a few, need.

        input_BHW3 uint8 crops, predicted_input_xy and true_input_xy (B, K, 2), score and labelled (B, K),
        person_id (B,); of a guided network also maps_B4hw float32 probabilities; with `maps` target_map_Bhw bool.
        """
        crops = loader.Crops(people, images, self.input.size)
        input_BHW3 = np.stack([crops[0, row]["input"] for row in range(len(people))])
        output = forward(
            place(self.network, self.device).eval(),
            loader.normalise(torch.from_numpy(input_BHW3).to(self.device)),
            self._flip_order(people.dataset) if self.flip_test else None,
        )
        map_logits_B4hw = output.map_logits
        heatmap_xy_BK2, score_BK = decode(output)
        to_input = crop.affine(people.center, people.scale, self.input.size)
        arrays: dict[str, Array] = {
            "input_BHW3": input_BHW3,
            "predicted_input_xy": heatmap_xy_BK2.cpu().numpy() * crop.STRIDE,
            "score": score_BK.cpu().numpy(),
            "true_input_xy": crop.transform(people.joints, to_input).astype(np.float32),
            "labelled": people.labelled,
            "person_id": people.person_id,
        }
        if map_logits_B4hw is not None:
            arrays["maps_B4hw"] = map_logits_B4hw.sigmoid().cpu().numpy()
        if maps is not None:
            arrays["target_map_Bhw"] = segmentation.unpack(maps, crop.heatmap_size(self.input.size))
        return arrays

    def _flip_order(self, dataset: str) -> Tensor:
        return torch.from_numpy(DATASETS[dataset].KEYPOINTS.flip_order).to(self.device)


def _look(look: Look, batch: dict[str, Tensor], map_logits_B4hw: Tensor, truth_Bhw: Tensor) -> Attention:
    size = map_logits_B4hw.shape[-2], map_logits_B4hw.shape[-1]
    persons = attention.persons(batch["centres"].numpy(), batch["labelled"].numpy(), size, look.radius)
    thresholds = torch.from_numpy(look.thresholds.astype(np.float32)).to(map_logits_B4hw.device)[
        :, None, None
    ]
    persons_Bhw = torch.from_numpy(persons).to(map_logits_B4hw.device)
    return Attention(
        segmentation.iou(map_logits_B4hw > thresholds, truth_Bhw).cpu().numpy(),
        attention.auroc(map_logits_B4hw, truth_Bhw).cpu().numpy(),
        attention.inside(map_logits_B4hw.sigmoid(), persons_Bhw).cpu().numpy(),
        attention.clutter(batch["input"].numpy(), persons),
    )


def forward(network: nn.Module, input_BCHW: Tensor, flip_order: Tensor | None) -> models.Output:
    """A network's output; with `flip_order` heatmaps and quality are averaged with the mirror image's."""
    output: models.Output = network(input_BCHW)
    if flip_order is None:
        return output
    mirrored: models.Output = network(input_BCHW.flip(-1))
    heatmaps_BKHW = average(output.heatmaps, mirrored.heatmaps, flip_order)
    quality_B = output.quality
    if quality_B is not None and mirrored.quality is not None:
        quality_B = (quality_B + mirrored.quality) / 2
    return models.Output(heatmaps_BKHW, output.map_logits, quality=quality_B)


def decode(output: models.Output) -> tuple[Tensor, Tensor]:
    """Heatmap_xy_BK2 and the joints' scores_BK: the heatmaps' heights, or the quality that the network itself gives
    the pose, as EMpose's code has it."""
    heatmap_xy_BK2, score_BK = heatmap.decode(output.heatmaps)
    if output.quality is not None:
        score_BK = output.quality.float()[:, None].expand_as(score_BK)
    return heatmap_xy_BK2, score_BK


def average(heatmaps_BKHW: Tensor, mirrored_BKHW: Tensor, flip_order: Tensor) -> Tensor:
    """The mean of heatmaps and of those of the mirror image, as HRNet's code takes it.

    Mirrored back, the latter lie three quarters of a pixel too far to the left, since heatmap pixel x stands
    for input pixel 4x. HRNet moves them by one to the right; their first column stays.
    """
    back_BKHW = mirrored_BKHW[:, flip_order].flip(-1)
    shifted_BKHW = torch.cat([back_BKHW[..., :1], back_BKHW[..., :-1]], dim=-1)
    return (heatmaps_BKHW + shifted_BKHW) * 0.5


def to_image(heatmap_xy: Array, people: People, heatmap_size: tuple[int, int]) -> Array:
    """Points (N, K, 2) of people's heatmaps as image_xy (N, K, 2) float64."""
    to_heatmap = crop.affine(people.center, people.scale, heatmap_size)
    return crop.transform(heatmap_xy.astype(np.float64), crop.invert(to_heatmap))
