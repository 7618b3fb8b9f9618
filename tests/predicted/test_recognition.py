"""Files that are not what they should be are told by their numbers, those that are pass."""

import numpy as np
import pytest

from pipeline import runs
from pipeline.datasets import DATASETS
from pipeline.predicted import labels, measuring, recognition
from tests.predicted.conftest import write_h5

KEYPOINTS = DATASETS["mpii"].KEYPOINTS


def _crop(xy, people, side):
    return (xy - people.center[:, None]) / (people.scale[:, None] * 200) * side + side / 2


def _shuffled(xy, share):
    """A share of the people each with what is another's of them."""
    rows = np.random.default_rng(0).choice(len(xy), int(share * len(xy)), replace=False)
    moved = xy.copy()
    moved[rows] = xy[np.roll(rows, 1)]
    return moved


CHANGES = {
    "right": (lambda xy, people: xy, None),
    "another first pixel": (lambda xy, people: xy - 1, "0-based"),
    "1 added twice": (lambda xy, people: xy + 1, "subtract 1"),
    "mirrored": (lambda xy, people: xy[:, KEYPOINTS.flip_order], "left and right"),
    "hips": (lambda xy, people: xy[:, [0, 1, 3, 2, *range(4, 16)]], "left and right"),
    "reversed": (
        lambda xy, people: xy[:, ::-1],
        "its joint 1 lies at left_wrist where right_ankle should be",
    ),
    "another order": (
        lambda xy, people: xy[:, [*range(6), *range(10, 16), 8, 9, 6, 7]],
        "its joint 7 lies at",
    ),
    "pixels of a heatmap": (lambda xy, people: _crop(xy, people, 64), "of a heatmap or of a crop"),
    "pixels of a crop": (lambda xy, people: _crop(xy, people, 256), "of a heatmap or of a crop"),
    "shares": (lambda xy, people: _crop(xy, people, 1), "of a heatmap or of a crop"),
    "y before x": (lambda xy, people: xy[..., ::-1], "off the labels"),
    "people shuffled": (
        lambda xy, people: np.random.default_rng(0).permutation(xy),
        "its people are in another",
    ),
    "some people shuffled": (lambda xy, people: _shuffled(xy, 0.3), "its people are in another order"),
    "people reversed": (lambda xy, people: xy[::-1], "its people are in another order"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_drawn_people(validation, predictions, change):
    people, _ = validation
    _judge(predictions, people, *CHANGES[change])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", ["mpii_valid_hourglass.h5", "detections.mat"])
def test_public_files(public, file, change):
    people, predictions = public
    _judge(predictions[file], people, *CHANGES[change])


@pytest.fixture(scope="module")
def public(shared):
    folder, form = shared / "golden" / "predictions", DATASETS["mpii"].PREDICTIONS
    people = form.people((folder / "detections.mat").read_bytes())
    return people, {
        name: form.read(folder / name).image_xy for name in ("mpii_valid_hourglass.h5", "detections.mat")
    }


def _judge(image_xy, people, change, problem):
    changed = change(image_xy, people)
    if problem is None:
        assert recognition.check(changed, people, KEYPOINTS, "FILE", exact=True) == ""
        return
    with pytest.raises(ValueError, match=problem) as error:
        recognition.check(changed, people, KEYPOINTS, "FILE", exact=True)
    assert str(error.value).startswith("FILE: ") and ". " not in str(error.value)


def test_a_method_that_errs_is_not_taken_for_a_wrong_file(validation, predictions):
    people, _ = validation
    rng, size = np.random.default_rng(2), people.head_size[:, None, None]
    confused = np.where(
        rng.random((len(people), 1, 1)) < 0.3, predictions[:, KEYPOINTS.flip_order], predictions
    )
    biased = predictions + size * [0.05, -0.04]
    poor = predictions + rng.normal(0, 1, predictions.shape) * size
    for image_xy in (confused, biased, poor):
        recognition.check(image_xy, people, KEYPOINTS, "FILE", exact=True)


def test_few_people_do_not_tell_a_pixel(validation, predictions):
    people, _ = validation
    few = people.select(np.arange(5))
    said = "FILE: whether its pixels count from 0 or 1 these numbers cannot tell"
    assert recognition.check(predictions[:5] - 1, few, KEYPOINTS, "FILE", exact=True) == said
    assert recognition.check(predictions[:5] - 1, few, KEYPOINTS, "FILE", exact=False) == ""


def test_of_a_method_that_seldom_hits_the_first_pixel_is_not_known(validation, predictions, tmp_path, capsys):
    people, _ = validation
    far = np.random.default_rng(3).normal(0, 0.6, predictions.shape) * people.head_size[:, None, None]
    file = measuring.File(write_h5(tmp_path / "a.h5", predictions + far + 1), "a", "mpii", "label", "none")
    source = runs.Data(source="folder", people_sha256=None, archives_sha256="")
    true = labels.Labels(people, people.person_id, tmp_path, source, full_size=False, missing_people=0)
    measuring.score_rows(file, true, measuring.read_rows(file))
    said = "a.h5: whether its pixels count from 0 or 1 these numbers cannot tell\n"
    assert capsys.readouterr().out == said
