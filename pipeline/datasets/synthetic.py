"""The demo's data: articulated people before cluttered backgrounds, in the official archives' names and formats.

A figure is a three-dimensional skeleton (x to the camera's right, y up, z towards the camera, stature 1),
drawn limb by limb from back to front. Which side is left shows in the picture: by the face or the back of
the head, the shirt's front, and the feet.
"""

import colorsys
import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import acos, atan2, cos, hypot, pi, radians, sin
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import scipy.io

from pipeline.datasets.keypoints import KEYPOINTS
from pipeline.params import Demo

# Figures are drawn at this multiple of the image's size and brought down.
OVERSAMPLING = 2
JPEG_QUALITY = 90
_DATASETS, _SPLITS = ("mpii", "coco", "lspet"), ("train", "val", "test")
_SIDES = {"left": 1.0, "right": -1.0}

# Labels of the parts in `Canvas.owner`: person * 32 + part; persons count from 1.
_TRUNK, _NECK, _HEAD = 1, 2, 3
_PART = {
    f"{side}_{limb}": 4 + 6 * i + j
    for i, side in enumerate(_SIDES)
    for j, limb in enumerate(("upper_arm", "forearm", "hand", "thigh", "shin", "foot"))
}
_OCCLUDER = 65535
_SKIN = ((0.95, 0.80, 0.69), (0.87, 0.67, 0.53), (0.76, 0.55, 0.40), (0.58, 0.39, 0.27), (0.39, 0.26, 0.18))
_HAIR = ((0.09, 0.07, 0.06), (0.28, 0.17, 0.10), (0.48, 0.30, 0.16), (0.80, 0.66, 0.38), (0.55, 0.53, 0.52))


def generate(dataset: str, demo: Demo, folder: Path) -> None:
    """Write a dataset's archives into `folder`; equal parameters give equal bytes on one machine.

    Counts: `train_people` and `val_people` people that train and count. LSPET's split is every tenth image,
    so it gets the sum of both. Coordinates in the labels are as each dataset has them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    {"mpii": _write_mpii, "coco": _write_coco, "lspet": _write_lspet}[dataset](demo, folder)


# The figure


@dataclass(frozen=True)
class Limb:
    """An arm or a leg: flexion (forward) and abduction (to its side) at the trunk, and its middle joint's bend."""

    flexion: float
    abduction: float
    bend: float
    towards: tuple[float, float, float] = (0.0, 0.3, 1.0)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; `lean` forward and `tilt` sideways are the trunk's, `roll` the whole body's."""

    arms: dict[str, Limb]
    legs: dict[str, Limb]
    lean: float
    tilt: float
    roll: float
    seated: bool


@dataclass
class Figure:
    """A drawn person: points by the joints' names, (x, y) in 0-based image pixels."""

    points: dict[str, np.ndarray]
    depth: dict[str, float]
    stature: float
    head_box: tuple[float, float, float, float]
    parts: list
    visible: dict[str, bool] | None = None
    silhouette: np.ndarray | None = None


def _pose(rng: np.random.Generator) -> Pose:
    kind = rng.choice(8, p=(0.2, 0.2, 0.18, 0.09, 0.11, 0.1, 0.05, 0.07))

    def normal(mean, spread):
        return float(mean + spread * np.clip(rng.standard_normal(), -2, 2))

    def arm():
        # A hand on the hip, a relaxed arm, or one held out.
        style = rng.random()
        if style < 0.15:
            return Limb(normal(-10, 8), normal(48, 6), normal(95, 10), (0.0, -0.2, 0.15))
        if style < 0.8:
            return Limb(normal(5, 14), normal(14, 8), abs(normal(20, 20)))
        return Limb(normal(25, 25), normal(50, 20), abs(normal(40, 30)), (0.0, 0.8, 0.6))

    arms = {side: arm() for side in _SIDES}
    legs = {side: Limb(normal(2, 7), abs(normal(7, 5)), abs(normal(4, 5))) for side in _SIDES}
    lean, tilt, roll = normal(3, 5), normal(0, 5), normal(0, 3)
    ahead, behind = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    if kind == 1:  # walking, running
        speed = rng.uniform(0.3, 1.0)
        legs = {
            ahead: Limb(normal(15 + 40 * speed, 6), 4, abs(normal(10 + 45 * speed, 12))),
            behind: Limb(normal(-12 - 18 * speed, 6), 4, abs(normal(15 + 50 * speed, 15))),
        }
        bend = 25 + 65 * speed
        arms = {
            behind: Limb(normal(15 + 35 * speed, 8), abs(normal(8, 5)), normal(bend, 10)),
            ahead: Limb(normal(-15 - 35 * speed, 8), abs(normal(8, 5)), normal(bend, 10)),
        }
        lean += 12 * speed
    elif kind == 2:  # one or both arms raised
        for side in (ahead, behind) if rng.random() < 0.6 else (ahead,):
            towards = (rng.uniform(-1, 1), 1.0, rng.uniform(-0.2, 0.6))
            arms[side] = Limb(normal(0, 15), normal(125, 28), abs(normal(25, 25)), towards)
    elif kind == 3:  # bending down
        lean = normal(65, 15)
        arms = {side: Limb(normal(lean, 14), abs(normal(10, 8)), abs(normal(15, 15))) for side in _SIDES}
        legs = {side: Limb(normal(8, 8), abs(normal(8, 5)), abs(normal(15, 12))) for side in _SIDES}
    elif kind == 4:  # sitting
        lean = normal(5, 10)
        legs = {side: Limb(normal(84, 8), abs(normal(9, 7)), normal(82, 14)) for side in _SIDES}
        arms = {side: Limb(normal(30, 18), abs(normal(12, 8)), abs(normal(45, 25))) for side in _SIDES}
    elif kind == 5:  # jumping
        legs = {side: Limb(normal(18, 25), abs(normal(24, 10)), abs(normal(45, 30))) for side in _SIDES}
        arms = {
            side: Limb(normal(0, 25), normal(105, 35), abs(normal(35, 25)), (0.0, 1.0, 0.4)) for side in _SIDES
        }
        lean, roll = normal(5, 12), normal(0, 14)
    elif kind == 6:  # squatting
        lean = normal(25, 10)
        legs = {side: Limb(normal(85, 12), abs(normal(20, 8)), normal(115, 12)) for side in _SIDES}
        arms = {side: Limb(normal(55, 20), abs(normal(12, 8)), abs(normal(40, 25))) for side in _SIDES}
    elif kind == 7:  # kicking, a step up
        legs[ahead] = Limb(normal(65, 18), abs(normal(10, 8)), abs(normal(45, 30)))
        tilt, lean = normal(0, 10), normal(-6, 8)
        arms[behind] = Limb(normal(30, 30), normal(65, 20), abs(normal(30, 20)))
    return Pose(arms, legs, lean, tilt, roll, seated=kind == 4)


