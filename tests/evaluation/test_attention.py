"""What is measured of attention maps: independent of the gate's cut, on the person and beside."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.codec import segmentation
from pipeline.evaluation import attention
from tests.evaluation.test_inference import INPUT, finder, spotted  # noqa: F401

SIZE = (32, 24)
RNG = np.random.default_rng(0)


def truth(people=6):
    maps = np.zeros((people, *SIZE), bool)
    for n, each in enumerate(maps):
        each[4 + n : 12 + n, 5:15] = True
    return maps


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    maps = RNG.integers(0, 5, (3, 2, *SIZE)).astype(np.float32)
    found = attention.auroc(torch.from_numpy(maps), torch.from_numpy(truth(3))).numpy()
    for scores_N, true, got_N in zip(maps, truth(3), found, strict=True):
        for scores, got in zip(scores_N, got_N, strict=True):
            pairs = scores[true][:, None] - scores[~true]
            assert got == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_auroc_does_not_depend_on_the_cut_and_is_none_of_an_empty_truth():
    maps = torch.from_numpy(RNG.standard_normal((2, 4, *SIZE)).astype(np.float32))
    true = torch.from_numpy(truth(2))
    assert torch.equal(attention.auroc(maps, true), attention.auroc(3 * maps - 7, true))
    assert (attention.auroc(true[:, None].float(), true) == 1).all()
    assert attention.auroc(maps, torch.zeros_like(true)).isnan().all()


def test_the_threshold_is_the_one_of_the_highest_iou():
    true = truth()
    # The second map is above -3 where the first is above 2; the third is a map of nothing in particular.
    first = np.where(true, 2.5, 1.5) + 0.4 * RNG.random(true.shape)
    logits = np.stack([first, first - 5, RNG.standard_normal(true.shape)], 1).astype(np.float32)
    found = attention.best_thresholds(logits, true)
    ious = [
        segmentation.iou(torch.from_numpy(logits > t), torch.from_numpy(true)).mean(0).numpy()
        for t in np.quantile(logits, np.linspace(0, 0.999, 400))
    ]
    own = segmentation.iou(torch.from_numpy(logits > found[:, None, None]), torch.from_numpy(true)).mean(0)
    assert own[:2].min() > 0.95 and 1.5 < found[0] < 2.6 and -3.5 < found[1] < -2.4
    assert own[2] >= np.max(ious, 0)[2] - 0.005


def test_a_person_is_what_lies_within_the_radius_of_the_hull_of_the_joints():
    centres = np.array([[[5, 5], [15, 5], [15, 20], [0, 31]]] * 2)
    labelled = np.array([[True, True, True, False], [False] * 4])
    person, nobody = attention.persons(centres, labelled, SIZE, 2.5)
    assert not nobody.any() and person[8, 14] and person[5, 13] and person[3, 5] and person[7, 17]
    assert not person[2, 5] and not person[20, 5] and not person[31, 0]
    # The discs of Eq. 2 are in it.
    joints = segmentation.encode(
        torch.from_numpy(centres[:1]).int(), torch.from_numpy(labelled[:1]), SIZE, 2.5
    )
    assert person[joints[0].numpy()].all() and person.sum() > joints.sum()


def test_mass_on_the_person_is_their_share_of_the_area_for_a_map_of_ones():
    person = torch.from_numpy(truth(2))
    maps = torch.stack([torch.ones(2, *SIZE), person.float()], 1)
    share = attention.inside(maps, person)
    assert share[:, 0].tolist() == pytest.approx([80 / 768] * 2) and share[:, 1].tolist() == [1, 1]


def test_clutter_is_beside_the_person_and_inside_the_image():
    person = truth(1)
    picture = np.full((1, 128, 96, 3), 200, np.uint8)
    plain = attention.clutter(picture, person)
    picture[:, 20:44, 28:52] = 20
    on_the_person = attention.clutter(picture, person)
    picture[:, 80:112:8, 40:90] = 20
    beside = attention.clutter(picture, person)
    picture[:, :, 92:] = 0
    assert plain == on_the_person == 0 < beside
    assert attention.clutter(picture, person) == pytest.approx(beside, rel=0.2)
    assert np.isnan(attention.clutter(picture, np.ones_like(person)))[0]


def test_another_person_is_near_if_one_of_their_joints_is_in_the_crop(spotted):  # noqa: F811
    people, _ = spotted
    apart = replace(people, image_id=np.arange(8))
    assert not attention.others_near(apart, INPUT, {}).any()
    together = replace(people, image_id=np.array([0, 0, *range(2, 8)]))
    assert attention.others_near(together, INPUT, {}).tolist() == [True, True] + [False] * 6
    unlabelled = replace(together, labelled=people.labelled & (np.arange(8) != 1)[:, None])
    assert attention.others_near(unlabelled, INPUT, {}).tolist() == [False, True] + [False] * 6


def test_people_whom_the_metric_does_not_count_are_near_too(spotted, tmp_path):  # noqa: F811
    people, _ = spotted
    apart = replace(people, image_id=np.arange(8))
    assert attention.bystanders(tmp_path) == {}
    far, inside = apart.center[2] + 1e5, apart.center[5] + 1
    beside = {"2": [far.tolist()], "5": [far.tolist(), inside.tolist()], "99": [far.tolist()]}
    (tmp_path / "val_bystanders.json").write_text(json.dumps(beside))
    found = attention.others_near(apart, INPUT, attention.bystanders(tmp_path))
    assert found.tolist() == [row == 5 for row in range(8)]


def test_a_look_leaves_predictions_and_iou_as_they_are(spotted):  # noqa: F811
    people, images = spotted
    maps = segmentation.of_people(people, INPUT, 2)
    thresholds = attention.best_thresholds(
        finder().map_logits(people, images), segmentation.unpack(maps, SIZE)
    )
    plain = finder().predict(people, images, maps)
    looked = finder().predict(people, images, maps, attention.Look(2, thresholds))
    assert np.array_equal(plain.image_xy, looked.image_xy) and np.array_equal(plain.map_iou, looked.map_iou)
    found = looked.attention
    assert found.iou_best.mean() >= looked.map_iou.mean() and found.auroc.min() > 0.9
    assert found.inside.shape == (8, 4) and found.clutter.shape == (8,)
