"""What each dataset's joints are: names, mirror pairs, the columns of PCKh, OKS constants, limbs to draw."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Keypoints:
    """A dataset's joints.

    title: what people call the dataset.
    names: K joint names in the order of the labels.
    flip_pairs: joints that change places in the mirror image.
    skeleton: limbs, as pairs of joints, for drawing.
    groups: PCKh's columns, each the joints that it counts; empty where the metric is not PCKh.
    sigmas: K per-joint constants of OKS; empty where the metric is not OKS.
    people: the known number of people (train, val) of the full dataset.
    """

    title: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    skeleton: tuple[tuple[int, int], ...]
    groups: dict[str, tuple[int, ...]]
    sigmas: tuple[float, ...]
    people: tuple[int, int]

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def mean(self) -> tuple[int, ...]:
        """The joints that PCKh's mean counts: without pelvis and thorax, as in HRNet's code."""
        return tuple(k for k, name in enumerate(self.names) if name not in ("pelvis", "thorax"))

    @property
    def flip_order(self) -> np.ndarray:
        """Indices (K,) int64 that put the joints of a mirrored person in the order of the labels."""
        order = np.arange(self.count)
        for left, right in self.flip_pairs:
            order[[left, right]] = right, left
        return order


MPII = Keypoints(
    title="MPII",
    names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
        "left_elbow", "left_wrist",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    skeleton=(
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (10, 11), (11, 12), (12, 7),
        (7, 13), (13, 14), (14, 15),
    ),
    # As in HRNet's code the head is the head's top alone; the neck is in no column, but in the mean.
    groups={
        "Head": (9,), "Shoulder": (12, 13), "Elbow": (11, 14), "Wrist": (10, 15), "Hip": (2, 3),
        "Knee": (1, 4), "Ankle": (0, 5),
    },
    sigmas=(),
    people=(22246, 2958),
)  # fmt: skip

COCO = Keypoints(
    title="COCO 2017",
    names=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    skeleton=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9),
        (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    groups={},
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089,
    ),
    people=(149813, 6352),
)  # fmt: skip

LSPET = Keypoints(
    title="LSPET",
    names=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
        "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    skeleton=(
        (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13),
        (8, 2), (9, 3),
    ),
    groups={
        "Head": (13,), "Shoulder": (8, 9), "Elbow": (7, 10), "Wrist": (6, 11), "Hip": (2, 3),
        "Knee": (1, 4), "Ankle": (0, 5),
    },
    sigmas=(),
    people=(9000, 1000),
)  # fmt: skip

KEYPOINTS = {"mpii": MPII, "coco": COCO, "lspet": LSPET}
