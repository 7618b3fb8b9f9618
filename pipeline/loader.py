"""From the table of people to batches: decode, crop and augment in worker processes, normalise on the device."""

import atexit
import functools
import multiprocessing
import os
import signal
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from pipeline.arrays import Array
from pipeline.codec import crop, heatmap
from pipeline.datasets import DATASETS
from pipeline.params import Augment
from pipeline.people import People

# Of ImageNet's training images, RGB, of 255.
MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
# Bytes of an image in memory; larger ones load slower. From 4 MB on NumPy asks for huge pages, and a crop, which
# reads across many small ones, is made almost twice as fast.
BUFFER = 16 << 20
# Batches that each worker process has ready.
PREFETCH = 4
SHARED_MEMORY = "/dev/shm"


class Images(Protocol):
    """A store of images by name, such as pipeline.datasets.store.ImageStore."""

    def read(self, name: str) -> bytes: ...


Batches: TypeAlias = "DataLoader[dict[str, Tensor]]"


def normalise(input_BHWC: Tensor) -> Tensor:
    """Crops uint8 RGB as the network's input_BCHW float32, in channels-last memory."""
    width = input_BHWC.shape[2]
    mean, std = _mean_and_std(width, input_BHWC.device)
    # A row's values in one axis, which a CPU goes through many times as fast as through three channels at a time.
    normal_BHR = input_BHWC.flatten(2).float().sub_(mean).div_(std)
    return normal_BHR.view(input_BHWC.shape).permute(0, 3, 1, 2)


@functools.cache
@torch.inference_mode(False)
def _mean_and_std(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of a row's values (3 * width,)."""
    # Kept on the device: each copy to it would make the host wait.
    return torch.tensor(MEAN * width, device=device), torch.tensor(STD * width, device=device)


class Crops(Dataset[Any]):
    """People as crops; item (epoch, row) is the same whatever process reads it, and whenever.

    augment: the parameters `augment`, or None for plain crops. Items are dicts: `input` (height, width, 3)
    uint8 RGB; `centres` (K, 2) int32, the heatmap pixels nearest to the joints; `labelled` (K,) bool; `row`.
    """

    def __init__(
        self,
        people: People,
        images: Images,
        size: tuple[int, int],
        augment: Augment | None = None,
        seed: int = 0,
        reduced_decoding: bool = False,
    ):
        self.people, self.images, self.size = people, images, size
        self.augment, self.seed, self.reduced_decoding = augment, seed, reduced_decoding
        self.flip_order = DATASETS[people.dataset].KEYPOINTS.flip_order
        self._buffer = np.empty(BUFFER, np.uint8)

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, item: tuple[int, int]) -> dict[str, Array]:
        return {key: value[0].numpy() for key, value in self.__getitems__([item]).items()}

    def __getitems__(self, items: list[tuple[int, int]]) -> dict[str, Tensor]:
        """A batch of items, as tensors under the same keys."""
        rows = np.array([row for _, row in items])
        matrices, flips = self.matrices(items)
        input_xy, labelled = self.joints(matrices, flips, rows)
        # Crops are written where the training process will read them: new memory costs more than the pixels.
        input_BHWC = torch.empty(len(items), *self.size, 3, dtype=torch.uint8)
        if get_worker_info():
            input_BHWC.share_memory_()
        for row, matrix, out in zip(rows, matrices, input_BHWC.numpy(), strict=True):
            self._read(row, matrix, out)
        small = {"centres": heatmap.centres(input_xy), "labelled": labelled, "row": rows}
        return {"input": input_BHWC} | {key: torch.from_numpy(value) for key, value in small.items()}

    def matrices(self, items: list[tuple[int, int]]) -> tuple[Array, Array]:
        """The maps (N, 2, 3) from image_xy to the inputs, and which of them mirror (N,)."""
        rows = [row for _, row in items]
        center, scale = self.people.center[rows], self.people.scale[rows]
        if self.augment is None:
            return crop.affine(center, scale, self.size), np.zeros(len(items), bool)
        draws = [draw(self.augment, np.random.default_rng([self.seed, *item])) for item in items]
        zoom, rotation, flip = (np.array(column) for column in zip(*draws, strict=True))
        matrices = crop.affine(center, scale * zoom[:, None], self.size, rotation)
        return np.where(flip[:, None, None], crop.mirror(matrices, center), matrices), flip

    def joints(self, matrices: Array, flips: Array, rows: Array) -> tuple[Array, Array]:
        """Input_xy (N, K, 2) and labelled (N, K) of people under such maps."""
        input_xy, labelled = crop.transform(self.people.joints[rows], matrices), self.people.labelled[rows]
        return (
            np.where(flips[:, None, None], input_xy[:, self.flip_order], input_xy),
            np.where(flips[:, None], labelled[:, self.flip_order], labelled),
        )

    def _read(self, row: int, matrix: Array, out: Array) -> None:
        name = str(self.people.images[self.people.image[row]])
        reduce = 1
        if self.reduced_decoding:
            shrink = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
            reduce = max(factor for factor in (1, 2, 4, 8) if factor == 1 or factor <= shrink)
            matrix = crop.reduced(matrix, reduce)
        image = crop.decode_image(self.images.read(name), name, reduce, self._buffer)
        crop.warp(image, matrix, self.size, out)


