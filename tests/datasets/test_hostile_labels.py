"""Labels that are damaged or made up: each is refused with its file, person and field, or dropped and counted."""

import json

import numpy as np
import pytest

from pipeline.datasets.formats import coco, lspet, mpii
from pipeline.people import LabelError, table
from tests.datasets.archives import (
    coco_annotation,
    coco_labels,
    lspet_joints,
    mat,
    mpii_detections,
    mpii_person,
    mpii_release,
    struct_array,
)

SIZE = (256, 192)
HUGE = 10**400
NAN, INF = float("nan"), float("inf")


class Labels:
    def __init__(self, files):
        self.files = files

    def read(self, name: str) -> bytes:
        return self.files[name]


def coco_split(annotations, images=None):
    content = json.loads(coco_labels([1, 2], annotations))
    content["images"] = images or content["images"]
    val = coco_labels([9], [coco_annotation(99, 9)])
    files = {coco.LABELS["train"]: json.dumps(content).encode(), coco.LABELS["val"]: val}
    return coco.people(Labels(files), SIZE)["train"]


# COCO ------------------------------------------------------------------------------------------------------


def keypoints(index: int, value) -> list:
    changed = coco_annotation(1, 1)["keypoints"]
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("area", value) for value in (NAN, INF, -INF, None, "3", HUGE, 1e308, True, [])],
        *[("bbox", [value, 5, 30, 20]) for value in (NAN, INF, None, "3", HUGE, 1e308, -1e7, [1], False)],
        *[("bbox", value) for value in (None, {}, [1, 2], "abcd")],
        *[("keypoints", keypoints(0, value)) for value in (NAN, INF, None, "3", HUGE, 1e300, {})],
        *[("keypoints", keypoints(2, value)) for value in (7, -1, 0.5, NAN, HUGE, None, True)],
        *[("num_keypoints", value) for value in (-1, 18, 1.5, None, HUGE, True)],
        *[("iscrowd", value) for value in (2, -1, None, "0", HUGE)],
        *[("image_id", value) for value in (None, 1.0, "1", HUGE, True, [1])],
        *[("category_id", value) for value in (None, "person", 1.0, [])],
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_a_field_of_cocos_annotations_is_refused_by_name(field, value):
    with pytest.raises(
        LabelError, match=rf"person_keypoints_train2017\.json: annotation 7 has .*\b{field}\b"
    ):
        coco_split([coco_annotation(5, 1), coco_annotation(7, 1) | {field: value}])


@pytest.mark.parametrize("number", [None, "7", 7.0, True, HUGE, -1])
def test_an_id_of_cocos_annotations_is_a_number_that_a_table_holds(number):
    with pytest.raises(LabelError, match=r"train2017\.json: annotation .* has no proper id"):
        coco_split([coco_annotation(number, 1)])


def test_cocos_ids_are_unique():
    with pytest.raises(LabelError, match=r"train2017\.json: annotation 7 is there twice"):
        coco_split([coco_annotation(7, 1), coco_annotation(7, 2)])
    image = {"id": 1, "file_name": "a.jpg", "height": 40, "width": 60}
    with pytest.raises(LabelError, match=r"train2017\.json: image 1 is there twice"):
        coco_split([coco_annotation(7, 1)], [image, {**image, "file_name": "b.jpg"}])
    with pytest.raises(LabelError, match=r"train2017\.json: the image a\.jpg is there twice"):
        coco_split([coco_annotation(7, 1)], [image, {**image, "id": 2}])


def test_cocos_other_categories_are_dropped_and_counted():
    split = coco_split([coco_annotation(5, 1), coco_annotation(7, 1, category_id=18)])
    assert split.people.person_id.tolist() == [5] and split.dropped == {"of another category": 1}


