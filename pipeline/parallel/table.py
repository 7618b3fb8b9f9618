"""How far all runs are: a table that redraws itself on a terminal, else a line a minute."""

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline import files, paths
from pipeline.parallel.engine import State

PERIOD = 60.0


class Progress(contextlib.AbstractContextManager["Progress"]):
    """Shows a State. arguments: of each stage, of which a training's are its dataset and its name."""

    def __init__(self, arguments: Mapping[str, tuple[str, ...]]):
        self.arguments = arguments
        self._told, self._failed = time.monotonic(), 0
        self._live = Live(console=Console(stderr=True), auto_refresh=False) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, state: State) -> None:
        for name in list(state.failed)[self._failed :]:
            self._say(f"{name} failed; its log is {state.failed[name]}")
        self._failed = len(state.failed)
        # Drawing is work, so it is not done for each of many short stages.
        if time.monotonic() - self._told < (0.5 if self._live else PERIOD):
            return
        self._told = time.monotonic()
        if self._live:
            self._live.update(self._table(state), refresh=True)
        else:
            now = [
                " ".join(filter(None, self._row(name, began))) for name, began in dict(state.began).items()
            ]
            self._say("; ".join([_summary(state), *now]))

    def _say(self, line: str) -> None:
        if self._live:
            self._live.console.print(line, soft_wrap=True, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _table(self, state: State) -> Table:
        table = Table("stage", "epoch", "images/s", "losses", "time left", title=_summary(state))
        for name, began in dict(state.began).items():
            table.add_row(*self._row(name, began))
        return table

    def _row(self, name: str, began: float) -> tuple[str, str, str, str, str]:
        """A stage, and of a training its epoch, images a second, losses and time left."""
        run = self.arguments.get(name, ())
        path = paths.progress(*run) if name.startswith("train") and len(run) == 2 else None
        try:
            if path is None or path.stat().st_mtime < began:
                raise FileNotFoundError
            status = files.read_json(path)
        except (FileNotFoundError, ValueError):
            return name, "", "", "", f"for {_duration(time.time() - began)}"
        return (
            name,
            f"epoch {status['epoch']}/{status['epochs']}",
            f"{status['images_per_second']:.0f} images/s",
            " ".join(f"{key} {value:.3g}" for key, value in status["losses"].items()),
            f"{_duration(status['seconds_left'])} left",
        )


def _summary(state: State) -> str:
    failed = f", {len(state.failed)} failed" if state.failed else ""
    return f"{len(state.done)} of {state.total} stages done, {len(state.began)} at work{failed}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
    )
