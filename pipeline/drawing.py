"""People, maps and heatmaps drawn on crops, and crops laid out on a sheet."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.arrays import Array
from pipeline.keypoints import Keypoints

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

# Left limbs, right limbs, limbs of neither side; RGB, told apart in grey as well.
LEFT, RIGHT, MIDDLE = (255, 176, 0), (0, 114, 255), (240, 240, 240)
# Of a figure's width: far below a pixel, far above the layout's noise.
_DIGITS = 9


def skeleton(image: Array, joints_xy: Array, shown: Array, keypoints: Keypoints, thickness: int = 1) -> Array:
    """A copy of an image (H, W, 3) uint8 RGB with the limbs between the joints (K, 2) that are shown (K,) bool."""
    drawn = np.ascontiguousarray(image).copy()
    points = [tuple(int(v) for v in np.round(point)) for point in joints_xy]
    for a, b in keypoints.skeleton:
        if shown[a] and shown[b]:
            cv2.line(drawn, points[a], points[b], _colour(keypoints, a, b), thickness, cv2.LINE_AA)
    for joint in np.flatnonzero(shown).tolist():
        cv2.circle(drawn, points[joint], thickness + 1, _colour(keypoints, joint, joint), -1, cv2.LINE_AA)
    return drawn


def settle(figure: "Figure", dpi: int) -> None:
    """Lay a figure out for good, at the dots per inch that it is saved with, so that equal figures give equal bytes.

    Constrained layout solves in an order of addresses: its last bits differ from one time to the next, and where a
    pixel's edge lies between them, so do pictures.
    """
    figure.set_dpi(dpi)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    parts: list[Figure | SubFigure] = [figure]
    for part in parts:
        for inner in part.subfigs:
            box = inner.bbox_relative
            box.p0, box.p1 = np.round(box.p0, _DIGITS), np.round(box.p1, _DIGITS)
            parts.append(inner)
    for axes in figure.get_axes():
        axes.set_position(np.round(axes.get_position(original=True).bounds, _DIGITS).tolist())


def _colour(keypoints: Keypoints, a: int, b: int) -> tuple[int, int, int]:
    names = keypoints.names[a], keypoints.names[b]
    if all(name.startswith("left") for name in names):
        return LEFT
    return RIGHT if all(name.startswith("right") for name in names) else MIDDLE


def overlay(image: Array, map_hw: Array, strength: float = 0.45) -> Array:
    """An image (H, W, 3) uint8 tinted where a map (h, w) in [0, 1] of any resolution is high."""
    height, width = image.shape[:2]
    share = cv2.resize(np.asarray(map_hw, np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    tint = np.array((255, 64, 64), np.float32)
    tinted: Array = image + (tint - image) * (strength * share[..., None])
    return tinted.round().astype(np.uint8)


def sheet(pictures: list[Array], columns: int, gap: int = 4) -> Array:
    """Pictures (h, w, 3) uint8 of one size in rows, on white."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    page = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        page[top : top + height, left : left + width] = picture
    return page


def png(image: Array) -> bytes:
    """An image (H, W, 3) uint8 RGB as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
