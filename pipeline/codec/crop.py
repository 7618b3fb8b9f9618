"""Image <-> network input <-> heatmap: the only place that knows the conventions of pixels and crops.

A crop is a centre in the image and a scale, its width and height in units of SCALE_UNIT pixels. As in HRNet's
code the crop's width alone sets the magnification, so that pixels stay square, and a heatmap is an input of
a quarter of the size: heatmap_xy = input_xy / 4, without a shift by half a pixel.
"""

import cv2
import numpy as np
import simplejpeg

from pipeline.arrays import Array
from pipeline.images import claimed_size
from pipeline.people import SCALE_UNIT

STRIDE = 4


def heatmap_size(input_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the heatmaps of an input of (height, width)."""
    return input_size[0] // STRIDE, input_size[1] // STRIDE


class BadImage(ValueError):
    """An image that does not decode."""


def affine(center: Array, scale: Array, size: tuple[int, int], rotation: Array | float = 0.0) -> Array:
    """The maps from image_xy to the pixels of crops, as HRNet's `get_affine_transform` makes them.

    center (..., 2) image_xy and scale (..., 2) as in People; size (height, width) of the crop, of the
    input or of the heatmap; rotation (...) degrees. Returns (..., 2, 3) float64.
    """
    center, scale = np.asarray(center, np.float64), np.asarray(scale, np.float64)
    height, width = size
    zoom = width / (scale[..., 0] * SCALE_UNIT)
    angle = np.deg2rad(np.broadcast_to(np.asarray(rotation, np.float64), zoom.shape))
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    x, y = center[..., 0], center[..., 1]
    return np.stack(
        [
            np.stack([cos, sin, width / 2 - cos * x - sin * y], axis=-1),
            np.stack([-sin, cos, height / 2 + sin * x - cos * y], axis=-1),
        ],
        axis=-2,
    )


def invert(matrix: Array) -> Array:
    """The inverses (..., 2, 3) of affine maps (..., 2, 3)."""
    linear = np.linalg.inv(matrix[..., :2])
    return np.concatenate([linear, -linear @ matrix[..., 2:]], axis=-1)


def mirror(matrix: Array, center: Array) -> Array:
    """The maps (..., 2, 3) to crops of mirror images, from the maps `matrix` (..., 2, 3) of crops around `center`.

    Mirroring the image and the crop's centre with it comes to mirroring the image at the centre: the image's
    width drops out.
    """
    mirrored = matrix.copy()
    mirrored[..., 0] = -matrix[..., 0]
    mirrored[..., 2] += 2 * center[..., :1] * matrix[..., 0]
    return mirrored


def reduced(matrix: Array, reduce: int) -> Array:
    """The map (2, 3) from the pixels of an image decoded at 1/reduce of its size, from that of the whole."""
    smaller = matrix.copy()
    smaller[:, :2] *= reduce
    # A pixel of the small image lies in the middle of the reduce x reduce pixels it stands for.
    smaller[:, 2] += matrix[:, :2] @ np.full(2, (reduce - 1) / 2)
    return smaller


def transform(points: Array, matrix: Array) -> Array:
    """Points (..., K, 2) under affine maps (..., 2, 3)."""
    moved: Array = points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
    return moved


def decode_image(data: bytes, name: str, reduce: int = 1, buffer: Array | None = None) -> Array:
    """Pixels (H, W, 4) uint8, RGB and an alpha of 255, of an encoded image, at 1/reduce of its size (1, 2, 4 or 8).

    Four channels, since OpenCV warps four more than twice as fast as three. Orientation tags are ignored, since
    the labels were made without them. The pixels of most JPEGs go into `buffer` (N,) uint8, if there is one and
    they fit: they last until its next use. Raises BadImage, which names the image.
    """
    try:
        claimed_size(data)
    except ValueError as error:
        raise BadImage(f"the image {name} {error}") from None
    if reduce == 1:
        try:
            # The same pixels as OpenCV's, sooner.
            pixels: Array = simplejpeg.decode_jpeg(data, "RGBA", buffer=buffer)
            return pixels
        except ValueError:
            pass  # No JPEG, not a clean one, or too large for the buffer: OpenCV judges.
    # OpenCV has names for the reduced sizes in grey and in BGR only; the size's bit goes with RGB too.
    size = {
        1: 0,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }[reduce]
    buffer = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | size
    try:
        image = cv2.imdecode(buffer, flags)
    except cv2.error:
        image = None
    if image is None:
        raise BadImage(f"the image {name} does not decode")
    return cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)


def warp(image: Array, matrix: Array, size: tuple[int, int], out: Array | None = None) -> Array:
    """The crop (height, width, 3) uint8 of an image (H, W, 4), bilinear, black outside of it; into `out`."""
    crop = cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB, dst=out)