def _about(axis: int, degrees: float) -> np.ndarray:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def _direction(flexion: float, abduction: float, side: float) -> np.ndarray:
    """A hanging limb's direction in the body's frame: x to the body's left, y up, z forward."""
    f, a = radians(flexion), radians(abduction)
    return np.array([side * sin(a), -cos(a) * cos(f), cos(a) * sin(f)])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(vector @ vector)


def _colour(rng: np.random.Generator, saturation=(0.25, 0.9), value=(0.25, 0.95)) -> np.ndarray:
    hue, s, v = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, s, v))[::-1]


def _tone(rng: np.random.Generator, palette: tuple) -> np.ndarray:
    """A BGR colour between two neighbours of a palette."""
    place = rng.uniform(0, len(palette) - 1)
    low = int(place)
    mixed = np.array(palette[low]) + (place - low) * (np.array(palette[low + 1]) - palette[low])
    return 255 * mixed[::-1]


@dataclass(frozen=True)
class Wardrobe:
    """What a person wears; colours are BGR."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    accent: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    sleeve: float
    leg: float
    skirt: bool
    pattern: str
    haircut: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Wardrobe":
        return cls(
            skin=_tone(rng, _SKIN),
            hair=_tone(rng, _HAIR),
            shirt=_colour(rng),
            accent=_colour(rng, value=(0.1, 1.0)),
            trousers=_colour(rng, saturation=(0.1, 0.7), value=(0.15, 0.75)),
            shoes=_colour(rng, saturation=(0.0, 0.6), value=(0.08, 0.95)),
            sleeve=float(rng.choice((0.0, 0.6, 1.9), p=(0.2, 0.45, 0.35))),
            leg=float(rng.choice((0.7, 1.95), p=(0.3, 0.7))),
            skirt=bool(rng.random() < 0.15),
            pattern=str(rng.choice(("plain", "stripes", "hoop"), p=(0.55, 0.25, 0.2))),
            haircut=str(rng.choice(("short", "long", "cap", "bald"), p=(0.45, 0.3, 0.15, 0.1))),
        )


def _figure(rng: np.random.Generator, stature: float, light: np.ndarray) -> Figure:
    """A posed person with the pelvis at (0, 0); its parts are drawn by `_draw`."""
    pose, wear = _pose(rng), Wardrobe.draw(rng)
    # Most people turn towards the camera, some away from it.
    yaw = rng.choice((rng.normal(0, 35), rng.uniform(-180, 180), rng.normal(180, 30)), p=(0.45, 0.35, 0.2))
    root = _about(0, rng.uniform(-4, 14)) @ _about(2, pose.roll) @ _about(1, yaw)
    trunk = root @ _about(2, pose.tilt) @ _about(0, pose.lean)
    head = trunk @ _about(1, np.clip(rng.normal(0, 20), -45, 45))
    head = head @ _about(0, rng.normal(4, 9) - 0.45 * pose.lean) @ _about(2, rng.normal(0, 8))

    long, girth, skull = rng.uniform(0.92, 1.1), rng.uniform(0.85, 1.25), rng.uniform(0.94, 1.08)
    shoulder, hip = 0.112 * rng.uniform(0.9, 1.12), 0.06 * rng.uniform(0.95, 1.15)
    xyz: dict[str, np.ndarray] = {"pelvis": np.zeros(3)}
    xyz["thorax"] = trunk @ (0, 0.285 * rng.uniform(0.94, 1.06), 0)
    xyz["upper_neck"] = xyz["thorax"] + trunk @ (0, 0.048, 0.006)
    xyz["head_top"] = xyz["upper_neck"] + head @ (0, 0.168 * skull, 0.01)
    centre = xyz["upper_neck"] + head @ (0, 0.08 * skull, 0.012)
    radii = skull * np.array((0.064, 0.088, 0.076))
    for name, place in (("nose", (0, -0.1, 1.08)), ("eye", (0.42, 0.14, 0.9)), ("ear", (1.0, 0.02, -0.08))):
        if name == "nose":
            xyz[name] = centre + head @ (radii * place)
        else:
            for side, sign in _SIDES.items():
                xyz[f"{side}_{name}"] = centre + head @ (radii * place * (sign, 1, 1))

    for side, sign in _SIDES.items():
        xyz[f"{side}_shoulder"] = xyz["thorax"] + trunk @ (sign * shoulder, -0.012, 0)
        arm = pose.arms[side]
        upper = _direction(arm.flexion, arm.abduction, sign)
        inward = np.array(arm.towards) + (-sign * 0.5, 0, 0)
        bend = _unit(inward - (inward @ upper) * upper)
        fore = cos(radians(arm.bend)) * upper + sin(radians(arm.bend)) * bend
        xyz[f"{side}_elbow"] = xyz[f"{side}_shoulder"] + trunk @ upper * 0.162 * long
        xyz[f"{side}_wrist"] = xyz[f"{side}_elbow"] + trunk @ fore * 0.142 * long
        xyz[f"{side}_hand"] = xyz[f"{side}_wrist"] + trunk @ fore * 0.036

        xyz[f"{side}_hip"] = xyz["pelvis"] + root @ (sign * hip, 0, 0)
        leg = pose.legs[side]
        thigh = root @ _direction(leg.flexion, leg.abduction, sign)
        shin = root @ _direction(leg.flexion - leg.bend, 0.6 * leg.abduction, sign)
        foot = root @ _direction(leg.flexion - leg.bend + 82, 12, sign)
        xyz[f"{side}_knee"] = xyz[f"{side}_hip"] + thigh * 0.232 * long
        xyz[f"{side}_ankle"] = xyz[f"{side}_knee"] + shin * 0.222 * long
        xyz[f"{side}_heel"] = xyz[f"{side}_ankle"] + shin * 0.022 - foot * 0.012
        xyz[f"{side}_toe"] = xyz[f"{side}_ankle"] + shin * 0.03 + foot * 0.082

    points = {name: stature * np.array((p[0], -p[1])) for name, p in xyz.items()}
    parts = _dress(xyz, points, wear, root, trunk, head, centre, radii, girth, stature, light)
    # The projection of an ellipsoid reaches as far as the length of its scaled axes' rows.
    reach = np.sqrt(((head * radii) ** 2).sum(1))[:2] * stature
    middle = stature * np.array((centre[0], -centre[1]))
    low = np.minimum(middle - reach, points["upper_neck"])
    high = np.maximum(middle + reach, points["upper_neck"])
    facing = {"nose": head[2, 2] > -0.15}
    for side, sign in _SIDES.items():
        facing[f"{side}_eye"] = (head @ _unit(np.array((0.45 * sign, 0.1, 0.9))))[2] > 0.12
        facing[f"{side}_ear"] = (head @ np.array((sign, 0, -0.1)))[2] > -0.35
    depth = {name: float(p[2]) for name, p in xyz.items()}
    depth |= {name: -1.0 for name, seen in facing.items() if not seen}
    if pose.seated:
        parts.insert(0, _seat(rng, points, stature))
    return Figure(points, depth, stature, (*low, *high), parts)


class Part(NamedTuple):
    """Something to draw, from back to front by depth; `paint` takes the canvas, an offset and a label."""

    depth: float
    label: int
    paint: Callable


def _dress(xyz, points, wear, root, trunk, head, centre, radii, girth, stature, light) -> list[Part]:
    """The parts of a person, sorted from back to front."""
    parts: list[Part] = []

    def limb(a, b, ra, rb, colour, label, lift=0.0, start=None, end=None):
        """A tapered limb between two named points, or between two points along that line."""
        pa, pb = points[a], points[b]
        za, zb = xyz[a][2], xyz[b][2]
        if end is not None:
            pb, zb = pa + end * (pb - pa), za + end * (zb - za)
        depth = (za + zb) / 2 + lift
        # What is farther away is darker: near and far limbs of one colour stay apart.
        shade = np.clip(0.94 + 0.9 * depth, 0.72, 1.1)
        radius = (ra * girth * stature, rb * girth * stature)

        def paint(canvas, offset, owner):
            canvas.capsule(pa + offset, pb + offset, *radius, np.clip(colour * shade, 0, 255), light, owner)

        parts.append(Part(depth, label, paint))

    for side in _SIDES:
        upper, fore, hand, thigh, shin, foot = (
            _PART[f"{side}_{name}"] for name in ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
        )
        s, e, w = f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"
        bare = wear.sleeve == 0
        limb(s, e, 0.036, 0.027, wear.shirt if wear.sleeve > 1 else wear.skin, upper, 0.012)
        if 0 < wear.sleeve < 1:
            limb(s, e, 0.043, 0.038, wear.shirt, upper, 0.0125, end=wear.sleeve)
        limb(e, w, 0.027, 0.019, wear.shirt if wear.sleeve > 1 else wear.skin, fore, 0.014)
        if bare:
            limb(s, e, 0.037, 0.034, wear.shirt, upper, 0.0122, end=0.12)
        limb(w, f"{side}_hand", 0.018, 0.021, wear.skin, hand, 0.016)

        h, k, a = f"{side}_hip", f"{side}_knee", f"{side}_ankle"
        long = wear.leg > 1 and not wear.skirt
        limb(k, a, 0.036, 0.024, wear.trousers if long else wear.skin, shin)
        limb(h, k, 0.058, 0.039, wear.trousers if long else wear.skin, thigh, 0.002)
        if not long:
            limb(h, k, 0.061, 0.05, wear.trousers, thigh, 0.003, end=wear.leg)
        limb(f"{side}_heel", f"{side}_toe", 0.025, 0.019, wear.shoes, foot, 0.006)

    def trunk_paint(canvas, offset, owner):
        _paint_trunk(canvas, offset, owner, xyz, points, wear, trunk, girth, stature, light)

    middle = (xyz["thorax"][2] + xyz["pelvis"][2]) / 2
    parts.append(Part(middle, _TRUNK, trunk_paint))
    if wear.skirt:

        def skirt_paint(canvas, offset, owner):
            circles = [(points[f"{side}_hip"] + offset, 0.055 * girth * stature) for side in _SIDES]
            for side in _SIDES:
                hem = 0.35 * points[f"{side}_hip"] + 0.65 * points[f"{side}_knee"]
                circles.append((hem + offset, 0.062 * girth * stature))
            canvas.hull(circles, wear.trousers, light, owner)

        knees = max(xyz["left_knee"][2], xyz["right_knee"][2])
        parts.append(Part(max(middle, 0.5 * knees) + 0.02, _TRUNK, skirt_paint))
    limb("thorax", "upper_neck", 0.034, 0.032, wear.skin, _NECK, 0.002)
    if wear.haircut == "long":
        back = centre - head @ (0, 0, 0.055)
        tip = back + head @ (0, -0.12, -0.01) + trunk @ (0, -0.05, -0.02)
        a, b = (stature * np.array((p[0], -p[1])) for p in (back, tip))

        def hair_paint(canvas, offset, owner):
            canvas.capsule(a + offset, b + offset, 0.055 * stature, 0.04 * stature, wear.hair, light, owner)

        parts.append(Part((back[2] + tip[2]) / 2, _HEAD, hair_paint))

    def head_paint(canvas, offset, owner):
        place = stature * np.array((centre[0], -centre[1])) + offset
        canvas.head(place, head, radii * stature, wear, light, owner)

    parts.append(Part(centre[2] + 0.015, _HEAD, head_paint))
    return sorted(parts, key=lambda part: part.depth)


def _paint_trunk(canvas, offset, owner, xyz, points, wear, trunk, girth, stature, light) -> None:
    r = girth * stature
    hips = [(points[f"{side}_hip"] + offset, 0.058 * r) for side in _SIDES]
    shoulders = [(points[f"{side}_shoulder"] + offset, 0.042 * r) for side in _SIDES]
    waist = [0.62 * hip + 0.38 * shoulder for (hip, _), (shoulder, _) in zip(hips, shoulders, strict=True)]
    collar = points["thorax"] + offset
    canvas.hull(hips, wear.trousers, light, owner)
    canvas.hull([*shoulders, *((p, 0.055 * r) for p in waist), (collar, 0.045 * r)], wear.shirt, light, owner)

    def at(x, up, forward):
        p = xyz["pelvis"] + trunk @ (x, up, forward)
        return stature * np.array((p[0], -p[1])) + offset

    high, deep = float(np.linalg.norm(xyz["thorax"])), 0.05 * girth
    if wear.pattern != "plain":
        for up in (0.45, 0.6, 0.75) if wear.pattern == "stripes" else (0.62,):
            thick = 0.008 if wear.pattern == "stripes" else 0.022
            x = 0.075 + 0.045 * (up - 0.45) / 0.3
            canvas.line([at(-x, up * high, 0), at(x, up * high, 0)], thick * stature, wear.accent)
    front = trunk[2, 2]
    if front > 0.12:
        # The front alone has an open collar and a row of buttons.
        neck = [at(-0.035, high * 1.02, 0.02), at(0, high * 0.8, deep), at(0.035, high * 1.02, 0.02)]
        canvas.polygon(neck, wear.skin * 0.95)
        canvas.line([at(0, high * up, deep) for up in (0.8, 0.35)], 0.007 * stature, wear.accent)
    elif front < -0.12:
        # The back has a yoke.
        canvas.line([at(-0.085, high * 0.88, -deep), at(0.085, high * 0.88, -deep)], 0.01 * stature, wear.shirt * 0.6)


def _seat(rng, points, stature) -> Part:
    colour = _colour(rng, saturation=(0.1, 0.6))
    left, right = points["left_hip"], points["right_hip"]
    half = (0.1 + rng.uniform(0.02, 0.08)) * stature
    middle, top = (left + right) / 2, max(left[1], right[1]) + 0.045 * stature
    bottom = max(points["left_ankle"][1], points["right_ankle"][1], top + 0.1 * stature)

    def paint(canvas, offset, owner):
        x, y = middle[0] + offset[0], offset[1]
        canvas.polygon([(x - half, top + y), (x + half, top + y), (x + half, bottom + y), (x - half, bottom + y)], colour)
        canvas.line([(x - half, top + y), (x + half, top + y)], 0.02 * stature, colour * 0.6)

    return Part(-1.0, 0, paint)


# Drawing


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
    def _fixed(points) -> np.ndarray:
        # Pixel centres: image x lies at OVERSAMPLING * x + (OVERSAMPLING - 1) / 2; four bits of fraction.
        scaled = np.asarray(points) * OVERSAMPLING + (OVERSAMPLING - 1) / 2
        return np.rint(np.clip(scaled, -2000, 8000) * 16).astype(np.int32)

    def polygon(self, points, colour, owner: int | None = None) -> None:
        fixed = self._fixed(points)
        cv2.fillConvexPoly(self.image, fixed, colour.tolist(), cv2.LINE_AA, 4)
        if owner is not None:
            cv2.fillConvexPoly(self.owner, fixed, owner, cv2.LINE_8, 4)

    def line(self, points, thickness: float, colour) -> None:
        width = max(1, round(thickness * OVERSAMPLING))
        cv2.polylines(self.image, [self._fixed(points)], False, colour.tolist(), width, cv2.LINE_AA, 4)

    def capsule(self, a, b, ra, rb, colour, light, owner: int | None = None) -> None:
        """A limb: the hull of two circles, dark at its rim and bright towards the light."""
        for grow, shift, bright in _SHADES:
            outline = _capsule(a + shift * ra * light, b + shift * rb * light, grow * ra, grow * rb)
            self.polygon(outline, np.minimum(colour * bright, 255), owner if grow == 1 else None)

    def hull(self, circles, colour, light, owner: int | None = None) -> None:
        """The hull of circles (centre, radius), shaded as a limb is."""
        for grow, shift, bright in _SHADES[:2]:
            rims = [centre + shift * r * light + grow * r * _CIRCLE for centre, r in circles]
            outline = cv2.convexHull(np.concatenate(rims).astype(np.float32))[:, 0]
            self.polygon(outline, np.minimum(colour * bright, 255), owner if grow == 1 else None)

    def head(self, centre, frame, radii, wear: Wardrobe, light, owner: int) -> None:
        """A head as an ellipsoid seen along z, each pixel coloured by where on the head it lies."""
        reach = int(radii.max() * OVERSAMPLING * 1.05) + 2
        cx, cy = (OVERSAMPLING * c + (OVERSAMPLING - 1) / 2 for c in centre)
        x0, y0 = int(cx) - reach, int(cy) - reach
        height, width = self.owner.shape
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + 2 * reach, width), min(y0 + 2 * reach, height)
        for sign in _SIDES.values():
            ear = frame @ (radii * (sign, 0.02, -0.08))
            if (frame @ (sign, 0, -0.1))[2] > -0.55:
                place = centre + (ear[0], -ear[1])
                self.capsule(place, place, *(0.24 * radii[1],) * 2, wear.skin * 0.92, light, owner)
        if right <= left or bottom <= top:
            return
        dx = (np.arange(left, right) - cx)[None, :] / OVERSAMPLING
        dy = (cy - np.arange(top, bottom))[:, None] / OVERSAMPLING
        # On the ellipsoid |M p| = 1 with M = diag(1 / radii) frame^T; the nearer root in z.
        m = frame.T / radii[:, None]
        flat = m[:, 0, None, None] * dx + m[:, 1, None, None] * dy
        aa, bb, cc = m[:, 2] @ m[:, 2], np.tensordot(m[:, 2], flat, 1), (flat**2).sum(0) - 1
        inside = bb**2 - aa * cc
        on = inside > 0
        z = (-bb + np.sqrt(np.maximum(inside, 0))) / aa
        side, up, front = flat + m[:, 2, None, None] * z

        toward = frame.T @ _unit(np.array((light[0], -light[1], 0.9)))
        shade = 0.78 + 0.3 * np.clip(toward[0] * side + toward[1] * up + toward[2] * front, -0.6, 1)
        colour = np.empty((*on.shape, 3))
        colour[:] = wear.skin
        brow = (np.abs(np.abs(side) - 0.4) < 0.2) & (np.abs(up - 0.34) < 0.06) & (front > 0)
        mouth = (np.abs(side) < 0.28) & (np.abs(up + 0.5) < 0.075) & (front > 0)
        eye = np.hypot(np.abs(side) - 0.4, up - 0.12) + (front < 0)
        colour[brow] = wear.hair * 0.8
        colour[mouth] = (70, 60, 150)
        colour[eye < 0.2] = 240
        colour[eye < 0.12] = 35
        fringe = {"short": 0.55, "long": 0.5, "cap": 0.42, "bald": 2.0}[wear.haircut]
        hair = (up > fringe) | (front < {"long": 0.15, "bald": -2.0}.get(wear.haircut, -0.2)) & (up > -0.55)
        colour[hair] = wear.accent if wear.haircut == "cap" else wear.hair
        colour = np.clip(colour * shade[..., None], 0, 255).astype(np.uint8)
        self.image[top:bottom, left:right][on] = colour[on]
        self.owner[top:bottom, left:right][on] = owner
        nose = [frame @ (radii * p) for p in ((0, 0.05, 0.96), (0, -0.12, 1.08))]
        if frame[2, 2] > -0.2:
            a, b = (centre + (p[0], -p[1]) for p in nose)
            self.capsule(a, b, 0.07 * radii[1], 0.13 * radii[1], wear.skin * 0.97, light, owner)
        if wear.haircut == "cap":
            brim = [frame @ (radii * p) for p in ((-0.55, 0.42, 0.85), (0.55, 0.42, 0.85), (0.4, 0.36, 1.5), (-0.4, 0.36, 1.5))]
            if frame[2, 2] > -0.3:
                self.polygon([centre + (p[0], -p[1]) for p in brim], wear.accent * 0.7, owner)


_CIRCLE = np.stack([f(np.linspace(0, 2 * pi, 16, endpoint=False)) for f in (np.cos, np.sin)], 1)
# Radius, shift towards the light in radii, brightness.
_SHADES = ((1.0, 0.0, 0.66), (0.82, 0.16, 1.0), (0.36, 0.42, 1.14))


def _capsule(a, b, ra, rb) -> np.ndarray:
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


# The scene


@dataclass
class Scene:
    image: np.ndarray
    people: list[Figure]
    far: list[Figure]
    crowd: np.ndarray | None


def _background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cells = int(rng.integers(2, 7))
    low, span = rng.uniform(20, 110), rng.uniform(60, 130)
    coarse = (low + span * rng.random((cells, cells + 1, 3))).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.6:
        horizon = int(height * rng.uniform(0.55, 0.85))
        ground = _colour(rng, saturation=(0.05, 0.45), value=(0.3, 0.85))
        image[horizon:] = (0.35 * image[horizon:] + 0.65 * ground).astype(np.uint8)
    for _ in range(rng.integers(4, 11)):
        colour = _colour(rng, saturation=(0.05, 0.65)).tolist()
        x, y = rng.uniform(-0.1, 1, 2) * (width, height)
        w, h = rng.uniform(0.08, 0.45, 2) * (width, height)
        kind = rng.random()
        if kind < 0.45:
            box = cv2.boxPoints(((x, y), (w, h), rng.choice((0.0, 0.0, rng.uniform(0, 90)))))
            cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
        elif kind < 0.65:
            cv2.ellipse(image, (int(x), int(y)), (int(w / 2), int(h / 2)), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            # Boards, bricks, blinds: a patch with parallel lines.
            step, slant = int(rng.integers(4, 14)), int(rng.integers(-6, 7))
            patch = image[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)]
            patch = np.ascontiguousarray(patch)
            for i in range(0, max(patch.shape[:2], default=0), step):
                ends = ((i, 0), (i + slant, patch.shape[0])) if kind < 0.85 else ((0, i), (patch.shape[1], i + slant))
                cv2.line(patch, *ends, colour, 1 + step // 5, cv2.LINE_AA)
            image[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)] = patch
    blur = int(rng.choice((1, 3, 5)))
    return cv2.GaussianBlur(image, (blur, blur), 0)


def _distract(rng: np.random.Generator, canvas: Canvas, height: int, width: int, light) -> None:
    """Poles, branches and loose limbs: what looks like a limb and belongs to nobody."""
    for _ in range(rng.integers(1, 5)):
        start = rng.uniform(0, 1, 2) * (width, height)
        kind, size = rng.random(), height * rng.uniform(0.02, 0.035)
        if kind < 0.35:
            colour = _colour(rng, saturation=(0.0, 0.5))
            end = start + height * rng.uniform(0.4, 1.2) * np.array((rng.normal(0, 0.2), rng.choice((-1, 1))))
            canvas.capsule(start, end, 0.7 * size, 0.7 * size, colour, light)
        elif kind < 0.65:
            colour = _tone(rng, ((0.42, 0.30, 0.20), (0.25, 0.20, 0.15), (0.30, 0.38, 0.22)))
            angle, length, radius = rng.uniform(-pi, 0), height * rng.uniform(0.15, 0.3), 0.9 * size
            for _ in range(3):
                end = start + length * np.array((cos(angle), sin(angle)))
                for turn in (-0.7, 0.6):
                    twig = end + 0.6 * length * np.array((cos(angle + turn), sin(angle + turn)))
                    canvas.capsule(end, twig, 0.5 * radius, 0.15 * radius, colour, light)
                canvas.capsule(start, end, radius, 0.75 * radius, colour, light)
                start, angle, length, radius = end, angle + rng.normal(0, 0.5), 0.75 * length, 0.75 * radius
        else:
            skin, cloth = _tone(rng, _SKIN), _colour(rng)
            angle, length = rng.uniform(-pi, pi), height * rng.uniform(0.09, 0.14)
            middle = start + length * np.array((cos(angle), sin(angle)))
            angle += rng.normal(0, 0.9)
            end = middle + 0.9 * length * np.array((cos(angle), sin(angle)))
            canvas.capsule(middle, end, 0.9 * size, 0.65 * size, skin, light)
            canvas.capsule(start, middle, 1.2 * size, 0.95 * size, cloth, light)
            if rng.random() < 0.5:
                canvas.capsule(end, end, 0.75 * size, 0.75 * size, skin, light)


def _occlude(rng: np.random.Generator, canvas: Canvas, figure: Figure, offset, light) -> None:
    """Something in front of a part of a person."""
    at = figure.points[str(rng.choice(("left_knee", "right_knee", "left_ankle", "right_ankle", "left_elbow",
                                       "right_elbow", "left_hip", "right_wrist")))] + offset  # fmt: skip
    colour, stature = _colour(rng, saturation=(0.05, 0.7)), figure.stature
    if rng.random() < 0.5:
        w, h = stature * rng.uniform(0.07, 0.16, 2)
        corners = at + np.array(((-w, -h), (w, -h), (w, h), (-w, h)))
        canvas.polygon(corners, colour, _OCCLUDER)
        canvas.line([*corners, corners[0]], 0.012 * stature, colour * 0.6)
    elif rng.random() < 0.5:
        lean, reach = rng.normal(0, 0.12), stature * rng.uniform(0.4, 0.8)
        radius = stature * rng.uniform(0.02, 0.04)
        canvas.capsule(at - (lean * reach, reach), at + (lean * reach, reach), radius, radius, colour, light, _OCCLUDER)
    else:
        for _ in range(7):
            leaf = at + stature * rng.normal(0, 0.05, 2)
            radius = stature * rng.uniform(0.02, 0.05)
            green = _colour(rng, saturation=(0.3, 0.7), value=(0.25, 0.6)) * (0.6, 1.0, 0.5)
            canvas.capsule(leaf, leaf, radius, radius, green, light, _OCCLUDER)


_SHOWN_BY = {
    "wrist": ("forearm", "hand"), "elbow": ("upper_arm", "forearm"), "shoulder": ("upper_arm", _TRUNK),
    "hip": ("thigh", _TRUNK), "knee": ("thigh", "shin", _TRUNK), "ankle": ("shin", "foot"), "eye": (_HEAD,),
    "ear": (_HEAD,), "nose": (_HEAD,), "head_top": (_HEAD,), "upper_neck": (_NECK, _HEAD, _TRUNK),
    "thorax": (_TRUNK, _NECK), "pelvis": (_TRUNK,),
}  # fmt: skip


def _look(canvas: Canvas, figure: Figure, person: int, offset) -> None:
    """Fill in a figure's final points, and which of them the finished drawing shows."""
    height, width = canvas.owner.shape
    figure.points = {name: point + offset for name, point in figure.points.items()}
    x1, y1, x2, y2 = figure.head_box
    figure.head_box = (x1 + offset[0], y1 + offset[1], x2 + offset[0], y2 + offset[1])
    figure.visible = {}
    reach = max(1, round(0.012 * figure.stature * OVERSAMPLING))
    for name, point in figure.points.items():
        side, _, joint = name.partition("_") if name.split("_")[0] in _SIDES else ("", "", name)
        if joint not in _SHOWN_BY:
            continue
        x, y = (round(c * OVERSAMPLING + (OVERSAMPLING - 1) / 2) for c in point)
        labels = [part if isinstance(part, int) else _PART[f"{side}_{part}"] for part in _SHOWN_BY[joint]]
        near = canvas.owner[max(y - reach, 0) : max(y + reach + 1, 0), max(x - reach, 0) : max(x + reach + 1, 0)]
        shown = np.isin(near, [person * 32 + label for label in labels]).any()
        # The trunk also covers the shoulder and hip of the far side.
        figure.visible[name] = bool(shown) and figure.depth[name] > -0.075 and 0 <= x < width and 0 <= y < height
    figure.silhouette = (canvas.owner >> 5 == person) & (canvas.owner != _OCCLUDER)


