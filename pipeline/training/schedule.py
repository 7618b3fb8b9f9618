"""Which people make up which batch of a training, and at what learning rate."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import Train


def learning_rate(train: Train, epoch: int) -> float:
    """That of an epoch, from 0: multiplied by `lr_factor` after so many finished epochs as each `lr_drops` says."""
    return train.lr * train.lr_factor ** sum(epoch >= drop for drop in train.lr_drops)


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

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.steps_per_epoch

    def __len__(self) -> int:
        return self.steps - self.start

    def check(self, batch: Mapping[str, Tensor], step: int) -> None:
        """Raise ValueError for a batch of another size, or without a joint; it is still on the host."""
        count, expected = len(batch["input"]), self.batch_size // self.ranks
        labelled = int(batch["labelled"].numpy().sum())
        if count != expected or not labelled:
            raise ValueError(
                f"the batch of step {step + 1} holds {count} people, {labelled} labelled joints; it must be "
                f"{expected} people with joints: run the stage `prepare` again"
            )

    def rows(self, step: int) -> NDArray[np.int64]:
        """The people of a step's batch, on all ranks together, counted from the first step of the training."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.people)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, order_epoch = np.zeros(0, np.int64), -1
        for step in range(self.start, self.steps):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order, order_epoch = np.random.default_rng([self.seed, epoch]).permutation(self.people), epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            yield [(epoch, int(row)) for row in batch[self.rank :: self.ranks]]
