"""Fixtures that several test modules share."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from pipeline import params, paths, runs
from pipeline.datasets import DATASETS

ROOT = Path(__file__).resolve().parent.parent


def write_params(path: Path, changes: dict) -> Path:
    """Write the demo's parameters with other values at dotted keys."""
    raw = yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())
    for key, value in changes.items():
        *groups, last = key.split(".")
        group = raw
        for name in groups:
            group = group[name]
        group[last] = value
    path.write_text(yaml.safe_dump(raw))
    return path


class Pictures:
    """An image store of smooth noise in memory: a picture for each name, of (height, width)."""

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.data: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        if name not in self.data:
            noise = np.random.default_rng([*name.encode()]).integers(0, 256, (*self.size, 3), np.uint8)
            image = cv2.GaussianBlur(noise, (0, 0), 4)
            self.draw(name, image)
        return self.data[name]

    def draw(self, name: str, image_HW3: np.ndarray) -> None:
        """Put a picture, in OpenCV's order of the channels, in the place of the noise."""
        self.data[name] = cv2.imencode(Path(name).suffix, image_HW3)[1].tobytes()


def write_run(folder: Path, dataset: str, model: str, radius: int | None, p: params.Params) -> Path:
    """A run of random weights, as the stage train leaves it."""
    # Not at the top: most tests need no torch.
    import torch

    from pipeline import tensors
    from pipeline.evaluation import inference

    record = runs.Record(
        run=runs.Run(dataset=dataset, model=model, radius=radius, seed=0, ablation=None),
        joints=DATASETS[dataset].KEYPOINTS.count,
        settings=runs.Settings.of(p, guided=radius is not None),
        data=runs.Data(source="demo", people_sha256="0" * 64, archives_sha256="0" * 24),
        first_weights="none",
        machine=runs.Machine(ranks=1, device="cpu", kernels="avx2", torch="2.13.0", compiled="eager"),
    )
    network = inference.build(record)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter, generator=generator)
    folder.mkdir(parents=True)
    (folder / paths.WEIGHTS).write_bytes(tensors.pack(network.state_dict()))
    record.save(folder / "run.json")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A workspace as `dvc repro` leaves it, which no test may spoil."""
    from tests import finished

    return finished.finished(tmp_path_factory.mktemp("finished") / "workspace")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """MLflow's store as it is created, which takes seconds."""
    # Not at the top: few tests need it.
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments(max_results=1)
    return file


@pytest.fixture
def project(tmp_path, monkeypatch, empty_store) -> Path:
    """An empty project, the current folder, with the profiles and with a store of its own for MLflow."""
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for key in ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME", "DVC_STAGE"):
        monkeypatch.delenv(key, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real archives and official outputs beside the checkout; tests that need them skip without them."""
    folder = ROOT.parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("the folder ../shared with the official outputs is not here")
    return folder
