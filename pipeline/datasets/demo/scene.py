"""The demo's scenes: people before cluttered backgrounds, among others far away, behind things in front of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np

from pipeline.datasets.demo.canvas import OVERSAMPLING, Canvas
from pipeline.datasets.demo.dress import OCCLUDER
from pipeline.datasets.demo.person import Figure, random_figure
from pipeline.datasets.demo.wardrobe import SKIN, random_colour, random_tone
from pipeline.params import Demo

SPLITS = ("train", "val", "test")


@dataclass
class Scene:
    image: np.ndarray
    people: list[Figure]
    far: list[Figure]
    crowd: np.ndarray | None


def _background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cells = int(rng.integers(2, 7))
    low, span = rng.uniform(30, 130), rng.uniform(40, 100)
    coarse = low + span * rng.random((cells, cells + 1, 3))
    grey = coarse.mean(2, keepdims=True)
    coarse = (grey + rng.uniform(0.1, 0.5) * (coarse - grey)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.6:
        horizon = int(height * rng.uniform(0.55, 0.85))
        ground = random_colour(rng, saturation=(0.05, 0.45), value=(0.3, 0.85))
        image[horizon:] = (0.35 * image[horizon:] + 0.65 * ground).astype(np.uint8)
    for _ in range(rng.integers(4, 11)):
        colour = random_colour(rng, saturation=(0.05, 0.65)).tolist()
        x, y = rng.uniform(-0.1, 1, 2) * (width, height)
        w, h = rng.uniform(0.08, 0.45, 2) * (width, height)
        kind = rng.random()
        if kind < 0.45:
            box = cv2.boxPoints(((x, y), (w, h), rng.choice((0.0, 0.0, rng.uniform(0, 90)))))
            cv2.fillConvexPoly(image, box.astype(np.int32), colour, cv2.LINE_AA)
        elif kind < 0.65:
            cv2.ellipse(image, ((x, y), (w, h), rng.uniform(0, 180)), colour, -1, cv2.LINE_AA)
        else:
            # Boards, bricks, blinds: a patch with parallel lines.
            step, slant = int(rng.integers(4, 14)), int(rng.integers(-6, 7))
            patch = image[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)]
            lines = np.ascontiguousarray(patch)
            down, across = int(patch.shape[0]), int(patch.shape[1])
            for i in range(0, max(down, across), step):
                start, end = ((i, 0), (i + slant, down)) if kind < 0.85 else ((0, i), (across, i + slant))
                cv2.line(lines, start, end, colour, 1 + step // 5, cv2.LINE_AA)
            patch[:] = lines
    blur = int(rng.choice((1, 3, 5)))
    blurred: np.ndarray = cv2.GaussianBlur(image, (blur, blur), 0)
    return blurred


def _distract(rng: np.random.Generator, canvas: Canvas, height: int, width: int, light: np.ndarray) -> None:
    """Poles, branches and loose limbs: what looks like a limb and belongs to nobody."""
    for _ in range(rng.integers(0, 4)):
        start = rng.uniform(0, 1, 2) * (width, height)
        kind, size = rng.random(), height * rng.uniform(0.02, 0.035)
        if kind < 0.4:
            colour = random_colour(rng, saturation=(0.0, 0.5))
            end = start + height * rng.uniform(0.4, 1.2) * np.array((rng.normal(0, 0.2), rng.choice((-1, 1))))
            canvas.capsule(start, end, 0.7 * size, 0.7 * size, colour, light)
        elif kind < 0.75:
            colour = random_tone(rng, ((0.42, 0.30, 0.20), (0.25, 0.20, 0.15), (0.30, 0.38, 0.22)))
            angle, length, radius = rng.uniform(-pi, 0), height * rng.uniform(0.15, 0.3), 0.9 * size
            for _ in range(3):
                end = start + length * np.array((cos(angle), sin(angle)))
                for turn in (-0.7, 0.6):
                    twig = end + 0.6 * length * np.array((cos(angle + turn), sin(angle + turn)))
                    canvas.capsule(end, twig, 0.5 * radius, 0.15 * radius, colour, light)
                canvas.capsule(start, end, radius, 0.75 * radius, colour, light)
                start, angle, length, radius = end, angle + rng.normal(0, 0.5), 0.75 * length, 0.75 * radius
        else:
            skin, cloth = random_tone(rng, SKIN), random_colour(rng)
            angle, length = rng.uniform(-pi, pi), height * rng.uniform(0.09, 0.14)
            middle = start + length * np.array((cos(angle), sin(angle)))
            angle += rng.normal(0, 0.9)
            end = middle + 0.9 * length * np.array((cos(angle), sin(angle)))
            canvas.capsule(middle, end, 0.9 * size, 0.65 * size, skin, light)
            canvas.capsule(start, middle, 1.2 * size, 0.95 * size, cloth, light)
            if rng.random() < 0.5:
                canvas.capsule(end, end, 0.75 * size, 0.75 * size, skin, light)


def _occlude(
    rng: np.random.Generator, canvas: Canvas, figure: Figure, offset: np.ndarray, light: np.ndarray
) -> None:
    """Something in front of a part of a person."""
    at = figure.points[str(rng.choice(("left_knee", "right_knee", "left_ankle", "right_ankle", "left_elbow",
                                       "right_elbow", "left_hip", "right_wrist")))] + offset  # fmt: skip
    colour, stature = random_colour(rng, saturation=(0.05, 0.7)), figure.stature
    if rng.random() < 0.5:
        w, h = stature * rng.uniform(0.07, 0.16, 2)
        corners = at + np.array(((-w, -h), (w, -h), (w, h), (-w, h)))
        canvas.polygon(corners, colour, OCCLUDER)
        canvas.line([*corners, corners[0]], 0.012 * stature, colour * 0.6)
    elif rng.random() < 0.5:
        lean, reach = rng.normal(0, 0.12), stature * rng.uniform(0.4, 0.8)
        radius = stature * rng.uniform(0.02, 0.04)
        half = np.array((lean * reach, reach))
        canvas.capsule(at - half, at + half, radius, radius, colour, light, OCCLUDER)
    else:
        for _ in range(7):
            leaf = at + stature * rng.normal(0, 0.05, 2)
            radius = stature * rng.uniform(0.02, 0.05)
            green = random_colour(rng, saturation=(0.3, 0.7), value=(0.25, 0.6)) * (0.6, 1.0, 0.5)
            canvas.capsule(leaf, leaf, radius, radius, green, light, OCCLUDER)


def _scene(
    rng: np.random.Generator, size: tuple[int, int], people: int, far: int, crowd: bool, close: bool
) -> Scene:
    """Draw an image with so many people, others far away, and perhaps a crowd."""
    height, width = (int(side * rng.uniform(0.92, 1.12)) for side in size)
    width = int(width * (1 + 0.3 * (people - 1)))
    turn = rng.uniform(-2.4, -0.7)
    light = np.array((cos(turn), sin(turn)))
    canvas = Canvas(_background(rng, height, width))
    _distract(rng, canvas, height, width, light)

    def small(x: float, y: float) -> tuple[Figure, np.ndarray]:
        figure = random_figure(rng, height * rng.uniform(0.13, 0.2), light)
        offset = np.array((x, y)) * (width, height)
        return figure, offset

    label, distant, horde = 1, [], None
    if crowd:
        y = rng.uniform(0.15, 0.35)
        first = label
        for x in np.sort(rng.uniform(0.05, 0.95, 6)):
            figure, offset = small(x, y + rng.normal(0, 0.02))
            figure.draw(canvas, offset, label)
            label += 1
        horde = (first, label)
    for _ in range(far):
        figure, offset = small(rng.uniform(0.08, 0.92), rng.uniform(0.15, 0.4))
        figure.draw(canvas, offset, label)
        distant.append((figure, offset, label))
        label += 1

    placed = []
    for i in range(people):
        tall = rng.uniform(1.15, 1.5) if close else rng.uniform(0.64, 0.88) * 0.93 ** (people - 1)
        stature = height * tall
        figure = random_figure(rng, stature, light)
        extent = np.stack(list(figure.points.values()))
        low, high = extent.min(0) - 0.02 * stature, extent.max(0) + 0.02 * stature
        # Slots across the image, then inside it, but for those that its border cuts.
        slack = np.maximum((width, height) - (high - low), 0)
        slot = (i + rng.uniform(0.2, 0.8)) / people if people > 1 else rng.uniform(0, 1)
        offset = np.array((slot, rng.uniform(0.3, 1.0))) * slack - low
        offset += np.minimum((width, height) - (high - low), 0) / 2 * (1, not close)
        if close:
            offset[1] = rng.uniform(0.03, 0.12) * height - low[1]
        elif rng.random() < 0.08:
            # The image's left, right or lower border cuts off a part.
            axis, sign = ((0, -1), (0, 1), (1, 1))[rng.integers(3)]
            flush = -low if sign < 0 else (width, height) - high
            offset[axis] = flush[axis] + sign * rng.uniform(0.1, 0.3) * (high - low)[axis]
        placed.append((figure, offset))
    # Who stands lower is nearer.
    placed.sort(key=lambda item: max(p[1] for p in item[0].points.values()) + item[1][1])
    for i, (figure, offset) in enumerate(placed):
        figure.draw(canvas, offset, label + i)
    for figure, offset in placed:
        if rng.random() < 0.2:
            _occlude(rng, canvas, figure, offset, light)
    for i, (figure, offset) in enumerate(placed):
        figure.settle(canvas, offset, label + i)
    for figure, offset, owner in distant:
        figure.settle(canvas, offset, owner)

    image = canvas.finish()
    contrast, bright = rng.uniform(0.75, 1.1), rng.uniform(-15, 20)
    image = cv2.convertScaleAbs(image, alpha=contrast, beta=max(bright, 0) + 128 * (1 - contrast) / 2)
    grain = int(rng.integers(2, 11))
    noise = rng.integers(0, grain + 1, image.shape, np.uint8)
    image = cv2.subtract(cv2.add(image, noise), np.full_like(image, grain // 2))
    crowd_mask = None
    if horde:
        ids = canvas.owner >> 5
        crowd_mask = (ids >= horde[0]) & (ids < horde[1])
    return Scene(image, [figure for figure, _ in placed], [figure for figure, *_ in distant], crowd_mask)


@dataclass(frozen=True)
class Scenery:
    """What a dataset's scenes have. stream: number of its random draws; alone: one person in each image; far: people
    too small for joints; crowds: of such; close: people whom the image's lower border cuts."""

    stream: int
    alone: bool = False
    far: bool = True
    crowds: bool = False
    close: bool = False


def scenes(scenery: Scenery, split: str, demo: Demo, count: int) -> Iterator[tuple[int, Scene]]:
    """Images with `count` people together, each drawn from a generator of its own."""
    index = 0
    while count > 0:
        rng = np.random.default_rng([demo.seed, scenery.stream, SPLITS.index(split), index])
        people = 1 if scenery.alone else min(int(rng.choice((1, 2, 3), p=(0.65, 0.25, 0.1))), count)
        far = int(scenery.far and index % 6 == 1)
        crowd = scenery.crowds and index % 20 == 2
        while True:
            close = scenery.close and people == 1 and rng.random() < 0.08
            scene = _scene(rng, demo.image_size, people, far, crowd, close)
            # Nobody may vanish behind others.
            if all(f.silhouette.sum() > 0.06 * (f.stature * OVERSAMPLING) ** 2 for f in scene.people):
                break
        yield index, scene
        count -= people
        index += 1


def inside(figure: Figure, name: str, image: np.ndarray) -> bool:
    x, y = figure.points[name]
    return bool(0 <= x <= image.shape[1] - 1 and 0 <= y <= image.shape[0] - 1)
