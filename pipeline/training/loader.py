"""From the table of people to batches: decode, crop and augment in worker processes, normalise on the device."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.codec import crop, heatmap
from pipeline.datasets.keypoints import KEYPOINTS
from pipeline.datasets.people import People

# Of ImageNet's training images, RGB, of 255.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


def normalise(input_BHWC: Tensor) -> Tensor:
    """Crops uint8 RGB as the network's input_BCHW float32, in channels-last memory."""
    mean = torch.tensor(MEAN, device=input_BHWC.device)
    std = torch.tensor(STD, device=input_BHWC.device)
    return ((input_BHWC.float() - mean) / std).permute(0, 3, 1, 2)


class Crops(Dataset):
    """People as crops; item (epoch, row) is the same whatever process reads it, and whenever.

    augment: the parameters `augment`, or None for plain crops. Items are dicts: `input` (height, width, 3)
    uint8 RGB; `centres` (K, 2) int32, the heatmap pixels nearest to the joints; `labelled` (K,) bool; `row`.
    """

    def __init__(self, people: People, images, size, augment=None, seed: int = 0, reduced_decoding=False):
        self.people, self.images, self.size = people, images, tuple(size)
        self.augment, self.seed, self.reduced_decoding = augment, seed, reduced_decoding
        self.flip_order = KEYPOINTS[people.dataset].flip_order

    def __len__(self) -> int:
        return len(self.people)

    def matrix(self, epoch: int, row: int) -> tuple[np.ndarray, bool]:
        """The map (2, 3) from image_xy to the input, and whether it mirrors."""
        center, scale = self.people.center[row], self.people.scale[row]
        if self.augment is None:
            return crop.affine(center, scale, self.size), False
        zoom, rotation, flip = draw(self.augment, np.random.default_rng([self.seed, epoch, row]))
        matrix = crop.affine(center, scale * zoom, self.size, rotation)
        return (crop.mirror(matrix, center) if flip else matrix), flip

    def joints(self, matrix: np.ndarray, flip: bool, row: int) -> tuple[np.ndarray, np.ndarray]:
        """A person's input_xy (K, 2) and labelled (K,) under such a map."""
        input_xy, labelled = crop.transform(self.people.joints[row], matrix), self.people.labelled[row]
        return (input_xy[self.flip_order], labelled[self.flip_order]) if flip else (input_xy, labelled)

    def __getitem__(self, item: tuple[int, int]) -> dict:
        epoch, row = item
        matrix, flip = self.matrix(epoch, row)
        input_xy, labelled = self.joints(matrix, flip, row)
        name = str(self.people.images[self.people.image[row]])
        reduce = 1
        if self.reduced_decoding:
            shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
            reduce = max(factor for factor in (1, 2, 4, 8) if factor == 1 or factor <= shrink)
        image = crop.decode_image(self.images.read(name), name, reduce)
        if reduce > 1:
            matrix = crop.reduced(matrix, reduce)
        return {
            "input": crop.warp(image, matrix, self.size),
            "centres": heatmap.centres(input_xy),
            "labelled": labelled,
            "row": row,
        }


def draw(augment, rng: np.random.Generator) -> tuple[float, float, bool]:
    """Factor of the scale, rotation in degrees and whether to mirror, drawn as HRNet's code draws them."""
    zoom = np.clip(
        1 + augment.scale_std * rng.standard_normal(), 1 - augment.scale_std, 1 + augment.scale_std
    )
    limit = 2 * augment.rotation_std
    rotation = np.clip(augment.rotation_std * rng.standard_normal(), -limit, limit)
    rotates, flips = rng.random() < augment.rotation, rng.random() < augment.flip
    return float(zoom), float(rotation) if rotates else 0.0, bool(flips)


class Schedule:
    """The batches of a whole training, from any point on: lists of (epoch, row) for one rank.

    Each epoch visits everybody once in an order of its own; what does not fill a last batch is left out, so
    that all batches have one shape. A batch is the same set of people for any number of ranks.
    """

    def __init__(self, people: int, batch_size: int, epochs: int, seed: int, rank: int = 0, ranks: int = 1):
        if batch_size > people:
            raise ValueError(
                f"train.batch_size: {batch_size} is more than the {people} people to train on; make it smaller"
            )
        if batch_size % ranks:
            raise ValueError(f"train.batch_size: {batch_size} must be a multiple of compute.nproc, {ranks}")
        self.people, self.batch_size, self.epochs, self.seed = people, batch_size, epochs, seed
        self.rank, self.ranks = rank, ranks
        self.steps_per_epoch = people // batch_size
        self.start = 0

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch - self.start

    def rows(self, step: int) -> np.ndarray:
        """The people of a step's batch, on all ranks together, counted from the first step of the training."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.people)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, order_epoch = None, -1
        for step in range(self.start, self.epochs * self.steps_per_epoch):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order, order_epoch = np.random.default_rng([self.seed, epoch]).permutation(self.people), epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            yield [(epoch, int(row)) for row in batch[self.rank :: self.ranks]]


def collate(items: list[dict]) -> dict[str, Tensor]:
    return {key: torch.from_numpy(np.stack([item[key] for item in items])) for key in items[0]}


def _one_thread(_worker: int) -> None:
    # Parallelism is across processes; OpenCV's own threads would only compete with them.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def batches(crops: Crops, schedule, workers: int, pin: bool = False) -> DataLoader:
    """Batches of crops, as dicts of tensors with the keys of a crop, in the order of the schedule.

    schedule: lists of (epoch, row), such as `Schedule` or `in_order`. The order and the bytes do not depend
    on the number of workers.
    """
    return DataLoader(
        crops,
        batch_sampler=schedule,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if workers else None,
    )


def in_order(people: int, batch_size: int) -> list[list[tuple[int, int]]]:
    """Everybody once, row after row; the last batch may be smaller."""
    rows = range(people)
    return [[(0, row) for row in rows[at : at + batch_size]] for at in range(0, people, batch_size)]
