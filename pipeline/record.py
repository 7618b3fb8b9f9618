"""docs/demo: what the committed dvc.lock stands for, in files that people read and that another run is compared with.

- machine.json: processor, instruction sets and versions where dvc.lock was made;
- files.csv: the md5 of every file that it wrote, from which follow the hashes in dvc.lock;
- under their own paths, the files with its numbers: tables and claims, metrics, histories.
"""

import csv
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files, lock
from pipeline.lock import Item, Stage, Workspace
from pipeline.report import environment

FOLDER = Path("docs") / "demo"
# Those that hold numbers for people, in text.
KEPT = ("reports/*.csv", "results/*/*/metrics.json", "runs/*/*/history.csv")
# The instruction sets by which libraries choose how they add up.
_SETS = re.compile(r"^(avx|avx2|fma|avx_vnni|avx512.*|amx.*)$")


@dataclass(frozen=True)
class Record:
    """What was committed. hashes: the md5 of each file that the stages wrote, by its path."""

    folder: Path
    machine: Mapping[str, Any]
    hashes: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Raises ValueError where none was written."""
        try:
            with (folder / "files.csv").open(newline="") as file:
                hashes = {row["path"]: row["md5"] for row in csv.DictReader(file)}
            return cls(folder, files.read_json(folder / "machine.json"), hashes)
        except (FileNotFoundError, KeyError):
            raise ValueError(f"{folder} holds no record of dvc.lock; `make lock` writes both") from None

    def copy(self, path: str) -> Path | None:
        """The committed copy of a file with numbers."""
        place = self.folder / path
        return place if place.is_file() else None

    def within(self, item: Item) -> dict[str, str]:
        """The md5 of each file of an output, by its path in a folder, by "" where it is a file itself."""
        paths = [path for path in self.hashes if item.holds(path)]
        return {path[len(item.path) + 1 :]: self.hashes[path] for path in paths}

    def check(self, stages: Mapping[str, Stage]) -> None:
        """Raise ValueError, which names the first, for what is not what dvc.lock says, or a copy that was changed."""
        for item in outputs(stages):
            known = self.within(item)
            digest = lock.of_listing(known) if item.is_folder else known.get("")
            if digest != item.md5:
                self._refuse(item.path)
        for path in sorted(self.hashes):
            copy = self.copy(path)
            if copy and lock.md5(copy) != self.hashes[path]:
                self._refuse(str(copy))

    def _refuse(self, path: str) -> None:
        raise ValueError(
            f"{self.folder} is not of this dvc.lock: {path} has another hash; `make lock` writes both anew"
        )


def outputs(stages: Mapping[str, Stage]) -> Iterator[Item]:
    """What the stages wrote, but for the fingerprints of code: what ran is told by each stage's own."""
    for stage in stages.values():
        yield from (item for item in stage.outputs if item.path != lock.CODE)


def write(source: Path, root: Path) -> None:
    """Take a finished workspace's lock, and the record of what it wrote, for that of the project at `root`.

    Raises ValueError where the workspace is not as its lock says.
    """
    workspace = Workspace(source)
    hashes: dict[str, str] = {}
    for item in outputs(lock.load(source)):
        if workspace.digest(item.path) != item.md5:
            raise ValueError(f"{item.path} is not what dvc.lock records; run `dvc repro` first")
        inner = workspace.listing(item.path) if item.is_folder else {"": item.md5}
        hashes |= {f"{item.path}/{name}" if name else item.path: inner[name] for name in inner}
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(path for pattern in KEPT for path in source.glob(pattern)):
        name = path.relative_to(source)
        if name.as_posix() in hashes:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    files.write_json(folder / "machine.json", machine())
    lines = [f"{path},{hashes[path]}" for path in sorted(hashes)]
    (folder / "files.csv").write_text("\n".join(["path,md5", *lines]) + "\n")
    if source != root:
        shutil.copyfile(source / lock.LOCK, root / lock.LOCK)


def machine() -> dict[str, Any]:
    """What of this machine and its packages numbers may depend on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    model, flags = (re.search(rf"^{key}\s*: (.+)$", info, re.MULTILINE) for key in ("model name", "flags"))
    return {
        "processor": model[1] if model else platform.machine(),
        "instruction sets": [name for name in flags[1].split() if _SETS.match(name)] if flags else [],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": environment.packages(*environment.COMPUTING),
    }


def in_words(facts: Mapping[str, Any]) -> str:
    """A machine in one line."""
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    sets = " ".join(facts["instruction sets"])
    return f"{facts['processor']}, {facts['cores']} cores ({sets}), Python {facts['python']}, {packages}"


def numbers(path: Path) -> dict[str, str]:
    """The values of a CSV or JSON file by where they stand, as text."""
    if path.suffix == ".json":
        return leaves("", json.loads(path.read_text()))
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    names = rows[0] if rows else []
    return {
        f"line {line}, {names[place] if place < len(names) else place}": value
        for line, row in enumerate(rows[1:], 2)
        for place, value in enumerate(row)
    }


def leaves(key: str, value: Any) -> dict[str, str]:
    """The values in a tree by their dotted keys below `key`, as JSON."""
    if not isinstance(value, dict | list):
        return {key: json.dumps(value)}
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        name: leaf
        for step, below in inner
        for name, leaf in leaves(f"{key}.{step}".lstrip("."), below).items()
    }
