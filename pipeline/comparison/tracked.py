"""The runs that DVC tracks, in the workspace and in its experiments, with the files that they are rebuilt from."""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import dvc_stages, params, paths
from pipeline.params import Params
from pipeline.runs import Evaluation, Record, Run, named_by
from pipeline.tracking.rows import Facts

Entry = dict[str, Any]
_SCORES = ("metrics.json", "samples.npz")


class Untracked(ValueError):
    """A run that DVC does not track as it lies there; the message says why."""


@dataclass(frozen=True)
class Source:
    """A state of the project: its parameters and dvc.lock, in a folder or in a commit of an experiment.

    root: the folder, None of an experiment, whose files lie in DVC's cache.
    """

    params: Params
    lock: dict[str, Entry]
    commit: str
    experiment: str | None = None
    root: Path | None = None

    @cached_property
    def _stages(self) -> dict[tuple[str, str, str], str]:
        """DVC's stages by kind, dataset and run."""
        stages = {}
        for name, arguments in dvc_stages.arguments(self.params).items():
            kind = name.partition("_")[0]
            options = dict(a[2:].split("=", 1) for a in arguments if a.startswith("--"))
            dataset, run = (options["dataset"], options["name"]) if options else (*arguments, "")[:2]
            stages[kind, dataset, run] = name
        return stages

    def stage(self, kind: str, run: Run) -> str:
        return self._stages.get((kind, run.dataset, run.name), "")

    def entry(self, kind: str, run: Run) -> Entry | None:
        """What DVC recorded of a run's `train` or `evaluate`."""
        return self.lock.get(self.stage(kind, run))

    def md5(self, path: Path) -> str | None:
        """The hash of an output; None of one that no stage has made."""
        return self._outputs.get(path.as_posix())

    @cached_property
    def _outputs(self) -> dict[str, str]:
        return {out["path"]: out["md5"] for entry in self.lock.values() for out in entry.get("outs", [])}

    def read(self, path: Path) -> bytes:
        """A file that is an output; raises Untracked for one that is not there, or not as DVC recorded it."""
        md5 = self.md5(path)
        if md5 is None:
            raise Untracked(f"dvc.lock has no {path}")
        file = _cached(md5) if self.root is None else self.root / path
        if not file.is_file():
            raise Untracked(f"{path} is not here: `dvc {'fetch' if self.root is None else 'pull'}` brings it")
        content = file.read_bytes()
        if _md5(content) != md5:
            raise Untracked(f"{path} is not what dvc.lock records: `dvc repro`, or `dvc commit`")
        return content

    def results(self, run: Run) -> str | None:
        """A hash of what a run's final metrics are made from; None before it was evaluated.

        Of the workspace's own files, since DVC records them only after the stage that writes them has ended.
        """
        folder = paths.results(run.dataset, run.name)
        if self.root is not None:
            files = [self.root / folder / name for name in _SCORES]
            made = [_md5(file.read_bytes()) for file in files if file.is_file()]
        else:
            parts = {part["relpath"]: part["md5"] for part in self._listed(folder)}
            made = [parts[name] for name in _SCORES if name in parts]
        return " ".join(made) if len(made) == len(_SCORES) else None

    def _listed(self, folder: Path) -> list[dict[str, str]]:
        """The files of an output that is a folder, as DVC's cache lists them; none where it is not here."""
        listing = _cached(self.md5(folder) or "-")
        parts: list[dict[str, str]] = json.loads(listing.read_text()) if listing.is_file() else []
        return parts if all(_cached(part["md5"]).is_file() for part in parts) else []

    @contextmanager
    def folder(self, *outputs: Path) -> Iterator[Path]:
        """A folder in which these outputs, folders themselves, lie at their places."""
        if self.root is not None:
            yield self.root
            return
        with tempfile.TemporaryDirectory() as name:
            for output in outputs:
                for part in self._listed(output):
                    place = Path(name) / output / part["relpath"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(_cached(part["md5"]))
            yield Path(name)


@dataclass(frozen=True)
class Tracked:
    """A run of a source. results: the hash of its folder of results; None before it was evaluated."""

    source: Source
    facts: Facts
    results: str | None

    @property
    def run(self) -> Run:
        return self.facts.run

    @property
    def configuration(self) -> str:
        """What the seeds of one configuration share."""
        return self.seedless.key

    @property
    def seedless(self) -> Facts:
        record = self.facts.record
        run = record.run.model_copy(update={"seed": None})
        return self.facts.model_copy(
            update={"record": record.model_copy(update={"run": run}), "checkpoint": None}
        )


def workspace(root: Path = Path(".")) -> Source:
    """The project as it lies there."""
    lock = root / "dvc.lock"
    text = lock.read_text() if lock.is_file() else ""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    return Source(params.load(root / "params.yaml"), _stages_of(text), head.stdout.strip(), root=root)


def experiments() -> Iterator[Source]:
    """DVC's experiments; those whose parameters are of another version are left out."""
    command = ["git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps"]
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        commit, _, ref = line.partition(" ")
        if named := re.fullmatch(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(.+)", ref):
            try:
                read = params.parse(_git_file(commit, "params.yaml"), f"{named[1]}:params.yaml")
                yield Source(read, _stages_of(_git_file(commit, "dvc.lock")), commit, named[1])
            except ValueError as error:
                print(f"experiment {named[1]} is left out: {error}", flush=True)


def tracked(source: Source, only: Run | None = None) -> Iterator[Tracked | Untracked]:
    """Its runs, of which there may be one `only`; and why others are left out."""
    for run in named_by(source.params):
        if only is not None and run != only:
            continue
        try:
            yield _tracked(source, run)
        except ValueError as error:
            yield Untracked(f"{run.dataset}/{run.name} is left out: {error}")


def _tracked(source: Source, run: Run) -> Tracked:
    results, code = source.results(run), None
    if run.checkpoint is None:
        entry = source.entry("train", run)
        if entry is None:
            raise Untracked("dvc.lock has no such training")
        record = Record.model_validate_json(source.read(paths.run(run.dataset, run.name) / "run.json"))
        code = next(dep["md5"] for dep in entry["deps"] if dep["path"].startswith("build/code/train/"))
    elif results is None:
        raise Untracked("it was not evaluated")
    else:
        with source.folder(paths.results(run.dataset, run.name)) as root:
            record = Evaluation.load(root / paths.results(run.dataset, run.name) / "metrics.json").record
    return Tracked(source, Facts(profile=source.params.profile, record=record, code=code), results)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _stages_of(lock: str) -> dict[str, Entry]:
    stages: dict[str, Entry] = (YAML(typ="safe").load(lock) or {}).get("stages", {})
    return stages


def _git_file(commit: str, name: str) -> str:
    asked = subprocess.run(["git", "show", f"{commit}:{name}"], capture_output=True, text=True)
    if asked.returncode:
        raise ValueError(f"its commit has no {name}")
    return asked.stdout


_CACHE: list[Path] = []


def _cached(md5: str) -> Path:
    """A file in DVC's cache."""
    if not _CACHE:
        asked = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
        _CACHE.append(Path(asked.stdout.strip()))
    return _CACHE[0] / "files" / "md5" / md5[:2] / md5[2:]
