"""The processes that read a training's images, and those that read its validation's."""

import os
from collections.abc import Iterable, Iterator

import torch

from pipeline import loader
from pipeline.people import People
from pipeline.runs import Settings

Items = list[tuple[int, int]]


class Loaders:
    """Worker processes for training and for validation, `workers` each; they start at once and wait for schedules.

    They are forked, and a lock that another thread holds at that moment stays locked in them for ever. So a training
    makes this first: before other ranks, the compiler, MLflow or a watch over signals have threads.

    rank, ranks: which of how many processes that share a batch this is; the first validates. pin: have training
    batches in memory from which a GPU copies by itself.
    """

    def __init__(
        self,
        train: People,
        val: People,
        images: loader.Images,
        settings: Settings,
        seed: int,
        workers: int,
        rank: int = 0,
        ranks: int = 1,
        pin: bool = False,
    ):
        if settings.training is None:
            raise ValueError("these settings have no parameters to train with")
        self.images, self._schedules = images, (_Later(), _Later())
        size, batch_size = settings.input.size, settings.training.train.batch_size
        self._order = loader.in_order(len(val), batch_size)
        crops = loader.Crops(
            train, images, size, settings.training.augment, seed, settings.input.reduced_decoding
        )
        plain = loader.Crops(val, images, size)
        validates = workers if rank == 0 else 0
        self._val = loader.batches(plain, self._schedules[1], validates, people=batch_size, loaders=2)
        # Last, since pinning takes a thread.
        self._train = loader.batches(
            crops, self._schedules[0], workers, pin, people=batch_size // ranks, loaders=2
        )
        iter(self._val)
        if pin and (local := int(os.environ.get("LOCAL_RANK", 0))):
            # Pinning holds on to the GPU that is the current one as it starts.
            torch.cuda.set_device(local)
        iter(self._train)

    def train(self, schedule: Iterable[Items]) -> loader.Batches:
        """The training people's batches, augmented, in the order of a schedule."""
        self._schedules[0].items = schedule
        return self._train

    def val(self) -> loader.Batches:
        """Everybody of the validation people once, as they are."""
        self._schedules[1].items = self._order
        return self._val


class _Later:
    """A schedule that is told later. Until then it is empty: processes start, and read nothing."""

    items: Iterable[Items] = ()

    def __iter__(self) -> Iterator[Items]:
        return iter(self.items)