def test_nobody_counts_whose_joints_are_all_unlabelled():
    nobody = coco_annotation(7, 1, keypoints=[0] * 51, num_keypoints=3)
    split = coco_split([coco_annotation(5, 1), nobody])
    assert split.dropped == {"no labelled joint": 1}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(side, value) for side in ("width", "height") for value in (0, -5, None, 1.5, HUGE, 10**7, True)],
        *[("id", value) for value in (None, "1", HUGE, True)],
        *[("file_name", value) for value in (None, 3, "", "..", "../a", "/a", "a\0", "\ud800", "a" * 300)],
    ],
    ids=lambda value: f"{value!r:.30}",
)  # fmt: skip
def test_a_field_of_cocos_images_is_refused_by_name(field, value):
    image = {"id": 1, "file_name": "a.jpg", "height": 40, "width": 60} | {field: value}
    with pytest.raises(LabelError, match=rf"train2017\.json: image .* has no proper {field}"):
        coco_split([coco_annotation(7, 1)], [image])


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"images": ' + b"[" * 100_000, b'{"a":' * 50_000, b"1" * 9000]
)
def test_nested_json_is_refused(content):
    with pytest.raises(LabelError, match=r"train2017\.json is no whole JSON object"):
        coco.people(Labels({coco.LABELS["train"]: content}), SIZE)


# A detector's file -----------------------------------------------------------------------------------------


def detections(tmp_path, rows):
    (tmp_path / "boxes.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in (8, 9)]
    return coco.load_detections(tmp_path / "boxes.json", {"images": images}, SIZE)


def detection(**changes) -> dict:
    return {"image_id": 9, "category_id": 1, "bbox": [5.0, 6.0, 30.0, 20.0], "score": 0.9} | changes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("bbox", [5, 5, side, 20]) for side in (1e308, INF, NAN, HUGE, None, 0, -3, "3", True)],
        *[("bbox", [corner, 5, 20, 20]) for corner in (1e308, NAN, HUGE, None, [])],
        *[("score", value) for value in (NAN, INF, HUGE, None, "high", True, 1e308)],
        *[("image_id", value) for value in (None, "9", 9.0, [9], {}, True)],
        *[("category_id", value) for value in (None, "1", [], 1.0)],
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_a_field_of_a_detection_is_refused_by_name(tmp_path, field, value):
    with pytest.raises(LabelError, match=rf"boxes\.json: detection 2 has no .*{field}"):
        detections(tmp_path, [detection(), detection(**{field: value})])


def test_detections_elsewhere_are_dropped_and_counted(tmp_path, capsys):
    rows = [detection(image_id=77), detection(category_id=18), detection(category_id=3), detection(score=0.5)]
    people, score = detections(tmp_path, rows)
    assert score.tolist() == [0.5] and people.person_id.tolist() == [4]
    assert (
        "boxes.json: left out: 1 in an image that is not evaluated, 2 of another category"
        in capsys.readouterr().out
    )
    with pytest.raises(LabelError, match=r"boxes\.json has no person in an image that is evaluated"):
        detections(tmp_path, rows[:3])


def test_a_nested_detectors_file_is_refused(tmp_path):
    with pytest.raises(LabelError, match=r"boxes\.json is no JSON"):
        detections(tmp_path, "[" * 100_000)


# MPII ------------------------------------------------------------------------------------------------------

JOINTS = {0: (11, 21, 1), 9: (31, 5, 0)}


def mpii_people(*people, pairs=((2, 1),), name="a.jpg", train=1):
    release = mpii_release([(name, train, list(people)), ("v.jpg", 1, [mpii_person(JOINTS)])])
    detections = pairs if isinstance(pairs, bytes) else mpii_detections(list(pairs))
    return mpii.people(Labels({mpii.RELEASE: release, mpii.VALIDATION: detections}), SIZE)["train"]


