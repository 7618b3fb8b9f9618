"""Directions and rotations in space: x to the camera's right, y up, z towards the camera."""

from math import cos, radians, sin

import numpy as np

SIDES = {"left": 1.0, "right": -1.0}


def about(axis: int, degrees: float) -> np.ndarray:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def direction(flexion: float, abduction: float, side: float) -> np.ndarray:
    """A hanging limb's direction in the body's frame: x to the body's left, y up, z forward."""
    f, a = radians(flexion), radians(abduction)
    return np.array([side * sin(a), -cos(a) * cos(f), cos(a) * sin(f)])


def flat(point: np.ndarray) -> np.ndarray:
    """A point in space as the camera sees it, y down."""
    return np.array((point[0], -point[1]))


def unit(vector: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vector / np.sqrt(vector @ vector)
    return scaled
