"""The history of a training: a row a logged step and a row a validation, on disk as history.csv."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from pipeline.training.step import Losses, Step

LOSSES = ("loss", "loss_key", "loss_seg", "w_key", "w_seg", "r_key", "r_seg")
COLUMNS = (
    "kind", "epoch", "step", "lr", *LOSSES,
    "val_loss_key", "val_loss_seg", "iou_1", "iou_2", "iou_3", "iou_4", "accuracy",
)  # fmt: skip
Row: TypeAlias = dict[str, str | int | float]


class NotFinite(ValueError):
    """A loss that is no finite number. `step` counts from 0; `losses` are its own, where they are what is wrong."""

    def __init__(self, step: int, losses: Sequence[float]):
        super().__init__(f"the loss of step {step + 1} is no finite number")
        self.step, self.losses = step, dict(zip(LOSSES[1:], losses, strict=False))


class History:
    """Rows with keys of COLUMNS. Logged steps wait on the device until `flush` brings them to the host at once.

    tell: is given each row as it comes.
    """

    def __init__(self, step: Step, rows: list[Row], tell: Callable[[Row], None]):
        self.rows, self._step, self._tell = rows, step, tell
        self._waiting: list[tuple[Row, Tensor]] = []

    def log(self, epoch: int, steps: int, lr: float, made: Losses) -> None:
        """Remember a step's numbers, after so many steps in all."""
        numbers = [self._step.total(made), *made.losses]
        if made.weights is not None and made.rates is not None:
            numbers += [*made.weights, *made.rates]
        self._waiting.append(
            ({"kind": "step", "epoch": epoch, "step": steps, "lr": lr}, torch.stack(numbers))
        )

    def flush(self) -> None:
        """Bring what waits to the host: the only place where it waits for the device; raises NotFinite."""
        if self._waiting:
            values: list[list[float]] = torch.stack([numbers for _, numbers in self._waiting]).tolist()
            for (row, _), numbers in zip(self._waiting, values, strict=True):
                self._add(row | dict(zip(LOSSES, numbers, strict=False)))
            self._waiting.clear()
        step, *losses = self._step.not_finite.tolist()
        if step >= 0:
            raise NotFinite(int(step), losses)

    def validated(self, epoch: int, steps: int, lr: float, measured: Row) -> None:
        """Add a validation's row, after so many steps in all."""
        row: Row = {"kind": "epoch", "epoch": epoch, "step": steps, "lr": lr}
        self._add(row | measured)

    def ends_validated(self, steps: int) -> bool:
        """Whether the last row is the validation after so many steps."""
        return bool(self.rows) and (self.rows[-1]["kind"], self.rows[-1]["step"]) == ("epoch", steps)

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self._tell(row)


def to_csv(rows: Iterable[Row]) -> bytes:
    """The rows as a CSV file with the columns COLUMNS, floats to seven digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue().encode()
