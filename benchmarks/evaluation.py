"""How long evaluation takes, on simulated predictions of the real datasets' sizes, and what AP's intervals cover.

python -m benchmarks.evaluation             milliseconds, written down
python -m benchmarks.evaluation coverage    the share of trials whose interval of an AP difference holds
"""

import math
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import torch

from benchmarks import tables
from pipeline.codec import crop, heatmap
from pipeline.datasets import DATASETS
from pipeline.evaluation import inference
from pipeline.metrics import bootstrap, oks, pckh

COCO, MPII = DATASETS["coco"].METRIC, DATASETS["mpii"].METRIC
THRESHOLDS = np.linspace(0.5, 0.95, 10)[:, None]


COLUMNS = {"what": "{:60}", "milliseconds": "{:12.4f}"}


def fastest(work, times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def joint_by_joint(heatmaps: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """HRNet's decoding in loops over people and joints, as in the official code, to measure against.

    heatmaps (B, K, H, W), center and scale (B, 2) of the crops. Returns image_xy (B, K, 2).
    """
    height, width = heatmaps.shape[2:]
    flat = heatmaps.reshape(*heatmaps.shape[:2], -1)
    index, peak = flat.argmax(2), flat.max(2)
    xy = np.stack([index % width, index // width], -1).astype(np.float32) * (peak > 0)[..., None]
    image_xy = np.zeros_like(xy)
    for person in range(len(xy)):
        for joint in range(xy.shape[1]):
            x, y = (math.floor(v + 0.5) for v in xy[person, joint])
            if 1 < x < width - 1 and 1 < y < height - 1:
                h = heatmaps[person, joint]
                slope = np.array([h[y, x + 1] - h[y, x - 1], h[y + 1, x] - h[y - 1, x]])
                xy[person, joint] += np.sign(slope) * 0.25
    for person in range(len(xy)):
        half = scale[person, 0] * 100
        source = np.array([[0, 0], [0, -half], [-half, -half]], np.float32) + center[person].astype(
            np.float32
        )
        goal = np.array([[width, height], [width, height - width], [0, height - width]], np.float32) / 2
        to_image = cv2.getAffineTransform(goal, source)
        for joint in range(xy.shape[1]):
            image_xy[person, joint] = to_image @ np.array([*xy[person, joint], 1.0])
    return image_xy


def drawn_joint_by_joint(
    joints: np.ndarray, labelled: np.ndarray, size: tuple[int, int], sigma: int
) -> np.ndarray:
    """A person's targets in a loop over joints, as in the official code, to measure against.

    joints (K, 2) input_xy, labelled (K,). Returns (K, H, W) float32.
    """
    height, width = size
    reach = 3 * sigma
    targets = np.zeros((len(joints), height, width), np.float32)
    for joint, ((x, y), counts) in enumerate(zip(joints, labelled, strict=True)):
        column, row = int(x / crop.STRIDE + 0.5), int(y / crop.STRIDE + 0.5)
        left, top, right, bottom = column - reach, row - reach, column + reach + 1, row + reach + 1
        if not counts or left >= width or top >= height or right < 0 or bottom < 0:
            continue
        across = np.arange(-reach, reach + 1, dtype=np.float32)
        bump = np.exp(-(across[:, None] ** 2 + across**2) / (2 * sigma**2))
        x0, x1, y0, y1 = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
        targets[joint, y0:y1, x0:x1] = bump[y0 - top : y1 - top, x0 - left : x1 - left]
    return targets


def blobs(rng, people: int, joints: int) -> np.ndarray:
    """Heatmaps (people, joints, 64, 48) float32 as a network gives them: one noisy bump each."""
    y, x = np.mgrid[:64, :48]
    at = rng.uniform(0, (48, 64), (people, joints, 2))[..., None, None]
    bumps = np.exp(-((x - at[:, :, 0]) ** 2 + (y - at[:, :, 1]) ** 2) / 8)
    return (bumps + 0.05 * rng.standard_normal(bumps.shape)).astype(np.float32)


def simulated_matches(rng, image: np.ndarray, images: int, shift: tuple, wrong: int) -> list[dict]:
    """Matches of two models that see the same people, as oks.evaluate saves them.

    image (N,): of each person. A person's OKS is logistic in what image, person and model make of it, each
    model's logit raised by its `shift`; scores follow it loosely. `wrong` further detections find nobody.
    """
    people = len(image)
    large = rng.random(people) < 0.55
    count = np.stack([np.bincount(image[m], minlength=images) for m in (large | True, ~large, large)])
    wrong_image = rng.integers(0, images, wrong)
    logit = 1.9 + 0.8 * rng.standard_normal(images)[image] + rng.standard_normal(people)
    matches = []
    for raised in shift:
        own = logit + raised + 0.7 * rng.standard_normal(people)
        matched = np.zeros((3, 10, people + wrong), bool)
        matched[:, :, :people] = 1 / (1 + np.exp(-own)) >= THRESHOLDS
        ignored = np.zeros_like(matched)
        ignored[1, :, :people], ignored[2, :, :people] = large, ~large
        score = np.concatenate([own + rng.standard_normal(people), rng.standard_normal(wrong) - 2])
        every = np.concatenate([image, wrong_image]).astype(np.int32)
        order = np.argsort(every, kind="stable")
        matches.append(
            {
                "image_id": np.arange(images),
                "detection_image": every[order],
                "score": score[order],
                "matched": np.packbits(matched[..., order], axis=-1),
                "ignored": np.packbits(ignored[..., order], axis=-1),
                "people": count.astype(np.int32),
            }
        )
    return matches


def speed() -> None:
    rows = []

    def timed(what: str, work, times: int = 3, units: int = 1) -> float:
        rows.append({"what": what, "milliseconds": 1000 * fastest(work, times) / units})
        print(tables.table(rows[-1:], COLUMNS, header=False), end="", flush=True)
        return rows[-1]["milliseconds"]

    rng = np.random.default_rng(0)
    joints = rng.uniform(0, 1000, (2958, 16, 2))
    people = SimpleNamespace(
        joints=joints,
        labelled=rng.random((2958, 16)) < 0.9,
        head_size=rng.uniform(20, 200, 2958),
        image_id=np.sort(rng.integers(0, 1500, 2958)),
        person_id=np.arange(2958),
    )
    image_xy = joints + rng.normal(0, 20, joints.shape)
    timed("PCKh of MPII's 2,958 people", lambda: MPII.summarise(pckh.samples(image_xy, people)))
    weights = bootstrap.weights(len(np.unique(people.image_id)), 1000, 0)
    samples = pckh.samples(image_xy, people)
    timed("PCKh of 1,000 resamples of them", lambda: MPII.summarise(samples, weights))

    heatmaps = blobs(rng, 64, 17)
    tensor, center, scale = torch.from_numpy(heatmaps), rng.uniform(0, 500, (64, 2)), np.ones((64, 2))
    crops = SimpleNamespace(center=center, scale=scale)
    ratios, all_threads = {}, torch.get_num_threads()
    for threads in dict.fromkeys((1, all_threads)):
        torch.set_num_threads(threads)
        batched = timed(
            f"decoding a person, 64 at once, {threads} threads",
            lambda: inference.to_image(heatmap.decode(tensor)[0].numpy(), crops, (64, 48)),
            100,
            64,
        )
        loops = timed(
            f"decoding a person, joint by joint, {threads} threads",
            lambda: joint_by_joint(heatmaps, center, scale),
            5,
            64,
        )
        ratios[f"decoding_ratio_{threads}_threads"] = round(loops / batched, 1)

    torch.set_num_threads(1)
    at, counts = rng.uniform(-20, (212, 276), (64, 17, 2)), rng.random((64, 17)) < 0.9
    centres, marks = torch.from_numpy(heatmap.centres(at)), torch.from_numpy(counts)
    rendered = heatmap.encode(centres, marks, (64, 48), 2)[0]
    drawn = [drawn_joint_by_joint(*person, (64, 48), 2) for person in zip(at, counts, strict=True)]
    assert np.array_equal(rendered.numpy(), np.stack(drawn)), "the two draw different targets"
    batched = timed(
        "targets of a person, 64 at once, 1 thread",
        lambda: heatmap.encode(centres, marks, (64, 48), 2),
        100,
        64,
    )
    loops = timed(
        "targets of a person, joint by joint",
        lambda: [drawn_joint_by_joint(*person, (64, 48), 2) for person in zip(at, counts, strict=True)],
        20,
        64,
    )
    ratios["targets_ratio"] = round(loops / batched, 1)
    torch.set_num_threads(all_threads)

    predictions = rng.uniform(0, 400, (40, 17, 2))
    score, area = rng.random(40), rng.uniform(1e3, 3e4, 40)
    timed(
        "OKS-NMS of 40 people in an image",
        lambda: oks.nms(predictions, score, area, np.array(COCO.sigmas)),
    )

    timed("1,000 resamples of 5,000 images", lambda: bootstrap.weights(5000, 1000, 0), 1)
    weights = bootstrap.weights(5000, 1000, 0)
    image = rng.choice(rng.choice(5000, 2346, replace=False), 6352)
    for wrong, what in ((0, "6,352 ground-truth boxes"), (97_800, "104,000 detected boxes")):
        matches = simulated_matches(rng, image, 5000, (0.0,), wrong)[0]
        timed(
            f"AP, AP50 ... AR of them, {what}",
            lambda matches=matches: COCO.summarise(matches, weights),
            1,
        )
    print(tables.write(tables.FOLDER, "evaluation", torch.device("cpu"), ratios, rows, COLUMNS))


def coverage(trials: int = 500, images: int = 300, resamples: int = 400) -> None:
    """The truth is the difference on 60,000 images."""
    shift = (0.0, 0.15)

    def simulate(rng, images):
        return simulated_matches(rng, rng.integers(0, images, images * 5 // 4), images, shift, images * 2)

    a, b = (COCO.summarise(m) for m in simulate(np.random.default_rng(10**6), 60_000))
    weights = bootstrap.weights(images, resamples, 0)
    held = dict.fromkeys(oks.METRICS, 0)
    for trial in range(trials):
        first, second = (COCO.summarise(m, weights) for m in simulate(np.random.default_rng(trial), images))
        for metric in oks.METRICS:
            low, high = bootstrap.interval(second[metric] - first[metric])
            held[metric] += low <= b[metric] - a[metric] <= high
    for metric, count in held.items():
        print(
            f"{metric:5} {a[metric]:.2f} -> {b[metric]:.2f}: {100 * count / trials:.1f}% of {trials} intervals hold"
        )


if __name__ == "__main__":
    coverage() if sys.argv[1:] == ["coverage"] else speed()