@pytest.mark.parametrize(
    ("person", "field"),
    [
        *[(mpii_person(JOINTS, scale=value), "scale") for value in (NAN, INF, 1e308, "big", np.ones(3))],
        *[(mpii_person(JOINTS, position=(value, 3)), "objpos") for value in (NAN, INF, 1e308, "x", np.ones(2))],
        *[(mpii_person(JOINTS, head=(10, 10, value, 50)), "x2") for value in (INF, NAN, 1e308, "x", np.ones(2))],
        *[(mpii_person({3: (value, 3, 1)}), "x") for value in (NAN, INF, 1e300, "x", np.ones(2))],
        *[(mpii_person({3: (3, 3, value)}), "is_visible") for value in (7, -1, NAN, "seen", np.ones(2))],
        *[(mpii_person({value: (3, 3, 1)}), "id") for value in (NAN, INF, -1, 16, 2.5)],
        (mpii_person(JOINTS) | {"objpos": np.ones(2)}, "objpos"),
        (mpii_person(JOINTS) | {"scale": struct_array([{"a": 1}], ("a",))}, "scale"),
        (mpii_person(JOINTS) | {"annopoints": 3.0}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "person",
)  # fmt: skip
def test_a_field_of_mpiis_people_is_refused_by_name(person, field):
    if field is None:
        assert mpii_people(person, mpii_person(JOINTS)).dropped == {"no joints": 1}
        return
    with pytest.raises(
        LabelError, match=rf"person 2 of image 1 in mpii_human_pose_v1_u12_1\.mat has .*\b{field}\b"
    ):
        mpii_people(mpii_person(JOINTS), person)


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "", "..", 3.0, np.ones(3)])
def test_mpiis_images_have_file_names(name):
    with pytest.raises(LabelError, match=r"image 1 in mpii_human_pose_v1_u12_1\.mat has no name"):
        mpii_people(mpii_person(JOINTS), name=name)


@pytest.mark.parametrize(
    "index", [np.array([[NAN]]), np.array([[INF]]), np.array([["x"]]), np.array([[1.5]])]
)
def test_a_validation_split_of_no_numbers_is_refused(index):
    pairs = mat(RELEASE_img_index=index, RELEASE_person_index=np.array([[1]]))
    with pytest.raises(LabelError, match=r"detections\.mat does not fit"):
        mpii_people(mpii_person(JOINTS), pairs=pairs)


@pytest.mark.parametrize("variable", [np.ones((1, 1)), "text", np.array([[{"a": 1}]], object)])
def test_other_variables_named_release_are_refused(variable):
    files = {mpii.RELEASE: mat(RELEASE=variable), mpii.VALIDATION: mpii_detections([(1, 1)])}
    with pytest.raises(LabelError, match=r"u12_1\.mat"):
        mpii.people(Labels(files), SIZE)


# LSPET -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "value"), [(0, NAN), (1, INF), (0, 1e300), (2, 7), (2, NAN), (2, 0.5)])
def test_a_joint_of_lspets_is_refused_by_name(place, value):
    joints = lspet_joints()
    joints[4, place, 6] = value
    with pytest.raises(LabelError, match=r"joints\.mat: person 6 has .* of left_knee"):
        lspet.people(Labels({lspet.JOINTS: mat(joints=joints)}), SIZE)


def test_unlabelled_rubbish_of_lspets_is_left_alone():
    joints = lspet_joints()
    joints[4, :, 6] = -1e30, NAN, 0
    people = lspet.people(Labels({lspet.JOINTS: mat(joints=joints)}), SIZE)["train"].people
    assert not people.labelled[6, 4] and (people.joints[6, 4] == 0).all()


@pytest.mark.parametrize(
    "joints", [np.array([["x"]]), np.ones((14, 3, 20), complex), np.full((14, 3, 20), "x", object)]
)
def test_joints_that_are_no_numbers_are_refused(joints):
    with pytest.raises(LabelError, match=r"joints\.mat"):
        lspet.people(Labels({lspet.JOINTS: mat(joints=joints)}), SIZE)


# Any -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e9])
@pytest.mark.parametrize("column", ["box", "center", "scale", "joints", "area"])
def test_no_table_holds_what_is_no_number_of_pixels(column, value):
    columns = {
        "image_id": [1, 2], "person_id": [5, 6], "box": np.ones((2, 4)), "center": np.ones((2, 2)),
        "scale": np.ones((2, 2)), "joints": np.ones((2, 3, 2)), "labelled": np.ones((2, 3)),
        "visible": np.ones((2, 3)), "head_size": [NAN, 3], "area": np.ones(2),
    }  # fmt: skip
    table("dancers", "val", ["a", "b"], **columns)
    columns[column] = np.array(columns[column], float)
    columns[column][1] = value**2 if column == "area" else value
    with pytest.raises(LabelError, match=rf"dancers val: person 6 has {column} "):
        table("dancers", "val", ["a", "b"], **columns)
    columns = columns | {column: np.ones_like(columns[column]), "person_id": [5, 5]}
    with pytest.raises(LabelError, match="dancers val: person 5 is there twice"):
        table("dancers", "val", ["a", "b"], **columns)
