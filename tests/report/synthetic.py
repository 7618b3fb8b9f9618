"""Results of runs as `evaluate` writes them, made of small random numbers through the real metrics."""

import math
from pathlib import Path

import numpy as np

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.metrics.pckh import PCKh
from pipeline.params import Params, load
from pipeline.report import paper
from pipeline.report.results import Results
from pipeline.runs import Data, Evaluation, Machine, Record, Run, Settings, named_by
from tests.conftest import write_params

PEOPLE = 60
INPUT = (128, 96)
# As many head sizes off, on average, as a joint of a run is; the guided network is the better one here.
ERROR = {"baseline": 0.30, 3: 0.24, 5: 0.20, 7: 0.22, 9: 0.27, 1.5: 0.24, 2.5: 0.20, 4.5: 0.27}
# The paper's networks, of which none need be counted for claim 8, which takes seconds.
NETWORKS = {"guided": "sg_hrnet_w32", "baselines": ["hrnet_w32"], "input__size": [256, 192]}
# Its whole protocol.
PAPER = NETWORKS | {key.replace(".", "__"): value for key, value in paper.protocol().items()}
# With as many seeds as a verdict needs.
JUDGED = PAPER | {"seeds": [0, 1, 2]}


def make_params(folder: Path, **changes) -> Params:
    changes = {"report__resamples": 60} | changes
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return load(write_params(folder / "params.yaml", dotted))


def make_results(
    folder: Path, source="demo", full_size=False, detections=False, errors=ERROR, **changes
) -> Results:
    return write_results(folder, make_params(folder, **changes), source, full_size, detections, errors)


def write_results(
    folder: Path, params: Params, source="demo", full_size=False, detections=False, errors=ERROR
) -> Results:
    for run in named_by(params):
        write_evaluation(folder, run, params, source, full_size, detections, errors)
    return Results(params, folder)


