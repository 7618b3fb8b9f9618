"""The demo's archives: the official formats with their quirks, the same bytes from the same seed."""

import contextlib
import io
import json
import tarfile
import zipfile
from collections import Counter

import cv2
import numpy as np
import pytest
import scipy.io

from pipeline.datasets import DATASETS
from pipeline.datasets.demo import person as drawn
from pipeline.datasets.demo import writers
from pipeline.params import Demo

DEMO = Demo(seed=3, train_people=45, val_people=12, image_size=(128, 128))
ARCHIVES = {
    "mpii": {"mpii_human_pose_v1.tar.gz", "mpii_human_pose_v1_u12_2.zip", "detections.mat"},
    "coco": {"annotations_trainval2017.zip", "train2017.zip", "val2017.zip"},
    "lspet": {"lspet_dataset.zip"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    for dataset in ARCHIVES:
        writers.generate(dataset, DEMO, root / dataset)
    return {dataset: root / dataset for dataset in ARCHIVES}


@pytest.fixture(scope="module")
def release(folders):
    with zipfile.ZipFile(folders["mpii"] / "mpii_human_pose_v1_u12_2.zip") as archive:
        content = archive.read("mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat")
    return scipy.io.loadmat(io.BytesIO(content))["RELEASE"][0, 0]


@pytest.fixture(scope="module")
def coco(folders):
    with zipfile.ZipFile(folders["coco"] / "annotations_trainval2017.zip") as archive:
        return {
            split: json.loads(archive.read(f"annotations/person_keypoints_{split}2017.json"))
            for split in ("train", "val")
        }


def _mpii_people(release):
    """(1-based image, 1-based person, annorect) of everybody with joints."""
    for i, entry in enumerate(release["annolist"][0], 1):
        if "annopoints" not in (entry["annorect"].dtype.names or ()):
            continue
        for j, person in enumerate(entry["annorect"][0], 1):
            if person["annopoints"].size:
                yield i, j, person


def _joints(person):
    points = person["annopoints"]["point"][0, 0][0]
    return {int(p["id"].item()): np.array([p["x"].item(), p["y"].item()], float) for p in points}


@pytest.mark.parametrize("dataset", ARCHIVES)
def test_same_seed_same_bytes_whatever_the_threads_and_global_state(dataset, folders, tmp_path):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        np.random.seed(1)  # noqa: NPY002
        writers.generate(dataset, DEMO, tmp_path)
    finally:
        cv2.setNumThreads(threads)
    assert {path.name for path in tmp_path.iterdir()} == ARCHIVES[dataset]
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folders[dataset] / path.name).read_bytes(), path.name


def test_other_seed_other_pictures_and_labels(folders, tmp_path):
    writers.generate("coco", DEMO.model_copy(update={"seed": 4}), tmp_path)
    for name in ARCHIVES["coco"]:
        assert (tmp_path / name).read_bytes() != (folders["coco"] / name).read_bytes()


def test_mpii_has_as_many_people_as_asked_for_and_no_image_in_both_splits(release, folders):
    split = scipy.io.loadmat(folders["mpii"] / "detections.mat")
    val = set(zip(split["RELEASE_img_index"][0], split["RELEASE_person_index"][0], strict=True))
    val_images = {image for image, _ in val}
    labelled = {(i, j) for i, j, _ in _mpii_people(release)}
    assert len(val) == DEMO.val_people and val <= labelled
    assert len(labelled - val) == DEMO.train_people
    assert not {i for i, _ in labelled - val} & val_images
    trained = release["img_train"][0]
    assert all(trained[i - 1] for i, _ in labelled) and (trained == 0).sum() > 0


def test_mpii_images_are_those_of_the_labels(release, folders):
    with tarfile.open(folders["mpii"] / "mpii_human_pose_v1.tar.gz") as archive:
        names = [member.name for member in archive]
        first = archive.extractfile(names[0]).read()
    listed = [f"images/{entry['image']['name'][0, 0][0]}" for entry in release["annolist"][0]]
    assert sorted(listed) == names
    assert cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR).shape[2] == 3


def test_mpii_has_the_official_files_quirks(release):
    kinds, without_joints = Counter(), 0
    for entry in release["annolist"][0]:
        for person in entry["annorect"][0]:
            without_joints += "annopoints" in person.dtype.names and not person["annopoints"].size
    for *_, person in _mpii_people(release):
        for point in person["annopoints"]["point"][0, 0][0]:
            if "is_visible" not in point.dtype.names:
                kinds["missing"] += 1
            elif not point["is_visible"].size:
                kinds["empty"] += 1
            else:
                kinds[point["is_visible"].dtype.kind, str(point["is_visible"].item())] += 1
    assert without_joints > 0
    integers = {key for key in kinds if key[0] in "iu"}
    assert {key[1] for key in integers} == {"0", "1"}
    assert min(kinds["missing"], kinds["empty"], kinds["U", "0"], kinds["U", "1"]) > 0


