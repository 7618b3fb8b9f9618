"""What holds of heatmaps (Eq. 3) and segmentation maps (Eq. 2), wherever the joints are."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.codec import heatmap, segmentation

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
RADII = st.one_of(st.integers(1, 12), st.floats(0.5, 12))


@st.composite
def people(draw, joints=4):
    """(centres_BK2, labelled_BK, size): some joints inside, some around, some far away."""
    size = draw(SIZES)
    reach = st.integers(-25, 60)
    shape = (draw(st.integers(1, 3)), joints)
    centres = draw(arrays(np.int32, (*shape, 2), elements=reach))
    labelled = draw(arrays(bool, shape))
    return torch.from_numpy(centres), torch.from_numpy(labelled), size


def squares(centres_BK2, size):
    """Squared distances (B, K, H, W) of each pixel from each joint."""
    y, x = np.mgrid[: size[0], : size[1]]
    dx = x - centres_BK2.numpy()[..., :1, None].astype(np.int64)
    dy = y - centres_BK2.numpy()[..., 1:, None].astype(np.int64)
    return dx**2 + dy**2, np.maximum(abs(dx), abs(dy))


@given(people(), st.integers(1, 3))
def test_eq3_pixel_by_pixel(drawn, sigma):
    centres, labelled, size = drawn
    heatmaps, weights = heatmap.encode(centres, labelled, size, sigma)
    square, furthest = squares(centres, size)
    there = (weights.numpy() > 0)[..., None, None] & (furthest <= 3 * sigma)
    expected = np.where(there, np.exp(-square / (2.0 * sigma**2)), 0)
    np.testing.assert_allclose(heatmaps.numpy(), expected, rtol=1e-6)
    assert not (weights.bool() & ~labelled).any()
    # Whatever shows in a heatmap is learned from.
    assert not (heatmaps.flatten(2).amax(-1).gt(0) & (weights == 0)).any()


@given(people(), st.integers(1, 3))
def test_what_is_encoded_decodes_to_the_joint(drawn, sigma):
    centres, _, size = drawn
    inside = ((centres >= 0) & (centres < torch.tensor([size[1], size[0]]))).all(-1)
    heatmaps, _ = heatmap.encode(centres, torch.ones_like(inside), size, sigma)
    xy, score = heatmap.decode(heatmaps)
    assert torch.equal(xy[inside], centres[inside].float())
    assert (score[inside] == 1).all()


@given(arrays(np.float32, (2, 3, 9, 7), elements=st.floats(-1, 1, width=32)))
def test_a_decoded_joint_lies_within_a_quarter_of_the_highest_pixel_and_not_where_nothing_is(values):
    xy, score = heatmap.decode(torch.from_numpy(values))
    flat = values.reshape(2, 3, -1)
    best = flat.argmax(-1)
    top = np.stack([best % 7, best // 7], -1) * (flat.max(-1) > 0)[..., None]
    assert (abs(xy.numpy() - top) <= 0.25).all()
    np.testing.assert_array_equal(score.numpy(), flat.max(-1))


@given(st.floats(0, 4000), st.floats(0, 4000))
def test_the_nearest_heatmap_pixel_is_at_most_half_a_pixel_off(x, y):
    (near,) = heatmap.centres(np.array([[x, y]]))
    assert (abs(near * 4.0 - [x, y]) <= 2).all()


@given(people(), RADII)
def test_eq2_pixel_by_pixel(drawn, radius):
    centres, labelled, size = drawn
    square, _ = squares(centres, size)
    disc = (square <= radius**2) & labelled.numpy()[..., None, None]
    np.testing.assert_array_equal(segmentation.encode(centres, labelled, size, radius), disc.any(1))


@given(people(), st.integers(1, 6))
def test_a_squared_distance_within_r_squared_is_a_distance_within_r(drawn, radius):
    plain = segmentation.encode(*drawn, radius)
    assert torch.equal(plain, segmentation.encode(*drawn, radius**2, "squared"))


@given(people(), RADII, st.floats(0, 5))
def test_a_larger_radius_holds_the_smaller_and_joints_add_up(drawn, radius, more):
    centres, labelled, size = drawn
    maps = segmentation.encode(centres, labelled, size, radius)
    assert not (maps & ~segmentation.encode(centres, labelled, size, radius + more)).any()
    alone = [
        segmentation.encode(centres[:, k : k + 1], labelled[:, k : k + 1], size, radius)
        for k in range(centres.shape[1])
    ]
    assert torch.equal(torch.stack(alone).any(0), maps)


@given(st.integers(1, 5), st.tuples(st.integers(1, 8), st.integers(1, 8)), st.integers(0, 2**32 - 1))
def test_packed_maps_come_back(count, eighths, seed):
    size = (8 * eighths[0], 4 * eighths[1])
    maps = np.random.default_rng(seed).random((count, *size)) < 0.3
    packed = segmentation.pack(maps)
    assert packed.nbytes == maps.size // 8
    np.testing.assert_array_equal(segmentation.unpack(packed, size), maps)


@given(arrays(bool, (2, 3, 4, 5)), arrays(bool, (2, 4, 5)))
def test_iou_is_a_share_the_same_both_ways_and_whole_only_of_equal_maps(predicted, truth):
    iou = segmentation.iou(torch.from_numpy(predicted), torch.from_numpy(truth)).numpy()
    assert ((iou >= 0) & (iou <= 1)).all()
    equal = (predicted == truth[:, None]).all((-2, -1))
    np.testing.assert_array_equal(iou == 1, equal)
    other = segmentation.iou(torch.from_numpy(truth[:, None]), torch.from_numpy(predicted[:, 0]))
    np.testing.assert_array_equal(other[:, 0].numpy(), iou[:, 0])
