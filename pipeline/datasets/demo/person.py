"""Articulated people for the demo, and how they are drawn.

A figure is a skeleton in space (x to the camera's right, y up, z towards the camera, stature 1), drawn part
by part from back to front. Which side is left shows in the picture: by the face or the back of the head, the
shirt's front, and the feet.
"""

from dataclasses import dataclass, field
from math import cos, radians, sin

import numpy as np

from pipeline.datasets.demo.canvas import OVERSAMPLING, Canvas
from pipeline.datasets.demo.dress import HEAD, NECK, PART, TRUNK, Body, Part, dress, seat
from pipeline.datasets.demo.pose import random_pose
from pipeline.datasets.demo.space import SIDES, about, direction, flat, unit
from pipeline.datasets.demo.wardrobe import Wardrobe

_SHOWN_BY = {
    "wrist": ("forearm", "hand"), "elbow": ("upper_arm", "forearm"), "shoulder": ("upper_arm", TRUNK),
    "hip": ("thigh", TRUNK), "knee": ("thigh", "shin"), "ankle": ("shin", "foot"), "eye": (HEAD,),
    "ear": (HEAD,), "nose": (HEAD,), "head_top": (HEAD,), "upper_neck": (NECK, HEAD, TRUNK),
    "thorax": (TRUNK, NECK), "pelvis": (TRUNK,),
}  # fmt: skip


@dataclass
class Figure:
    """A drawn person: points by the joints' names, (x, y) in 0-based image pixels."""

    points: dict[str, np.ndarray]
    depth: dict[str, float]
    turned_away: frozenset[str]
    stature: float
    head_box: tuple[float, float, float, float]
    parts: list[Part]
    visible: dict[str, bool] = field(default_factory=dict)
    silhouette: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))

    def draw(self, canvas: Canvas, offset: np.ndarray, person: int) -> None:
        """Draw the figure with its pelvis at `offset`, as the person with this number, from 1."""
        for part in self.parts:
            part.paint(canvas, offset, person * 32 + part.label if part.label else 0)

    def settle(self, canvas: Canvas, offset: np.ndarray, person: int) -> None:
        """Move the points to where the figure was drawn, and see what of it the finished drawing shows."""
        height, width = canvas.owner.shape
        self.points = {name: point + offset for name, point in self.points.items()}
        x1, y1, x2, y2 = self.head_box
        self.head_box = (x1 + offset[0], y1 + offset[1], x2 + offset[0], y2 + offset[1])
        self.visible = {}
        reach = max(1, round(0.012 * self.stature * OVERSAMPLING))
        for name, point in self.points.items():
            side, _, joint = name.partition("_") if name.split("_")[0] in SIDES else ("", "", name)
            if joint not in _SHOWN_BY:
                continue
            x, y = (round(c * OVERSAMPLING + (OVERSAMPLING - 1) / 2) for c in point)
            labels = [part if isinstance(part, int) else PART[f"{side}_{part}"] for part in _SHOWN_BY[joint]]
            rows, columns = (slice(max(c - reach, 0), max(c + reach + 1, 0)) for c in (y, x))
            near = canvas.owner[rows, columns]
            shown = bool(np.isin(near, [person * 32 + label for label in labels]).any())
            # The trunk shows no shoulder and no hip of the far side, nor the head a feature turned away.
            far = name in self.turned_away or (TRUNK in labels and self.depth[name] < -0.075)
            self.visible[name] = shown and not far and 0 <= x < width and 0 <= y < height
        self.silhouette = canvas.owner >> 5 == person


def random_figure(rng: np.random.Generator, stature: float, light: np.ndarray) -> Figure:
    """A posed person with the pelvis at (0, 0); `Figure.draw` draws its parts."""
    pose, wear = random_pose(rng), Wardrobe.draw(rng)
    # Most people turn towards the camera, some away from it.
    yaw = rng.choice((rng.normal(0, 30), rng.uniform(-180, 180), rng.normal(180, 25)), p=(0.55, 0.27, 0.18))
    root = about(0, rng.uniform(-4, 14)) @ about(2, pose.roll) @ about(1, yaw)
    trunk = root @ about(2, pose.tilt) @ about(0, pose.lean)
    head = trunk @ about(1, np.clip(rng.normal(0, 20), -45, 45))
    head = head @ about(0, rng.normal(4, 9) - 0.45 * pose.lean) @ about(2, rng.normal(0, 8))

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
            for side, sign in SIDES.items():
                xyz[f"{side}_{name}"] = centre + head @ (radii * place * (sign, 1, 1))

    for side, sign in SIDES.items():
        xyz[f"{side}_shoulder"] = xyz["thorax"] + trunk @ (sign * shoulder, -0.012, 0)
        arm = pose.arms[side]
        upper = direction(arm.flexion, arm.abduction, sign)
        inward = np.add(arm.towards, (-sign * 0.5, 0, 0))
        bend = unit(inward - (inward @ upper) * upper)
        fore = cos(radians(arm.bend)) * upper + sin(radians(arm.bend)) * bend
        xyz[f"{side}_elbow"] = xyz[f"{side}_shoulder"] + trunk @ upper * 0.162 * long
        xyz[f"{side}_wrist"] = xyz[f"{side}_elbow"] + trunk @ fore * 0.142 * long
        xyz[f"{side}_hand"] = xyz[f"{side}_wrist"] + trunk @ fore * 0.036

        xyz[f"{side}_hip"] = xyz["pelvis"] + root @ (sign * hip, 0, 0)
        leg = pose.legs[side]
        thigh = root @ direction(leg.flexion, leg.abduction, sign)
        shin = root @ direction(leg.flexion - leg.bend, 0.6 * leg.abduction, sign)
        foot = root @ direction(leg.flexion - leg.bend + 82, 12, sign)
        xyz[f"{side}_knee"] = xyz[f"{side}_hip"] + thigh * 0.232 * long
        xyz[f"{side}_ankle"] = xyz[f"{side}_knee"] + shin * 0.222 * long
        xyz[f"{side}_heel"] = xyz[f"{side}_ankle"] + shin * 0.022 - foot * 0.012
        xyz[f"{side}_toe"] = xyz[f"{side}_ankle"] + shin * 0.03 + foot * 0.082

    points = {name: stature * flat(p) for name, p in xyz.items()}
    body = Body(xyz, points, wear, trunk, head, centre, radii, girth, stature, light)
    parts = dress(body)
    # The projection of an ellipsoid reaches as far as the length of its scaled axes' rows.
    reach = np.sqrt(((head * radii) ** 2).sum(1))[:2] * stature
    middle = stature * flat(centre)
    low = np.minimum(middle - reach, points["upper_neck"])
    high = np.maximum(middle + reach, points["upper_neck"])
    facing = {"nose": head[2, 2] > -0.15}
    for side, sign in SIDES.items():
        facing[f"{side}_eye"] = (head @ unit(np.array((0.45 * sign, 0.1, 0.9))))[2] > 0.12
        facing[f"{side}_ear"] = (head @ np.array((sign, 0, -0.1)))[2] > -0.35
    turned_away = frozenset(name for name, seen in facing.items() if not seen)
    depth = {name: float(p[2]) for name, p in xyz.items()}
    if pose.seated:
        parts.insert(0, seat(rng, points, stature))
    return Figure(points, depth, turned_away, stature, (*low, *high), parts)
