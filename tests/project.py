"""Copies of the project in a folder of their own, and DVC at work in them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

# What the stages are made of, as the working tree has it.
SOURCES = ("dvc.yaml", "pipeline", "stages", "profiles", ".gitignore", ".dvcignore")


def copy(folder: Path, *more: str) -> Path:
    """The project's sources without its history, and `more` of it."""
    folder.mkdir()
    for name in (*SOURCES, *more):
        subprocess.run(["cp", "-r", ROOT / name, folder], check=True)
    return folder


def clone(folder: Path) -> Path:
    """A clone with the working tree's sources, not only what is committed, in which nothing ran."""
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
    for name in SOURCES:
        subprocess.run(["cp", "-r", ROOT / name, folder], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    return folder


def with_frequent_checkpoints(folder: Path) -> None:
    """Let a copy take any `train.checkpoint_minutes`, so that wherever it is killed there is a checkpoint."""
    source = folder / "pipeline" / "params.py"
    bound = "checkpoint_minutes: Annotated[float, Field(ge=1)]"
    assert source.read_text().count(bound) == 1
    source.write_text(source.read_text().replace(bound, bound.replace("ge=1", "gt=0")))


def environment() -> dict[str, str]:
    """The first `python` on the path is the one that runs the stages, on one thread."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    # MLflow puts the store that a test named into this process's environment, and leaves it there.
    own = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return own | {"PATH": path, "OMP_NUM_THREADS": "1"}


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that must succeed."""
    result = attempt(folder, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def attempt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of DVC that may fail."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


def stages_of(folder: Path) -> "Iterator[PipelineStage]":
    """The stages that DVC makes of dvc.yaml and params.yaml; a folder new to DVC becomes a project of its own."""
    # Not at the top: it is needed by few.
    from dvc.repo import Repo

    with Repo(folder) if (folder / ".dvc").is_dir() else Repo.init(folder, no_scm=True) as repo:
        yield from repo.index.stages
