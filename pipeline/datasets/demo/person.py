"""Articulated people for the demo, and how they are drawn.

A figure is a skeleton in space (x to the camera's right, y up, z towards the camera, stature 1), drawn part
by part from back to front. Which side is left shows in the picture: by the face or the back of the head, the
shirt's front, and the feet.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from math import acos, atan2, cos, hypot, pi, radians, sin
from typing import NamedTuple

import cv2
import numpy as np

# Figures are drawn at this multiple of the image's size and brought down.
OVERSAMPLING = 2
_SIDES = {"left": 1.0, "right": -1.0}

# Labels of the parts in `Canvas.owner`: person * 32 + part; persons count from 1.
_TRUNK, _NECK, _HEAD = 1, 2, 3
_PART = {
    f"{side}_{limb}": 4 + 6 * i + j
    for i, side in enumerate(_SIDES)
    for j, limb in enumerate(("upper_arm", "forearm", "hand", "thigh", "shin", "foot"))
}
OCCLUDER = 65535
_SHOWN_BY = {
    "wrist": ("forearm", "hand"), "elbow": ("upper_arm", "forearm"), "shoulder": ("upper_arm", _TRUNK),
    "hip": ("thigh", _TRUNK), "knee": ("thigh", "shin"), "ankle": ("shin", "foot"), "eye": (_HEAD,),
    "ear": (_HEAD,), "nose": (_HEAD,), "head_top": (_HEAD,), "upper_neck": (_NECK, _HEAD, _TRUNK),
    "thorax": (_TRUNK, _NECK), "pelvis": (_TRUNK,),
}  # fmt: skip
SKIN = ((0.95, 0.80, 0.69), (0.87, 0.67, 0.53), (0.76, 0.55, 0.40), (0.58, 0.39, 0.27), (0.39, 0.26, 0.18))
_HAIR = ((0.09, 0.07, 0.06), (0.28, 0.17, 0.10), (0.48, 0.30, 0.16), (0.80, 0.66, 0.38), (0.55, 0.53, 0.52))


@dataclass(frozen=True)
class Limb:
    """An arm or leg: flexion (forward) and abduction (to its side) at the trunk, the middle joint's bend."""

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
    turned_away: frozenset[str]
    stature: float
    head_box: tuple[float, float, float, float]
    parts: list
    visible: dict[str, bool] | None = None
    silhouette: np.ndarray | None = None

    def draw(self, canvas: "Canvas", offset: np.ndarray, person: int) -> None:
        """Draw the figure with its pelvis at `offset`, as the person with this number, from 1."""
        for part in self.parts:
            part.paint(canvas, offset, person * 32 + part.label if part.label else 0)

    def settle(self, canvas: "Canvas", offset: np.ndarray, person: int) -> None:
        """Move the points to where the figure was drawn, and see what of it the finished drawing shows."""
        height, width = canvas.owner.shape
        self.points = {name: point + offset for name, point in self.points.items()}
        x1, y1, x2, y2 = self.head_box
        self.head_box = (x1 + offset[0], y1 + offset[1], x2 + offset[0], y2 + offset[1])
        self.visible = {}
        reach = max(1, round(0.012 * self.stature * OVERSAMPLING))
        for name, point in self.points.items():
            side, _, joint = name.partition("_") if name.split("_")[0] in _SIDES else ("", "", name)
            if joint not in _SHOWN_BY:
                continue
            x, y = (round(c * OVERSAMPLING + (OVERSAMPLING - 1) / 2) for c in point)
            labels = [part if isinstance(part, int) else _PART[f"{side}_{part}"] for part in _SHOWN_BY[joint]]
            rows, columns = (slice(max(c - reach, 0), max(c + reach + 1, 0)) for c in (y, x))
            near = canvas.owner[rows, columns]
            shown = bool(np.isin(near, [person * 32 + label for label in labels]).any())
            # The trunk shows no shoulder and no hip of the far side, nor the head a feature turned away.
            far = name in self.turned_away or (_TRUNK in labels and self.depth[name] < -0.075)
            self.visible[name] = shown and not far and 0 <= x < width and 0 <= y < height
        self.silhouette = canvas.owner >> 5 == person


