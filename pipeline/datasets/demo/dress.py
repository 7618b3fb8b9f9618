"""The parts that a figure is drawn from, from back to front: limbs, trunk, head and what covers them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.datasets.demo.canvas import Canvas
from pipeline.datasets.demo.space import SIDES, flat
from pipeline.datasets.demo.wardrobe import Wardrobe, random_colour

# Labels of the parts in `Canvas.owner`: person * 32 + part; persons count from 1.
TRUNK, NECK, HEAD = 1, 2, 3
PART = {
    f"{side}_{limb}": 4 + 6 * i + j
    for i, side in enumerate(SIDES)
    for j, limb in enumerate(("upper_arm", "forearm", "hand", "thigh", "shin", "foot"))
}
OCCLUDER = 65535


Painter = Callable[[Canvas, np.ndarray, int], None]


class Part(NamedTuple):
    """Something to draw, from back to front by depth; `paint` takes the canvas, an offset and a label."""

    depth: float
    label: int
    paint: Painter


@dataclass(frozen=True)
class Body:
    """A posed person, before it is drawn.

    xyz: points in space by their names, points: the same as the camera sees them; trunk and head: their rotations;
    centre and radii: of the head; girth: of the limbs; light: (2,) towards it.
    """

    xyz: dict[str, np.ndarray]
    points: dict[str, np.ndarray]
    wear: Wardrobe
    trunk: np.ndarray
    head: np.ndarray
    centre: np.ndarray
    radii: np.ndarray
    girth: float
    stature: float
    light: np.ndarray


def dress(body: Body) -> list[Part]:
    """The parts of a person, sorted from back to front."""
    xyz, points, wear, light = body.xyz, body.points, body.wear, body.light
    girth, stature = body.girth, body.stature
    parts: list[Part] = []

    def limb(
        a: str, b: str, ra: float, rb: float, colour: np.ndarray, label: int, lift: float = 0.0,
        end: float | None = None,
    ) -> None:  # fmt: skip
        """A tapered limb from one named point to another, or up to a share `end` of the way."""
        pa, pb = points[a], points[b]
        za, zb = xyz[a][2], xyz[b][2]
        if end is not None:
            pb, zb = pa + end * (pb - pa), za + end * (zb - za)
        depth = (za + zb) / 2 + lift
        # What is farther away is darker: near and far limbs of one colour stay apart.
        shade = np.clip(0.94 + 0.9 * depth, 0.72, 1.1)
        radius = (ra * girth * stature, rb * girth * stature)

        def paint(canvas: Canvas, offset: np.ndarray, owner: int) -> None:
            canvas.capsule(pa + offset, pb + offset, *radius, np.clip(colour * shade, 0, 255), light, owner)

        parts.append(Part(depth, label, paint))

    for side in SIDES:
        upper, fore, hand, thigh, shin, foot = (
            PART[f"{side}_{name}"] for name in ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
        )
        s, e, w = f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"
        bare = wear.sleeve == 0
        limb(s, e, 0.038, 0.03, wear.shirt if wear.sleeve > 1 else wear.skin, upper, 0.012)
        if 0 < wear.sleeve < 1:
            limb(s, e, 0.045, 0.041, wear.shirt, upper, 0.0125, end=wear.sleeve)
        limb(e, w, 0.03, 0.022, wear.shirt if wear.sleeve > 1 else wear.skin, fore, 0.014)
        if bare:
            limb(s, e, 0.039, 0.036, wear.shirt, upper, 0.0122, end=0.12)
        limb(w, f"{side}_hand", 0.022, 0.025, wear.skin, hand, 0.016)

        h, k, a = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
        long = wear.leg > 1 and not wear.skirt
        limb(k, a, 0.038, 0.027, wear.trousers if long else wear.skin, shin)
        limb(h, k, 0.058, 0.039, wear.trousers if long else wear.skin, thigh, 0.002)
        if not long and not wear.skirt:
            limb(h, k, 0.061, 0.05, wear.trousers, thigh, 0.003, end=wear.leg)
        limb(f"{side}_heel", f"{side}_toe", 0.029, 0.023, wear.shoes, foot, 0.006)

    def trunk_paint(canvas: Canvas, offset: np.ndarray, owner: int) -> None:
        _paint_trunk(canvas, offset, owner, body)

    middle = (xyz["thorax"][2] + xyz["pelvis"][2]) / 2
    parts.append(Part(middle, TRUNK, trunk_paint))
    if wear.skirt:

        def skirt_paint(canvas: Canvas, offset: np.ndarray, owner: int) -> None:
            circles = [(points[f"{side}_hip"] + offset, 0.055 * girth * stature) for side in SIDES]
            for side in SIDES:
                hem = 0.35 * points[f"{side}_hip"] + 0.65 * points[f"{side}_knee"]
                circles.append((hem + offset, 0.062 * girth * stature))
            canvas.hull(circles, wear.trousers, light, owner)

        knees = max(xyz["left_knee"][2], xyz["right_knee"][2])
        parts.append(Part(max(middle, 0.5 * knees) + 0.02, TRUNK, skirt_paint))
    limb("thorax", "upper_neck", 0.034, 0.032, wear.skin, NECK, 0.002)
    if wear.haircut == "long":
        back = body.centre - body.head @ (0, 0, 0.055)
        tip = back + body.head @ (0, -0.12, -0.01) + body.trunk @ (0, -0.05, -0.02)
        start, end = (stature * flat(p) for p in (back, tip))

        def hair_paint(canvas: Canvas, offset: np.ndarray, owner: int) -> None:
            radii = (0.055 * stature, 0.04 * stature)
            canvas.capsule(start + offset, end + offset, *radii, wear.hair, light, owner)

        parts.append(Part((back[2] + tip[2]) / 2, HEAD, hair_paint))

    def head_paint(canvas: Canvas, offset: np.ndarray, owner: int) -> None:
        place = stature * flat(body.centre) + offset
        canvas.head(place, body.head, body.radii * stature, wear, light, owner)

    parts.append(Part(body.centre[2] + 0.015, HEAD, head_paint))
    return sorted(parts, key=lambda part: part.depth)


def _paint_trunk(canvas: Canvas, offset: np.ndarray, owner: int, body: Body) -> None:
    xyz, points, wear, light = body.xyz, body.points, body.wear, body.light
    trunk, girth, stature = body.trunk, body.girth, body.stature
    r = girth * stature
    hips = [(points[f"{side}_hip"] + offset, 0.058 * r) for side in SIDES]
    shoulders = [(points[f"{side}_shoulder"] + offset, 0.042 * r) for side in SIDES]
    waist = [0.62 * hip + 0.38 * shoulder for (hip, _), (shoulder, _) in zip(hips, shoulders, strict=True)]
    collar = points["thorax"] + offset
    canvas.hull(hips, wear.trousers, light, owner)
    canvas.hull([*shoulders, *((p, 0.055 * r) for p in waist), (collar, 0.045 * r)], wear.shirt, light, owner)

    def at(x: float, up: float, forward: float) -> np.ndarray:
        place: np.ndarray = stature * flat(xyz["pelvis"] + trunk @ (x, up, forward)) + offset
        return place

    high, deep = float(np.linalg.norm(xyz["thorax"])), 0.05 * girth
    if wear.pattern != "plain":
        for up in (0.45, 0.6, 0.75) if wear.pattern == "stripes" else (0.62,):
            thick = 0.008 if wear.pattern == "stripes" else 0.022
            x = 0.075 + 0.045 * (up - 0.45) / 0.3
            canvas.line([at(-x, up * high, 0), at(x, up * high, 0)], thick * stature, wear.accent)
    front = trunk[2, 2]
    if front > 0.12:
        # The front alone has an open collar and a strip of another colour.
        strip = [at(x, high * up, deep) for x, up in ((-0.022, 0.9), (0.022, 0.9), (0.03, 0.3), (-0.03, 0.3))]
        canvas.polygon(strip, wear.vest)
        neck = [at(-0.042, high * 1.02, 0.02), at(0, high * 0.76, deep), at(0.042, high * 1.02, 0.02)]
        canvas.polygon(neck, wear.skin * 0.95)
    elif front < -0.12:
        # The back has a yoke.
        yoke = [at(-0.085, high * 0.88, -deep), at(0.085, high * 0.88, -deep)]
        canvas.line(yoke, 0.01 * stature, wear.shirt * 0.6)


def seat(rng: np.random.Generator, points: dict[str, np.ndarray], stature: float) -> Part:
    colour = random_colour(rng, saturation=(0.1, 0.6))
    left, right = points["left_hip"], points["right_hip"]
    half = (0.1 + rng.uniform(0.02, 0.08)) * stature
    middle, top = (left + right) / 2, max(left[1], right[1]) + 0.045 * stature
    bottom = max(points["left_ankle"][1], points["right_ankle"][1], top + 0.1 * stature)

    def paint(canvas: Canvas, offset: np.ndarray, owner: int) -> None:
        x, y = middle[0] + offset[0], offset[1]
        edge = [(x - half, top + y), (x + half, top + y)]
        canvas.polygon([*edge, (x + half, bottom + y), (x - half, bottom + y)], colour)
        canvas.line(edge, 0.02 * stature, colour * 0.6)

    return Part(-1.0, 0, paint)
