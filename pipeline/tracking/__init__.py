"""MLflow, second to the history on disk: a process of its own follows a training, and no failure of it reaches that.

The training writes lines into a pipe that never blocks it. What reads them (`follower`) may wait for a server, fail or
be killed; what it misses, `python -m pipeline.comparison` brings from the files.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from typing import Any

from pipeline import files
from pipeline.runs import Record
from pipeline.tracking.live import Live
from pipeline.tracking.rows import Facts

Row = dict[str, str | int | float]

# Seconds that the end of a training, or of an evaluation, waits for MLflow at most.
PATIENCE = 10.0


class Tracker:
    """Tells MLflow of one training as it goes on.

    code: what the training can reach, with digests. checkpoint: the name by which its checkpoint and its lock are
    found. The store is mlflow.db in the main workspace, or what MLFLOW_TRACKING_URI names.
    """

    def __init__(self, profile: str, record: Record, code: dict[str, str], checkpoint: str):
        # DVC records the file that `code` is.
        md5 = hashlib.md5(files.json_text(code).encode(), usedforsecurity=False).hexdigest()
        self._facts = Facts(profile=profile, record=record, code=md5, checkpoint=checkpoint)
        self._live = Live(record.run.dataset, record.run.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent = bytearray()

    def start(self, steps: int) -> None:
        """Begin, or go on after so many steps that were made before."""
        with contextlib.suppress(OSError):
            self._live.start(steps)
        command = [sys.executable, "-m", "pipeline.tracking.follower"]
        try:
            # In a session of its own, so that Ctrl-C leaves it the second in which it says how the training ended.
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            print(f"MLflow is left out of this run ({error}); the history has it all", flush=True)
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._tell({"facts": self._facts.model_dump(mode="json", by_alias=True), "steps": steps})

    def log(self, row: Row, images_per_second: float) -> None:
        """Hand over a row of the history; returns at once."""
        with contextlib.suppress(OSError):
            self._live.log(row)
        self._tell({"row": {**row, "images_per_second": images_per_second}})

    def close(self, status: str) -> None:
        """Say how it ended, FINISHED, KILLED or FAILED, and wait for at most PATIENCE; where it failed, a second."""
        if status == "FINISHED":
            with contextlib.suppress(OSError):
                self._live.end()
        process = self._process
        if process is None or process.stdin is None:
            return
        self._tell({"status": status})
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(PATIENCE if status == "FINISHED" else 1.0)
        except subprocess.TimeoutExpired:
            # One that was asked to stop leaves; its follower ends by itself.
            if status == "FINISHED":
                process.kill()
                process.wait()
                print(f"MLflow did not take all in {PATIENCE:.0f} s; `make mlflow` brings it", flush=True)
        self._process = None

    def _tell(self, line: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        self._unsent += json.dumps(line).encode() + b"\n"
        try:
            # A reader that is stopped lets the pipe fill up; then the rest waits here.
            del self._unsent[: os.write(self._process.stdin.fileno(), self._unsent)]
        except BlockingIOError:
            pass
        except OSError:  # it is gone, and has said why
            self._unsent.clear()


def bring(dataset: str, run: str) -> None:
    """Bring one run's final numbers, its pictures and plots; whatever comes of it, the stage has done its work."""
    command = [sys.executable, "-m", "pipeline.comparison", "--only", dataset, run]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        said = process.communicate(timeout=PATIENCE)[1].strip().splitlines()
        problem = said[-1] if process.returncode else ""
    except OSError as error:
        problem = str(error)
    except subprocess.TimeoutExpired:
        # It goes on without this stage, which its terminal and its pipes do not belong to, and ends by itself.
        return
    if problem:
        print(f"MLflow does not take this run for now ({problem}); `make mlflow` brings it", flush=True)


class NoTracker:
    """In a Tracker's place where nobody is to be told: on every rank but the first, and in benchmarks."""

    def start(self, steps: int) -> None:
        pass

    def log(self, row: Row, images_per_second: float) -> None:
        pass

    def close(self, status: str) -> None:
        pass
