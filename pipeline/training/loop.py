"""A training from its first batch to its last: when to validate, to save and to stop. `step.py` has the method."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.arrays import Array
from pipeline.datasets import DATASETS
from pipeline.people import People
from pipeline.ranks import Ranks, choose_algorithms
from pipeline.runs import Run, Settings
from pipeline.training.checkpoint import Checkpoint, Saved
from pipeline.training.history import History, NotFinite, Row
from pipeline.training.loaders import Loaders
from pipeline.training.progress import Progress
from pipeline.training.schedule import Schedule, learning_rate
from pipeline.training.signals import Signals
from pipeline.training.step import Execution, Step
from pipeline.training.validate import validate


class Interrupted(SystemExit):
    """Asked to stop by a signal, after the checkpoint was written."""


class Tracker(Protocol):
    """Who is told of a training as it goes on; see pipeline.tracking."""

    def start(self, steps: int) -> None: ...
    def log(self, row: Row, images_per_second: float) -> None: ...
    def close(self, status: str) -> None: ...


@dataclass(frozen=True)
class Task:
    """All that one training needs.

    maps: the validation people's packed segmentation maps, None for a network without guidance. pretrained: puts
    weights into the fresh network and says in a sentence which. accuracy: image_xy (N, K, 2) and scores (N, K) of
    the validation people -> percent.
    """

    run: Run
    settings: Settings
    execution: Execution
    train: People
    val: People
    loaders: Loaders
    maps: Array | None
    pretrained: Callable[[nn.Module], str]
    accuracy: Callable[[Array, Array], float]
    tracker: Tracker


@dataclass(frozen=True)
class Trained:
    """A training's result: the network's state dict on the CPU, rows of the history, where its first weights came
    from."""

    weights: dict[str, Tensor]
    history: list[Row]
    first_weights: str


def train(task: Task, checkpoint: Checkpoint, ranks: Ranks) -> Trained:
    """Train one run, from its checkpoint if there is one; rank 0 keeps the checkpoint.

    Raises ValueError with the step, the losses and the images of its batch where a loss is no finite number;
    Interrupted on SIGTERM and SIGINT, with the checkpoint written.
    """
    state = ranks.same(checkpoint.load() if ranks.first else None)
    training = _Training(task, checkpoint, ranks, state)
    schedule, history, options = training.schedule, training.history, training.options
    with training.signals, training.progress as progress:
        training.step.network.train()
        training.make_up_for_a_validation()
        for batch in task.loaders.train(schedule):
            epoch, position = divmod(training.steps, schedule.steps_per_epoch)
            schedule.check(batch, training.steps)
            lr = learning_rate(options, epoch)
            made = training.step(batch, training.steps, lr)
            training.steps += 1
            if training.steps % options.log_every == 0:
                history.log(epoch, training.steps, lr, made)
                training.flush()
            progress.advance(history.rows)

            epoch_ends = position + 1 == schedule.steps_per_epoch
            if epoch_ends:
                training.validate_after(epoch)
            training.leave_if_asked()
            if training.is_long_unsaved():
                training.save()
            if epoch_ends:
                progress.epoch_ends(epoch, history.rows)
    return training.result()


class _Training:
    """A training under way: what it is made of, how far it is, and how it is kept."""

    def __init__(self, task: Task, checkpoint: Checkpoint, ranks: Ranks, state: Saved | None):
        if task.settings.training is None:
            raise ValueError(f"{task.run.dataset}/{task.run.name} has no parameters to train with")
        self.task, self.checkpoint, self.ranks = task, checkpoint, ranks
        self.options = task.settings.training.train
        self.heading = f"{task.run.dataset}/{task.run.name}"
        choose_algorithms(self.options.deterministic, self.options.threads)
        guided = task.settings.guided
        network = models.build(
            task.run.model,
            DATASETS[task.run.dataset].KEYPOINTS,
            model=task.settings.model,
            guidance=guided.guidance if guided else None,
            ablation=task.run.ablation,
            seed=task.run.seed or 0,
        )
        # With several ranks, DistributedDataParallel hands rank 0's weights to the others.
        self.first_weights = ranks.same(task.pretrained(network) if ranks.first else "")
        self.schedule = Schedule(
            len(task.train),
            self.options.batch_size,
            self.options.epochs,
            task.run.seed or 0,
            ranks.rank,
            ranks.ranks,
        )
        self.step = Step(
            network, task.run, task.settings, ranks, self.schedule.steps_per_epoch, task.execution
        )
        self.steps = 0
        if state:
            self.step.load_state_dict(state.tensors)
            self.steps = state.facts["step"]
            print(f"going on from step {self.steps} of {self.schedule.steps}", flush=True)
        self.schedule.start = self.steps
        task.tracker.start(self.steps)
        self.signals = Signals()
        self.progress = progress = Progress(self.heading, self.schedule, ranks)
        # Nothing here refers back to this object: its loaders end with the last reference to it.
        rows: list[Row] = state.facts["history"] if state else []
        self.history = History(self.step, rows, lambda row: task.tracker.log(row, progress.rate()))
        self._saved_at = time.monotonic()

    def flush(self) -> None:
        """Bring the logged rows to the host; raises NotFinite with the images of the batch."""
        try:
            self.history.flush()
        except NotFinite as error:
            raise self._about(error) from None

    def save(self) -> None:
        """Replace the checkpoint, unless a weight is no finite number: then the one before stays."""
        self.flush()
        if self.ranks.first:
            # A finite loss may still have a gradient that is not.
            values = self.step.network.state_dict().values()
            if not torch.stack([value.isfinite().all() for value in values]).all():
                raise self._about(NotFinite(self.steps - 1, ()))
            self.checkpoint.save(self.step.state_dict(), {"step": self.steps, "history": self.history.rows})
        self._saved_at = time.monotonic()

    def is_long_unsaved(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self.options.checkpoint_minutes

    def make_up_for_a_validation(self) -> None:
        """Validate what a signal kept the training from validating before it was stopped."""
        epochs, position = divmod(self.steps, self.schedule.steps_per_epoch)
        if epochs and position == 0 and not self.history.ends_validated(self.steps):
            self.validate_after(epochs - 1)
            self.leave_if_asked()

    def validate_after(self, epoch: int) -> None:
        """Validate on rank 0, where it is time to; a signal that comes in between leaves it to the next start."""
        if (epoch + 1) % self.options.validate_every and epoch + 1 < self.options.epochs:
            return
        self.flush()
        task = self.task
        measured: Row | None = {}
        if self.ranks.first:
            measured = validate(
                self.step, task.val, task.maps, task.loaders.val(), task.accuracy, self.signals.asked_to_stop
            )
        if measured is not None:
            self.history.validated(epoch, self.steps, learning_rate(self.options, epoch), measured)

    def leave_if_asked(self) -> None:
        if number := self.ranks.largest(self.signals.received):
            self.signals.safe.set()
            self.save()
            raise Interrupted(128 + number)

    def result(self) -> Trained:
        if self.steps != self.schedule.steps:
            raise ValueError(f"{self.heading}: the batches ended after step {self.steps}")
        state = self.step.network.state_dict()
        weights = {name: value.cpu().contiguous() for name, value in state.items()}
        return Trained(weights, self.history.rows, self.first_weights)

    def _about(self, error: NotFinite) -> ValueError:
        people = self.task.train
        names = sorted({str(people.images[people.image[row]]) for row in self.schedule.rows(error.step)})
        losses = ", ".join(f"{key} {value:.4g}" for key, value in error.losses.items())
        return ValueError(
            f"{self.heading}: {error} ({losses or 'and weights no longer are'}); try a lower train.lr or "
            f"train.precision: float32. The checkpoint is from before. Images of the batch: {', '.join(names)}"
        )
