"""COCO's labels and a detector's file."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline.datasets import sources
from pipeline.datasets.formats import coco
from pipeline.people import LabelError
from tests.datasets.archives import coco_annotation, coco_labels, data

SIZE = (256, 192)


class Labels:
    def __init__(self, train: bytes, val: bytes | None = None):
        val = coco_labels([9], [coco_annotation(99, 9)]) if val is None else val
        self.files = {coco.LABELS["train"]: train, coco.LABELS["val"]: val}

    def read(self, name: str) -> bytes:
        return self.files[name]


def train(annotations, image_ids=(1, 2), **size):
    return coco.people(Labels(coco_labels(list(image_ids), annotations, **size)), SIZE)["train"]


def test_people_with_labelled_joints_and_no_crowd_are_taken():
    split = train([
        coco_annotation(1, 1), coco_annotation(2, 1, iscrowd=1), coco_annotation(3, 2, joints=0),
        coco_annotation(4, 2, joints=17),
    ])  # fmt: skip
    assert split.people.person_id.tolist() == [1, 4]
    assert split.dropped == {"crowd": 1, "no labelled joint": 1}
    assert split.people.images[split.people.image].tolist() == [f"train2017/{i:012d}.jpg" for i in (1, 2)]
    assert split.people.area.tolist() == [300.5, 300.5]


def test_occluded_joints_are_labelled_and_not_visible():
    person = train([coco_annotation(1, 1, joints=3)]).people
    assert person.labelled[0].nonzero()[0].tolist() == [0, 1, 2]
    assert person.visible[0].nonzero()[0].tolist() == [1]
    assert person.joints[0, :4].tolist() == [[10, 10], [11, 11], [12, 12], [0, 0]]


def test_boxes_are_cut_to_the_image_as_hrnet_cuts_them():
    # In an image of 60 x 40: inside; out to the left and above; out to the right and below.
    boxes = [(5, 6, 31, 21), (-10, -4, 30, 20), (50, 30, 30, 30)]
    people = train([coco_annotation(i + 1, 1, box=box) for i, box in enumerate(boxes)]).people
    assert people.box.tolist() == [[5, 6, 30, 20], [0, 0, 29, 19], [50, 30, 9, 9]]
    np.testing.assert_allclose(people.center, [[20, 16], [14.5, 9.5], [54.5, 34.5]])
    # Widened to 3:4, padded by a quarter.
    np.testing.assert_allclose(people.scale[0] * 200, [30 * 1.25, 40 * 1.25])


def test_boxes_outside_the_image_are_counted():
    split = train([
        coco_annotation(1, 1), coco_annotation(2, 1, box=(70, 5, 10, 10)), coco_annotation(3, 1, area=0),
    ])  # fmt: skip
    assert split.people.person_id.tolist() == [1] and split.dropped == {"no box inside the image": 2}


def test_the_validation_split_carries_what_pycocotools_needs(tmp_path):
    annotations = [coco_annotation(5, 9), coco_annotation(4, 8, iscrowd=1), coco_annotation(3, 9, joints=0)]
    labels = Labels(coco_labels([1], [coco_annotation(1, 1)]), coco_labels([9, 8, 7], annotations))
    split = coco.people(labels, SIZE)["val"]
    assert len(split.people) == 1
    # Every image may hold a detection, so every image is checked.
    assert split.sizes == {f"val2017/{i:012d}.jpg": (40, 60) for i in (7, 8, 9)}
    (tmp_path / "val.json").write_text(json.dumps(split.evaluation))
    official = COCO(str(tmp_path / "val.json"))
    assert sorted(official.getImgIds()) == [7, 8, 9] and sorted(official.getAnnIds()) == [3, 4, 5]
    assert (
        "segmentation" not in official.anns[5]
        and official.anns[5]["keypoints"] == annotations[0]["keypoints"]
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2]", "no whole JSON object"),
        (b"", "no whole JSON object"),
        (b'{"images": [], "annotations": []}', "lists no images or no annotations"),
        (b'{"a": 1}', "lists no images or no annotations"),
        (b'{"images": [3]}', "an image is 3, not an object"),
        (b'{"images": [{"id": 1}]}', "image 1 has no proper file_name"),
        (coco_labels([1], [coco_annotation(1, 1)])[:-30], "no whole JSON object"),
        (coco_labels([1], [coco_annotation(1, 5)]), "names image 5, which is not in its list"),
        (coco_labels([1], [coco_annotation(1, 1, keypoints=[1] * 48)]), "has no proper keypoints: 51 numbers"),
        (coco_labels([1], [coco_annotation(1, 1, keypoints="x")]), "has no proper keypoints"),
        (coco_labels([1], [coco_annotation(1, 1, bbox=[1, 2])]), "has no proper bbox: 4 numbers of pixels"),
        (b"\xff\xfe\x00", "no whole JSON object"),
    ],
)  # fmt: skip
def test_json_that_is_not_cocos_is_named(content, message):
    with pytest.raises(LabelError, match=rf"person_keypoints_train2017\.json.* {message}|{message}") as error:
        coco.people(Labels(content), SIZE)
    assert "person_keypoints_train2017.json" in str(error.value)


def test_labels_without_any_person_are_refused():
    with pytest.raises(LabelError, match="nobody"):
        train([coco_annotation(1, 1, joints=0)])


def test_entries_one_by_one_equal_the_whole_json(shared):
    import zipfile

    with zipfile.ZipFile(shared / "mirror/coco/annotations_trainval2017.zip") as archive:
        content = archive.read("annotations/person_keypoints_val2017.json")
    whole = json.loads(content)
    pretty = json.dumps(whole, indent=2).encode()
    for text in (content, pretty):
        entries = list(coco.items(text, "x", ("images", "annotations")))
        for key in ("images", "annotations"):
            assert [entry for k, entry in entries if k == key] == whole[key]


def test_the_real_labels(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = coco.people(sources.open_labels("coco", data(shared / "mirror"), tmp_path), SIZE)
    assert (len(splits["train"].people), len(splits["val"].people)) == (86, 68)
    assert len(splits["val"].sizes) == 79
    val = splits["val"].people
    assert (val.joints[val.labelled] > 0).all()
    ratio = val.scale[:, 0] / val.scale[:, 1]
    np.testing.assert_allclose(ratio, 192 / 256)


# A detector's file -------------------------------------------------------------------------------------------


def detection(**changes) -> dict:
    return {"image_id": 9, "category_id": 1, "bbox": [5.0, 6.0, 30.0, 20.0], "score": 0.9} | changes


def load(tmp_path, content):
    (tmp_path / "boxes.json").write_text(content if isinstance(content, str) else json.dumps(content))
    evaluation = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "width": 60, "height": 40} for i in (8, 9)]
    }
    return coco.load_detections(tmp_path / "boxes.json", evaluation, SIZE)


def test_detections_become_people_with_scores(tmp_path):
    people, score = load(tmp_path, [detection(), detection(image_id=8, score=1, bbox=[-5, 0, 10, 90])])
    assert score.tolist() == [0.9, 1.0]
    assert people.images[people.image].tolist() == ["val2017/000000000009.jpg", "val2017/000000000008.jpg"]
    assert people.image_id.tolist() == [9, 8] and people.person_id.tolist() == [1, 2]
    # HRNet's code takes detected boxes as they are.
    assert people.box[1].tolist() == [-5, 0, 10, 90]
    np.testing.assert_allclose(people.center, [[20, 16], [0, 45]])
    np.testing.assert_allclose(people.scale[0] * 200, [37.5, 50])
    assert not people.labelled.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([detection(image_id=77), detection(category_id=3)], "has no person in an image that is evaluated"),
        ([{k: v for k, v in detection().items() if k != "score"}], "detection 1 has no proper score"),
        ([detection(score="high")], "detection 1 has no proper score"),
        ([detection(score=float("nan"))], "detection 1 has no proper score"),
        ([detection(bbox=[1, 2, 3])], "has no proper bbox"),
        ([detection(bbox=[1, 2, 0, 5])], "has no proper bbox"),
        ([{"score": 1}], "detection 1 has no proper image_id"),
        ([], "must be a list of detections"),
        ({"annotations": []}, "must be a list of detections"),
        ("not json", "is no JSON"),
    ],
)
def test_a_detectors_file_that_does_not_fit_is_named(tmp_path, content, message):
    with pytest.raises(LabelError, match=message) as error:
        load(tmp_path, content)
    assert "boxes.json" in str(error.value)


def test_an_absent_detectors_file_is_named(tmp_path):
    with pytest.raises(LabelError, match=r"evaluate\.detections: .*gone\.json is not there"):
        coco.load_detections(tmp_path / "gone.json", {"images": []}, SIZE)
