"""Crops, heatmaps and segmentation maps against the official code's outputs and against the equations."""

import cv2
import numpy as np
import pytest
import torch

from pipeline.codec import crop, heatmap, segmentation

SIZE, HEATMAP = (256, 192), (64, 48)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "hrnet_pipeline.npz") as file:
        return dict(file)


@pytest.mark.parametrize("prefix", ["crop", "square_crop"])
def test_affine_equals_hrnet(golden, prefix):
    matrix = crop.affine(
        golden[f"{prefix}_center"], golden[f"{prefix}_scale"], SIZE, golden[f"{prefix}_rotation"]
    )
    corners = np.array([[0, 0], [192, 0], [0, 256], [192, 256]], float)
    image_xy = crop.transform(corners[None], crop.invert(matrix))
    np.testing.assert_allclose(crop.transform(image_xy, golden[f"{prefix}_affine"]) - corners, 0, atol=1e-4)


def test_heatmap_to_image_equals_hrnet(golden):
    matrix = crop.invert(crop.affine(golden["crop_center"], golden["crop_scale"], HEATMAP))
    corners = np.array([[0, 0], [48, 0], [0, 64], [48, 64]], float)
    expected = crop.transform(corners[None], golden["heatmap_to_image_affine"])
    np.testing.assert_allclose(crop.transform(corners[None], matrix), expected, atol=1e-4)


def test_image_to_heatmap_and_back():
    rng = np.random.default_rng(0)
    center, scale = rng.uniform(0, 900, (50, 2)), rng.uniform(0.2, 4, (50, 2))
    points = rng.uniform(-100, 1000, (50, 17, 2))
    matrix = crop.affine(center, scale, HEATMAP, rng.uniform(-90, 90, 50))
    back = crop.transform(crop.transform(points, matrix), crop.invert(matrix))
    np.testing.assert_allclose(back, points, atol=1e-6)


def test_mirrored_crop_is_the_crop_of_the_mirrored_image():
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 255, (120, 90, 4)).astype(np.uint8), (0, 0), 3)
    center, scale = np.array([40.0, 61.0]), np.array([0.4, 0.5])
    mirrored_image = np.ascontiguousarray(image[:, ::-1])
    mirrored_center = np.array([90 - 1 - 40.0, 61.0])
    expected = crop.affine(mirrored_center, scale, SIZE, 25.0)
    got = crop.mirror(crop.affine(center, scale, SIZE, 25.0), center)
    difference = crop.warp(mirrored_image, expected, SIZE).astype(int) - crop.warp(image, got, SIZE)
    assert np.abs(difference).max() <= 1
    np.testing.assert_allclose(
        crop.transform(np.array([[10.0, 20.0]]), got),
        crop.transform(np.array([[90 - 1 - 10.0, 20.0]]), expected),
        atol=1e-9,
    )


@pytest.mark.parametrize("reduce", [2, 4])
def test_crop_of_a_reduced_image_shows_the_same(reduce):
    # On a slope, a shift by a part of a pixel changes the mean.
    slope = np.tile(np.linspace(0, 255, 240), (320, 1)).astype(np.uint8)
    image = np.stack([slope] * 3, -1)
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    matrix = crop.affine(np.array([120.0, 160.0]), np.array([1.0, 1.4]), (64, 48), 20.0)
    whole = crop.warp(crop.decode_image(data, "a"), matrix, (64, 48)).astype(int)
    small = crop.warp(crop.decode_image(data, "a", reduce), crop.reduced(matrix, reduce), (64, 48))
    inside = whole[2:-2, 2:-2] > 0
    shift = (whole - small)[2:-2, 2:-2][inside]
    assert inside.mean() > 0.9
    assert abs(shift.mean()) < 0.15 and np.percentile(np.abs(shift), 99) <= 3


def test_eq3_heatmaps_equal_hrnet_bit_for_bit(golden):
    centres = torch.from_numpy(heatmap.centres(golden["target_joints"]))
    maps, weights = heatmap.encode(centres, torch.from_numpy(golden["target_visible"] > 0), HEATMAP, 2)
    np.testing.assert_array_equal(maps.numpy().view(np.uint32), golden["target_heatmaps"].view(np.uint32))
    np.testing.assert_array_equal(weights.numpy(), golden["target_weight"])


def test_decoding_equals_hrnet(golden):
    xy, scores = heatmap.decode(torch.from_numpy(golden["decode_heatmaps"]))
    np.testing.assert_array_equal(scores.numpy(), golden["decode_score"])
    argmax = golden["decode_argmax"]
    assert np.abs(xy.numpy() - argmax).max() <= 0.25
    matrix = crop.invert(crop.affine(golden["decode_center"], golden["decode_scale"], HEATMAP))
    np.testing.assert_allclose(
        crop.transform(xy.double().numpy(), matrix), golden["decode_image_xy"], atol=1e-3
    )


