"""Eqs. 5 and 6 against numbers worked by hand, and HRNet's loss against the official code's."""

import math

import numpy as np
import pytest
import torch

from pipeline.training.losses import heatmap_loss, segmentation_loss


@pytest.fixture
def heatmaps():
    """Two people, two joints, 1x2 pixels; the second person's second joint has no label."""
    predicted = torch.tensor([[[[1.0, 0.0]], [[0.5, 0.5]]], [[[0.0, 2.0]], [[9.0, 9.0]]]])
    target = torch.tensor([[[[0.0, 0.0]], [[0.5, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    return predicted, target, torch.tensor([[1.0, 1.0], [1.0, 0.0]])


def test_eq5_mean_is_half_the_mean_square_over_people_joints_and_pixels(heatmaps):
    # Squares 1 + 0.25 of the first person and 4 of the second, over 8 pixels.
    assert heatmap_loss(*heatmaps).item() == pytest.approx(0.5 * 5.25 / 8)


def test_eq5_sum_adds_joints_and_pixels_of_each_person(heatmaps):
    assert heatmap_loss(*heatmaps, reduction="sum").item() == pytest.approx((1.25 + 4) / 2)


def test_heatmap_loss_equals_the_official_code(shared):
    golden = np.load(shared / "golden" / "hrnet_pipeline.npz")
    loss = heatmap_loss(
        torch.from_numpy(golden["loss_output"]),
        torch.from_numpy(golden["target_heatmaps"][:3]),
        torch.from_numpy(golden["target_weight"][:3]),
    )
    assert loss.item() == pytest.approx(golden["loss_weighted_mse"].item(), rel=1e-6)


def test_unlabelled_joint_gets_no_gradient(heatmaps):
    predicted, target, weight = heatmaps
    predicted.requires_grad_()
    heatmap_loss(predicted, target, weight).backward()
    # d/dx of 0.5 * x^2 / 8 is x / 8.
    expected = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.5]]], [[[0.0, 2.0]], [[0.0, 0.0]]]]) / 8
    assert torch.allclose(predicted.grad, expected)


@pytest.fixture
def maps():
    """One person, two maps of 1x2 pixels, predicted as 0.8, 0.5 and 0.25, 0.9; the truth is 1, 0."""
    probability = torch.tensor([[[[0.8, 0.5]], [[0.25, 0.9]]]])
    return probability.logit(), torch.tensor([[[1, 0]]], dtype=torch.uint8)


def test_eq6_sum_adds_pixels_and_averages_maps(maps):
    by_hand = -(math.log(0.8) + math.log(0.5) + math.log(0.25) + math.log(0.1)) / 2
    assert segmentation_loss(*maps, reduction="sum").item() == pytest.approx(by_hand, rel=1e-6)


def test_eq6_mean_averages_pixels_too(maps):
    by_hand = -(math.log(0.8) + math.log(0.5) + math.log(0.25) + math.log(0.1)) / 4
    assert segmentation_loss(*maps).item() == pytest.approx(by_hand, rel=1e-6)


def test_eq6_sum_is_averaged_over_people(maps):
    logits, truth = maps
    both = segmentation_loss(torch.cat([logits, -logits]), torch.cat([truth, truth]), reduction="sum")
    apart = [segmentation_loss(sign * logits, truth, reduction="sum") for sign in (1, -1)]
    assert both.item() == pytest.approx(sum(apart).item() / 2, rel=1e-6)


def test_a_map_that_says_nothing_costs_log_2():
    loss = segmentation_loss(torch.zeros(2, 4, 8, 6), torch.ones(2, 8, 6, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(2))


def test_segmentation_loss_is_finite_for_certain_and_wrong_maps():
    logits = torch.tensor([[[[200.0, -200.0]]]], requires_grad=True)
    loss = segmentation_loss(logits, torch.tensor([[[0.0, 1.0]]]))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert torch.allclose(logits.grad, torch.tensor([[[[0.5, -0.5]]]]))


def test_losses_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        key = heatmap_loss(
            torch.full((1, 1, 2, 2), 0.1).bfloat16(), torch.zeros(1, 1, 2, 2), torch.ones(1, 1)
        )
        seg = segmentation_loss(torch.full((1, 4, 2, 2), 0.1).bfloat16(), torch.zeros(1, 2, 2))
    assert key.dtype == seg.dtype == torch.float32
    # 0.1 is 0.10009765625 in bfloat16; a square rounded to bfloat16 would miss this by 1e-3.
    assert key.item() == pytest.approx(0.5 * 0.10009765625**2, rel=1e-6)
    assert seg.item() == pytest.approx(math.log1p(math.exp(0.10009765625)), rel=1e-6)


def test_shapes_that_differ_are_refused_with_both(heatmaps, maps):
    predicted, target, weight = heatmaps
    with pytest.raises(ValueError, match=r"\(2, 2, 1, 2\).*\(1, 2, 1, 2\)"):
        heatmap_loss(predicted, target[:1], weight)
    with pytest.raises(ValueError, match=r"\(2, 2, 1\).*\(2, 2\)"):
        heatmap_loss(predicted, target, weight[..., None])
    with pytest.raises(ValueError, match=r"\(1, 2, 1\).*\(1, 1, 2\)"):
        segmentation_loss(maps[0], maps[1].transpose(1, 2))


def test_unknown_reduction_is_refused(heatmaps, maps):
    for loss, arguments in ((heatmap_loss, heatmaps), (segmentation_loss, maps)):
        with pytest.raises(ValueError, match=r"loss\.reduction: 'median' must be mean or sum"):
            loss(*arguments, reduction="median")
