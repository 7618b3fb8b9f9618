"""COCO's results format, in which every prediction is written."""

from typing import Any

import numpy as np

from pipeline.metrics import Array

PERSON = 1
"""COCO's category of people."""


def coco_results(image_id: Array, image_xy: Array, score: Array, person_score: Array) -> list[dict[str, Any]]:
    """COCO's results format: a mapping for each person, keypoints x, y, score in image pixels, 0-based.

    image_id (N,), image_xy (N, K, 2), score (N, K), person_score (N,). Rounded to a thousandth of a pixel and
    a millionth of a score.
    """
    keypoints = np.concatenate(
        [np.round(image_xy.astype(np.float64), 3), np.round(score.astype(np.float64), 6)[..., None]], axis=-1
    )
    person_score = np.round(np.asarray(person_score, np.float64), 6)
    return [
        {"image_id": image, "category_id": PERSON, "keypoints": row, "score": value}
        for image, row, value in zip(
            np.asarray(image_id).tolist(),
            keypoints.reshape(len(keypoints), -1).tolist(),
            person_score.tolist(),
            strict=True,
        )
    ]
