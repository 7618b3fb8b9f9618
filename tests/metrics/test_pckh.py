"""PCKh against a published method's numbers on MPII's validation people, and by hand."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io

from pipeline.datasets.formats import lspet, mpii
from pipeline.metrics import pckh

METRIC = mpii.METRIC


@pytest.fixture(scope="module")
def tompson(shared):
    """Image_xy predictions and a table of people, of which PCKh reads only these columns."""
    with np.load(shared / "golden" / "pckh_tompson_mpii_val.npz") as file:
        boxes = file["headboxes"]
        people = SimpleNamespace(
            joints=file["gt"],
            labelled=file["missing"] == 0,
            head_size=0.6 * np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1),
            image_id=np.arange(len(boxes)) // 2,
            person_id=np.arange(len(boxes)),
        )
        return file["pred"], people


def test_tompson_on_mpii_equals_the_published_numbers(tompson):
    values = METRIC.summarise(pckh.samples(*tompson))
    published = {
        "Head": 95.60, "Shoulder": 92.71, "Elbow": 83.36, "Wrist": 76.74, "Hip": 81.93, "Knee": 73.36,
        "Ankle": 65.45, "Mean": 82.34,
    }  # fmt: skip
    assert {name: round(values[name], 2) for name in published} == published
    assert tuple(values) == METRIC.columns


def test_weights_of_one_change_nothing_and_a_weight_of_two_is_an_image_twice(tompson):
    samples = pckh.samples(*tompson)
    count = len(METRIC.images(samples))
    weights = np.ones((2, count), np.int64)
    weights[1, 0], weights[1, 3] = 2, 0
    values = METRIC.summarise(samples, weights)
    twice = np.concatenate([np.arange(6), [0, 1], np.arange(8, len(samples["image_id"]))])
    resampled = METRIC.summarise({name: array[twice] for name, array in samples.items()})
    for name, value in METRIC.summarise(samples).items():
        assert values[name][0] == pytest.approx(value, abs=1e-12)
        assert values[name][1] == pytest.approx(resampled[name], abs=1e-12)


def test_curve_passes_through_the_mean_at_both_thresholds(tompson):
    samples = pckh.samples(*tompson)
    values = METRIC.summarise(samples)
    np.testing.assert_allclose(
        METRIC.curve(samples, np.array([0.1, 0.5])), [values["Mean@0.1"], values["Mean"]], atol=1e-12
    )


def two_people(**changed):
    columns = dict(
        joints=np.zeros((2, 16, 2)),
        labelled=np.ones((2, 16), bool),
        head_size=np.array([10.0, 10.0]),
        image_id=np.array([1, 2]),
        person_id=np.array([1001, 2001]),
    )
    return SimpleNamespace(**{**columns, **changed})


def test_a_joint_exactly_at_half_the_head_size_is_found():
    image_xy = np.zeros((2, 16, 2))
    image_xy[0, 9] = 3, 4
    image_xy[1, 9] = 3, 4.001
    assert METRIC.summarise(pckh.samples(image_xy, two_people()))["Head"] == 50


def test_a_joint_exactly_at_a_tenth_is_found():
    image_xy = np.zeros((2, 16, 2))
    image_xy[:, 0] = 0, 1
    assert METRIC.summarise(pckh.samples(image_xy, two_people()))["Mean@0.1"] == 100


def test_mean_counts_the_neck_but_neither_pelvis_nor_thorax():
    wrong = np.zeros((2, 16, 2))
    wrong[:, [6, 7]] = 99
    assert METRIC.summarise(pckh.samples(wrong, two_people()))["Mean"] == 100
    wrong[:, 8] = 99
    values = METRIC.summarise(pckh.samples(wrong, two_people()))
    assert values["Mean"] == pytest.approx(100 * 13 / 14)
    assert values["Head"] == 100


def test_mean_weighs_columns_by_their_labelled_joints():
    labelled = np.ones((2, 16), bool)
    labelled[:, [0, 5]] = [[True, False], [False, False]]
    image_xy = np.zeros((2, 16, 2))
    image_xy[0, 0] = 99
    values = METRIC.summarise(pckh.samples(image_xy, two_people(labelled=labelled)))
    # 14 joints a person, less three ankles; one of the 25 is wrong.
    assert values["Mean"] == pytest.approx(100 * 24 / 25)


def test_people_without_head_size_do_not_count():
    image_xy = np.zeros((2, 16, 2))
    image_xy[1] = 99
    samples = pckh.samples(image_xy, two_people(head_size=np.array([10.0, np.nan])))
    assert METRIC.summarise(samples)["Mean"] == 100
    assert np.isnan(samples["distance"][1]).all()


def test_a_joint_that_nobody_has_is_nan_and_not_zero():
    labelled = np.ones((2, 16), bool)
    labelled[:, 9] = False
    samples = pckh.samples(np.zeros((2, 16, 2)), two_people(labelled=labelled))
    values = METRIC.summarise(samples, np.array([[1, 1], [2, 0]]))
    assert np.isnan(values["Head"]).all() and (values["Mean"] == 100).all()


def _guessed(share: float):
    """Samples of people whose ankles lie three head sizes apart, of whom a share has them in each other's place."""
    count, joints = 200, np.zeros((200, 16, 2))
    joints[:, METRIC.keypoints.names.index("left_ankle")] = 30, 0
    # Within a head size of each other both knees are found, wherever they are put.
    joints[:, METRIC.keypoints.names.index("left_knee")] = 4, 0
    people = two_people(
        joints=joints,
        labelled=np.ones((count, 16), bool),
        head_size=np.full(count, 10.0),
        image_id=np.arange(count),
        person_id=np.arange(count),
    )
    image_xy = joints.copy()
    swapped = np.arange(count) < share * count
    image_xy[swapped] = joints[swapped][:, METRIC.keypoints.flip_order]
    return pckh.samples(image_xy, people) | METRIC.mirror_samples(people, image_xy)