def _scene(rng: np.random.Generator, size: tuple[int, int], people: int, far: int, crowd: bool, close: bool) -> Scene:
    """Draw an image with so many people, others far away, and perhaps a crowd."""
    height, width = (int(side * rng.uniform(0.92, 1.12)) for side in size)
    width = int(width * (1 + 0.3 * (people - 1)))
    turn = rng.uniform(-2.4, -0.7)
    light = np.array((cos(turn), sin(turn)))
    canvas = Canvas(_background(rng, height, width))
    _distract(rng, canvas, height, width, light)

    def draw(figure: Figure, offset, person: int):
        for part in figure.parts:
            part.paint(canvas, offset, person * 32 + part.label if part.label else 0)

    def small(x, y):
        figure = _figure(rng, height * rng.uniform(0.13, 0.2), light)
        offset = np.array((x, y)) * (width, height)
        return figure, offset

    label, distant, horde = 1, [], None
    if crowd:
        y = rng.uniform(0.15, 0.35)
        first = label
        for x in np.sort(rng.uniform(0.05, 0.95, 6)):
            figure, offset = small(x, y + rng.normal(0, 0.02))
            draw(figure, offset, label)
            label += 1
        horde = (first, label)
    for _ in range(far):
        figure, offset = small(rng.uniform(0.08, 0.92), rng.uniform(0.15, 0.4))
        draw(figure, offset, label)
        distant.append((figure, offset, label))
        label += 1

    placed = []
    for i in range(people):
        stature = height * (rng.uniform(1.25, 1.7) if close else rng.uniform(0.6, 0.86) * 0.93 ** (people - 1))
        figure = _figure(rng, stature, light)
        extent = np.stack(list(figure.points.values()))
        low, high = extent.min(0) - 0.02 * stature, extent.max(0) + 0.02 * stature
        # Slots across the image, then inside it, but for those that its border cuts.
        slack = np.maximum((width, height) - (high - low), 0)
        share = (i + rng.uniform(0.2, 0.8)) / people if people > 1 else rng.uniform(0, 1)
        offset = np.array((share, rng.uniform(0.3, 1.0))) * slack - low
        offset += np.minimum((width, height) - (high - low), 0) / 2 * (1, not close)
        if close:
            offset[1] = rng.uniform(0.03, 0.12) * height - low[1]
        elif rng.random() < 0.1:
            offset += stature * rng.uniform(0.12, 0.3) * np.array(((-1, 0), (1, 0), (0, 1)))[rng.integers(3)]
        placed.append((figure, offset))
    # Who stands lower is nearer.
    placed.sort(key=lambda item: max(p[1] for p in item[0].points.values()) + item[1][1])
    for i, (figure, offset) in enumerate(placed):
        draw(figure, offset, label + i)
    for figure, offset in placed:
        if rng.random() < 0.22:
            _occlude(rng, canvas, figure, offset, light)
    for i, (figure, offset) in enumerate(placed):
        _look(canvas, figure, label + i, offset)
    for figure, offset, owner in distant:
        _look(canvas, figure, owner, offset)

    image = canvas.finish()
    contrast, bright = rng.uniform(0.75, 1.1), rng.uniform(-15, 20)
    image = cv2.convertScaleAbs(image, alpha=contrast, beta=max(bright, 0) + 128 * (1 - contrast) / 2)
    grain = int(rng.integers(3, 14))
    noise = rng.integers(0, grain + 1, image.shape, np.uint8)
    image = cv2.subtract(cv2.add(image, noise), np.full_like(image, grain // 2))
    crowd_mask = None
    if horde:
        ids = canvas.owner >> 5
        crowd_mask = (ids >= horde[0]) & (ids < horde[1]) & (canvas.owner != _OCCLUDER)
    return Scene(image, [figure for figure, _ in placed], [figure for figure, *_ in distant], crowd_mask)


def _scenes(dataset: str, split: str, demo: Demo, count: int, alone: bool = False) -> Iterator[tuple[int, Scene]]:
    """Images with `count` people together, each drawn from a generator of its own."""
    index = 0
    while count > 0:
        rng = np.random.default_rng([demo.seed, _DATASETS.index(dataset), _SPLITS.index(split), index])
        people = 1 if alone else min(int(rng.choice((1, 2, 3), p=(0.65, 0.25, 0.1))), count)
        far = int(dataset != "lspet" and index % 6 == 1)
        crowd = dataset == "coco" and index % 20 == 2
        while True:
            close = dataset == "coco" and people == 1 and rng.random() < 0.12
            scene = _scene(rng, demo.image_size, people, far, crowd, close)
            # Nobody may vanish behind others.
            if all(figure.silhouette.sum() > 0.06 * (figure.stature * OVERSAMPLING) ** 2 for figure in scene.people):
                break
        yield index, scene
        count -= people
        index += 1


def _inside(figure: Figure, name: str, image: np.ndarray) -> bool:
    x, y = figure.points[name]
    return 0 <= x <= image.shape[1] - 1 and 0 <= y <= image.shape[0] - 1


# Archives


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _json(content: dict) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _mat(content: dict) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, long_field_names=True)
    # The header's text holds the time of writing.
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]