def _pose(rng: np.random.Generator) -> Pose:
    kind = rng.choice(8, p=(0.24, 0.21, 0.21, 0.06, 0.1, 0.09, 0.04, 0.05))

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
            side: Limb(normal(0, 25), normal(105, 35), abs(normal(35, 25)), (0.0, 1.0, 0.4))
            for side in _SIDES
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


def _flat(point: np.ndarray) -> np.ndarray:
    """A point in space as the camera sees it, y down."""
    return np.array((point[0], -point[1]))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(vector @ vector)


def random_colour(rng: np.random.Generator, saturation=(0.25, 0.9), value=(0.25, 0.95)) -> np.ndarray:
    hue, s, v = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, s, v))[::-1]


def random_tone(rng: np.random.Generator, palette: tuple) -> np.ndarray:
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
    vest: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    sleeve: float
    leg: float
    skirt: bool
    pattern: str
    haircut: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Wardrobe":
        shirt = random_colour(rng)
        # Light on dark, dark on light.
        vest = 0.25 * shirt + (190 if shirt.mean() < 110 else 10)
        return cls(
            skin=random_tone(rng, SKIN),
            hair=random_tone(rng, _HAIR),
            shirt=shirt,
            vest=vest,
            accent=random_colour(rng, value=(0.1, 1.0)),
            trousers=random_colour(rng, saturation=(0.1, 0.7), value=(0.15, 0.75)),
            shoes=random_colour(rng, saturation=(0.0, 0.6), value=(0.08, 0.95)),
            sleeve=float(rng.choice((0.0, 0.6, 1.9), p=(0.25, 0.5, 0.25))),
            leg=float(rng.choice((0.7, 1.95), p=(0.3, 0.7))),
            skirt=bool(rng.random() < 0.15),
            pattern=str(rng.choice(("plain", "stripes", "hoop"), p=(0.55, 0.25, 0.2))),
            haircut=str(rng.choice(("short", "long", "cap", "bald"), p=(0.45, 0.3, 0.15, 0.1))),
        )


def random_figure(rng: np.random.Generator, stature: float, light: np.ndarray) -> Figure:
    """A posed person with the pelvis at (0, 0); its parts are drawn by `_draw`."""
    pose, wear = _pose(rng), Wardrobe.draw(rng)
    # Most people turn towards the camera, some away from it.
    yaw = rng.choice((rng.normal(0, 30), rng.uniform(-180, 180), rng.normal(180, 25)), p=(0.55, 0.27, 0.18))
    root = _about(0, rng.uniform(-4, 14)) @ _about(2, pose.roll) @ _about(1, yaw)
    trunk = root @ _about(2, pose.tilt) @ _about(0, pose.lean)
    head = trunk @ _about(1, np.clip(rng.normal(0, 20), -45, 45))
    head = head @ _about(0, rng.normal(4, 9) - 0.45 * pose.lean) @ _about(2, rng.normal(0, 8))

    long, girth, skull = rng.uniform(0.92, 1.1), rng.uniform(0.95, 1.3), rng.uniform(0.94, 1.08)
    shoulder, hip = 0.112 * rng.uniform(0.9, 1.12), 0.06 * rng.uniform(0.95, 1.15)
    xyz: dict[str, np.ndarray] = {"pelvis": np.zeros(3)}
    xyz["thorax"] = trunk @ (0, 0.285 * rng.uniform(0.94, 1.06), 0)
    xyz["upper_neck"] = xyz["thorax"] + trunk @ (0, 0.048, 0.006)
    xyz["head_top"] = xyz["upper_neck"] + head @ (0, 0.184 * skull, 0.01)
    centre = xyz["upper_neck"] + head @ (0, 0.088 * skull, 0.013)
    radii = skull * np.array((0.071, 0.096, 0.083))
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
        inward = np.add(arm.towards, (-sign * 0.5, 0, 0))
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

    points = {name: stature * _flat(p) for name, p in xyz.items()}
    parts = _dress(xyz, points, wear, root, trunk, head, centre, radii, girth, stature, light)
    # The projection of an ellipsoid reaches as far as the length of its scaled axes' rows.
    reach = np.sqrt(((head * radii) ** 2).sum(1))[:2] * stature
    middle = stature * _flat(centre)
    low = np.minimum(middle - reach, points["upper_neck"])
    high = np.maximum(middle + reach, points["upper_neck"])
    facing = {"nose": head[2, 2] > -0.15}
    for side, sign in _SIDES.items():
        facing[f"{side}_eye"] = (head @ _unit(np.array((0.45 * sign, 0.1, 0.9))))[2] > 0.12
        facing[f"{side}_ear"] = (head @ np.array((sign, 0, -0.1)))[2] > -0.35
    turned_away = frozenset(name for name, seen in facing.items() if not seen)
    depth = {name: float(p[2]) for name, p in xyz.items()}
    if pose.seated:
        parts.insert(0, _seat(rng, points, stature))
    return Figure(points, depth, turned_away, stature, (*low, *high), parts)


