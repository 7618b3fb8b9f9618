"""PCKh: the share of joints found within a fraction of the head's size (Eqs. 11 and 12)."""

from collections.abc import Mapping

import numpy as np

from pipeline.datasets.keypoints import Keypoints
from pipeline.datasets.people import People

METRICS = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean", "Mean@0.1")


def distances(image_xy: np.ndarray, people: People) -> np.ndarray:
    """How far off each joint is, in head sizes.

    image_xy (N, K, 2) predictions. Returns (N, K) float32, nan where a joint is unlabelled or a person has no
    head size: such joints do not count.
    """
    error = np.linalg.norm(image_xy - people.joints, axis=-1)
    counted = people.labelled & (people.head_size > 0)[:, None]
    return np.where(
        counted, error / np.where(people.head_size > 0, people.head_size, 1)[:, None], np.nan
    ).astype(np.float32)


def samples(image_xy: np.ndarray, people: People) -> dict[str, np.ndarray]:
    """What `summarise` and the bootstrap need of one run: image_id (N,), person_id (N,), distance (N, K)."""
    return {
        "image_id": people.image_id,
        "person_id": people.person_id,
        "distance": distances(image_xy, people),
    }


def images(samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """The image ids (M,) that can be resampled, ascending: the columns of `weights` below."""
    return np.unique(samples["image_id"])


def summarise(
    samples: Mapping[str, np.ndarray], keypoints: Keypoints, weights: np.ndarray | None = None
) -> dict[str, float | np.ndarray]:
    """PCKh in percent for each of METRICS, nan where nothing counts.

    weights (R, M): how often each of `images` is in each of R resamples; with them every value is (R,).
    A column is the mean of its left and right joint. The mean counts every joint once, without pelvis and
    thorax, as HRNet's code does; Eq. 12 reads as a plain mean over joints, which the paper's rows are not.
    """
    hits, counted = _counts(samples, 0.5, weights)
    rates = _percent(hits, counted)
    mean = list(keypoints.mean)
    values = {name: rates[..., list(joints)].mean(-1) for name, joints in keypoints.groups.items()}
    values["Mean"] = _percent(hits[..., mean].sum(-1), counted[..., mean].sum(-1))
    hits, counted = _counts(samples, 0.1, weights)
    values["Mean@0.1"] = _percent(hits[..., mean].sum(-1), counted[..., mean].sum(-1))
    return values if weights is not None else {name: float(value) for name, value in values.items()}


def per_joint(
    samples: Mapping[str, np.ndarray], threshold: float = 0.5, weights: np.ndarray | None = None
) -> np.ndarray:
    """PCKh in percent for each joint, (K,), or (R, K) under weights (R, M)."""
    return _percent(*_counts(samples, threshold, weights))


def curve(samples: Mapping[str, np.ndarray], keypoints: Keypoints, thresholds: np.ndarray) -> np.ndarray:
    """The mean PCKh in percent at each threshold, (T,)."""
    distance = samples["distance"][:, list(keypoints.mean)]
    ascending = np.sort(distance[~np.isnan(distance)])
    if not len(ascending):
        return np.full(len(thresholds), np.nan)
    return 100.0 * np.searchsorted(ascending, np.asarray(thresholds, np.float32), "right") / len(ascending)


def mat_file(image_xy: np.ndarray, people: People) -> bytes:
    """MPII predictions as HRNet writes them for MATLAB: `preds` (N, K, 2), 1-based pixels.

    Beside it the rows' place in RELEASE under the names of MPII's validation split, 1-based too.
    """
    import io

    from scipy.io import savemat

    file = io.BytesIO()
    person = people.person_id - people.image_id * 1000
    savemat(
        file,
        {"preds": image_xy + 1.0, "RELEASE_img_index": people.image_id, "RELEASE_person_index": person},
        oned_as="row",
    )
    # The first 116 bytes are free text, in which scipy puts the time.
    return b"MATLAB 5.0 MAT-file".ljust(116) + file.getvalue()[116:]


def _counts(samples: Mapping, threshold: float, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    distance = samples["distance"]
    counted = ~np.isnan(distance)
    # The distances are float32, so the threshold must be: 0.1 in float64 is a hair below it.
    hits = counted & (distance <= np.float32(threshold))
    if weights is None:
        return hits.sum(0), counted.sum(0)
    image = np.unique(samples["image_id"], return_inverse=True)[1]
    if weights.shape[-1] != image.max(initial=-1) + 1:
        raise ValueError(
            f"weights for {weights.shape[-1]} images, but these samples have {image.max(initial=-1) + 1}"
        )
    per_image = np.zeros((2, weights.shape[-1], distance.shape[1]))
    np.add.at(per_image[0], image, hits)
    np.add.at(per_image[1], image, counted)
    weights = weights.astype(np.float64)
    return weights @ per_image[0], weights @ per_image[1]


def _percent(hits: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return 100.0 * np.divide(hits, counted, out=np.full(np.shape(hits), np.nan), where=counted > 0)
