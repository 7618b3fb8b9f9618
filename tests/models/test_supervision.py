"""What trains a network of several outputs, of mined joints, and of a predicted quality: numbers by hand."""

import math

import pytest
import torch

from pipeline.models.blocks import Output
from pipeline.training.losses import (
    COVERED,
    QUALITY,
    TOLERANCE,
    hard_heatmap_loss,
    heatmap_loss,
    keypoint_loss,
    quality_loss,
)


@pytest.fixture
def case():
    """Five people, four joints, 8x6 pixels; some joints without a label."""
    generator = torch.Generator().manual_seed(0)
    heatmaps, target = torch.rand(2, 5, 4, 8, 6, generator=generator)
    return heatmaps, target, (torch.rand(5, 4, generator=generator) > 0.3).float()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_single_output_trains_to_the_bit_as_before(reduction, case):
    heatmaps, target, weight = case
    one, other = (heatmaps.clone().requires_grad_() for _ in range(2))
    loss = keypoint_loss(Output(one), target, weight, reduction)
    expected = heatmap_loss(other, target, weight, reduction)
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected) and torch.equal(one.grad, other.grad)


def test_every_output_is_supervised(case):
    heatmaps, target, weight = case
    earlier = (heatmaps * 2, heatmaps * 3)
    loss = keypoint_loss(Output(heatmaps, earlier=earlier), target, weight)
    each = [heatmap_loss(maps, target, weight) for maps in (heatmaps, *earlier)]
    assert torch.allclose(loss, sum(each))


def test_mining_takes_each_persons_hardest_joints():
    # One pixel; squares 1, 4, 9 of the first person, 16 without a label, 0, 0 of the second.
    heatmaps = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])[:, :, None, None].requires_grad_()
    weight = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    target = torch.zeros_like(heatmaps)
    loss = hard_heatmap_loss(heatmaps, target, weight, 2)
    assert loss.item() == pytest.approx(0.5 * (4 + 9 + 0 + 0) / 4)
    loss.backward()
    assert heatmaps.grad[0, 0] == 0 and heatmaps.grad[0, 1] != 0 and heatmaps.grad[0, 2] != 0
    assert hard_heatmap_loss(heatmaps, target, weight, 2, "sum").item() == pytest.approx((4 + 9) / 2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mining_all_joints_is_no_mining(reduction, case):
    assert torch.allclose(hard_heatmap_loss(*case, 9, reduction), heatmap_loss(*case, reduction))


def test_mining_leaves_earlier_outputs_alone(case):
    heatmaps, target, weight = case
    loss = keypoint_loss(Output(heatmaps, earlier=(heatmaps,)), target, weight, hard_joints=1)
    assert torch.allclose(
        loss, hard_heatmap_loss(heatmaps, target, weight, 1) + heatmap_loss(heatmaps, target, weight)
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_bones_and_limbs_train_with_the_joints_of_their_level(reduction, case):
    heatmaps, target, weight = case
    generator = torch.Generator().manual_seed(1)
    bones, limbs = torch.rand(5, 3, 8, 6, generator=generator), torch.rand(5, 2, 8, 6, generator=generator)
    bone_weight, limb_weight = torch.ones(5, 3), torch.tensor([[1.0, 0.0]]).expand(5, 2)
    earlier = (
        heatmaps,
        torch.rand(5, 7, 8, 6, generator=generator),
        torch.rand(5, 6, 8, 6, generator=generator),
    )
    output = Output(heatmaps, earlier=earlier, levels=(0, 1, 2))
    parts = [(bones, bone_weight), (limbs, limb_weight)]
    loss = keypoint_loss(output, target, weight, reduction, parts=parts)
    joints = 2 * heatmap_loss(heatmaps, target, weight, reduction)
    with_bones = heatmap_loss(
        earlier[1], torch.cat([target, bones], 1), torch.cat([weight, bone_weight], 1), reduction
    )
    # The second limb has no label.
    error = torch.cat([(earlier[2][:, :4] - target) * weight[..., None, None], earlier[2][:, 4:] - limbs], 1)
    error[:, 5] = 0
    with_limbs = 0.5 * error.square().mean() if reduction == "mean" else error.square().sum() / 5
    assert torch.allclose(loss, joints + with_bones + with_limbs)


def at(points, size=(16, 12)):
    """Heatmaps (1, K, h, w) with one bright pixel at each (x, y)."""
    heatmaps = torch.zeros(1, len(points), *size)
    for joint, (x, y) in enumerate(points):
        heatmaps[0, joint, y, x] = 1
    return heatmaps


def test_quality_is_the_oks_of_the_largest_pixels():
    target, predicted = at([(2, 3), (5, 5), (7, 7)]), at([(2, 3), (8, 9), (0, 0)])
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    # The first joint is right, the second 5 pixels away, the third has no label.
    area = COVERED * 16 * 12 / 1.25**2
    oks = (1 + math.exp(-25 / (2 * area * TOLERANCE**2))) / 2
    assert quality_loss(torch.tensor([oks]), predicted, target, weight).item() == pytest.approx(0, abs=1e-6)
    assert quality_loss(torch.zeros(1), predicted, target, weight).item() == pytest.approx(oks, rel=1e-5)


def test_the_quarter_of_people_farthest_from_their_quality_counts_more():
    target = at([(2, 3)]).expand(4, 1, 16, 12)
    # Everybody's OKS is 1.
    loss = quality_loss(torch.tensor([1.0, 0.9, 0.8, 0.5]), target, target, torch.ones(4, 1))
    assert loss.item() == pytest.approx((0 + 0.1 + 0.2 + math.exp(1) - 1) / 4, rel=1e-5)


def test_quality_learns_beside_the_heatmaps_and_not_through_them():
    heatmaps, quality = at([(2, 3)]).requires_grad_(), torch.tensor([0.25], requires_grad=True)
    target, weight = at([(2, 3)]), torch.ones(1, 1)
    loss = keypoint_loss(Output(heatmaps, quality=quality), target, weight)
    loss.backward()
    assert loss.item() == pytest.approx(0.75 * QUALITY, rel=1e-5)
    assert quality.grad.item() == pytest.approx(-QUALITY) and not heatmaps.grad.any()


def test_people_without_labels_have_no_quality():
    target = at([(2, 3)])
    assert quality_loss(torch.ones(1), target, target, torch.zeros(1, 1)).item() == 0