def _write(path: Path, write: Callable) -> None:
    """Have `write` fill a file that appears under its name only when it is whole."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
    os.replace(part, path)


def _write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in sorted(members):
                member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
                member.external_attr = 0o644 << 16
                stored = name.endswith(".jpg")
                member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.writestr(member, content)

    _write(path, write)


def _write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    def write(file):
        with (
            gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for name, content in sorted(members):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    _write(path, write)


# COCO


def _write_coco(demo: Demo, folder: Path) -> None:
    names = KEYPOINTS["coco"].names
    ids = np.random.default_rng([demo.seed, _DATASETS.index("coco"), len(_SPLITS)]).permutation(600_000)
    labels, annotation_id, taken = {}, 183_000, 0
    for split, count in (("train", demo.train_people), ("val", demo.val_people)):
        files, images, annotations = [], [], []
        for index, scene in _scenes("coco", split, demo, count):
            rng = np.random.default_rng([demo.seed, _DATASETS.index("coco"), _SPLITS.index(split), index, 1])
            image_id = int(ids[taken])
            taken += 1
            name = f"{image_id:012d}.jpg"
            files.append((f"{split}2017/{name}", _jpeg(scene.image)))
            height, width = scene.image.shape[:2]
            images.append(
                {"license": 1, "file_name": name, "height": height, "width": width,
                 "date_captured": "2013-11-14 00:00:00", "id": image_id}
            )  # fmt: skip
            rows = [_coco_person(figure, scene.image, names, rng) for figure in scene.people]
            # Too small for keypoints.
            rows += [
                _coco_person(figure, scene.image, names, None) for figure in scene.far if figure.silhouette.any()
            ]
            if scene.crowd is not None and scene.crowd.any():
                rows.append(_coco_crowd(scene.crowd))
            for row in rows:
                annotation_id += 1
                annotations.append({**row, "image_id": image_id, "category_id": 1, "id": annotation_id})
        _write_zip(folder / f"{split}2017.zip", files)
        labels[f"annotations/person_keypoints_{split}2017.json"] = _json(
            {
                "info": {"description": "COCO 2017 layout, synthetic people", "version": "1.0", "year": 2017},
                "licenses": [{"url": "", "id": 1, "name": "synthetic"}],
                "images": images,
                "annotations": annotations,
                "categories": [_coco_category()],
            }
        )
    _write_zip(folder / "annotations_trainval2017.zip", labels.items())


def _coco_category() -> dict:
    keypoints = KEYPOINTS["coco"]
    skeleton = [[a + 1, b + 1] for a, b in keypoints.skeleton]
    return {"supercategory": "person", "id": 1, "name": "person", "keypoints": keypoints.names, "skeleton": skeleton}


def _coco_person(figure: Figure, image: np.ndarray, names, rng: np.random.Generator | None) -> dict:
    """COCO's annotation of a person; without a generator one that has no keypoints."""
    contours, _ = cv2.findContours(figure.silhouette.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    # From the middle of drawn pixels to image coordinates whose origin is the image's corner.
    shapes = [(c[:, 0] + 0.5) / OVERSAMPLING for c in contours if cv2.contourArea(c) >= 8 and len(c) >= 3]
    if not shapes:
        shapes = [(max(contours, key=len)[:, 0] + 0.5) / OVERSAMPLING]
    corners = np.concatenate(shapes)
    low, high = corners.min(0), corners.max(0)
    keypoints = []
    for name in names:
        x, y = figure.points[name]
        flag = 0
        if rng is not None and _inside(figure, name, image):
            turned_away = figure.depth[name] == -1.0
            # Who labels can often tell where a hidden joint is.
            guessed = rng.random() < 0.75
            flag = 2 if figure.visible[name] else int(guessed and not turned_away)
        keypoints += [round(x), round(y), flag] if flag else [0, 0, 0]
    return {
        "segmentation": [np.round(shape, 2).ravel().tolist() for shape in shapes],
        "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
        "area": round(sum(cv2.contourArea(shape.astype(np.float32)) for shape in shapes), 2),
        "iscrowd": 0,
        "keypoints": keypoints,
        "bbox": np.round([*low, *(high - low)], 2).tolist(),
    }


def _coco_crowd(mask: np.ndarray) -> dict:
    """COCO's annotation of a crowd: a run-length code by columns that starts with a run of zeros."""
    mask = mask[::OVERSAMPLING, ::OVERSAMPLING]
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], ends, [mask.size]]))
    rows, columns = np.nonzero(mask)
    low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
    return {
        "segmentation": {"counts": counts.tolist(), "size": list(mask.shape)},
        "num_keypoints": 0,
        "area": int(mask.sum()),
        "iscrowd": 1,
        "keypoints": [0] * 51,
        "bbox": [int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])],
    }


