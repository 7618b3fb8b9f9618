"""Where everything lies, in one place."""

import os
import shutil
from pathlib import Path

WEIGHTS = "weights.safetensors"
"""A trained network, in its run's folder."""


def project_root() -> Path:
    """The main workspace, also from a queued or temporary experiment, which runs in a copy elsewhere.

    What DVC does not track (archives, checkpoints, the MLflow store) lies under it.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def archives(dataset: str) -> Path:
    return project_root() / "data" / "archives" / dataset


def manifest(dataset: str) -> Path:
    return Path("data") / dataset / "archives.json"


def given_boxes(dataset: str) -> Path:
    return Path("data") / dataset / "given_boxes.json"


def given_weights(dataset: str) -> Path:
    return Path("data") / dataset / "given_weights.json"


def given(name: str) -> Path:
    """The place of a file that params.yaml names, relative to the project."""
    return project_root() / Path(name).expanduser()


def people(dataset: str) -> Path:
    return Path("data") / dataset / "people"


def targets(dataset: str, radius: float) -> Path:
    return Path("data") / dataset / "targets" / f"r{radius}"


def run(dataset: str, name: str) -> Path:
    return Path("runs") / dataset / name


def results(dataset: str, name: str) -> Path:
    return Path("results") / dataset / name


def evaluated(dataset: str, name: str) -> Path:
    """The place of what is measured once, and named nowhere in the parameters."""
    return Path("evaluated") / dataset / name


def complexity() -> Path:
    """What every network costs, counted."""
    return Path("data") / "complexity.json"


def benchmarks() -> Path:
    """What benchmarks measured, committed: a JSON file for each benchmark and machine."""
    return Path("benchmarks") / "results"


def checkpoints() -> Path:
    return project_root() / "checkpoints"


def progress(dataset: str, name: str) -> Path:
    """How far a training is, for people to look at while it goes on."""
    return project_root() / "build" / "progress" / dataset / f"{name}.json"


def mlflow_store() -> str:
    return f"sqlite:///{project_root() / 'mlflow.db'}"


def emptied(folder: Path) -> Path:
    """A folder made anew: what was there may be hard links into DVC's cache, which writing would spoil."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