class Part(NamedTuple):
    """Something to draw, from back to front by depth; `paint` takes the canvas, an offset and a label."""

    depth: float
    label: int
    paint: Callable


def _dress(xyz, points, wear, root, trunk, head, centre, radii, girth, stature, light) -> list[Part]:
    """The parts of a person, sorted from back to front."""
    parts: list[Part] = []

    def limb(a, b, ra, rb, colour, label, lift=0.0, end=None):
        """A tapered limb from one named point to another, or up to a share `end` of the way."""
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
        a, b = (stature * _flat(p) for p in (back, tip))

        def hair_paint(canvas, offset, owner):
            canvas.capsule(a + offset, b + offset, 0.055 * stature, 0.04 * stature, wear.hair, light, owner)

        parts.append(Part((back[2] + tip[2]) / 2, _HEAD, hair_paint))

    def head_paint(canvas, offset, owner):
        place = stature * _flat(centre) + offset
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
        return stature * _flat(p) + offset

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


def _seat(rng, points, stature) -> Part:
    colour = random_colour(rng, saturation=(0.1, 0.6))
    left, right = points["left_hip"], points["right_hip"]
    half = (0.1 + rng.uniform(0.02, 0.08)) * stature
    middle, top = (left + right) / 2, max(left[1], right[1]) + 0.045 * stature
    bottom = max(points["left_ankle"][1], points["right_ankle"][1], top + 0.1 * stature)

    def paint(canvas, offset, owner):
        x, y = middle[0] + offset[0], offset[1]
        edge = [(x - half, top + y), (x + half, top + y)]
        canvas.polygon([*edge, (x + half, bottom + y), (x - half, bottom + y)], colour)
        canvas.line(edge, 0.02 * stature, colour * 0.6)

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
        left, right = max(x0, 0), min(x0 + 2 * reach, width)
        top, bottom = max(y0, 0), min(y0 + 2 * reach, height)
        for sign in _SIDES.values():
            ear = frame @ (radii * (sign, 0.02, -0.08))
            if (frame @ (sign, 0, -0.1))[2] > -0.55:
                place = centre + _flat(ear)
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
            a, b = (centre + _flat(p) for p in nose)
            self.capsule(a, b, 0.07 * radii[1], 0.13 * radii[1], wear.skin * 0.97, light, owner)
        if wear.haircut == "cap":
            edge = ((-0.55, 0.42, 0.85), (0.55, 0.42, 0.85), (0.4, 0.36, 1.5), (-0.4, 0.36, 1.5))
            brim = [frame @ (radii * p) for p in edge]
            if frame[2, 2] > -0.3:
                self.polygon([centre + _flat(p) for p in brim], wear.accent * 0.7, owner)


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