def test_a_joint_whose_sides_are_guessed_is_not_learned():
    samples = _guessed(0.5)
    assert METRIC.summarise(samples)["Ankle"] == 50
    assert METRIC.unlearned(samples) == {"Ankle"}
    # Nothing tells this from a joint found half of the time but what is kept of the other side.
    del samples["mirror_distance"]
    assert METRIC.unlearned(samples) == frozenset()


@pytest.mark.parametrize(("share", "guessed"), [(0.3, False), (0.34, True)])
def test_a_joint_must_be_found_twice_as_often_as_it_is_taken_for_the_other_side(share, guessed):
    assert METRIC.unlearned(_guessed(share)) == ({"Ankle"} if guessed else set())


def test_the_other_sides_label_counts_where_both_are_known_and_apart():
    joints = np.zeros((2, 16, 2))
    joints[0, 5], joints[1, 5] = (10.1, 0), (10, 0)
    people = two_people(joints=joints)
    distance = pckh.mirror_distances(np.zeros((2, 16, 2)), people, METRIC.keypoints)
    assert distance[0, [0, 5]] == pytest.approx([1.01, 0])
    assert np.isnan(np.delete(distance[0], [0, 5])).all() and np.isnan(distance[1]).all()
    labelled = np.ones((2, 16), bool)
    labelled[:, 5] = False
    people = two_people(joints=joints, labelled=labelled, head_size=np.array([10, np.nan]))
    assert np.isnan(pckh.mirror_distances(joints, people, METRIC.keypoints)).all()


def test_weights_for_other_images_are_refused():
    samples = pckh.samples(np.zeros((2, 16, 2)), two_people())
    with pytest.raises(ValueError, match="weights for 3 images, but these samples have 2"):
        METRIC.summarise(samples, np.ones((1, 3)))


def test_mat_file_is_hrnets_one_based_and_the_same_every_time():
    people = two_people(image_id=np.array([5, 7]), person_id=np.array([5002, 7001]))
    image_xy = np.arange(64.0).reshape(2, 16, 2)
    raw = mpii.export(people, image_xy)["predictions.mat"]
    assert raw == mpii.export(people, image_xy)["predictions.mat"] and b"Created" not in raw
    content = scipy.io.loadmat(io.BytesIO(raw))
    np.testing.assert_array_equal(content["preds"], image_xy + 1)
    np.testing.assert_array_equal(content["RELEASE_img_index"], [[5, 7]])
    np.testing.assert_array_equal(content["RELEASE_person_index"], [[2, 1]])


def test_lspet_counts_all_its_joints():
    assert lspet.METRIC.mean == tuple(range(14))
