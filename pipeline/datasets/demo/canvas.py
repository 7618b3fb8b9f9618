"""The picture that the demo's people are drawn in, with shaded limbs and heads."""

from collections.abc import Sequence
from math import acos, atan2, hypot, pi
from typing import Any

import cv2
import numpy as np

from pipeline.datasets.demo.space import SIDES, flat, unit
from pipeline.datasets.demo.wardrobe import Wardrobe

# Figures are drawn at this multiple of the image's size and brought down.
OVERSAMPLING = 2
Points = Sequence[Any] | np.ndarray


class Canvas:
    """An image (uint8 BGR) and, for each of its pixels, the label of what was drawn there last."""

    def __init__(self, background: np.ndarray):
        height, width = background.shape[:2]
        size = (width * OVERSAMPLING, height * OVERSAMPLING)
        self.image = cv2.resize(background, size, interpolation=cv2.INTER_LINEAR)
        self.owner = np.zeros(size[::-1], np.uint16)

    def finish(self) -> np.ndarray:
        """The image at its own size."""
        size = (self.image.shape[1] // OVERSAMPLING, self.image.shape[0] // OVERSAMPLING)
        return cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)

    @staticmethod
    def _fixed(points: Points) -> np.ndarray:
        # Pixel centres: image x lies at OVERSAMPLING * x + (OVERSAMPLING - 1) / 2; four bits of fraction.
        scaled = np.asarray(points) * OVERSAMPLING + (OVERSAMPLING - 1) / 2
        return np.rint(np.clip(scaled, -2000, 8000) * 16).astype(np.int32)

    def polygon(self, points: Points, colour: np.ndarray, owner: int | None = None) -> None:
        fixed = self._fixed(points)
        cv2.fillConvexPoly(self.image, fixed, colour.tolist(), cv2.LINE_AA, 4)
        if owner is not None:
            cv2.fillConvexPoly(self.owner, fixed, owner, cv2.LINE_8, 4)

    def line(self, points: Points, thickness: float, colour: np.ndarray) -> None:
        width = max(1, round(thickness * OVERSAMPLING))
        cv2.polylines(self.image, [self._fixed(points)], False, colour.tolist(), width, cv2.LINE_AA, 4)

    def capsule(
        self, a: np.ndarray, b: np.ndarray, ra: float, rb: float, colour: np.ndarray, light: np.ndarray,
        owner: int | None = None,
    ) -> None:  # fmt: skip
        """A limb: the hull of two circles, dark at its rim and bright towards the light."""
        for grow, shift, bright in _SHADES:
            outline = _capsule(a + shift * ra * light, b + shift * rb * light, grow * ra, grow * rb)
            self.polygon(outline, np.minimum(colour * bright, 255), owner if grow == 1 else None)

    def hull(
        self, circles: Sequence[tuple[np.ndarray, float]], colour: np.ndarray, light: np.ndarray, owner: int
    ) -> None:
        """The hull of circles (centre, radius), shaded as a limb is."""
        for grow, shift, bright in _SHADES[:2]:
            rims = [centre + shift * r * light + grow * r * _CIRCLE for centre, r in circles]
            outline = cv2.convexHull(np.concatenate(rims).astype(np.float32))[:, 0]
            self.polygon(outline, np.minimum(colour * bright, 255), owner if grow == 1 else None)

    def head(
        self, centre: np.ndarray, frame: np.ndarray, radii: np.ndarray, wear: Wardrobe, light: np.ndarray,
        owner: int,
    ) -> None:  # fmt: skip
        """A head as an ellipsoid seen along z, each pixel coloured by where on the head it lies."""
        reach = int(radii.max() * OVERSAMPLING * 1.05) + 2
        cx, cy = (OVERSAMPLING * c + (OVERSAMPLING - 1) / 2 for c in centre)
        x0, y0 = int(cx) - reach, int(cy) - reach
        height, width = self.owner.shape
        left, right = max(x0, 0), min(x0 + 2 * reach, width)
        top, bottom = max(y0, 0), min(y0 + 2 * reach, height)
        for sign in SIDES.values():
            ear = frame @ (radii * (sign, 0.02, -0.08))
            if (frame @ (sign, 0, -0.1))[2] > -0.55:
                place = centre + flat(ear)
                self.capsule(place, place, *(0.24 * radii[1],) * 2, wear.skin * 0.92, light, owner)
        if right <= left or bottom <= top:
            return
        dx = (np.arange(left, right) - cx)[None, :] / OVERSAMPLING
        dy = (cy - np.arange(top, bottom))[:, None] / OVERSAMPLING
        # On the ellipsoid |M p| = 1 with M = diag(1 / radii) frame^T; the nearer root in z.
        m = frame.T / radii[:, None]
        across = m[:, 0, None, None] * dx + m[:, 1, None, None] * dy
        aa, bb, cc = m[:, 2] @ m[:, 2], np.tensordot(m[:, 2], across, 1), (across**2).sum(0) - 1
        inside = bb**2 - aa * cc
        on = inside > 0
        z = (-bb + np.sqrt(np.maximum(inside, 0))) / aa
        side, up, front = across + m[:, 2, None, None] * z

        toward = frame.T @ unit(np.array((light[0], -light[1], 0.9)))
        shade = 0.78 + 0.3 * np.clip(toward[0] * side + toward[1] * up + toward[2] * front, -0.6, 1)
        colour = np.empty((*on.shape, 3))
        colour[:] = wear.skin
        brow = (np.abs(np.abs(side) - 0.4) < 0.2) & (np.abs(up - 0.34) < 0.06) & (front > 0)
        mouth = (np.abs(side) < 0.28) & (np.abs(up + 0.5) < 0.075) & (front > 0)
        eye = np.hypot(np.abs(side) - 0.4, up - 0.12) + (front < 0)
        colour[brow] = wear.hair * 0.8
        colour[mouth] = (70, 60, 150)
        colour[eye < 0.22] = 240
        colour[eye < 0.13] = 35
        fringe = {"short": 0.55, "long": 0.5, "cap": 0.42, "bald": 2.0}[wear.haircut]
        hair = (up > fringe) | (front < {"long": 0.15, "bald": -2.0}.get(wear.haircut, -0.2)) & (up > -0.55)
        colour[hair] = wear.accent if wear.haircut == "cap" else wear.hair
        colour = np.clip(colour * shade[..., None], 0, 255).astype(np.uint8)
        self.image[top:bottom, left:right][on] = colour[on]
        self.owner[top:bottom, left:right][on] = owner
        nose = [frame @ (radii * p) for p in ((0, 0.05, 0.96), (0, -0.12, 1.08))]
        if frame[2, 2] > -0.2:
            a, b = (centre + flat(p) for p in nose)
            self.capsule(a, b, 0.07 * radii[1], 0.13 * radii[1], wear.skin * 0.97, light, owner)
        if wear.haircut == "cap":
            edge = ((-0.55, 0.42, 0.85), (0.55, 0.42, 0.85), (0.4, 0.36, 1.5), (-0.4, 0.36, 1.5))
            brim = [frame @ (radii * p) for p in edge]
            if frame[2, 2] > -0.3:
                self.polygon([centre + flat(p) for p in brim], wear.accent * 0.7, owner)


_CIRCLE = np.stack([f(np.linspace(0, 2 * pi, 16, endpoint=False)) for f in (np.cos, np.sin)], 1)
# Radius, shift towards the light in radii, brightness.
_SHADES = ((1.0, 0.0, 0.66), (0.82, 0.16, 1.0), (0.36, 0.42, 1.14))


def _capsule(a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> np.ndarray:
    """The outline (P, 2) of the hull of two circles."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    apart = hypot(dx, dy)
    if apart <= abs(ra - rb) + 1e-6:
        return (a if ra > rb else b) + max(ra, rb) * _CIRCLE
    angle, half = atan2(dy, dx), acos((ra - rb) / apart)
    near = angle + np.linspace(half, 2 * pi - half, 9)
    far = angle + np.linspace(-half, half, 9)
    rim = np.concatenate([a + ra * np.stack([np.cos(near), np.sin(near)], 1)])
    return np.concatenate([b + rb * np.stack([np.cos(far), np.sin(far)], 1), rim])
