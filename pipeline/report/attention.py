"""What was measured of attention: the maps, and what a network makes of people with others or clutter around."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.metrics import Array, Samples
from pipeline.report.estimates import Estimate
from pipeline.report.results import Group, Results

# Percent: what of the maps is compared, by its name among the samples.
MEASURES = ("iou", "iou_best", "auroc", "inside")


def of_maps(results: Results, group: Group) -> dict[str, Estimate] | None:
    """MEASURES, mean over a person's maps and then over people, percent; None where they were not measured."""
    box = group.metric.boxes[0]
    samples = [{**group.samples(box, seed), **_maps(group, seed)} for seed in range(len(group.runs))]
    if not all(f"map_{name}" in each for each in samples for name in ("image_id", *MEASURES)):
        return None

    def summarise(samples: Samples, weights: Array | None) -> dict[str, Array]:
        # A person counts as often as the image they are in.
        images = group.metric.images(samples)
        person = np.ones((1, len(images))) if weights is None else weights.astype(float)
        person = person[:, np.searchsorted(images, samples["map_image_id"])]
        means = {}
        for name in MEASURES:
            values = samples[f"map_{name}"].astype(float)
            known = ~np.isnan(values).any(1)
            counted = person[:, known]
            means[name] = 100 * counted @ values[known].mean(1) / counted.sum(1)
        return means

    by_seed = [{name: float(value[0]) for name, value in summarise(s, None).items()} for s in samples]
    return results.intervals(group, box, by_seed, summarise, samples)


@dataclass(frozen=True)
class Contrast:
    """A metric on the images that something is true of, on those that it is not, and the one minus the other; images
    of both kinds."""

    there: Estimate
    elsewhere: Estimate
    difference: Estimate
    images: tuple[int, int]


def contrast(
    results: Results, group: Group, box: str, metric: str, kinds: tuple[Array, Array]
) -> Contrast | None:
    """Of one network; kinds: which images (M,) bool are of the one kind and which of the other. None without one of
    them, or where the box was not measured."""
    if results.values(group, box) is None or not all(kind.any() for kind in kinds):
        return None
    summarise = _where(group, metric, kinds)
    samples = [group.samples(box, seed) for seed in range(len(group.runs))]
    by_seed = [{name: float(value[0]) for name, value in summarise(s, None).items()} for s in samples]
    found = results.intervals(group, box, by_seed, summarise, samples, limits=(-100.0, 100.0))
    there, elsewhere, difference = (found[name] for name in ("there", "elsewhere", "difference"))
    return Contrast(there, elsewhere, difference, (int(kinds[0].sum()), int(kinds[1].sum())))


def _where(
    group: Group, metric: str, kinds: tuple[Array, Array]
) -> Callable[[Samples, Array | None], dict[str, Array]]:
    # The difference is taken seed by seed, whose luck is partly the same on both kinds of images.
    def summarise(samples: Samples, weights: Array | None) -> dict[str, Array]:
        count = len(group.metric.images(samples))
        drawn = np.ones((1, count)) if weights is None else weights
        there, elsewhere = (group.metric.summarise(samples, drawn * kind)[metric] for kind in kinds)
        return {"there": there, "elsewhere": elsewhere, "difference": there - elsewhere}

    return summarise


def kinds_of_images(group: Group, around: str) -> tuple[Array, Array] | None:
    """The images (M,) bool of a guided network's dataset with `others` (a person with a joint of another one in the
    crop) and those without; or, of `clutter`, those above the median and the rest. Images without people are neither.
    None where it was not measured."""
    maps = _maps(group, 0)
    if f"map_{around}" not in maps:
        return None
    images = group.metric.images(group.samples(group.metric.boxes[0]))
    place, values = np.searchsorted(images, maps["map_image_id"]), maps[f"map_{around}"].astype(float)
    known = ~np.isnan(values)
    count = np.bincount(place[known], minlength=len(images))
    mean = np.bincount(place[known], values[known], len(images)) / np.maximum(count, 1)
    limit = 0.0 if around == "others" else float(np.median(mean[count > 0])) if known.any() else 0.0
    return (count > 0) & (mean > limit), (count > 0) & (mean <= limit)


def _maps(group: Group, seed: int) -> dict[str, Array]:
    return {f"map_{name}": array for name, array in group.maps(seed).items()}
