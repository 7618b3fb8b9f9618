"""dvc.lock: what each stage read, used and wrote, by hash; and the same hashes of what lies here now."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pathspec import GitIgnoreSpec

LOCK = "dvc.lock"
CODE = "build/code"
"""Where fingerprints of code lie: an input there is the code of its stage."""


@dataclass(frozen=True)
class Item:
    """A file or a folder of a stage. md5: as DVC has it, of a folder with `.dir` behind it; size: bytes."""

    path: str
    md5: str
    size: int

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(".dir")

    def holds(self, path: str) -> bool:
        """Whether a path is this one, or lies in it."""
        return f"{path}/".startswith(f"{self.path}/")


@dataclass(frozen=True)
class Stage:
    """What dvc.lock says of a stage. params: by their dotted names, as dvc.yaml lists them.

    None of the stage that writes the fingerprints of code: it checks all of them, and what it writes holds none.
    """

    name: str
    command: str
    inputs: tuple[Item, ...]
    outputs: tuple[Item, ...]
    params: Mapping[str, Any]

    @property
    def code(self) -> Item | None:
        """The fingerprint of its code; None of the stage that writes them."""
        return next((item for item in self.inputs if item.path.startswith(f"{CODE}/")), None)

    @property
    def data(self) -> tuple[Item, ...]:
        """Its inputs but for its code."""
        return tuple(item for item in self.inputs if item != self.code)


def load(root: Path = Path(".")) -> dict[str, Stage]:
    """The stages of a workspace's lock by name; raises ValueError where there is none."""
    path = root / LOCK
    try:
        return read(path.read_text(), str(path))
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; `dvc repro` writes it") from None


def read(text: str, source: str) -> dict[str, Stage]:
    """The stages of a lock's text by name; raises ValueError, which names source, as the file is called."""
    try:
        stages = yaml.load(text, yaml.CSafeLoader)["stages"]
        return {name: _stage(name, entry) for name, entry in stages.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(f"{source} is no lock of DVC ({problem}); `dvc repro` writes one") from None


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    outputs, files = _items(entry.get("outs", ())), entry.get("params", {}).values()
    checks = any(item.path == CODE for item in outputs)
    params = {} if checks else {key: value for values in files for key, value in values.items()}
    return Stage(name, entry["cmd"], _items(entry.get("deps", ())), outputs, params)


def _items(rows: Iterable[Mapping[str, Any]]) -> tuple[Item, ...]:
    return tuple(Item(row["path"], row["md5"], row["size"]) for row in rows)


def makers(stages: Mapping[str, Stage], path: str) -> Iterator[tuple[Stage, Item]]:
    """The stages that wrote a path, something in it or the folder that it lies in, and what they wrote there."""
    for stage in stages.values():
        for item in stage.outputs:
            if item.holds(path) or Item(path, "", 0).holds(item.path):
                yield stage, item


def before(stages: Mapping[str, Stage], stage: Stage) -> list[Stage]:
    """The stages that a stage follows from, each after those that it follows from itself."""
    order: dict[str, Stage] = {}

    def visit(inner: Stage) -> None:
        for item in inner.inputs:
            for maker, _ in makers(stages, item.path):
                if maker.name not in order and maker.name != stage.name:
                    visit(maker)
                    order[maker.name] = maker

    visit(stage)
    return list(order.values())


class Workspace:
    """A project's folder, and the hashes of what lies in it now, as DVC computes them."""

    def __init__(self, root: Path = Path(".")):
        self.root = root
        ignored = root / ".dvcignore"
        lines = ignored.read_text().splitlines() if ignored.is_file() else []
        self._ignored = GitIgnoreSpec.from_lines([".dvc/", ".git/", *lines])

    def digest(self, path: str) -> str | None:
        """The md5 of a file or folder; None of what is not there."""
        place = self.root / path
        if place.is_dir():
            return of_listing(self.listing(path))
        return md5(place) if place.is_file() else None

    def listing(self, folder: str) -> dict[str, str]:
        """The md5 of each file below a folder, by its path in it, without what DVC ignores."""
        place = self.root / folder
        files = sorted(path for path in place.rglob("*") if path.is_file())
        kept = [path for path in files if not self._ignored.match_file(path.relative_to(self.root))]
        return {path.relative_to(place).as_posix(): md5(path) for path in kept}


def of_listing(files: Mapping[str, str]) -> str:
    """A folder's hash from those of its files, by their paths in it: the md5 of their sorted list as JSON."""
    rows = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return hashlib.md5(json.dumps(rows).encode(), usedforsecurity=False).hexdigest() + ".dir"


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
