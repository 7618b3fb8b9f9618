"""Runs that ended: their outputs, found again by what determines a run, wherever the same run is asked for next.

DVC restores what it has run, with exceptions that would cost a training each: it died before it recorded the outputs;
another experiment made them since it looked; or dvc.lock names outputs that this machine does not have, as that of
another machine does, and DVC then looks no further. A run that DVC would have restored is trained anew, since it was
forced to.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline import files
from pipeline.training.checkpoint import write_atomically

# Hashing inputs and starting a stage take DVC so long, in seconds, after it has looked for outputs.
START = 1.0


def md5(data: bytes) -> str:
    """The hash by which DVC calls a file."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Cache:
    """DVC's cache, which all workspaces of a project share; it holds nothing where there is no DVC."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    @classmethod
    def of_workspace(cls) -> "Cache":
        asked = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
        return cls(Path(asked.stdout.strip()) if asked.returncode == 0 else None)

    def file(self, mark: str) -> Path | None:
        """The file of a hash, if it is there."""
        path = self.folder and self.folder / "files" / "md5" / mark[:2] / mark[2:]
        return path if path and path.is_file() else None

    def would_restore(self, marks: Mapping[str, str], stage: str, started: float, lock: Path) -> bool:
        """Whether DVC, which started this stage, could have restored outputs of these hashes instead.

        started: when it started it, in seconds since 1970. lock: the workspace's dvc.lock.
        """
        entries: dict[str, Any] = yaml.safe_load(lock.read_text()) if lock.is_file() else {}
        outs = entries.get("stages", {}).get(stage, {}).get("outs", [])
        if not all(self.file(out["md5"]) for out in outs):
            return False
        recorded = [out["md5"] for out in outs]
        return set(marks.values()) <= {*recorded} or any(
            all(mark in text for mark in marks.values()) for text in self._runs(started - START)
        )

    def _runs(self, until: float) -> Iterator[str]:
        """What DVC recorded of each run that it ran, in any workspace, until then."""
        for path in (self.folder / "runs").rglob("*") if self.folder else ():
            if path.is_file() and path.stat().st_mtime < until:
                yield path.read_text()


class Finished:
    """The outputs of one run: KEY.json has their hashes, for ever, and the folder KEY the files until DVC has them."""

    def __init__(self, folder: Path, key: str, cache: Cache):
        self._record, self._cache = folder / f"{key}.json", cache

    @property
    def marks(self) -> dict[str, str] | None:
        """The outputs' hashes by their names; None of a run that never ended."""
        return files.read_json(self._record) if self._record.is_file() else None

    def keep(self, outputs: Mapping[str, bytes]) -> None:
        """Keep the outputs of a run that just ended; those of others go once DVC has them."""
        folder = self._record.with_suffix("")
        for name, data in outputs.items():
            write_atomically(folder / name, data)
        marks = {name: md5(data) for name, data in outputs.items()}
        write_atomically(self._record, json.dumps(marks).encode())
        for record in self._record.parent.glob("*.json"):
            if record != self._record and all(map(self._cache.file, files.read_json(record).values())):
                shutil.rmtree(record.with_suffix(""), ignore_errors=True)

    def outputs(self) -> dict[str, bytes] | None:
        """The outputs, whole; None if the run never ended or one of them is gone."""
        found = {}
        for name, mark in (self.marks or {}).items():
            places = (self._record.with_suffix("") / name, self._cache.file(mark))
            data = (path.read_bytes() for path in places if path and path.is_file())
            whole = next((one for one in data if md5(one) == mark), None)
            if whole is None:
                return None
            found[name] = whole
        return found or None

    def forget(self) -> None:
        """Have the run trained anew."""
        self._record.unlink(missing_ok=True)
        shutil.rmtree(self._record.with_suffix(""), ignore_errors=True)
