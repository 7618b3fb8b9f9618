"""What a dataset's joints are: names, mirror pairs, what to draw, the larger parts that they make."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Keypoints:
    """A dataset's joints.

    names: K joint names in the order of the labels.
    flip_pairs: joints that change places in the mirror image.
    skeleton: pairs of joints, for drawing.
    bones: pairs of joints that are a part of the body; limbs: bones, by their places among them, that are a larger
    one. Compositional models predict both; empty: unknown.
    """

    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    skeleton: tuple[tuple[int, int], ...]
    bones: tuple[tuple[int, int], ...] = ()
    limbs: tuple[tuple[int, ...], ...] = ()

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def flip_order(self) -> np.ndarray:
        """Indices (K,) int64 that put the joints of a mirrored person in the order of the labels."""
        order = np.arange(self.count)
        for left, right in self.flip_pairs:
            order[[left, right]] = right, left
        return order
