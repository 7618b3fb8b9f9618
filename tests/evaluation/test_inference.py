"""Prediction: flip test and way back to the image against HRNet's outputs, and a pass on small pictures."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.codec import heatmap, segmentation
from pipeline.datasets import DATASETS
from pipeline.evaluation import inference, pictures
from pipeline.models.blocks import Output
from pipeline.params import Input
from pipeline.people import People
from tests.conftest import Pictures

CPU = torch.device("cpu")
INPUT = (128, 96)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "hrnet_pipeline.npz") as file:
        return dict(file)


def test_flip_test_with_its_shift_equals_hrnet(golden):
    plain, mirrored = torch.from_numpy(golden["flip_plain"]), torch.from_numpy(golden["flip_flipped"])
    averaged = inference.average(plain, mirrored, torch.from_numpy(DATASETS["coco"].KEYPOINTS.flip_order))
    np.testing.assert_array_equal(averaged.numpy(), golden["flip_averaged_shifted"])


def test_decoding_to_image_pixels_equals_hrnet(golden):
    heatmap_xy, score = heatmap.decode(torch.from_numpy(golden["decode_heatmaps"]))
    crops = SimpleNamespace(center=golden["decode_center"], scale=golden["decode_scale"])
    image_xy = inference.to_image(heatmap_xy.numpy(), crops, (64, 48))
    np.testing.assert_allclose(image_xy, golden["decode_image_xy"], atol=2e-4)
    np.testing.assert_array_equal(score.numpy(), golden["decode_score"])


class Finder(nn.Module):
    """Joint k where the input is brightest in channel k % 3; four maps of where anything is bright."""

    def __init__(self, joints: int):
        super().__init__()
        self.joints = joints

    def forward(self, x_BCHW):
        pooled = F.avg_pool2d(x_BCHW, 5, 4, padding=2)
        heatmaps = pooled[:, [k % 3 for k in range(self.joints)]]
        return Output(heatmaps, (pooled.amax(1, keepdim=True) + 1).expand(-1, 4, -1, -1))


def finder(flip_test: bool = True) -> inference.Inference:
    given = Input(size=INPUT, reduced_decoding=False)
    return inference.Inference(Finder(16), given, CPU, flip_test, batch_size=3)


@pytest.fixture
def spotted():
    """Eight people of MPII, each a white spot in a picture of its own, and the store of the pictures."""
    rng = np.random.default_rng(0)
    center, scale = rng.uniform(150, 250, (8, 2)), np.tile([[0.9, 1.2]], (8, 1)) * rng.uniform(1, 1.4, (8, 1))
    joints = np.repeat((center + rng.uniform(-60, 60, (8, 2)))[:, None], 16, 1)
    store = Pictures((400, 400))
    for n in range(8):
        picture = np.zeros((400, 400, 3), np.uint8)
        cv2.circle(picture, tuple(int(v) for v in joints[n, 0].round()), 14, (255, 255, 255), -1)
        store.draw(f"{n}.png", cv2.GaussianBlur(picture, (0, 0), 6))
    people = People(
        dataset="mpii",
        split="val",
        images=np.array(sorted(store.data)),
        image=np.arange(8, dtype=np.int32),
        image_id=np.arange(1, 9),
        person_id=np.arange(1, 9) * 1000 + 1,
        box=np.zeros((8, 4)),
        center=center,
        scale=scale,
        joints=joints,
        labelled=np.ones((8, 16), bool),
        visible=np.ones((8, 16), bool),
        head_size=np.full(8, 20.0),
        area=np.ones(8),
    )
    return people, store


@pytest.mark.parametrize("flip_test", [False, True])
def test_a_spot_is_found_where_it_is_in_the_image(spotted, flip_test):
    people, images = spotted
    predictions = finder(flip_test).predict(people, images)
    # A heatmap pixel is up to 2.6 image pixels wide here.
    assert np.abs(predictions.image_xy - people.joints).max() < 4
    assert predictions.score.shape == (8, 16) and predictions.map_iou is None


def test_map_iou_is_taken_person_by_person_against_the_precomputed_maps(spotted):
    people, images = spotted
    maps = segmentation.of_people(people, INPUT, 2)
    maps[5] = 0
    maps[6] = 255
    iou = finder().predict(people, images, maps).map_iou
    assert iou.shape == (8, 4) and (iou == iou[:, :1]).all()
    assert iou[5, 0] == 0 and 0 < iou[6, 0] < 0.2 and iou[:5].min() > 0.5


def test_examples_hold_what_the_pictures_need(spotted):
    people, images = spotted
    rows = np.array([2, 0])
    maps = segmentation.of_people(people, INPUT, 2)
    arrays = finder().examples(people.select(rows), images, maps[rows])
    assert arrays["input_BHW3"].shape == (2, 128, 96, 3) and arrays["input_BHW3"].dtype == np.uint8
    assert arrays["maps_B4hw"].shape == (2, 4, 32, 24) and arrays["maps_B4hw"].dtype == np.float32
    assert arrays["target_map_Bhw"].sum() > 0
    assert np.abs(arrays["predicted_input_xy"] - arrays["true_input_xy"]).max() < 5
    for (x, y), crop in zip(
        arrays["true_input_xy"][:, 0].round().astype(int), arrays["input_BHW3"], strict=True
    ):
        assert crop[y, x].min() > 0.7 * crop.max()
    np.testing.assert_array_equal(arrays["person_id"], people.person_id[rows])


def test_the_hardest_people_are_the_most_occluded_one_an_image(spotted):
    people, _ = spotted
    people.visible[3, :5] = False
    people.visible[6, :9] = False
    # Person 1 has more occluded joints, but few labels.
    people.labelled[1, 7:] = False
    people.visible[1] = False
    rows = pictures.hardest(people, 4)
    assert list(rows[:2]) == [6, 3] and 1 not in rows
    people.image[6] = people.image[3]
    assert list(pictures.hardest(people, 4)).count(3) == 0


def test_every_dataset_mirrors_left_to_right():
    for dataset in DATASETS.values():
        keypoints = dataset.KEYPOINTS
        mirrored = [keypoints.names[k].replace("left", "right") for k in keypoints.flip_order]
        assert mirrored == [name.replace("left", "right") for name in keypoints.names]


def test_a_network_that_knows_its_poses_quality_scores_by_it_averaged_with_the_mirror_images():
    class Judge(nn.Module):
        def forward(self, x_BCHW):
            return Output(torch.rand(2, 16, 32, 24), quality=x_BCHW[:, 0, 0, 0])

    input_BCHW = torch.zeros(2, 3, 128, 96)
    input_BCHW[:, 0, 0, 0] = torch.tensor([0.2, 0.6])
    input_BCHW[:, 0, 0, -1] = torch.tensor([0.4, 1.0])
    flip_order = torch.from_numpy(DATASETS["mpii"].KEYPOINTS.flip_order)
    for order, quality in ((None, [0.2, 0.6]), (flip_order, [0.3, 0.8])):
        _, score_BK = inference.decode(inference.forward(Judge(), input_BCHW, order))
        assert score_BK.shape == (2, 16)
        np.testing.assert_allclose(score_BK, np.repeat(quality, 16).reshape(2, 16), rtol=1e-6)
