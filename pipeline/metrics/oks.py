"""OKS average precision (Eqs. 13 and 14): rescoring, OKS-NMS, pycocotools, and a fast accumulation of its
matches under resampling of the images."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.keypoints import Keypoints
from pipeline.metrics import Array, Rules, Samples, Scored, Values
from pipeline.metrics.results import coco_results
from pipeline.people import SCALE_UNIT, People

METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR")
# COCOeval's for keypoints: all, medium, large people; OKS 0.50, 0.55 ... 0.95; recall 0, 0.01 ... 1.
_THRESHOLDS = 10
_RECALLS = np.linspace(0.0, 1.00, 101)
_RESAMPLES_AT_ONCE = 32


@dataclass(frozen=True)
class OKS:
    """COCO's average precision and recall over object keypoint similarities.

    sigmas: K per-joint constants (Eq. 13). The folder of the stage `prepare` holds val_annotations.json, the
    validation people in COCO's format.
    """

    keypoints: Keypoints
    sigmas: tuple[float, ...]

    main = "AP"
    title = "AP"
    boxes = ("ground_truth", "detected")
    columns = METRICS

    def accuracy(self, people: People, folder: Path) -> Callable[[Array, Array], float]:
        # With HRNet's thresholds, and not those of `evaluate`: these may change without training again.
        ones = np.ones(len(people))
        return lambda image_xy, score: self.score(people, image_xy, score, ones, folder, Rules()).values["AP"]

    def score(
        self, people: People, image_xy: Array, score: Array, box_score: Array, folder: Path, rules: Rules
    ) -> Scored:
        """Rescored, then without those whom OKS-NMS drops, after HRNet's code."""
        person_score = rescore(box_score, score, rules.keypoint_score)
        kept = select(people, image_xy, person_score, np.array(self.sigmas), rules.oks_nms)
        results = coco_results(people.image_id[kept], image_xy[kept], score[kept], person_score[kept])
        values, matches = evaluate(folder / "val_annotations.json", results, np.array(self.sigmas))
        return Scored(dict(values), matches, results)

    def score_results(self, results: list[dict[str, Any]], folder: Path) -> Scored:
        """Score people in COCO's results format as they are."""
        values, matches = evaluate(folder / "val_annotations.json", results, np.array(self.sigmas))
        return Scored(dict(values), matches, results)

    def images(self, samples: Samples) -> Array:
        return samples["image_id"]

    def summarise(self, samples: Samples, weights: Array | None = None) -> dict[str, Any]:
        """From the matches of a run, equal to pycocotools' to the last bit; nan where nobody has that size."""
        count = len(samples["image_id"])
        if weights is None:
            values = _accumulate(samples, np.ones((1, count)))
            return {name: float(value[0]) for name, value in values.items()}
        if weights.shape[-1] != count:
            raise ValueError(f"weights for {weights.shape[-1]} images, but these matches have {count}")
        return _accumulate(samples, weights)

    def summarise_finely(self, samples: Samples, weights: Array | None = None) -> dict[str, Any]:
        return self.summarise(samples, weights)

    def mirror_samples(self, people: People, image_xy: Array) -> dict[str, Array]:
        return {}

    def unlearned(self, samples: Samples) -> frozenset[str]:
        # No column is of one joint.
        return frozenset()


def rescore(box_score: Array, score: Array, threshold: float = 0.2) -> Array:
    """Scores of people (N,): of the box (N,) times the mean of those keypoint scores (N, K) above threshold.

    0 where no keypoint is above it, as in HRNet's code.
    """
    counted = score > threshold
    total = np.where(counted, score, 0.0).sum(1, dtype=np.float64)
    rescored: Array = box_score * total / np.maximum(counted.sum(1), 1)
    return rescored


def nms(image_xy: Array, score: Array, area: Array, sigmas: Array, threshold: float = 0.9) -> Array:
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


def select(people: People, image_xy: Array, score: Array, sigmas: Array, threshold: float = 0.9) -> Array:
    """Rows of `people` that OKS-NMS keeps, image by image; score (N,) as from `rescore`.

    The area is the crop's, padding included, as in HRNet's code.
    """
    area = np.prod(people.scale * SCALE_UNIT, axis=1)
    kept = [
        rows[nms(image_xy[rows], score[rows], area[rows], sigmas, threshold)]
        for rows in _rows_by_image(people.image_id)
    ]
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def evaluate(
    annotations: Path, results: list[dict[str, Any]], sigmas: Array
) -> tuple[Values, dict[str, Array]]:
    """Score people in COCO's results format by pycocotools.

    annotations: a person_keypoints file; sigmas (K,). Returns METRICS in percent, nan where nobody has that size, and
    the matches that `summarise` needs, as arrays to save.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        raise ValueError(f"there is no prediction to score against {annotations}")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        # loadRes writes into what it is given.
        scored = COCOeval(truth, truth.loadRes([dict(person) for person in results]), "keypoints")
        scored.params.kpt_oks_sigmas = sigmas
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    values = [100.0 * float(value) if value >= 0 else float("nan") for value in scored.stats[: len(METRICS)]]
    return dict(zip(METRICS, values, strict=True)), _matches(scored)


def _rows_by_image(image_id: Array) -> list[Array]:
    order = np.argsort(image_id, kind="stable")
    starts = np.flatnonzero(np.diff(image_id[order])) + 1
    return np.split(order, starts) if len(order) else []


def _matches(scored: Any) -> dict[str, Array]:
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


def _accumulate(matches: Samples, weights: Array) -> dict[str, Array]:
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


def _curves(matches: Samples, count: int) -> Iterator[tuple[int, int, Array, Any]]:
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
