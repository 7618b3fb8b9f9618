"""MPII's .mat with its quirks, and the protocol of its people."""

import numpy as np
import pytest

from pipeline.datasets import sources
from pipeline.datasets.formats import mpii
from pipeline.people import LabelError
from tests.datasets.archives import (
    data,
    mat,
    mpii_detections,
    mpii_person,
    mpii_points,
    mpii_release,
    struct_array,
)

SIZE = (256, 192)


class Labels:
    """Label files by name."""

    def __init__(self, release: bytes, detections: bytes):
        self.files = {mpii.RELEASE: release, mpii.VALIDATION: detections}

    def read(self, name: str) -> bytes:
        return self.files[name]


def parse(images, pairs):
    return mpii.people(Labels(mpii_release(images), mpii_detections(pairs)), SIZE)


JOINTS = {0: (11, 21, 1), 9: (31, 5, 0)}
VAL = ("v.jpg", 1, [mpii_person(JOINTS)])


def test_pixels_centre_and_scale_follow_hrnet():
    person = mpii_person({6: (100.5, 200.25, 1)}, scale=2.0, position=(90, 80))
    splits = parse([("a.jpg", 1, [person]), VAL], [(2, 1)])
    train = splits["train"].people
    # MATLAB's first pixel is 1; the centre goes down by 15 * scale and the scale grows by a quarter.
    np.testing.assert_array_equal(train.joints[0, 6], [99.5, 199.25])
    np.testing.assert_array_equal(train.center[0], [89, 80 + 30 - 1])
    np.testing.assert_array_equal(train.scale[0], [2.5, 2.5])
    np.testing.assert_array_equal(train.box[0], [89 - 200, 109 - 200, 400, 400])
    assert train.labelled[0].tolist() == [j == 6 for j in range(16)]
    assert train.image_id.tolist() == [1] and train.person_id.tolist() == [1001]


def test_head_size_is_six_tenths_of_the_head_boxs_diagonal():
    splits = parse(
        [("a.jpg", 1, [mpii_person(JOINTS, head=(10, 10, 40, 50)), mpii_person(JOINTS, head=None)]), VAL],
        [(2, 1)],
    )
    np.testing.assert_allclose(splits["train"].people.head_size, [0.6 * 50, np.nan])


@pytest.mark.parametrize(
    ("mark", "visible"),
    [
        (1, True),
        (0, False),
        ("1", True),
        ("0", False),
        (np.empty((0, 0)), True),
        (np.uint8(0), False),
        (0.0, False),
    ],
)
def test_every_form_of_is_visible_is_labelled_and_only_zero_is_occluded(mark, visible):
    people = parse([("a.jpg", 1, [mpii_person({3: (5, 6, mark)})]), VAL], [(2, 1)])["train"].people
    assert people.labelled[0, 3] and people.visible[0, 3] == visible


def test_joints_without_is_visible_are_labelled():
    person = mpii_person(JOINTS)
    person["annopoints"] = struct_array([mpii_points(JOINTS, with_visible=False)], ("point",))
    people = parse([("a.jpg", 1, [person]), VAL], [(2, 1)])["train"].people
    assert people.labelled[0].sum() == 2 == people.visible[0].sum()


def test_small_integers_do_not_wrap_around():
    person = mpii_person({0: (np.uint8(0), np.uint8(255), 1)}, head=tuple(map(np.uint8, (50, 50, 10, 10))))
    people = parse([("a.jpg", 1, [person]), VAL], [(2, 1)])["train"].people
    assert people.joints[0, 0].tolist() == [-1, 254]
    assert people.head_size[0] == pytest.approx(0.6 * 40 * 2**0.5)


def test_an_image_with_a_validation_person_gives_no_training_person():
    images = [("a.jpg", 1, [mpii_person(JOINTS), mpii_person(JOINTS)]), ("b.jpg", 1, [mpii_person(JOINTS)])]
    splits = parse(images, [(1, 2)])
    assert splits["val"].people.person_id.tolist() == [1002]
    assert splits["train"].people.person_id.tolist() == [2001]
    assert splits["train"].dropped == {"in an image of the validation split": 1}
    # But whoever stands beside is known to be there.
    joints = [[x - 1.0, y - 1.0] for x, y, *_ in JOINTS.values()]
    assert sorted(splits["val"].bystanders[1]) == sorted(joints) and not splits["train"].bystanders
    alone = parse([images[0], images[1], ("c.jpg", 1, [mpii_person(JOINTS), mpii_person({})])], [(3, 1)])
    assert alone["val"].bystanders == {}
    odd = parse([images[1], ("c.jpg", 1, [mpii_person({99: (1, 2, 1)}), mpii_person(JOINTS)])], [(2, 2)])
    assert odd["val"].bystanders == {} and len(odd["val"].people) == 1


