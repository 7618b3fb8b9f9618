"""Predictions made elsewhere, measured on a dataset's validation people as every other row is. Without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files
from pipeline.arrays import Array
from pipeline.datasets import DATASETS, apart
from pipeline.datasets.elsewhere import Predictions
from pipeline.metrics import Rules, Scored, bootstrap
from pipeline.metrics.oks import OKS
from pipeline.metrics.pckh import PCKh
from pipeline.params import Data
from pipeline.people import People
from pipeline.predicted import labels, recognition
from pipeline.predicted.labels import Labels
from pipeline.runs import Evaluation, Record, Run


@dataclass(frozen=True)
class File:
    """A file of predictions, its name, and for which dataset and kind of box; model: by which network, or none."""

    path: Path
    name: str
    dataset: str
    box: str
    model: str


def measure(file: File, data: Data) -> tuple[Evaluation, dict[str, Array]]:
    """What metrics.json and samples.npz hold of a file; raises ValueError, one sentence, for what it cannot be."""
    if not file.path.is_file():
        raise ValueError(f"there is no file {file.path} to take predictions from")
    module = DATASETS[file.dataset]
    if module.PREDICTIONS is None and not isinstance(module.METRIC, OKS):
        raise ValueError(f"{file.path}: {file.dataset} takes no files of predictions")
    of_results = isinstance(module.METRIC, OKS) and file.path.suffix.lower() == ".json"
    given = None if of_results else read_rows(file)
    true = labels.read(file.dataset, data, file.path, None if given is None else len(given.image_xy))
    scored = _results(file, true) if given is None else score_rows(file, true, given)
    values = {name: None if np.isnan(value) else value for name, value in scored.values.items()}
    evaluation = Evaluation(
        record=Record(
            run=Run(
                dataset=file.dataset,
                model="" if file.model == "none" else file.model,
                radius=None,
                seed=None,
                ablation=None,
                checkpoint=file.name,
            ),
            joints=module.KEYPOINTS.count,
            settings=None,
            data=true.data,
            first_weights=f"predictions of {file.path.name}, sha256 {files.sha256(file.path)[:12]}",
            machine=None,
        ),
        scores={kind: values if kind == file.box else None for kind in module.METRIC.boxes},
        params=None,
        gflops=None,
        gmacs=None,
        people=len(true.people),
        images=len(np.unique(true.people.image_id)),
        full_size=true.full_size,
        missing_people=true.missing_people,
        map_iou=None,
        foreground_share=None,
    )
    samples = {f"{file.box}_{name}": array for name, array in scored.samples.items()}
    return evaluation, samples | bootstrap.clusters(true.folder)


def read_rows(file: File) -> Predictions:
    """A person a row, in a form of the dataset's own."""
    own = DATASETS[file.dataset].PREDICTIONS
    if own is None:
        raise ValueError(f"{file.path}: {file.dataset} takes COCO's results, a file that ends in .json")
    apart.parse(lambda: own.read(file.path), [file.path])
    return own.read(file.path)


def score_rows(file: File, true: Labels, given: Predictions) -> Scored:
    """What `read_rows` gives, on the people whom it is of."""
    module, people = DATASETS[file.dataset], true.people
    shape, joints = given.image_xy.shape, module.KEYPOINTS.count
    if shape[1:] != (joints, 2):
        raise ValueError(
            f"{file.path} holds {shape[1]} joints for each person, and {module.TITLE} has {joints}"
        )
    whose = true.order if given.person_id is None else given.person_id
    assert whose is not None, "a dataset with such files has labels in their order"
    if len(whose) != shape[0]:
        raise ValueError(
            f"{file.path} holds predictions for {shape[0]} people, and the validation split has {len(whose)}"
            + labels.of_demo(file.dataset, true)
        )
    row = {person: index for index, person in enumerate(whose.tolist())}
    absent = [person for person in people.person_id.tolist() if person not in row]
    if absent or len(row) < len(whose):
        what = f"none for person {absent[0]}" if absent else "several for one person"
        raise ValueError(f"{file.path} holds {what} of the {len(people)} validation people")
    image_xy = given.image_xy[[row[person] for person in people.person_id.tolist()]]
    _check_numbers(image_xy, file)
    if unknown := recognition.check(image_xy, people, module.KEYPOINTS, file.path.name, exact=True):
        print(unknown, flush=True)
    score, box_score = np.ones(image_xy.shape[:2]), np.ones(len(people))
    scored = module.METRIC.score(people, image_xy, score, box_score, true.folder, Rules())
    return replace(scored, samples=scored.samples | module.METRIC.mirror_samples(people, image_xy))