def draw(augment: Augment, rng: np.random.Generator) -> tuple[float, float, bool]:
    """Factor of the scale, rotation in degrees and whether to mirror, drawn as HRNet's code draws them."""
    zoom = 1 + augment.scale_std * min(max(rng.standard_normal(), -1), 1)
    rotation = augment.rotation_std * min(max(rng.standard_normal(), -2), 2)
    rotates, flips = rng.random() < augment.rotation, rng.random() < augment.flip
    return float(zoom), float(rotation) if rotates else 0.0, bool(flips)


def _begin(_worker: int) -> None:
    # Parallelism is across processes; OpenCV's own threads would only compete with them.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # A signal to the whole process group is the trainer's to answer: it may need these batches to end its step.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


def _as_it_is(batch: Any) -> Any:
    """A batch from `Crops.__getitems__` is one already."""
    return batch


def free_shared_memory() -> int | None:
    """Bytes of shared memory that are free, None where it is no file system of its own."""
    if not os.path.isdir(SHARED_MEMORY):
        return None
    there = os.statvfs(SHARED_MEMORY)
    return there.f_bavail * there.f_frsize


def prefetched(size: tuple[int, int], people: int, workers: int, loaders: int = 1) -> int:
    """Batches that each worker may have ready: PREFETCH, or what shared memory holds.

    people: in a batch. loaders: of this process, which share it with those of the other ranks here. Raises ValueError,
    which names the flag, where there is no room for one.
    """
    free = free_shared_memory()
    if free is None or not workers:
        return PREFETCH
    shares = loaders * int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    batch = people * (size[0] * size[1] * 3 + 4096)
    # Besides those ready one is in use, and one on its way to a GPU.
    room = (free // shares // batch - 2) // workers
    if room < 1:
        needed = shares * batch * (PREFETCH * workers + 2)
        raise ValueError(
            f"{SHARED_MEMORY} has {free >> 20} MiB free, too few for the batches of compute.workers: {workers}; give "
            f"it more (docker run --shm-size={-(-needed >> 20)}m, or --ipc=host), or take fewer workers"
        )
    return min(PREFETCH, room)


def batches(
    crops: Crops,
    schedule: Iterable[list[tuple[int, int]]],
    workers: int,
    pin: bool = False,
    people: int | None = None,
    loaders: int = 1,
) -> Batches:
    """Batches of crops, as dicts of tensors with the keys of a crop, in the order of the schedule.

    schedule: lists of (epoch, row), such as a training's or `in_order`. The order and the bytes do not depend on
    the number of workers, nor on how much they prefetch. people, loaders: as `prefetched` has them; None: as many as
    in the schedule's first batch.
    """
    if people is None:
        people = len(next(iter(schedule), []))
    return DataLoader(
        crops,
        batch_sampler=schedule,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        worker_init_fn=_begin,
        prefetch_factor=prefetched(crops.size, max(people, 1), workers, loaders) if workers else None,
        persistent_workers=workers > 0,
    )


@atexit.register
def _end_workers() -> None:
    """Workers answer no signal but the last one, and Python would wait for them for ever as it ends."""
    # torch answers a worker's death by raising, here of all places.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()


def in_order(people: int, batch_size: int) -> list[list[tuple[int, int]]]:
    """Everybody once, row after row; the last batch may be smaller."""
    rows = range(people)
    return [[(0, row) for row in rows[at : at + batch_size]] for at in range(0, people, batch_size)]