# MPII


def _struct(**values) -> np.ndarray:
    """A MATLAB struct (1, 1)."""
    out = np.empty((1, 1), dtype=[(name, object) for name in values])
    for name, value in values.items():
        out[name][0, 0] = value
    return out


def _structs(rows: list[np.ndarray]) -> np.ndarray:
    """A MATLAB struct array (1, N); fields that a row lacks are empty there."""
    fields = list(dict.fromkeys(name for row in rows for name in row.dtype.names))
    out = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for i, row in enumerate(rows):
        for name in fields:
            out[name][0, i] = row[name][0, 0] if name in row.dtype.names else np.zeros((0, 0))
    return out


def _write_mpii(demo: Demo, folder: Path) -> None:
    entries = []
    tests = max(2, demo.val_people // 50)
    for split, count in (("train", demo.train_people), ("val", demo.val_people), ("test", tests)):
        for index, scene in _scenes("mpii", split, demo, count):
            entries.append((split, index, _jpeg(scene.image), *_mpii_people(split, index, scene)))
    # The splits lie mixed, as in the official file.
    rng = np.random.default_rng([demo.seed, _DATASETS.index("mpii"), len(_SPLITS)])
    entries = [entries[i] for i in rng.permutation(len(entries))]
    numbers = np.sort(rng.choice(99_999_999, len(entries), replace=False) + 1)
    files, annolist, chosen = [], [], []
    for i, (split, _, jpeg, annorect, people) in enumerate(entries):
        name = f"{numbers[i]:09d}.jpg"
        files.append((f"images/{name}", jpeg))
        annolist.append(_struct(image=_struct(name=name), annorect=annorect, frame_sec=0, vididx=1))
        if split == "val":
            chosen += [(i + 1, person) for person in people]
    n = len(entries)
    single = np.empty((n, 1), object)
    for i, (split, *_, people) in enumerate(entries):
        single[i, 0] = np.array(people, np.uint8).reshape(-1, 1) if split != "test" else np.zeros((0, 0))
    acts = np.empty((n, 1), dtype=[("cat_name", object), ("act_name", object), ("act_id", object)])
    for i in range(n):
        acts[i, 0] = ("synthetic", "posing", 1)
    videos = np.empty((1, 1), object)
    videos[0, 0] = "synthetic"
    release = _struct(
        annolist=_structs(annolist),
        img_train=np.array([[split != "test" for split, *_ in entries]], np.uint8),
        version="12",
        single_person=single,
        act=acts,
        video_list=videos,
    )
    _write_tar(folder / "mpii_human_pose_v1.tar.gz", files)
    member = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
    _write_zip(folder / "mpii_human_pose_v1_u12_2.zip", [(member, _mat({"RELEASE": release}))])
    images, persons = np.array(chosen).T
    split = {"RELEASE_img_index": images.astype(np.uint16), "RELEASE_person_index": persons.astype(np.uint8)}
    _write(folder / "detections.mat", lambda file: file.write(_mat(split)))


def _mpii_people(split: str, index: int, scene: Scene) -> tuple[np.ndarray, list[int]]:
    """An image's annorect, and the 1-based indices of the people in it that have joints."""
    rows, labelled = [], []
    if split == "test":
        return _structs([_struct(**_mpii_place(figure)) for figure in scene.people]), []
    # Now and then somebody without joints comes first, with or without the rest of a label.
    for figure in scene.far:
        place = _mpii_place(figure) if index % 4 == 1 else {}
        rows.append(_struct(**_mpii_head(figure), **place))
    for figure in scene.people:
        points = _mpii_points(figure, scene.image, index)
        rows.append(_struct(**_mpii_head(figure), annopoints=_struct(point=points), **_mpii_place(figure)))
        labelled.append(len(rows))
    return _structs(rows), labelled


def _mpii_head(figure: Figure) -> dict:
    x1, y1, x2, y2 = (round(c) + 1 for c in figure.head_box)
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}