def test_mpii_head_boxes_and_scales_fit_the_joints(release):
    for _, _, person in _mpii_people(release):
        joints = _joints(person)
        x1, y1, x2, y2 = (person[c].item() for c in ("x1", "y1", "x2", "y2"))
        head = 0.6 * np.hypot(x2 - x1, y2 - y1)
        # In the real labels the head's size is some 25 pixels at scale 1.
        assert 20 < head / person["scale"].item() < 45
        if {8, 9} <= set(joints):
            middle = (joints[8] + joints[9]) / 2
            assert x1 - 1 <= middle[0] <= x2 + 1 and y1 - 1 <= middle[1] <= y2 + 1
        centre = np.array([person["objpos"][axis][0, 0].item() for axis in "xy"])
        assert np.linalg.norm(np.mean(list(joints.values()), 0) - centre) < 200 * person["scale"].item() / 2


def test_coco_has_as_many_people_as_asked_for_beside_crowds_and_people_without_keypoints(coco, folders):
    for split, count in (("train", DEMO.train_people), ("val", DEMO.val_people)):
        kinds = Counter((a["iscrowd"], a["num_keypoints"] > 0) for a in coco[split]["annotations"])
        assert kinds[0, True] == count
        assert kinds[0, False] > 0 and kinds[1, False] > 0 and kinds[1, True] == 0
        with zipfile.ZipFile(folders["coco"] / f"{split}2017.zip") as archive:
            assert archive.namelist() == sorted(
                f"{split}2017/{i['file_name']}" for i in coco[split]["images"]
            )
        for a in coco[split]["annotations"]:
            flags = a["keypoints"][2::3]
            assert a["num_keypoints"] == sum(flag > 0 for flag in flags)
    flags = Counter(
        f for a in coco["train"]["annotations"] if a["num_keypoints"] for f in a["keypoints"][2::3]
    )
    assert min(flags[0], flags[1], flags[2]) > 20


def test_coco_areas_boxes_and_crowds_are_those_of_the_masks(coco, tmp_path):
    from pycocotools.coco import COCO

    path = tmp_path / "labels.json"
    path.write_text(json.dumps(coco["val"]))
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(path))
    for a in labels.dataset["annotations"]:
        mask = labels.annToMask(a)
        assert mask.sum() == pytest.approx(a["area"], rel=0.1, abs=12)
        rows, columns = np.nonzero(mask)
        x, y, width, height = a["bbox"]
        assert columns.min() == pytest.approx(x, abs=2.5) and rows.min() == pytest.approx(y, abs=2.5)
        assert columns.max() == pytest.approx(x + width, abs=2.5)
        assert rows.max() == pytest.approx(y + height, abs=2.5)


def test_visible_keypoints_lie_on_the_silhouette(coco, tmp_path):
    from pycocotools.coco import COCO

    path = tmp_path / "labels.json"
    path.write_text(json.dumps(coco["train"]))
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(path))
    on = []
    for a in labels.dataset["annotations"]:
        mask = cv2.dilate(labels.annToMask(a), np.ones((5, 5), np.uint8))
        for x, y, flag in np.reshape(a["keypoints"], (-1, 3)):
            if flag == 2:
                on.append(mask[y, x])
    assert len(on) > 400 and np.mean(on) > 0.99


def test_left_is_on_the_right_of_a_picture_of_a_face(coco):
    names = DATASETS["coco"].KEYPOINTS.names
    agree = []
    for a in coco["train"]["annotations"]:
        points = dict(zip(names, np.reshape(a["keypoints"], (-1, 3)), strict=True))
        needed = ("left_eye", "right_eye", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
        if all(points[name][2] == 2 for name in needed):
            agree += [points[f"left_{n}"][0] > points[f"right_{n}"][0] for n in ("eye", "shoulder", "hip")]
    assert len(agree) > 20 and np.mean(agree) > 0.9


def test_coco_and_mpii_and_lspet_name_points_of_one_skeleton():
    figure = drawn.random_figure(np.random.default_rng(0), 150.0, np.array([-0.6, -0.8]))
    for dataset, module in DATASETS.items():
        names = {"upper_neck" if name == "neck" else name for name in module.KEYPOINTS.names}
        assert names <= set(figure.points), dataset
    for upper, lower, length in (
        ("shoulder", "elbow", 0.162),
        ("hip", "knee", 0.232),
        ("knee", "ankle", 0.222),
    ):
        for side in ("left", "right"):
            seen = np.linalg.norm(figure.points[f"{side}_{upper}"] - figure.points[f"{side}_{lower}"])
            assert seen <= length * 1.1 * 150 + 1e-9


def test_lspet_has_a_row_of_joints_for_each_image(folders):
    with zipfile.ZipFile(folders["lspet"] / "lspet_dataset.zip") as archive:
        joints = scipy.io.loadmat(io.BytesIO(archive.read("joints.mat")))["joints"]
        images = [name for name in archive.namelist() if name.startswith("images/")]
        sizes = [
            cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR).shape
            for name in images
        ]
    count = DEMO.train_people + DEMO.val_people
    assert images == [f"images/im{i:05d}.jpg" for i in range(1, count + 1)]
    assert joints.shape == (14, 3, count)
    for person, (height, width, _) in zip(joints.transpose(2, 0, 1), sizes, strict=True):
        x, y, labelled = person.T
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        assert (inside == (labelled == 1)).all()
    assert 0.5 < joints[:, 2].mean() < 1
