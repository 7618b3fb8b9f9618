"""Label files and predictions: what reads them, valid ones, and ways to spoil a MATLAB file."""

import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import runs
from pipeline.datasets import apart, matlab
from pipeline.datasets.formats import coco, lspet, mpii
from pipeline.datasets.store import MAX_LABELS, FolderPart, ImageStore
from pipeline.people import People, crop_of_box, table
from pipeline.predicted import labels, measuring
from tests.datasets import archives

SIZE = (128, 96)


def store(path: Path, name: str, **others: bytes) -> ImageStore:
    """Label files by the names that the datasets give them: the one of `path`, and valid others beside it."""
    names = {name: path.name}
    for index, (other, data) in enumerate(others.items()):
        names[other] = f"other-{index}"
        (path.parent / names[other]).write_bytes(data)
    return ImageStore([FolderPart(path.parent, MAX_LABELS, names=names)])


def read_coco(path: Path) -> None:
    val = archives.coco_labels([9], [archives.coco_annotation(99, 9)])
    # The official name is long, and the message has it; here the file is called as that.
    coco.people(store(path, coco.LABELS["train"], **{coco.LABELS["val"]: val}), SIZE)


def valid_coco() -> list[bytes]:
    people = [archives.coco_annotation(n, 1 + n % 2, joints=n % 18) for n in range(1, 5)]
    return [archives.coco_labels([1, 2], people), archives.coco_labels([1, 2, 3], people[:1])]


def read_detections(path: Path) -> None:
    coco.load_detections(path, {"images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}]}, SIZE)


def valid_detections() -> list[bytes]:
    rows = [{"image_id": 1, "category_id": 1, "bbox": [1.5, 2, 30, 20], "score": 0.5}] * 3
    return [json.dumps(rows).encode()]


def read_mpii(path: Path) -> None:
    others = {mpii.VALIDATION: archives.mpii_detections([(2, 1)])}
    apart.parse(lambda: mpii.people(store(path, mpii.RELEASE, **others), SIZE), [path])


def valid_mpii() -> list[bytes]:
    joints = {k: (10.0 + k, 20 + k, k % 2) for k in range(16)}
    person = archives.mpii_person(joints)
    return [
        archives.mpii_release([("a.jpg", 1, [person, archives.mpii_person(None)]), ("b.jpg", 1, [person])]),
        archives.mpii_release([("a.jpg", 0, []), ("b.jpg", 1, [archives.mpii_person({0: (1, 1, "0")})])]),
    ]


def mat_(valid: list[bytes], rng: random.Random) -> bytes:
    """A MATLAB file in which variables are of other kinds and shapes."""
    variables = matlab.load(rng.choice(valid), "valid.mat", (), "valid")
    variables = {name: value for name, value in variables.items() if not name.startswith("__")}
    name = rng.choice(list(variables))
    variables[name] = _other_array(variables[name], rng)
    file = io.BytesIO()
    archives.savemat(file, variables)
    return file.getvalue()


def _other_array(value: Any, rng: random.Random) -> Any:
    value = np.array(value, copy=True)
    if value.dtype.names and value.size and rng.random() < 0.85:
        place = tuple(rng.randrange(side) for side in value.shape)
        field = rng.choice(value.dtype.names)
        value[field][place] = _other_array(value[field][place], rng)
        return value
    choices: list[Any] = [
        np.zeros((0, 0)), np.array([[np.nan]]), np.array([[np.inf, 1]]), np.array([["text"]]), np.array([[1 + 2j]]),
        np.array([[-1]]), np.array([[2**62]]), np.array([[1e300]]), np.zeros((2, 3, 4)), np.array([[True]]),
        archives.struct_array([{"x": 1}], ("x",)), archives.struct_array([], ("x", "y")),
    ]  # fmt: skip
    if value.dtype.kind in "fiu" and value.size:
        changed = value.astype(float)
        changed.flat[rng.randrange(value.size)] = rng.choice((np.nan, np.inf, -1, 1e308, 3, 0.5, 2.0**40))
        choices += [changed, value.T, value.reshape(-1)[:-1], value.astype(str), value[None]] * 2
    return rng.choice(choices)


def read_validation(path: Path) -> None:
    release = archives.mpii_release([("a.jpg", 1, [archives.mpii_person({0: (1, 1, 1)})] * 2)] * 1)
    others = {mpii.RELEASE: release}
    apart.parse(lambda: mpii.people(store(path, mpii.VALIDATION, **others), SIZE), [path])


def read_validation_labels(path: Path) -> None:
    # From this file alone, which a person names.
    apart.parse(lambda: mpii.validation_people(path.read_bytes()), [path])


def valid_validation_labels() -> list[bytes]:
    person = archives.mpii_person({k: (10.0 + k, 20 + k, k % 2) for k in range(16)})
    rows = [{"annorect": archives.struct_array([person], archives.PERSON_FIELDS)}] * 2
    return [
        archives.mat(
            annolist=archives.struct_array(rows, ("annorect",)),
            RELEASE_img_index=np.array([[3.0, 5.0]]), RELEASE_person_index=np.array([[1, 2]]),
        )
    ]  # fmt: skip


def read_lspet(path: Path) -> None:
    apart.parse(lambda: lspet.people(store(path, lspet.JOINTS), SIZE), [path])


def valid_validation() -> list[bytes]:
    return [archives.mpii_detections([(1, 1)])]


def valid_lspet() -> list[bytes]:
    return [archives.mat(joints=archives.lspet_joints())]


@cache
def mpii_people() -> People:
    rng, count = np.random.default_rng(0), 3
    box = np.column_stack([rng.uniform(0, 50, (count, 2)), rng.uniform(80, 99, (count, 2))])
    center, scale = crop_of_box(box, SIZE)
    joints = box[:, None, :2] + rng.uniform(0, 1, (count, 16, 2)) * box[:, None, 2:]
    return table(
        "mpii", "val", [f"{i}.jpg" for i in range(count)], image_id=np.arange(count) + 1,
        person_id=(np.arange(count) + 1) * 1000 + 1, box=box, center=center, scale=scale, joints=joints,
        labelled=np.ones((count, 16)), visible=np.ones((count, 16)), head_size=np.full(count, 20.0),
        area=box[:, 2] ** 2,
    )  # fmt: skip


def read_predictions(path: Path) -> None:
    people = mpii_people()
    true = labels.Labels(
        people=people, order=people.person_id, folder=path.parent, full_size=False, missing_people=0,
        data=runs.Data(source="demo", people_sha256=None, archives_sha256=""),
    )  # fmt: skip
    file = measuring.File(path, "theirs", "mpii", "label", "none")
    measuring.score_rows(file, true, measuring.read_rows(file))


def valid_mat_predictions() -> list[bytes]:
    people = mpii_people()
    return list(mpii.export(people, people.joints).values())


def valid_h5_predictions() -> list[bytes]:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["preds"] = mpii_people().joints + 1
    return [file.getvalue()]