def _mpii_place(figure: Figure) -> dict:
    points = np.stack([figure.points[name] for name in KEYPOINTS["mpii"].names])
    x, y = (points.min(0) + points.max(0)) / 2
    return {"scale": round(figure.stature / 200, 6), "objpos": _struct(x=round(x) + 1, y=round(y) + 1)}


def _mpii_points(figure: Figure, image: np.ndarray, index: int) -> np.ndarray:
    """The joints inside the image, 1-based; `is_visible` in each of the official file's ways of writing it."""
    rows = []
    for i, name in enumerate(KEYPOINTS["mpii"].names):
        if not _inside(figure, name, image):
            continue
        x, y = figure.points[name]
        row = {"x": round(x) + 1, "y": round(y) + 1, "id": i}
        style, shown = index % 5, int(figure.visible[name])
        if style != 4:
            text = style == 1 or style == 2 and i % 2 == 0
            row["is_visible"] = str(shown) if text else shown
            if name in ("upper_neck", "head_top") and style != 3:
                row["is_visible"] = np.zeros((0, 0))
        rows.append(_struct(**row))
    return _structs(rows)


# LSPET


def _write_lspet(demo: Demo, folder: Path) -> None:
    names = ["upper_neck" if name == "neck" else name for name in KEYPOINTS["lspet"].names]
    files, joints = [], []
    for index, scene in _scenes("lspet", "train", demo, demo.train_people + demo.val_people, alone=True):
        files.append((f"images/im{index + 1:05d}.jpg", _jpeg(scene.image)))
        figure = scene.people[0]
        rows = [(*figure.points[name], 1.0) for name in names if True]
        # What is not labelled has coordinates of no meaning.
        joints.append(
            [row if _inside(figure, name, scene.image) else (-abs(row[0]), -abs(row[1]), 0.0)
             for name, row in zip(names, rows, strict=True)]
        )  # fmt: skip
    files.append(("joints.mat", _mat({"joints": np.array(joints).transpose(1, 2, 0)})))
    _write_zip(folder / "lspet_dataset.zip", files)
