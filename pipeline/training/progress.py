"""What people see of a training."""

import contextlib
import json
import sys
import time
from typing import Self

from tqdm import tqdm

from pipeline import paths
from pipeline.ranks import Ranks
from pipeline.training.history import LOSSES, Row
from pipeline.training.schedule import Schedule


class Progress(contextlib.AbstractContextManager["Progress"]):
    """A bar on a terminal, else one line an epoch; and a file, for who watches several trainings at once.

    name: DATASET/RUN.
    """

    # Seconds between two states of the file.
    PERIOD = 2.0

    def __init__(self, name: str, schedule: Schedule, ranks: Ranks):
        self.name, self.schedule = name, schedule
        self.done, self.shown, self.began = 0, ranks.first, time.monotonic()
        self.path, self.written = paths.progress(*name.split("/")), self.began
        self.bar = tqdm(
            total=schedule.steps * schedule.batch_size,
            initial=schedule.start * schedule.batch_size,
            desc=name,
            unit=" images",
            disable=not self.shown or not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def rate(self) -> float:
        """Images a second since the start, validation included."""
        return self.done * self.schedule.batch_size / max(time.monotonic() - self.began, 1e-9)

    def advance(self, history: list[Row]) -> None:
        self.done += 1
        self.bar.update(self.schedule.batch_size)
        if self.shown and time.monotonic() - self.written > self.PERIOD:
            self.written = time.monotonic()
            self._write(history)
        if history and history[-1]["kind"] == "step" and not self.bar.disable:
            self.bar.set_postfix(
                {k: f"{history[-1][k]:.3g}" for k in LOSSES[:5] if k in history[-1]}, refresh=False
            )

    def epoch_ends(self, epoch: int, history: list[Row]) -> None:
        if not self.shown or not self.bar.disable:
            return
        row = {k: v for k, v in history[-1].items() if isinstance(v, float)} if history else {}
        numbers = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        print(
            f"{self.name}  epoch {epoch + 1}/{self.schedule.epochs}  {self.rate():.0f} images/s  {numbers}",
            flush=True,
        )

    def _write(self, history: list[Row]) -> None:
        """Replace the file; no training fails for what is shown of it."""
        steps = self.schedule.start + self.done
        logged = next((row for row in reversed(history) if row["kind"] == "step"), {})
        state = {
            "epoch": min(steps // self.schedule.steps_per_epoch + 1, self.schedule.epochs),
            "epochs": self.schedule.epochs,
            "images_per_second": self.rate(),
            "losses": {key: logged[key] for key in LOSSES[:3] if key in logged},
            "seconds_left": (self.schedule.steps - steps) * self.schedule.batch_size / self.rate(),
        }
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps(state))
            fresh.replace(self.path)
