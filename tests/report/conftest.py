"""Results of runs as `evaluate` writes them, made of small random numbers through the real metrics."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.metrics import oks, pckh
from pipeline.params import Params, load
from pipeline.report.results import Results
from tests.conftest import write_params

PEOPLE = 60
INPUT = (128, 96)
# As many head sizes off, on average, as a joint of a run is; the guided network is the better one here.
ERROR = {"baseline": 0.30, 3: 0.24, 5: 0.20, 7: 0.22, 9: 0.27}


@pytest.fixture
def params(tmp_path):
    """Function of changed keys (report__resamples=9) -> Params, read from a file as every stage does."""
    return lambda **changes: make_params(tmp_path, **changes)


@pytest.fixture
def results(tmp_path):
    """Function of changed keys -> Results over runs written for them; `source` and `full_size` tell the data."""
    return lambda **changes: make_results(tmp_path, **changes)


@pytest.fixture(scope="module")
def results_once(tmp_path_factory):
    """As `results`, for what all of a module's tests only look at."""
    return lambda **changes: make_results(tmp_path_factory.mktemp("workspace"), **changes)


def make_params(folder: Path, **changes) -> Params:
    changes = {"report__resamples": 200} | changes
    return load(
        write_params(
            folder / "params.yaml", {key.replace("__", "."): value for key, value in changes.items()}
        )
    )


def make_results(
    folder: Path, source="demo", full_size=False, detections=False, errors=ERROR, **changes
) -> Results:
    found = make_params(folder, **changes)
    for run in found.runs():
        write_run(folder, run, found, source, full_size, detections, errors)
    return Results(found, folder)


def write_run(root: Path, run, params: Params, source, full_size, detections, errors) -> None:
    folder = root / paths.results(run.dataset, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    # One stream for all runs: networks err on the same people, as real ones do.
    rng = np.random.default_rng([run.seed, len(run.dataset)])
    error = errors["baseline" if run.radius is None else run.radius] + 0.02 * (run.ablation is not None)
    metrics = {
        "dataset": run.dataset,
        "run": run.name,
        "model": run.model,
        "radius": run.radius,
        "seed": run.seed,
        "ablation": run.ablation,
        "checkpoint": None,
        "input_size": list(params.input.size),
        "pretrained": Path(params.model.pretrained).name,
        "params": 28_573_237 if run.radius else 28_536_113,
        "gflops": 7.2297 if run.radius else 7.1186,
        "gmacs": 7.763 if run.radius else 7.645,
        "people": PEOPLE,
        "images": 40,
        "data": {"source": source, "full_size": full_size, "archives_sha256": "ab" * 12},
        "train_params": {"train": {"precision": params.train.precision}},
        "map_iou": None,
        "foreground": {split: {"foreground_share": run.radius / 50} for split in ("train", "val")}
        if run.radius
        else None,
    }
    if run.dataset == "coco":
        samples, metrics["coco"] = {}, {"ground_truth": None, "detected": None}
        for kind in ("ground_truth", "detected") if detections else ("ground_truth",):
            matches = {f"{kind}_{name}": value for name, value in _matches(rng, error).items()}
            samples |= matches
            metrics["coco"][kind] = oks.summarise(matches, kind)
    else:
        samples = _pckh_samples(rng, error, run.dataset)
        if run.radius:
            samples["map_iou"] = rng.beta(6, 4, (PEOPLE, 4)) - 0.1 * (run.ablation == "no_seg_loss")
            metrics["map_iou"] = samples["map_iou"].mean(0).tolist()
        metrics["pckh"] = pckh.summarise(samples, DATASETS[run.dataset].KEYPOINTS)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    np.savez(folder / "samples.npz", **samples)
    np.savez(folder / "examples.npz", **_examples(rng, run))
    (folder / "history.csv").write_text(_history(rng, run))


def _pckh_samples(rng, error, dataset) -> dict:
    count = DATASETS[dataset].KEYPOINTS.count
    # Some people are hard for every network, which is what pairing makes use of.
    hard = rng.lognormal(0, 0.8, (PEOPLE, 1))
    distance = (rng.gamma(2, 0.5, (PEOPLE, count)) * hard * error / 0.5).astype(np.float32)
    distance[rng.random(distance.shape) < 0.1] = np.nan
    return {"image_id": np.arange(PEOPLE) // 2, "person_id": np.arange(PEOPLE), "distance": distance}


def _matches(rng, error) -> dict:
    """One detection a person, found at each threshold that its random OKS reaches."""
    found = rng.random(PEOPLE) ** (2 * error)
    matched = found[None, None] > np.linspace(0.5, 0.95, 10)[None, :, None]
    medium = np.arange(PEOPLE) % 2 == 0
    ignored = np.stack([np.zeros(PEOPLE, bool), ~medium, medium])[:, None] & np.ones((3, 10, 1), bool)
    image = np.arange(PEOPLE) // 2
    people = np.stack([np.bincount(image, weight, 30) for weight in (medium | True, medium, ~medium)])
    return {
        "image_id": np.arange(30),
        "detection_image": image.astype(np.int32),
        "score": found + 0.1 * rng.random(PEOPLE),
        "matched": np.packbits(np.broadcast_to(matched, (3, 10, PEOPLE)), axis=-1),
        "ignored": np.packbits(ignored, axis=-1),
        "people": people.astype(np.int32),
    }


def _examples(rng, run) -> dict:
    count, (height, width) = DATASETS[run.dataset].KEYPOINTS.count, INPUT
    true = rng.uniform(10, 86, (5, count, 2)).astype(np.float32)
    arrays = {
        "input_BHW3": rng.integers(0, 255, (5, height, width, 3), np.uint8),
        "target_map_Bhw": rng.integers(0, 2, (5, height // 4, width // 4)).astype(np.uint8),
        "predicted_input_xy": true + 2,
        "score": rng.random((5, count), np.float32),
        "true_input_xy": true,
        "labelled": rng.random((5, count)) < 0.9,
        "person_id": np.arange(5),
    }
    if run.radius:
        arrays["maps_B4hw"] = rng.random((5, 4, height // 4, width // 4), np.float32)
    return arrays


def _history(rng, run) -> str:
    names = (
        "kind,epoch,step,lr,loss,loss_key,loss_seg,w_key,w_seg,r_key,r_seg,val_loss_key,val_loss_seg,"
        "iou_1,iou_2,iou_3,iou_4,accuracy"
    )
    guided = run.radius is not None and run.ablation != "bilinear_hrnet"
    lines = [names]
    for epoch in range(1, 7):
        for step in range(epoch * 20 - 15, epoch * 20 + 1, 5):
            key, seg = 0.002 * np.exp(-step / 60), 0.7 * np.exp(-step / 80)
            r = rng.uniform(0.9, 1.1, 2)
            w = 2 * np.exp(r) / np.exp(r).sum()
            guidance = f"{seg},{w[0]},{w[1]},{r[0]},{r[1]}" if guided else ",,,,"
            lines.append(f"step,{epoch},{step},0.001,{key},{key},{guidance},,,,,,,")
        ious = ",".join(f"{0.1 * n + 0.05 * epoch}" for n in (1, 2, 3, 4)) if guided else ",,,"
        val = f"{0.002 * np.exp(-epoch / 3)},{0.7 * np.exp(-epoch / 4)}" if guided else "0.001,"
        lines.append(f"epoch,{epoch},{epoch * 20},0.001,,,,,,,,{val},{ious},{50 + 5 * epoch}")
    return "\n".join(lines) + "\n"