def test_encoding_then_decoding_finds_the_joint():
    joints = np.stack(np.meshgrid(np.arange(20, 170, 13.0), np.arange(20, 230, 17.0)), -1).reshape(1, -1, 2)
    centres = heatmap.centres(joints)
    maps, _ = heatmap.encode(torch.from_numpy(centres), torch.ones(centres.shape[:2], dtype=bool), HEATMAP, 2)
    xy, scores = heatmap.decode(maps)
    # A quarter pixel of rounding on a symmetric peak stays at the peak: neighbours are equal.
    np.testing.assert_array_equal(xy.numpy(), centres)
    np.testing.assert_array_equal(scores.numpy(), 1)


def brute_force(centres, labelled, radius, squared):
    maps = np.zeros((len(centres), *HEATMAP), bool)
    for person, row in enumerate(centres):
        for joint, (x0, y0) in enumerate(row):
            for y in range(HEATMAP[0]):
                for x in range(HEATMAP[1]):
                    square = (x - x0) ** 2 + (y - y0) ** 2
                    near = square <= radius if squared else np.sqrt(square) <= radius
                    maps[person, y, x] |= near and labelled[person, joint]
    return maps


@pytest.mark.parametrize("radius", [3, 5, 9])
@pytest.mark.parametrize("distance", ["euclidean", "squared"])
def test_eq2_map_is_one_within_the_radius_of_a_labelled_joint(radius, distance):
    rng = np.random.default_rng(radius)
    centres = rng.integers(-12, 75, (3, 5, 2)).astype(np.int32)
    labelled = rng.random((3, 5)) < 0.7
    got = segmentation.encode(
        torch.from_numpy(centres), torch.from_numpy(labelled), HEATMAP, radius, distance
    ).numpy()
    np.testing.assert_array_equal(got, brute_force(centres, labelled, radius, distance == "squared"))


def test_a_disc_centred_outside_counts_where_it_reaches_in():
    centres = torch.tensor([[[-3, 10]]], dtype=torch.int32)
    maps = segmentation.encode(centres, torch.ones(1, 1, dtype=bool), HEATMAP, 5)
    assert maps[0, 10, :3].all() and not maps[0, 10, 3] and maps.sum() == 3 + 2 * (2 + 2 + 2 + 1)


def test_packed_maps_are_at_most_400_bytes_and_come_back():
    maps = np.random.default_rng(0).random((7, *HEATMAP)) < 0.2
    packed = segmentation.pack(maps)
    assert packed.shape == (7, 384)
    np.testing.assert_array_equal(segmentation.unpack(packed, HEATMAP), maps)


def test_an_image_that_does_not_decode_is_named():
    with pytest.raises(crop.BadImage, match=r"im00001\.jpg"):
        crop.decode_image(b"\xff\xd8 not a picture", "im00001.jpg")
    with pytest.raises(crop.BadImage, match="empty"):
        crop.decode_image(b"", "empty")


@pytest.mark.parametrize("kind", ["colour", "grey", "progressive", "with bytes after its end", "png"])
def test_decoded_pixels_are_opencvs(kind):
    image = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 255, (61, 83, 3), np.uint8), (0, 0), 2)
    image = image[..., 0] if kind == "grey" else image
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if kind == "progressive" else []
    data = cv2.imencode(".png" if kind == "png" else ".jpg", image, options)[1].tobytes()
    data += b"and more" if kind == "with bytes after its end" else b""
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    got = crop.decode_image(data, "a")
    np.testing.assert_array_equal(got[..., :3], expected)
    assert (got[..., 3] == 255).all()


def test_pixels_go_into_a_buffer_that_holds_them():
    image = np.random.default_rng(4).integers(0, 255, (61, 83, 3), np.uint8)
    data, buffer = cv2.imencode(".jpg", image)[1].tobytes(), np.empty(61 * 83 * 4, np.uint8)
    got, alone = crop.decode_image(data, "a", buffer=buffer), crop.decode_image(data, "a")
    assert np.shares_memory(got, buffer)
    np.testing.assert_array_equal(got, alone)
    too_small = buffer[:-1]
    got = crop.decode_image(data, "a", buffer=too_small)
    assert not np.shares_memory(got, too_small)
    np.testing.assert_array_equal(got, alone)


def test_a_jpeg_cut_short_does_not_decode():
    noise = np.random.default_rng(3).integers(0, 255, (97, 131, 3), np.uint8)
    with pytest.raises(crop.BadImage, match="cut"):
        crop.decode_image(cv2.imencode(".jpg", noise)[1].tobytes()[:3000], "cut")
