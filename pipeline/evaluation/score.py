"""Predictions of a network, scored under each kind of person box that its dataset's metric knows."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files, loader
from pipeline.datasets import DATASETS
from pipeline.evaluation import attention
from pipeline.evaluation.inference import Inference, Predictions
from pipeline.metrics import Array, Rules, Scored
from pipeline.people import People


@dataclass(frozen=True)
class Boxes:
    """People under one kind of box, what was predicted for them, and the boxes' scores (N,)."""

    people: People
    predictions: Predictions
    box_score: Array


def detected(inference: Inference, dataset: str, file: Path, folder: Path, images: loader.Images) -> Boxes:
    """The people in a detector's file; folder: that of the stage `prepare`. Raises LabelError for another file."""
    read = DATASETS[dataset].DETECTIONS
    if read is None:
        raise ValueError(f"evaluate.detections: {dataset} is not measured with detected boxes")
    annotations = files.read_json(folder / "val_annotations.json")
    people, box_score = read(file, annotations, inference.input.size)
    return Boxes(people, inference.predict(people, images), box_score)


def score(dataset: str, boxes: dict[str, Boxes], folder: Path, rules: Rules) -> dict[str, Scored]:
    """Each kind of box, scored apart; folder: that of the stage `prepare`."""
    metric, scored = DATASETS[dataset].METRIC, {}
    for kind, each in boxes.items():
        people, image_xy = each.people, each.predictions.image_xy
        one = metric.score(people, image_xy, each.predictions.score, each.box_score, folder, rules)
        scored[kind] = replace(one, samples=one.samples | metric.mirror_samples(people, image_xy))
    return scored


def samples(scored: dict[str, Scored], maps: dict[str, Array]) -> dict[str, Array]:
    """What the bootstrap needs: the samples of each kind of box, prefixed by it, and those `of_maps`."""
    arrays = {
        f"{kind}_{name}": array for kind, each in scored.items() for name, array in each.samples.items()
    }
    return arrays | {f"map_{name}": array for name, array in maps.items()}


def of_maps(
    people: People, predictions: Predictions, size: tuple[int, int], folder: Path
) -> dict[str, Array]:
    """What was measured of the maps of N people in crops of a size, and of what is around them: image_id (N,), iou
    (N, 4) and the rest of `Attention`, others (N,) whether another person is near. Empty without maps. folder: that of
    the stage `prepare`."""
    if predictions.map_iou is None:
        return {}
    arrays: dict[str, Array] = {"image_id": people.image_id, "iou": predictions.map_iou.astype(np.float32)}
    if predictions.attention is not None:
        found = predictions.attention
        arrays |= {f.name: getattr(found, f.name).astype(np.float32) for f in fields(found)}
    return arrays | {"others": attention.others_near(people, size, attention.bystanders(folder))}


def columns(dataset: str, scored: dict[str, Scored]) -> dict[str, dict[str, float | None] | None]:
    """The metric's values by kind of box, for metrics.json: nan is None, as is a kind that was not measured."""
    return {
        kind: {name: None if np.isnan(value) else value for name, value in scored[kind].values.items()}
        if kind in scored
        else None
        for kind in DATASETS[dataset].METRIC.boxes
    }


def predictions(
    dataset: str, boxes: dict[str, Boxes], scored: dict[str, Scored]
) -> Iterator[tuple[str, list[dict[str, Any]] | bytes]]:
    """The files of predictions by name: COCO's results of each kind of box, and the dataset's own form."""
    labelled = DATASETS[dataset].METRIC.boxes[0]
    for kind, each in scored.items():
        yield ("predictions.json" if kind == labelled else f"predictions_{kind}.json"), each.results
    if export := DATASETS[dataset].EXPORT:
        yield from export(boxes[labelled].people, boxes[labelled].predictions.image_xy).items()