def _check_numbers(image_xy: Array, file: File) -> None:
    """Raise ValueError where a joint that counts is not predicted for everybody; others may be absent."""
    known = np.asarray(np.isfinite(image_xy).all(-1))
    module = DATASETS[file.dataset]
    counts = module.METRIC.mean if isinstance(module.METRIC, PCKh) else range(module.KEYPOINTS.count)
    share = known.mean(0).tolist()
    missing = [joint for joint, part in enumerate(share) if part < 1 and (part > 0 or joint in counts)]
    if missing:
        names, joint = module.KEYPOINTS.names, missing[0]
        row = int(known[:, joint].argmin())
        raise ValueError(f"{file.path} has no number for the {names[joint]} of its person {row + 1}")


def _results(file: File, true: Labels) -> Scored:
    """COCO's results format, scored as it is: whoever made it has rescored and suppressed."""
    module, people = DATASETS[file.dataset], true.people
    if not isinstance(module.METRIC, OKS):
        raise ValueError(f"{file.path}: {file.dataset} takes no results of COCO's format")
    results = _read_results(file.path, module.KEYPOINTS.count)
    image_id = np.array([person["image_id"] for person in results])
    known = {image["id"] for image in files.read_json(true.folder / "val_annotations.json")["images"]}
    if strange := set(image_id.tolist()) - known:
        raise ValueError(
            f"{file.path} has predictions for image {min(strange)}, which is none of the {len(known)} of "
            f"{file.dataset}'s validation split"
        )
    image_xy = np.array([person["keypoints"] for person in results], float).reshape(len(results), -1, 3)[
        ..., :2
    ]
    at = _nearest(image_xy, image_id, people)
    rows = np.flatnonzero(at >= 0)
    if not len(rows):
        raise ValueError(f"{file.path} has predictions for nobody's image of the {len(people)} people")
    recognition.check(image_xy[at[rows]], people.select(rows), module.KEYPOINTS, file.path.name, exact=False)
    return module.METRIC.score_results(results, true.folder)


def _read_results(path: Path, joints: int) -> list[dict[str, Any]]:
    """COCO's results; raises ValueError for anything else."""
    try:
        results = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error})") from None
    if not isinstance(results, list) or not results:
        raise ValueError(f"{path} holds no list of results, as COCO's format is")
    for number, person in enumerate(results):
        if not _is_result(person, joints):
            raise ValueError(
                f"{path}: its person {number + 1} must have an image_id, a category_id, a score and "
                f"{joints} keypoints of three finite numbers each"
            )
    return results


def _is_result(person: object, joints: int) -> bool:
    if (
        not isinstance(person, Mapping)
        or not {"image_id", "category_id", "keypoints", "score"} <= person.keys()
    ):
        return False
    numbers = person["keypoints"]
    if type(person["image_id"]) is not int or not isinstance(numbers, list) or len(numbers) != 3 * joints:
        return False
    values = [*numbers, person["score"]]
    return all(type(value) in (int, float) and np.isfinite(value) for value in values)


def _nearest(image_xy: Array, image_id: Array, people: People) -> Array:
    """For each of the people (N,) the row of the predictions in the same image that is about there; -1: none."""
    at = np.full(len(people), -1)
    middle = image_xy.mean(1)
    true = (people.joints * people.labelled[..., None]).sum(1) / np.maximum(people.labelled.sum(1), 1)[
        :, None
    ]
    order = np.argsort(image_id, kind="stable")
    starts = np.searchsorted(image_id[order], people.image_id, "left")
    ends = np.searchsorted(image_id[order], people.image_id, "right")
    for person, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if end > start and people.labelled[person].any():
            rows = order[start:end]
            at[person] = rows[np.linalg.norm(middle[rows] - true[person], axis=-1).argmin()]
    return at
