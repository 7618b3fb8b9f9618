"""Checkpoints: everything a training needs to go on from where it was, written so that no crash can spoil it.

A checkpoint belongs to a fingerprint of all that determines a run. Another parameter, other data or other code
is another fingerprint, and never resumes this one. They lie under the main workspace, where queued and
temporary experiments find them too.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path

import torch


class Busy(ValueError):
    """Another trainer holds this run."""


def fingerprint(facts: dict) -> str:
    """A name for a run: the hash of all that determines it, as JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def hash_files(*paths: Path) -> str:
    """One hash of files and of whole folders' Python sources, their names included."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(path.parent)).encode())
            digest.update(hashlib.file_digest(file.open("rb"), "sha256").digest())
    return digest.hexdigest()


def write_atomically(path: Path, write) -> None:
    """`write(file)` into a temporary file that takes the place of `path` once it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Checkpoint:
    """The checkpoint of one run; hold it (`with`) to keep any other trainer away from it.

    A run that ended leaves its result here until DVC has recorded it, since DVC may die in between; `forget`
    clears what is recorded, so that a run whose output is then removed or forced starts anew.
    """

    def __init__(self, folder: Path, key: str):
        self.folder, self.path = folder, folder / f"{key}.pt"
        self._done, self._lock = folder / f"{key}.done", folder / f"{key}.lock"

    def __enter__(self) -> "Checkpoint":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self._lock.open("w")
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Busy(
                f"another trainer is at work on this run (it holds {self._lock}); wait for it or stop it"
            ) from None
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def load(self) -> dict | None:
        """What was saved last, on the CPU, or None at the start of a run."""
        if not self.path.exists():
            return None
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def save(self, state: dict) -> None:
        """Replace the state; on any failure, a full disk too, the one before stays."""
        write_atomically(self.path, lambda file: torch.save(state, file))

    def finish(self, result: dict, mark: str) -> None:
        """Replace the state by the run's result; `mark` is what dvc.lock will hold once DVC has recorded it."""
        self.save({"result": result})
        write_atomically(self._done, lambda file: file.write(mark.encode()))

    def forget(self, lock: Path) -> None:
        """Delete the results, of this run and of others, that this dvc.lock records."""
        recorded = lock.read_text() if lock.exists() else ""
        for done in self.folder.glob("*.done"):
            if done.read_text() in recorded:
                done.with_suffix(".pt").unlink(missing_ok=True)
                done.unlink()
