"""A dataset is one module and one entry: one of each metric, added to a copy of the project, goes the whole line."""

import pandas as pd
import pytest

from tests.conftest import write_params
from tests.datasets.archives import write_archives
from tests.datasets.test_adding import content
from tests.project import copy, dvc

MODULE = '''
"""Dancers: the joints of two people an image, the last three images for validation."""

import json

import numpy as np

from pipeline.datasets.archive import Archive
from pipeline.keypoints import Keypoints
from pipeline.metrics.{file} import {metric}
from pipeline.people import Split, crop_of_box, table

TITLE = "Dancers ({file})"
PEOPLE = (12, 6)
KEYPOINTS = Keypoints(
    names=("head", "left_hand", "right_hand", "left_foot", "right_foot"),
    flip_pairs=((1, 2), (3, 4)),
    skeleton=((0, 1), (0, 2), (1, 3), (2, 4)),
)
METRIC = {metric}(KEYPOINTS, {columns})
ARCHIVES = (
    Archive("dancers.zip", "https://example.org/d.zip", size=1000, files=("labels.json",), folder="images"),
)
SQUARE_CROPS = False
LABELLED_IMAGES = None
DETECTIONS = None
EXPORT = None


def people(labels, input_size):
    joints = np.array(json.loads(labels.read("labels.json")))
    splits = dict()
    for split, images in (("train", np.arange(6)), ("val", np.arange(6, 9))):
        mine, image_id = joints[images].reshape(-1, 5, 2), images.repeat(2)
        low, high = mine.min(1), mine.max(1)
        box = np.hstack([low, high - low])
        center, scale = crop_of_box(box, input_size)
        rows = table(
            "dancers_{file}", split, [f"{{i}}.jpg" for i in image_id], image_id=image_id,
            person_id=np.arange(len(mine)) + 2 * images[0], box=box, center=center, scale=scale, joints=mine,
            labelled=np.ones(mine.shape[:2]), visible=np.ones(mine.shape[:2]),
            head_size=np.full(len(mine), 20), area=box[:, 2] * box[:, 3],
        )
        annotations = [
            dict(
                id=i + 1, image_id=int(image_id[i]), category_id=1, iscrowd=0, num_keypoints=5,
                area=float(rows.area[i]), bbox=box[i].tolist(),
                keypoints=np.column_stack([mine[i], np.full(5, 2)]).ravel().tolist(),
            )
            for i in range(len(mine))
        ]
        evaluation = dict(
            images=[dict(id=int(i)) for i in images], annotations=annotations,
            categories=[dict(id=1, name="person")],
        )
        ids = {{f"{{i}}.jpg": int(i) for i in images}}
        splits[split] = Split(rows, dict(), None, evaluation if split == "val" else None, ids)
    return splits
'''.lstrip()
METRICS = {
    "pckh": {"metric": "PCKh", "columns": 'groups={"Head": (0,), "Hands": (1, 2), "Feet": (3, 4)}'},
    "oks": {"metric": "OKS", "columns": "sigmas=(0.03, 0.06, 0.06, 0.09, 0.09)"},
}
ADDED = [f"dancers_{file}" for file in METRICS]


@pytest.mark.slow
def test_a_dataset_is_one_module_and_one_entry(tmp_path):
    folder = copy(tmp_path / "project", "benchmarks")
    for file, values in METRICS.items():
        module = MODULE.format(file=file, **values)
        (folder / f"pipeline/datasets/formats/dancers_{file}.py").write_text(module)
    table = folder / "pipeline/datasets/__init__.py"
    text = table.read_text()
    assert '{"mpii": mpii,' in text and "import coco, lspet, mpii" in text
    entries = "".join(f'"{name}": {name}, ' for name in ADDED)
    table.write_text(
        text.replace('{"mpii": mpii,', f'{{{entries}"mpii": mpii,').replace(
            "import coco, lspet, mpii", f"import coco, {', '.join(ADDED)}, lspet, mpii"
        )
    )
    for name in ADDED:
        write_archives(folder / "mine" / name, content())
    write_params(
        folder / "params.yaml",
        {
            "profile": "mirror", "datasets": ADDED, "radius_sweep": [], "radius_only": [*ADDED],
            "data.source": "mine", "train.epochs": 2, "train.batch_size": 6, "train.lr_drops": [1],
            "train.log_every": 1, "model.small.width": 4, "model.small.stem": 8, "report.resamples": 50,
            "compute.device": "cpu",
        },
    )  # fmt: skip
    dvc(folder, "init", "--no-scm", "-q")
    dvc(folder, "repro")
    page = (folder / "reports" / "index.html").read_text()
    for name, title in zip(ADDED, METRICS, strict=True):
        rows = pd.read_csv(folder / "reports" / f"{name}.csv")
        assert (rows.row == "measured").sum() >= 2
        assert f"Dancers ({title})" in page
