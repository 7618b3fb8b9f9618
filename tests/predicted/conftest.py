"""Files of predictions, made of drawn people's labels."""

import h5py
import numpy as np
import pytest

from pipeline.datasets import DATASETS, matlab
from pipeline.people import table

PEOPLE = 400


@pytest.fixture(scope="session")
def validation():
    """MPII-like people, each in an image of its own, of many sizes, with joints about a common pose."""
    rng, keypoints = np.random.default_rng(0), DATASETS["mpii"].KEYPOINTS
    pose = rng.uniform(-0.5, 0.5, (keypoints.count, 2)) * [0.5, 1]
    side = rng.uniform(150, 700, PEOPLE)
    center = rng.uniform([200, 200], [1100, 600], (PEOPLE, 2))
    joints = (
        center[:, None] + (pose + rng.normal(0, 0.06, (PEOPLE, keypoints.count, 2))) * side[:, None, None]
    )
    joints = joints.round()
    labelled = rng.random((PEOPLE, keypoints.count)) < 0.9
    image_id = np.arange(PEOPLE) + 11
    return table(
        "mpii", "val", [str(i) for i in image_id], image_id=image_id, person_id=image_id * 1000 + 1,
        box=np.column_stack([center - side[:, None] / 2, side, side]), center=center,
        scale=np.repeat(side[:, None] / 200 * 1.25, 2, axis=1), joints=joints * labelled[..., None],
        labelled=labelled, visible=labelled, head_size=side / 9, area=side**2,
    ), joints  # fmt: skip


@pytest.fixture(scope="session")
def predictions(validation):
    """A method's predictions (N, K, 2), 0-based: errors that grow with the person, and a misses' tail."""
    people, joints = validation
    rng, size = np.random.default_rng(1), people.head_size[:, None, None]
    error = rng.normal(0, 0.12, joints.shape) + rng.normal(0, 1.0, joints.shape) * (
        rng.random(joints.shape[:2])[..., None] < 0.1
    )
    return joints + error * size


def detections_mat(people) -> bytes:
    """detections.mat as published: whose the people are, and their labels."""
    rects = []
    for row in range(len(people)):
        points = [
            matlab.struct(x=float(x + 1), y=float(y + 1), id=joint, is_visible=1)
            for joint, (x, y) in enumerate(people.joints[row].tolist())
            if people.labelled[row, joint]
        ]
        scale, center = people.scale[row, 0] / 1.25, people.center[row] + 1
        # The head box's diagonal is that of a 3-4-5 triangle.
        head = people.head_size[row] / 0.6
        rects.append(
            matlab.struct(
                annorect=matlab.struct(
                    x1=0.0, y1=0.0, x2=0.6 * head, y2=0.8 * head,
                    annopoints=matlab.struct(point=matlab.structs(points)), scale=float(scale),
                    objpos=matlab.struct(x=float(center[0]), y=float(center[1] - 15 * scale)),
                )
            )
        )  # fmt: skip
    return matlab.save(
        {
            "annolist": matlab.structs(rects),
            "RELEASE_img_index": people.image_id,
            "RELEASE_person_index": people.person_id % 1000,
        },
        oned_as="row",
    )


def write_h5(path, preds):
    with h5py.File(path, "w") as file:
        file["preds"] = preds
    return path
