"""A dataset is one module and one entry: one of each metric is added here and taken from archive to score."""

import io
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.datasets import DATASETS, sources
from pipeline.datasets.archive import Archive
from pipeline.datasets.prepare import prepare
from pipeline.keypoints import Keypoints
from pipeline.metrics import Rules, bootstrap
from pipeline.metrics.oks import OKS
from pipeline.metrics.pckh import PCKh
from pipeline.people import People, Split, crop_of_box, table
from tests.datasets.archives import data, jpeg, write_archives, zip_bytes

SIZE = (128, 96)
LIMBS = Keypoints(
    names=("head", "left_hand", "right_hand", "left_foot", "right_foot"),
    flip_pairs=((1, 2), (3, 4)),
    skeleton=((0, 1), (0, 2), (1, 3), (2, 4)),
)
PCKH = PCKh(LIMBS, groups={"Head": (0,), "Hands": (1, 2), "Feet": (3, 4)})
SIMILARITY = OKS(LIMBS, sigmas=(0.03, 0.06, 0.06, 0.09, 0.09))


def content() -> dict[str, bytes]:
    """The archive: nine images of two people each, the last three of validation."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, 60, (9, 2, 1, 2))
    joints = (corners + random.uniform(0, 90, (9, 2, 5, 2))).round(1)
    images = {f"dancers/images/{i}.jpg": jpeg(160, 160, seed=i) for i in range(9)}
    return {"dancers.zip": zip_bytes({"dancers/labels.json": json.dumps(joints.tolist()).encode()} | images)}


def people(labels, input_size) -> dict[str, Split]:
    joints = np.array(json.loads(labels.read("labels.json")))
    splits = {}
    for split, images in (("train", np.arange(6)), ("val", np.arange(6, 9))):
        mine = joints[images].reshape(-1, 5, 2)
        image_id = images.repeat(2)
        low, high = mine.min(1), mine.max(1)
        box = np.hstack([low, high - low])
        center, scale = crop_of_box(box, input_size)
        rows = table(
            "dancers", split, [f"{i}.jpg" for i in image_id], image_id=image_id,
            person_id=np.arange(len(mine)) + 2 * images[0], box=box, center=center, scale=scale, joints=mine,
            labelled=np.ones(mine.shape[:2]), visible=np.ones(mine.shape[:2]),
            head_size=np.full(len(mine), 20), area=box[:, 2] * box[:, 3],
        )  # fmt: skip
        evaluation = {
            "images": [{"id": int(i)} for i in images],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [
                {
                    "id": i + 1, "image_id": int(image_id[i]), "category_id": 1, "iscrowd": 0, "num_keypoints": 5,
                    "area": float(rows.area[i]), "bbox": box[i].tolist(),
                    "keypoints": np.column_stack([mine[i], np.full(5, 2)]).ravel().tolist(),
                }
                for i in range(len(mine))
            ],
        }  # fmt: skip
        image_ids = {f"{i}.jpg": int(i) for i in images}
        splits[split] = Split(rows, {}, None, evaluation if split == "val" else None, image_ids)
    return splits


@pytest.fixture(params=[PCKH, SIMILARITY], ids=["PCKh", "OKS"])
def dancers(request, monkeypatch):
    module = SimpleNamespace(
        TITLE="Dancers",
        PEOPLE=(12, 6),
        KEYPOINTS=LIMBS,
        METRIC=request.param,
        ARCHIVES=(
            Archive("dancers.zip", "https://example.org/d.zip", size=1000, files=("labels.json",), folder="images"),
        ),
        SQUARE_CROPS=False,
        people=people,
        LABELLED_IMAGES=None,
        DETECTIONS=None,
        EXPORT=None,
    )  # fmt: skip
    monkeypatch.setitem(DATASETS, "dancers", module)
    return module


@pytest.fixture
def prepared(dancers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_archives(tmp_path / "mine", content())
    manifest = sources.fetch("dancers", data(folder), tmp_path)
    assert [row["name"] for row in manifest["archives"]] == ["dancers.zip"]
    summary = prepare("dancers", data(folder), SIZE, tmp_path, tmp_path / "people")
    assert summary["full_size"] and summary["splits"]["val"]["people"] == 6
    return tmp_path / "people"


def test_its_people_are_tables_and_its_images_are_read(dancers, prepared):
    train, val = (People.load(prepared / f"{split}.npz") for split in ("train", "val"))
    assert (len(train), len(val), train.joints.shape) == (12, 6, (12, 5, 2))
    assert val.images.tolist() == ["6.jpg", "7.jpg", "8.jpg"]
    assert LIMBS.flip_order.tolist() == [0, 2, 1, 4, 3]
    assert (prepared / "val_annotations.json").exists() and not (prepared / "train_annotations.json").exists()


def test_its_metric_scores_resamples_and_takes_apart(dancers, prepared):
    metric, val = dancers.METRIC, People.load(prepared / "val.npz")
    ones = np.ones(val.labelled.shape)
    right = metric.score(val, val.joints, ones, np.ones(6), prepared, Rules())
    assert right.values[metric.main] == pytest.approx(100)
    assert metric.accuracy(val, prepared)(val.joints, ones) == right.values[metric.main]
    assert len(right.results) == 6 and len(right.results[0]["keypoints"]) == 15

    image_xy = val.joints.copy()
    image_xy[:2] += 300
    scored = metric.score(val, image_xy, ones, np.ones(6), prepared, Rules())
    assert set(metric.columns) <= scored.values.keys() and scored.values[metric.main] < 80
    summary = metric.summarise(scored.samples)
    assert {name: scored.values[name] for name in metric.columns} == pytest.approx(summary, nan_ok=True)
    assert metric.images(scored.samples).tolist() == [6, 7, 8]
    weights = bootstrap.weights(3, 40, seed=0)
    for summarise in (metric.summarise, metric.summarise_finely):
        resampled = summarise(scored.samples, weights)
        assert all(value.shape == (40,) for value in resampled.values())


def test_a_skipped_image_of_its_is_not_evaluated(dancers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unpacked = tmp_path / "mine" / "dancers"
    (unpacked / "images").mkdir(parents=True)
    for i in range(9):
        (unpacked / "images" / f"{i}.jpg").write_bytes(b"" if i == 7 else jpeg(160, 160, seed=i))
    archive = content()["dancers.zip"]
    (unpacked / "labels.json").write_bytes(zipfile.ZipFile(io.BytesIO(archive)).read("dancers/labels.json"))
    prepare("dancers", data(tmp_path / "mine", "skip"), SIZE, tmp_path, tmp_path / "people")
    evaluation = json.loads((tmp_path / "people" / "val_annotations.json").read_text())
    assert [image["id"] for image in evaluation["images"]] == [6, 8]
    assert {a["image_id"] for a in evaluation["annotations"]} == {6, 8}
