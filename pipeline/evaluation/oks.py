"""OKS average precision (Eqs. 13 and 14): rescoring, OKS-NMS, COCO's results format, pycocotools, and a fast
accumulation of its matches under resampling of the images."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.datasets.coco import PERSON
from pipeline.datasets.keypoints import KEYPOINTS
from pipeline.datasets.people import SCALE_UNIT, People

METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR")
# COCOeval's for keypoints: all, medium, large people; OKS 0.50, 0.55 ... 0.95; recall 0, 0.01 ... 1.
_THRESHOLDS = 10
_RECALLS = np.linspace(0.0, 1.00, 101)
_RESAMPLES_AT_ONCE = 32


def rescore(box_score: np.ndarray, score: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """Scores of people (N,): of the box (N,) times the mean of those keypoint scores (N, K) above threshold.

    0 where no keypoint is above it, as in HRNet's code.
    """
    counted = score > threshold
    total = np.where(counted, score, 0.0).sum(1, dtype=np.float64)
    return box_score * total / np.maximum(counted.sum(1), 1)


def nms(
    image_xy: np.ndarray, score: np.ndarray, area: np.ndarray, sigmas: np.ndarray, threshold: float = 0.9
) -> np.ndarray:
    """The people of one image that remain, highest score first, ties in the order given.

    image_xy (N, K, 2), score (N,), area (N,) square pixels, sigmas (K,). Of two whose OKS (Eq. 13, with the
    mean of both areas) is above threshold, the lower scored one is dropped.
    """
    square = ((image_xy[:, None] - image_xy[None]) ** 2).sum(-1)
    mean_area = (area[:, None] + area[None]) / 2 + np.spacing(1)
    variance = (2 * np.asarray(sigmas)) ** 2
    similar = np.exp(-square / variance / mean_area[..., None] / 2).mean(-1) > threshold
    dropped = np.zeros(len(score), bool)
    keep = []
    for i in np.argsort(-score, kind="stable"):
        if not dropped[i]:
            keep.append(i)
            dropped |= similar[i]
    return np.array(keep, np.int64)


def select(
    people: People, image_xy: np.ndarray, score: np.ndarray, sigmas: np.ndarray, threshold: float = 0.9
) -> np.ndarray:
    """Rows of `people` that OKS-NMS keeps, image by image; score (N,) as from `rescore`.

    The area is the crop's, padding included, as in HRNet's code.
    """
    area = np.prod(people.scale * SCALE_UNIT, axis=1)
    kept = [
        rows[nms(image_xy[rows], score[rows], area[rows], sigmas, threshold)]
        for rows in _rows_by_image(people.image_id)
    ]
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def results(
    image_id: np.ndarray, image_xy: np.ndarray, score: np.ndarray, person_score: np.ndarray
) -> list[dict]:
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


def scored_results(
    people: People,
    image_xy: np.ndarray,
    score: np.ndarray,
    box_score: np.ndarray,
    keypoint_score: float = 0.2,
    oks_nms: float = 0.9,
) -> list[dict]:
    """COCO's results of predictions for everybody, image_xy (N, K, 2) and score (N, K), after HRNet's code.

    box_score (N,): a detector's, or ones for labelled boxes. Rescored, then without those whom OKS-NMS drops.
    """
    person_score = rescore(box_score, score, keypoint_score)
    sigmas = np.array(KEYPOINTS[people.dataset].sigmas)
    kept = select(people, image_xy, person_score, sigmas, oks_nms)
    return results(people.image_id[kept], image_xy[kept], score[kept], person_score[kept])


def evaluate(annotations: Path, results: list[dict]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Score people in COCO's results format by pycocotools.

    annotations: a person_keypoints file. Returns METRICS in percent, nan where nobody has that size, and the
    matches that `summarise` needs, as arrays to save.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        raise ValueError(f"there is no prediction to score against {annotations}")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        # loadRes writes into what it is given.
        scored = COCOeval(truth, truth.loadRes([dict(person) for person in results]), "keypoints")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    values = [100.0 * float(value) if value >= 0 else float("nan") for value in scored.stats[: len(METRICS)]]
    return dict(zip(METRICS, values, strict=True)), _matches(scored)


def images(samples: Mapping[str, np.ndarray], kind: str) -> np.ndarray:
    """The image ids (M,) that can be resampled, ascending; kind: ground_truth or detected, of the boxes."""
    return samples[f"{kind}_image_id"]


def summarise(
    samples: Mapping[str, np.ndarray], kind: str, weights: np.ndarray | None = None
) -> dict[str, float | np.ndarray]:
    """METRICS in percent from the matches of a run, equal to pycocotools' to the last bit.

    samples: the matches, keys prefixed by kind. weights (R, M): how often each of `images` is in each of R
    resamples; with them every value is (R,). nan where a resample has nobody of that size.
    """
    matches = {
        name: samples[f"{kind}_{name}"]
        for name in ("image_id", "detection_image", "score", "matched", "ignored", "people")
    }
    count = len(matches["image_id"])
    if weights is None:
        values = _accumulate(matches, np.ones((1, count)))
        return {name: float(value[0]) for name, value in values.items()}
    if weights.shape[-1] != count:
        raise ValueError(f"weights for {weights.shape[-1]} images, but these matches have {count}")
    return _accumulate(matches, weights)


def _rows_by_image(image_id: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(image_id, kind="stable")
    starts = np.flatnonzero(np.diff(image_id[order])) + 1
    return np.split(order, starts) if len(order) else []


def _matches(scored) -> dict[str, np.ndarray]:
    """From COCOeval's evalImgs, for A sizes of people, T thresholds, D detections in its order, M images.

    image_id (M,), detection_image (D,) index into it, score (D,), matched and ignored (A, T, D) packed to
    bits, people (A, M) that count.
    """
    image_id = np.array(scored.params.imgIds, np.int64)
    by_area = np.array(scored.evalImgs, dtype=object).reshape(len(scored.params.areaRng), len(image_id))
    people = np.zeros(by_area.shape, np.int32)
    image, score, matched, ignored = [], [], [], []
    for index, entries in enumerate(by_area.T):
        if entries[0] is None:
            continue
        image.append(np.full(len(entries[0]["dtScores"]), index))
        score.append(np.array(entries[0]["dtScores"], np.float64))
        matched.append(np.stack([entry["dtMatches"] > 0 for entry in entries]))
        ignored.append(np.stack([entry["dtIgnore"] for entry in entries]))
        people[:, index] = [np.count_nonzero(entry["gtIgnore"] == 0) for entry in entries]
    return {
        "image_id": image_id,
        "detection_image": np.concatenate(image).astype(np.int32),
        "score": np.concatenate(score),
        "matched": np.packbits(np.concatenate(matched, axis=-1), axis=-1),
        "ignored": np.packbits(np.concatenate(ignored, axis=-1), axis=-1),
        "people": people,
    }


def _accumulate(matches: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
    """COCOeval's accumulate and summarize for images that count as often as their weight says.

    Only true positives are visited: precision falls between them, so that its running maximum from the
    right, which AP samples, is reached at one, and a recall is first reached at one. An image that counts w
    times has its detections w times in a row, which leaves both as they are.
    """
    sizes, resamples, count = len(matches["people"]), len(weights), len(matches["score"])
    curves = list(_curves(matches, count))
    precision = np.empty((resamples, sizes, _THRESHOLDS, len(_RECALLS)))
    recall = np.empty((resamples, sizes, _THRESHOLDS))
    for start in range(0, resamples, _RESAMPLES_AT_ONCE):
        rows = slice(start, start + _RESAMPLES_AT_ONCE)
        # One row an image, so that taking a detection's weights copies whole cache lines.
        weight_MR = np.ascontiguousarray(weights[rows].T, np.float64)
        people_AR = matches["people"] @ weight_MR
        for size, threshold, true_image, false_between in curves:
            with np.errstate(divide="ignore", invalid="ignore"):
                tp = np.cumsum(weight_MR[true_image], axis=0)
                fp = np.cumsum(false_between @ weight_MR, axis=0)
                reached = (tp / people_AR[size]).T
                envelope = tp / (fp + tp + np.spacing(1))
            envelope = np.maximum.accumulate(envelope[::-1], axis=0)[::-1].T
            for row, (r, p) in enumerate(zip(reached, envelope, strict=True), start):
                at = np.searchsorted(r, _RECALLS, side="left")
                precision[row, size, threshold] = np.append(p, 0.0)[at]
                recall[row, size, threshold] = r[-1] if len(r) else 0.0
        nobody = (people_AR == 0).T
        precision[rows][nobody] = np.nan
        recall[rows][nobody] = np.nan

    everyone, medium, large = (precision[:, size] for size in range(sizes))
    values = {
        "AP": everyone.reshape(resamples, -1).mean(-1),
        "AP50": everyone[:, 0].mean(-1),
        "AP75": everyone[:, 5].mean(-1),
        "APM": medium.reshape(resamples, -1).mean(-1),
        "APL": large.reshape(resamples, -1).mean(-1),
        "AR": recall[:, 0].mean(-1),
    }
    return {name: 100.0 * values[name] for name in METRICS}


def _curves(matches: Mapping[str, np.ndarray], count: int) -> Iterator[tuple]:
    """For each size and threshold, from the highest score down: the image of each true positive, and a sparse
    matrix with a row for each of them and a column for each image, of the false ones since the one before."""
    from scipy.sparse import csr_matrix

    order = np.argsort(-matches["score"], kind="stable")
    image = matches["detection_image"][order]
    matched = np.unpackbits(matches["matched"], axis=-1, count=count).astype(bool)[..., order]
    ignored = np.unpackbits(matches["ignored"], axis=-1, count=count).astype(bool)[..., order]
    for size in range(len(matched)):
        for threshold in range(_THRESHOLDS):
            counts = ~ignored[size, threshold]
            true = counts & matched[size, threshold]
            false = counts & ~matched[size, threshold]
            next_true = np.cumsum(true)[false]
            before_last = next_true < true.sum()
            rows, columns = next_true[before_last], image[false][before_last]
            shape = (true.sum(), len(matches["image_id"]))
            false_between = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
            yield size, threshold, image[true], false_between
