"""COCO's metric: rescoring and OKS-NMS against HRNet's outputs, our accumulation against pycocotools."""

import json

import numpy as np
import pytest

from pipeline.datasets.formats.coco import METRIC
from pipeline.metrics import oks
from pipeline.metrics.results import coco_results

SIGMAS = np.array(METRIC.sigmas)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "hrnet_pipeline.npz") as file:
        return dict(file)


def test_rescoring_equals_hrnet(golden):
    scores = oks.rescore(golden["nms_box_score"], golden["nms_keypoints"][..., 2])
    np.testing.assert_allclose(scores, golden["nms_rescored"], rtol=1e-12)


def test_nms_keeps_whom_hrnet_keeps(golden):
    keep = oks.nms(
        golden["nms_keypoints"][..., :2],
        golden["nms_rescored"],
        golden["nms_area"],
        SIGMAS,
        0.9,
    )
    np.testing.assert_array_equal(keep, golden["nms_keep"])


def test_a_person_without_a_certain_joint_scores_zero():
    assert oks.rescore(np.array([0.9]), np.full((1, 17), 0.2))[0] == 0


def test_nms_takes_equal_scores_in_the_order_given():
    image_xy = np.tile(np.arange(17.0)[:, None], (3, 1, 2))
    image_xy[2] += 500
    keep = oks.nms(image_xy, np.array([0.5, 0.5, 0.5]), np.full(3, 900.0), SIGMAS)
    np.testing.assert_array_equal(keep, [0, 2])


def crowd_of_people(seed, images=30):
    """Labels and predictions with all that COCO has: people of each size, crowds, people without joints,
    images without people, false and double detections, more than 20 in an image, equal scores."""
    rng = np.random.default_rng(seed)
    annotations, predictions = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 4) if image % 7 else 0):
            side = float(rng.choice([20, 60, 200]))
            corner = rng.uniform(0, 300, 2)
            joints = corner + rng.uniform(0, side, (17, 2))
            visible = rng.choice([0, 1, 2], 17) if rng.random() < 0.9 else np.zeros(17, int)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image, "category_id": 1,
                    "iscrowd": int(rng.random() < 0.05), "area": float(side**2 * 0.6),
                    "bbox": [*corner.tolist(), side, side], "num_keypoints": int((visible > 0).sum()),
                    "keypoints": np.column_stack([joints * (visible > 0)[:, None], visible]).ravel().tolist(),
                }
            )  # fmt: skip
            for _ in range(rng.integers(0, 3)):
                estimate = joints + rng.normal(0, side * rng.choice([0.01, 0.05, 0.2]), (17, 2))
                predictions.append((image, estimate, rng.integers(1, 9) / 8))
        for _ in range(25 if image == 5 else rng.integers(0, 2)):
            predictions.append((image, rng.uniform(0, 500, (17, 2)), rng.integers(1, 9) / 8))
    image_id, image_xy, score = (np.array(column) for column in zip(*predictions, strict=True))
    return annotations, coco_results(image_id, image_xy, np.ones((len(score), 17)), score)


def write(path, annotations, images):
    file = {
        "images": [{"id": image} for image in images],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    path.write_text(json.dumps(file))
    return path


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_accumulation_equals_pycocotools_exactly(tmp_path, seed):
    annotations, results = crowd_of_people(seed)
    official, matches = oks.evaluate(write(tmp_path / "val.json", annotations, range(1, 31)), results, SIGMAS)
    assert METRIC.summarise(matches) == official
    assert tuple(official) == oks.METRICS
    assert 5 < official["AP"] < 95


def test_an_image_of_weight_w_counts_as_w_copies_of_it(tmp_path):
    annotations, results = crowd_of_people(3)
    # Distinct scores: among equal ones the order of copies is a convention.
    for row, person in enumerate(results):
        person["score"] += row * 1e-4
    path = write(tmp_path / "val.json", annotations, range(1, 31))
    matches = oks.evaluate(path, results, SIGMAS)[1]
    weights = np.random.default_rng(0).integers(0, 4, (2, 30))
    resampled = METRIC.summarise(matches, weights)
    for row in range(2):
        copied_annotations, copied_results, images = [], [], []
        for image, weight in enumerate(weights[row], 1):
            for copy in range(weight):
                images.append(image * 10 + copy)
                copied_results += [{**p, "image_id": images[-1]} for p in results if p["image_id"] == image]
                for person in annotations:
                    if person["image_id"] == image:
                        changed = {"image_id": images[-1], "id": len(copied_annotations) + 1}
                        copied_annotations.append({**person, **changed})
        path = write(tmp_path / f"{row}.json", copied_annotations, images)
        official, _ = oks.evaluate(path, copied_results, SIGMAS)
        for name in oks.METRICS:
            assert resampled[name][row] == pytest.approx(official[name], abs=1e-9)


def test_a_size_that_nobody_has_is_nan(tmp_path):
    annotations, results = crowd_of_people(4)
    annotations = [{**person, "area": 100.0**2} for person in annotations]
    official, matches = oks.evaluate(write(tmp_path / "val.json", annotations, range(1, 31)), results, SIGMAS)
    assert np.isnan(official["APM"]) and official["APL"] == official["APL"]
    np.testing.assert_equal(METRIC.summarise(matches), official)


def test_evaluation_prints_nothing(tmp_path, capsys):
    annotations, results = crowd_of_people(0)
    oks.evaluate(write(tmp_path / "val.json", annotations, range(1, 31)), results, SIGMAS)
    assert capsys.readouterr().out == ""


def test_predicting_the_labels_scores_100_on_real_people(shared, tmp_path):
    import zipfile

    with zipfile.ZipFile(shared / "mirror" / "coco" / "annotations_trainval2017.zip") as archive:
        raw = archive.read("annotations/person_keypoints_val2017.json")
    path = tmp_path / "val.json"
    path.write_bytes(raw)
    people = [p for p in json.loads(raw)["annotations"] if p["num_keypoints"] and not p["iscrowd"]]
    keypoints = np.array([p["keypoints"] for p in people], float).reshape(-1, 17, 3)
    image_id = np.array([p["image_id"] for p in people])
    results = coco_results(image_id, keypoints[..., :2], np.ones(keypoints.shape[:2]), np.ones(len(people)))
    official, matches = oks.evaluate(path, results, SIGMAS)
    assert official["AP"] == pytest.approx(100) and official["AR"] == pytest.approx(100)
    assert METRIC.summarise(matches) == official


def test_results_are_cocos_format():
    image_xy = np.arange(34, dtype=np.float32).reshape(1, 17, 2) / 3
    (person,) = coco_results(np.array([139]), image_xy, np.full((1, 17), 0.25, np.float32), np.array([0.7]))
    assert person["image_id"] == 139 and person["category_id"] == 1 and person["score"] == 0.7
    assert person["keypoints"][:6] == [0.0, 0.333, 0.25, 0.667, 1.0, 0.25]
    assert len(person["keypoints"]) == 51
