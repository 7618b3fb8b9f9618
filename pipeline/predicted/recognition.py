"""Whether predictions made elsewhere are what they should be, by their numbers: joints, people, pixels, first pixel.

A file says nothing of these, and a wrong one would be scored as a bad method. docs/predictions.md has the rules.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.arrays import Array
from pipeline.keypoints import Keypoints
from pipeline.people import People

# A person's box is about so many heads high: the unit of distances here, for data without labelled heads too.
HEADS = 8
# Units: further off, on the whole, is nobody's prediction of these people in these images.
FAR = 3.0
# A joint of the file that lies at another label within this share of its distance to its own is that other joint.
NEARER = 0.7
# Of the two public files no more than 5 in a hundred of any such sample lie so (docs/predictions.md).
ELSEWHERE = 0.15
# With fewer labels a median says little.
ENOUGH = 20
# Below this share of joints within 0.15 units, an offset by one pixel is not looked for.
CLOSE = 0.2
SAMPLE = 100


def check(image_xy: Array, people: People, keypoints: Keypoints, file: str, *, exact: bool) -> str:
    """Raise ValueError, one sentence, for predictions (N, K, 2) of these people that are evidently something else.

    nan: not predicted. exact: whether the file's first pixel should be known, so that an offset by one is told too.
    Returns a sentence on what these numbers cannot tell, empty where they tell all.
    """
    unit = people.box[:, 2:].max(1) / HEADS
    people_are_theirs(image_xy, people, unit, file)
    distance = _by_joint(image_xy, people, unit)
    there = np.flatnonzero(~np.isnan(distance).all(1))
    rows, columns = linear_sum_assignment(np.nan_to_num(distance[there], nan=1e6))
    nearest = dict(zip(there[rows].tolist(), columns.tolist(), strict=True))
    off = float(np.median([distance[at, to] for at, to in nearest.items()]))
    if off > FAR:
        given, true = image_xy[~np.isnan(image_xy)], people.joints[people.labelled]
        raise ValueError(
            f"{file}: its coordinates, {given.min():.0f} to {given.max():.0f}, lie about {off:.0f} head sizes "
            f"off the labels, which reach from {true.min():.0f} to {true.max():.0f}: they are pixels of a heatmap or "
            "of a crop, not of the images, or predictions for other images"
        )
    moved = {at: to for at, to in nearest.items() if distance[at, to] < NEARER * distance[at, at]}
    if moved:
        raise ValueError(f"{file}: {_order(moved, keypoints)}: bring its joints into the dataset's order")
    return _first_pixel(image_xy, people, unit, file) if exact else ""


def people_are_theirs(image_xy: Array, people: People, unit: Array, file: str) -> None:
    """Raise ValueError where many of a sample of the people lie at somebody else's labels and far off their own."""
    sample = np.unique(np.linspace(0, len(people) - 1, SAMPLE).astype(int))
    # Means over joints: they tell people apart whatever the order of joints.
    true = np.where(people.labelled[..., None], people.joints, np.nan)
    spots, guesses = (np.stack([np.nanmean(xy, 1), np.nanstd(xy, 1)], 1) for xy in (true, image_xy[sample]))
    off = np.linalg.norm((guesses[:, None] - spots[None]).reshape(len(sample), len(people), 4), axis=-1)
    off = off / unit
    best, own = off.argmin(1), off[np.arange(len(sample)), sample]
    elsewhere = (people.image_id[best] != people.image_id[sample]) & (off.min(1) < 0.5) & (own > FAR)
    if elsewhere.mean() > ELSEWHERE:
        row = int(np.flatnonzero(elsewhere)[0])
        raise ValueError(
            f"{file}: its people are in another order than the labels': its person {sample[row] + 1} lies where "
            f"person {best[row] + 1} is labelled"
        )


def _by_joint(image_xy: Array, people: People, unit: Array) -> Array:
    """Median distance, in units, of each joint of the file (K) from each labelled one (K); nan: too few."""
    count = image_xy.shape[1]
    distance = np.full((count, count), np.nan)
    for label in range(count):
        rows = people.labelled[:, label]
        off = np.linalg.norm(image_xy[rows] - people.joints[rows, label][:, None], axis=-1) / unit[rows, None]
        for joint in range(count):
            known = off[~np.isnan(off[:, joint]), joint]
            if len(known) >= min(ENOUGH, len(people)) and len(known):
                distance[joint, label] = np.median(known)
    return distance


def _order(moved: dict[int, int], keypoints: Keypoints) -> str:
    names, flip = keypoints.names, keypoints.flip_order
    if all(flip[at] == to for at, to in moved.items()):
        return "its left and right joints stand in each other's place"
    at, to = next(iter(moved.items()))
    return f"its joint {at + 1} lies at {names[to]} where {names[at]} should be, as do {len(moved)} in all"


def _first_pixel(image_xy: Array, people: People, unit: Array, file: str) -> str:
    """Raise ValueError where predictions are off by one pixel, on the whole, in both directions.

    What a method does wrong grows with the person; what counting from 0 or 1 does is the same for all. So the offset is
    that of a person of no size: the constant in a linear fit over sizes, with a slope for each joint, to the joints
    close to it.
    """
    offset, error = constant_offset(image_xy, people, unit)
    for wrong, remedy in ((-1, "add 1 to them"), (1, "subtract 1 from them")):
        if wrong * offset - 2 * error > 0.5:
            how = "0-based, where" if wrong < 0 else "one pixel too far, as if 1 had been added twice, where"
            raise ValueError(
                f"{file}: its coordinates lie {offset:+.2f} pixels off the labels whatever the person's size: they are "
                f"{how} the format counts from 1; {remedy}"
            )
    # So wide that a whole pixel would not have been refused.
    if 1 - 2 * error <= 0.5:
        return f"{file}: whether its pixels count from 0 or 1 these numbers cannot tell"
    return ""


def constant_offset(image_xy: Array, people: People, unit: Array) -> tuple[float, float]:
    """The part of the mean error in pixels that does not grow with the person, over x and y, and its standard error."""
    error = image_xy - people.joints
    known = people.labelled & ~np.isnan(error).any(-1)
    error = np.where(known[..., None], error, 0)
    size = unit[:, None]
    constant, slope = np.zeros(2), np.zeros((image_xy.shape[1], 2))
    for _ in range(30):
        rest = error - constant - slope * size[..., None]
        near = known & (np.linalg.norm(rest, axis=-1) < 0.15 * size)
        weight = near / size**2
        total, first, second = ((weight * size**power).sum(0) for power in (0, 1, 2))
        joints = second > 0
        share = np.divide(first, second, out=np.zeros_like(first), where=joints)
        spread = float((total - first * share).sum())
        # Of a method that seldom hits, a pixel is not to be told.
        if spread <= 0 or near.sum() < CLOSE * known.sum():
            return 0.0, np.inf
        sums = (weight[..., None] * error).sum(0)
        sized = (weight[..., None] * size[..., None] * error).sum(0)
        constant = (sums - share[:, None] * sized).sum(0) / spread
        means = np.divide(sized, second[:, None], out=np.zeros_like(sized), where=joints[:, None])
        slope = means - constant * share[:, None]
    variance = float((weight * (rest**2).mean(-1)).sum() / max(near.sum(), 1))
    # Both directions' mean.
    return float(constant.mean()), float(np.sqrt(variance / spread / 2))