def test_people_left_out_are_counted_by_reason():
    empty_point = mpii_person(JOINTS) | {"annopoints": struct_array([{}], ("point",))}
    images = [
        ("a.jpg", 1, [mpii_person(None), empty_point, mpii_person(JOINTS, scale=None), mpii_person(JOINTS)]),
        ("none.jpg", 1, []),
        ("test.jpg", 0, [{"scale": 1.0}]),
        VAL,
    ]
    splits = parse(images, [(4, 1)])
    assert len(splits["train"].people) == 1
    assert splits["train"].dropped == {"no joints": 2, "no position or scale": 1}


def test_images_worth_keeping_are_those_with_labels():
    images = [("a.jpg", 1, [mpii_person(JOINTS)]), ("test.jpg", 0, []), VAL]
    assert mpii.labelled_images(Labels(mpii_release(images), b"")) == {"a.jpg", "v.jpg"}


def test_a_mat_without_release_is_named():
    with pytest.raises(LabelError, match=r"mpii_human_pose_v1_u12_1\.mat holds no RELEASE"):
        mpii.people(Labels(mat(other=np.zeros(3)), mpii_detections([(1, 1)])), SIZE)


@pytest.mark.parametrize("release", [np.zeros(3), struct_array([{"version": 1}], ("version",))])
def test_a_release_of_another_form_is_named(release):
    with pytest.raises(LabelError, match="has no annolist or img_train"):
        mpii.people(Labels(mat(RELEASE=release), mpii_detections([(1, 1)])), SIZE)


def test_files_that_are_no_mat_are_named():
    good = mpii_release([VAL])
    with pytest.raises(LabelError, match=r"u12_1\.mat is no MATLAB file"):
        mpii.people(Labels(b"<html>", mpii_detections([(1, 1)])), SIZE)
    with pytest.raises(LabelError, match=r"u12_1\.mat is no MATLAB file"):
        mpii.people(Labels(good[: len(good) // 2], mpii_detections([(1, 1)])), SIZE)
    with pytest.raises(LabelError, match=r"detections\.mat holds no RELEASE_img_index"):
        mpii.people(Labels(good, good), SIZE)


def test_a_joint_beyond_the_list_is_named():
    with pytest.raises(LabelError, match=r"person 1 of image 1 .* has a joint of id 16; MPII has 16"):
        parse([("a.jpg", 1, [mpii_person({16: (1, 1, 1)})]), VAL], [(2, 1)])


def test_a_validation_split_of_other_labels_is_named():
    with pytest.raises(LabelError, match="names person 3 of image 1, whom"):
        parse([VAL], [(1, 3)])
    with pytest.raises(LabelError, match="names images that are not there"):
        parse([VAL], [(2, 1)])


def test_the_real_labels(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = mpii.people(sources.open_labels("mpii", data(shared / "mirror"), tmp_path), SIZE)
    assert (len(splits["train"].people), len(splits["val"].people)) == (96, 45)
    # The labels of these people stand in a published evaluation file too, 1-based.
    golden = np.load(shared / "golden/pckh_tompson_mpii_val.npz", allow_pickle=True)
    val = splits["val"].people
    real = [i for i, name in enumerate(val.images[val.image]) if not name.startswith("9")]
    assert len(real) == 5
    boxes = golden["headboxes"]
    heads = 0.6 * np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    for i in real:
        labelled = val.labelled[i]
        errors = np.abs(golden["gt"][:, labelled] - (val.joints[i, labelled] + 1)).max(axis=(1, 2))
        match = int(errors.argmin())
        assert errors[match] < 0.01
        assert heads[match] == pytest.approx(val.head_size[i], abs=0.01)


@pytest.mark.parametrize(
    ("videos", "clusters"),
    [
        ([[[5]], [[7]], [[5]]], {1: 5, 2: 7, 3: 5}),
        ([[[1]], [[1]], [[1]]], None),
        ([[[1]], [[]], [[2]]], {1: 1, 2: -2, 3: 2}),
        ([[[4]], [[np.nan]], [[3]]], {1: 4, 2: -2, 3: 3}),
        ([[[4]], [["a video"]], [[-1]]], None),
    ],
)
def test_the_video_of_a_frame_is_known_where_the_file_tells_several_apart(videos, clusters):
    annolist = np.empty(3, [("vididx", object)])
    for row, video in zip(annolist, videos, strict=True):
        row["vididx"] = np.array(video)
    assert mpii._videos(annolist, [1, 2, 3]) == clusters
    assert mpii._videos(np.empty(3, [("image", object)]), [1, 2, 3]) is None