def write_evaluation(root: Path, run: Run, params: Params, source, full_size, detections, errors) -> None:
    folder = root / paths.results(run.dataset, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    dataset, trained = DATASETS[run.dataset], run.checkpoint is None
    # A file of predictions, with numbers for one kind of box and no network.
    given = {each.name: each for each in params.predictions if each.dataset == run.dataset}.get(
        run.checkpoint
    )
    # One stream for all runs: networks err on the same people, as real ones do. A seed's luck is its run's own.
    rng = np.random.default_rng([0, len(run.dataset)])
    luck = np.random.default_rng([run.seed or 0, len(run.name)]).normal()
    error = errors["baseline" if run.radius is None else run.radius] + 0.02 * (run.ablation is not None)
    error *= 1 + 0.02 * luck
    scores, samples, map_iou = {}, {}, None
    for box in dataset.METRIC.boxes:
        scores[box] = None
        if (box != "detected" or detections) if given is None else box == given.box:
            made = (
                _pckh_samples(rng, error, run) if isinstance(dataset.METRIC, PCKh) else _matches(rng, error)
            )
            values = dataset.METRIC.summarise(made)
            scores[box] = {name: None if math.isnan(value) else value for name, value in values.items()}
            samples |= {f"{box}_{name}": array for name, array in made.items()}
    if run.guided:
        ious = rng.beta(6, 4, (PEOPLE, 4)) - 0.1 * (not run.variant.supervised)
        map_iou = ious.mean(0).tolist()
        samples |= {f"map_{name}": array for name, array in _maps(rng, ious).items()}
    record = Record(
        run=run,
        joints=dataset.KEYPOINTS.count,
        settings=None if given else Settings.of(params, guided=run.radius is not None, trained=trained),
        data=Data(source=source, people_sha256="cd" * 32, archives_sha256="ab" * 32),
        first_weights={"none": "none", "imagenet": "ImageNet: 1,954 tensors of w32.pth, 2 started anew"}.get(
            params.model.pretrained, f"9 tensors of {Path(params.model.pretrained).name}, 2 started anew"
        ),
        machine=Machine(ranks=1, device="cpu", kernels="avx2", torch="2.13.0", compiled="eager")
        if trained
        else None,
    )
    evaluation = Evaluation(
        record=record,
        scores=scores,
        params=None if given else 28_573_237 if run.radius else 28_536_113,
        gflops=None if given else 7.2297 if run.radius else 7.1186,
        gmacs=None if given else 7.763 if run.radius else 7.645,
        people=PEOPLE,
        images=PEOPLE // 2,
        full_size=full_size,
        missing_people=0,
        map_iou=map_iou,
        foreground_share=run.radius / 50 if run.guided else None,
    )
    evaluation.save(folder / "metrics.json")
    np.savez(folder / "samples.npz", **samples)
    if given is None:
        np.savez(folder / "examples.npz", **_examples(rng, run))
    if trained:
        (folder / "history.csv").write_text(_history(rng, run))


def _pckh_samples(rng, error, run: Run) -> dict:
    count = DATASETS[run.dataset].KEYPOINTS.count
    # Some people are hard for every network, which is what pairing makes use of.
    hard = rng.lognormal(0, 0.8, (PEOPLE, 1))
    distance = (rng.gamma(2, 0.5, (PEOPLE, count)) * hard * error / 0.5).astype(np.float32)
    distance[rng.random(distance.shape) < 0.1] = np.nan
    return {"image_id": np.arange(PEOPLE) // 2, "person_id": np.arange(PEOPLE), "distance": distance}


def _matches(rng, error) -> dict:
    """One detection a person, found at each threshold that its random OKS reaches."""
    similarity = rng.random(PEOPLE) ** (2 * error)
    matched = similarity[None, None] > np.linspace(0.5, 0.95, 10)[None, :, None]
    medium = np.arange(PEOPLE) % 2 == 0
    ignored = np.stack([np.zeros(PEOPLE, bool), ~medium, medium])[:, None] & np.ones((3, 10, 1), bool)
    image = np.arange(PEOPLE) // 2
    people = np.stack([np.bincount(image, weight, 30) for weight in (medium | True, medium, ~medium)])
    return {
        "image_id": np.arange(30),
        "detection_image": image.astype(np.int32),
        "score": similarity + 0.1 * rng.random(PEOPLE),
        "matched": np.packbits(np.broadcast_to(matched, (3, 10, PEOPLE)), axis=-1),
        "ignored": np.packbits(ignored, axis=-1),
        "people": people.astype(np.int32),
    }


def _maps(rng, iou) -> dict:
    """As evaluation.score.of_maps; two people in every third image are near each other."""
    return {
        "image_id": np.arange(PEOPLE) // 2,
        "iou": iou,
        "iou_best": iou + 0.05,
        "auroc": np.clip(iou + 0.2, 0, 1),
        "inside": 0.4 + iou / 3,
        "clutter": rng.random(PEOPLE),
        "others": np.arange(PEOPLE) // 2 % 3 == 0,
    }


def _examples(rng, run: Run) -> dict:
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
    if run.guided:
        arrays["maps_B4hw"] = rng.random((5, 4, height // 4, width // 4), np.float32)
    return arrays


def _history(rng, run: Run) -> str:
    names = (
        "kind,epoch,step,lr,loss,loss_key,loss_seg,w_key,w_seg,r_key,r_seg,val_loss_key,val_loss_seg,"
        "iou_1,iou_2,iou_3,iou_4,accuracy"
    )
    lines = [names]
    for epoch in range(1, 7):
        for step in range(epoch * 20 - 15, epoch * 20 + 1, 5):
            key, seg = 0.002 * np.exp(-step / 60), 0.7 * np.exp(-step / 80)
            r = rng.uniform(0.9, 1.1, 2)
            w = 2 * np.exp(r) / np.exp(r).sum()
            guidance = f"{seg},{w[0]},{w[1]},{r[0]},{r[1]}" if run.guided else ",,,,"
            lines.append(f"step,{epoch},{step},0.001,{key},{key},{guidance},,,,,,,")
        ious = ",".join(f"{0.1 * n + 0.05 * epoch}" for n in (1, 2, 3, 4)) if run.guided else ",,,"
        val = f"{0.002 * np.exp(-epoch / 3)},{0.7 * np.exp(-epoch / 4)}" if run.guided else "0.001,"
        lines.append(f"epoch,{epoch},{epoch * 20},0.001,,,,,,,,{val},{ious},{50 + 5 * epoch}")
    return "\n".join(lines) + "\n"
