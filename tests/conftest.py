"""Fixtures that several test modules share."""

import json
from pathlib import Path

import pytest
import yaml

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


def write_run(folder: Path, dataset: str, model: str, radius: int | None, settings: dict) -> Path:
    """A run of random weights, as the stage train leaves it."""
    # Not at the top: most tests need no torch.
    import torch

    from pipeline.datasets import DATASETS
    from pipeline.evaluation import inference

    run = {
        "dataset": dataset, "run": folder.name, "model": model, "radius": radius, "seed": 0, "ablation": None,
        "joints": DATASETS[dataset].KEYPOINTS.count, "pretrained": "none", "data": {"source": "demo"}, "params": settings,
    }  # fmt: skip
    network, _ = inference.build(run)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter, generator=generator)
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "weights.pt")
    (folder / "run.json").write_text(json.dumps(run))
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real archives and official outputs beside the checkout; tests that need them skip without them."""
    folder = ROOT.parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("the folder ../shared with the official outputs is not here")
    return folder
