"""Bones and limbs: drawn as DLCM's code draws them, along a line between two joints."""

import numpy as np
import pytest
import torch

from pipeline.codec import heatmap, parts
from pipeline.datasets import DATASETS
from pipeline.keypoints import Keypoints

SIZE = (24, 18)
ARM = Keypoints(("shoulder", "elbow", "wrist"), (), (), bones=((0, 1), (1, 2)), limbs=((0, 1), (1,)))


def encoded(points, labelled=(True, True, True), sigma=1):
    centres = torch.tensor([points], dtype=torch.int32)
    (bones, bone_weight), (limbs, limb_weight) = parts.encode(
        centres, torch.tensor([labelled]), SIZE, sigma, ARM
    )
    return bones[0], bone_weight[0].tolist(), limbs[0], limb_weight[0].tolist()


def gaussians(points, sigma):
    """The largest of the heatmaps (Eq. 3) of joints at these pixels, as the authors draw a bone along its pixels."""
    centres = torch.tensor([points], dtype=torch.int32)
    return heatmap.encode(centres, torch.ones(1, len(points), dtype=torch.bool), SIZE, sigma)[0][0].amax(0)


@pytest.mark.parametrize(
    ("end", "pixels"),
    [
        ((12, 10), [(x, 10) for x in range(4, 13)]),
        ((4, 18), [(4, y) for y in range(10, 19)]),
        ((4, 10), [(4, 10)]),
    ],
)
@pytest.mark.parametrize("sigma", [1, 2])
def test_a_bone_is_the_gaussians_of_all_its_pixels(end, pixels, sigma):
    bones, *_ = encoded([(4, 10), end, (2, 2)], sigma=sigma)
    reference = gaussians(pixels, sigma)
    # The corners of a joint's square window lie beyond 3 sigma of it.
    np.testing.assert_allclose(
        bones[0], torch.where(reference >= np.exp(-4.5) - 1e-6, reference, 0), atol=1e-6
    )


def test_a_slanting_bone_is_largest_on_its_line():
    bones, *_ = encoded([(3, 4), (13, 19), (2, 2)])
    assert bones[0, 4, 3] == bones[0, 19, 13] == 1
    # 15x - 10y = 5 is the line; (10, 10) lies 45 / sqrt(325) from it, and (1, 1) lies sqrt(13) from its start.
    assert bones[0, 10, 10].item() == pytest.approx(np.exp(-(45**2) / 325 / 2), rel=1e-5)
    assert bones[0, 1, 1] == 0


def test_a_limb_is_the_largest_of_its_bones():
    bones, bone_weight, limbs, limb_weight = encoded([(2, 2), (9, 12), (14, 3)])
    assert torch.equal(limbs[0], torch.maximum(bones[0], bones[1])) and torch.equal(limbs[1], bones[1])
    assert bone_weight == limb_weight == [1, 1]


@pytest.mark.parametrize(("points", "labelled"), [
    ([(2, 2), (9, 12), (14, 3)], (False, True, True)),
    ([(-1, 2), (9, 12), (14, 3)], (True, True, True)),
    ([(2, 24), (9, 12), (14, 3)], (True, True, True)),
])  # fmt: skip
def test_a_bone_counts_where_both_joints_are_known_and_a_limb_where_one_bone_does(points, labelled):
    bones, bone_weight, limbs, limb_weight = encoded(points, labelled)
    assert bone_weight == [0, 1] and limb_weight == [1, 1]
    assert not bones[0].any() and torch.equal(limbs[0], bones[1])


def test_nothing_is_drawn_of_nobody():
    bones, bone_weight, limbs, limb_weight = encoded([(2, 2), (9, 12), (14, 3)], (False, True, False))
    assert bone_weight == limb_weight == [0, 0] and not bones.any() and not limbs.any()


WORDS = [
    {"ankle", "knee"}, {"knee", "hip"}, {"hip", "pelvis"}, {"thorax", "neck"}, {"neck", "head"}, {"wrist", "elbow"},
    {"elbow", "shoulder"}, {"nose", "eye"}, {"eye", "ear"},
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "bones", "limbs"), [("mpii", 12, 6), ("lspet", 9, 5), ("coco", 12, 6)])
def test_each_datasets_bones_join_neighbours_of_one_side(dataset, bones, limbs):
    keypoints = DATASETS[dataset].KEYPOINTS
    assert (len(set(keypoints.bones)), len(set(keypoints.limbs))) == (bones, limbs)
    for bone in keypoints.bones:
        first, second = (
            keypoints.names[joint].replace("upper_", "").replace("_top", "").split("_") for joint in bone
        )
        assert {first[-1], second[-1]} in WORDS, (first, second)
        assert len({name[0] for name in (first, second) if len(name) > 1}) <= 1, (first, second)
    for limb in keypoints.limbs:
        # One piece, but for the hips, which meet at the pelvis, as the others at theirs.
        joints = [set(keypoints.bones[bone]) for bone in limb]
        assert all(joints[0] & other for other in joints)
    assert sorted(bone for limb in keypoints.limbs for bone in limb) == list(range(bones))


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_mirror_images_bones_and_limbs_are_the_same(dataset):
    keypoints = DATASETS[dataset].KEYPOINTS
    order = keypoints.flip_order
    mirrored = {frozenset(order[list(bone)].tolist()) for bone in keypoints.bones}
    assert mirrored == {frozenset(bone) for bone in keypoints.bones}
    joints = {frozenset(j for bone in limb for j in keypoints.bones[bone]) for limb in keypoints.limbs}
    assert {frozenset(order[list(limb)].tolist()) for limb in joints} == joints
