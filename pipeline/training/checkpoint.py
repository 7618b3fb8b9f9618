"""Checkpoints: everything a training needs to go on from where it was, written so that no crash can spoil it.

A checkpoint is a file of tensors with a digest (pipeline/tensors.py). What is no tensor is JSON, as the bytes of one
more: not in the header, whose size is bounded, since a history may be long.

A checkpoint belongs to a hash of all that determines a run. Another parameter, other data or other code
is another fingerprint, and never resumes this one. They lie under the main workspace, where queued and
temporary experiments find them too.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from pipeline import tensors

FACTS = "facts.json"


class Busy(ValueError):
    """Another trainer holds this run."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a temporary file that takes the place of `path` once it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"{error.strerror}; what was there before stays", str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors, on the CPU, and what JSON can say."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoint:
    """The checkpoint of one run; hold it (`with`) to keep any other trainer away from it."""

    def __init__(self, folder: Path, key: str):
        self.folder, self.path = folder, folder / f"{key}.safetensors"
        self._lock = folder / f"{key}.lock"
        self._file: IO[str] | None = None

    def hold(self) -> bool:
        """Keep any other trainer away; False while one is at work on this run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._lock.open("w")
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        # A killed trainer's loaders outlive it for seconds, and would hold the lock.
        os.register_at_fork(after_in_child=file.close)
        self._file = file
        return True

    def __enter__(self) -> "Checkpoint":
        if not self._file and not self.hold():
            raise Busy(
                f"another trainer is at work on this run (it holds {self._lock}); wait for it or stop it"
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def load(self) -> Saved | None:
        """What was saved last, or None at the start of a run; raises ValueError for a file that is damaged."""
        if not self.path.exists():
            return None
        try:
            kept = tensors.read(self.path)
            return Saved(kept, json.loads(kept.pop(FACTS).numpy().tobytes()))
        # Also what has its own digest, and was never written here.
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{self.path} is damaged ({error}); delete it to start this run anew") from None

    def save(self, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace what was saved; on any failure, a full disk too, the one before stays."""
        text = torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)
        write_atomically(self.path, tensors.pack({**state, FACTS: text}))

    def delete(self) -> None:
        """The run has ended, or starts anew."""
        self.path.unlink(missing_ok=True)
