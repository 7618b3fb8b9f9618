"""What holds of crops whatever the person: round trips, lengths, mirrors, decoding at a smaller size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.codec import crop
from pipeline.people import PADDING, SCALE_UNIT, crop_of_box

PIXELS = st.floats(-4000, 4000, width=32)
SIZES = st.tuples(st.integers(1, 16), st.integers(1, 16)).map(lambda sides: (32 * sides[0], 32 * sides[1]))


@st.composite
def crops(draw):
    """(centre, scale, size) of a crop, and the turn of it."""
    center = np.array([draw(PIXELS), draw(PIXELS)])
    width = draw(st.floats(0.05, 20))
    size = draw(SIZES)
    scale = np.array([width, width * size[0] / size[1]])
    return center, scale, size, draw(st.floats(-180, 180))


POINTS = arrays(np.float64, st.tuples(st.integers(1, 17), st.just(2)), elements=PIXELS)


@given(crops(), POINTS)
def test_into_the_crop_and_back_a_joint_is_where_it_was(a_crop, image_xy):
    matrix = crop.affine(*a_crop)
    back = crop.transform(crop.transform(image_xy, matrix), crop.invert(matrix))
    np.testing.assert_allclose(back, image_xy, atol=1e-6)


@given(crops(), POINTS)
def test_a_crop_scales_all_lengths_alike_and_has_its_centre_in_the_middle(a_crop, image_xy):
    center, scale, size, turn = a_crop
    matrix = crop.affine(center, scale, size, turn)
    np.testing.assert_allclose(crop.transform(center[None], matrix)[0], [size[1] / 2, size[0] / 2], atol=1e-6)
    zoom = size[1] / (scale[0] * SCALE_UNIT)
    lengths = np.linalg.norm(np.diff(image_xy, axis=0), axis=1)
    moved = np.linalg.norm(np.diff(crop.transform(image_xy, matrix), axis=0), axis=1)
    np.testing.assert_allclose(moved, zoom * lengths, rtol=1e-6, atol=1e-6)


@given(crops(), POINTS)
def test_a_mirrored_crop_shows_the_point_across_the_centre(a_crop, image_xy):
    center = a_crop[0]
    matrix = crop.affine(*a_crop)
    across = image_xy * [-1, 1] + [2 * center[0], 0]
    mirrored = crop.mirror(matrix, center)
    np.testing.assert_allclose(
        crop.transform(image_xy, mirrored), crop.transform(across, matrix), rtol=1e-9, atol=1e-5
    )
    np.testing.assert_allclose(crop.mirror(mirrored, center), matrix, rtol=1e-9, atol=1e-6)


@given(crops(), POINTS, st.sampled_from([1, 2, 4, 8]))
def test_the_map_from_a_smaller_image_takes_a_pixel_for_the_middle_of_those_it_stands_for(a_crop, xy, reduce):
    matrix = crop.affine(*a_crop)
    whole = xy * reduce + (reduce - 1) / 2
    np.testing.assert_allclose(
        crop.transform(xy, crop.reduced(matrix, reduce)),
        crop.transform(whole, matrix),
        rtol=1e-9,
        atol=1e-5,
    )


@given(
    st.tuples(PIXELS, PIXELS, st.floats(0, 2000), st.floats(0, 2000)).filter(lambda box: max(box[2:]) > 0.01),
    SIZES,
)
def test_a_boxs_crop_holds_all_of_it_with_room_around_in_the_inputs_shape(box, size):
    x, y, width, height = box
    (center,), (scale,) = crop_of_box(np.array([box]), size)
    assert center == pytest.approx([x + width / 2, y + height / 2], abs=1e-6)
    assert scale[1] * size[1] == pytest.approx(scale[0] * size[0])
    corners = crop.transform(np.array([[x, y], [x + width, y + height]]), crop.affine(center, scale, size))
    room = (1 - 1 / PADDING) / 2 * np.array([size[1], size[0]])
    assert (corners >= room - 1e-3).all() and (corners <= np.array([size[1], size[0]]) - room + 1e-3).all()
    # And no more room than needed: it touches on one of the axes.
    assert np.isclose(corners[0], room, atol=1e-2).any()
