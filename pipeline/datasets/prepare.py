"""From a dataset's archives to its tables of people: parsed, counted, every image checked."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline import paths
from pipeline.datasets import DATASETS, sources
from pipeline.datasets.store import ImageStore, StoreError
from pipeline.images import image_size
from pipeline.params import Data
from pipeline.people import People, Split

# Of the official number of people: so many fewer change no verdict, and are told.
HANDFUL = 0.005


class BadImages(ValueError):
    """Images that cannot be used; the message names the first, the reason and what skips them."""


def prepare(dataset: str, data: Data, input_size: tuple[int, int], root: Path, out: Path) -> dict[str, Any]:
    """Write train.npz, val.npz, summary.json and what the metric needs besides; returns the summary.

    Raises ValueError for labels or images that cannot be used.
    """
    labels = sources.open_labels(dataset, data, root)
    splits = DATASETS[dataset].people(labels, input_size)
    images = sources.open_images(dataset, data, root)
    # No file of another source or of other lists stays beside these.
    paths.emptied(out)
    rows: dict[str, dict[str, Any]] = {}
    for (split, parsed), known in zip(splits.items(), DATASETS[dataset].PEOPLE, strict=True):
        people, bad = _without_bad_images(dataset, split, parsed, images, data.on_bad_image)
        if len(people) == 0:
            raise ValueError(
                f"{dataset}: no person of the {split} split is left ({_reasons(parsed.dropped)})"
            )
        people.save(out / f"{split}.npz")
        if parsed.evaluation:
            _write(out / f"{split}_annotations.json", _without(parsed, bad), indent=None)
        if parsed.clusters:
            _write(out / f"{split}_clusters.json", parsed.clusters, indent=None)
        if parsed.bystanders:
            _write(out / f"{split}_bystanders.json", parsed.bystanders, indent=None)
        rows[split] = _summary(people, known, parsed, bad)
    return _summarised(dataset, data, rows, out)


def of_labels_alone(dataset: str, data: Data, root: Path, out: Path) -> dict[str, Any]:
    """As `prepare`, of the validation people alone, whose labels are all there is: no image is looked for."""
    labels = sources.open_labels(dataset, data, root)
    parsed = sources.source(dataset, labels_only=True).people(labels, (0, 0))["val"]
    if len(parsed.people) == 0:
        raise ValueError(f"{dataset}: no person of the val split has a label")
    # No file of another source or of other lists stays beside these.
    paths.emptied(out)
    parsed.people.save(out / "val.npz")
    rows = {"val": _summary(parsed.people, DATASETS[dataset].PEOPLE[1], parsed, {})}
    print(f"{dataset}: labels alone, without images; predictions made elsewhere are measured on them")
    return _summarised(dataset, data, rows, out)


def _summarised(dataset: str, data: Data, rows: dict[str, dict[str, Any]], out: Path) -> dict[str, Any]:
    source = sources.source_kind(data)
    whole = source != "demo" and all(is_whole(row) for row in rows.values())
    summary = {"dataset": dataset, "source": source, "splits": rows, "full_size": whole}
    _write(out / "summary.json", summary)
    _say(summary)
    return summary


def check_images(
    images: ImageStore, sizes: Mapping[str, tuple[int, int] | None], what: str
) -> dict[str, str]:
    """What is wrong with which image: unreadable, cut short, or of another (height, width) than labelled.

    Reads every image once, in the order on disk, and decodes none.
    """
    bad = {}
    names = images.in_reading_order(sizes)
    for name in tqdm(
        names, desc=f"checking {what}", unit=" images", mininterval=_interval(), disable=len(names) < 5000
    ):
        try:
            size = image_size(images.read(name))
            expected = sizes[name]
            if expected is not None and size != expected:
                height, width = expected
                raise ValueError(f"has {size[1]}x{size[0]} pixels, its label says {width}x{height}")
        except StoreError as error:
            bad[name] = str(error)
        except ValueError as error:
            bad[name] = f"{name} {error}"
    return dict(sorted(bad.items()))


def _interval() -> float:
    return 0.2 if sys.stderr.isatty() else 30


def _without_bad_images(
    dataset: str, split: str, parsed: Split, images: ImageStore, on_bad_image: str
) -> tuple[People, dict[str, str]]:
    sizes: Mapping[str, tuple[int, int] | None]
    sizes = parsed.sizes or dict.fromkeys(parsed.people.images.tolist())
    bad = check_images(images, sizes, f"{dataset} {split}")
    if bad and on_bad_image == "fail":
        raise BadImages(
            f"{dataset} {split}: {len(bad)} of {len(sizes)} images cannot be used, first "
            f"{next(iter(bad.values()))}; replace the archive, or set data.on_bad_image: skip"
        )
    return parsed.people.without_images(set(bad)), bad


def _without(parsed: Split, bad: dict[str, str]) -> dict[str, Any]:
    """Labels for pycocotools without the skipped images, whose people nobody could find."""
    evaluation, image_ids = parsed.evaluation or {}, parsed.image_ids or {}
    skipped = {image_ids[name] for name in bad}
    images = [image for image in evaluation["images"] if image["id"] not in skipped]
    annotations = [a for a in evaluation["annotations"] if a["image_id"] not in skipped]
    return {**evaluation, "images": images, "annotations": annotations}


def _summary(people: People, known: int, parsed: Split, bad: dict[str, str]) -> dict[str, Any]:
    dropped = dict(sorted(parsed.dropped.items()))
    if lost := len(parsed.people) - len(people):
        dropped["in an image that cannot be used"] = lost
    return {
        "people": len(people),
        "known_people": known,
        "images": len(people.images),
        "joints": int(people.labelled.sum()),
        "joints_occluded": int((people.labelled & ~people.visible).sum()),
        "people_without_head_size": int(np.isnan(people.head_size).sum()),
        "dropped": dropped,
        "images_skipped": bad,
    }


def is_whole(row: dict[str, Any]) -> bool:
    """Whether a split has the official number of people, but for the handful of a few bad images."""
    return bool(abs(row["people"] - row["known_people"]) <= HANDFUL * row["known_people"])


def _say(summary: dict[str, Any]) -> None:
    for split, s in summary["splits"].items():
        line = f"{summary['dataset']} {split}: {s['people']} people in {s['images']} images"
        print(f"{line}; left out: {_reasons(s['dropped'])}")
        if s["people"] != s["known_people"] and summary["source"] != "demo":
            consequence = "" if is_whole(s) else " Results are not comparable with published ones."
            print(
                f"WARNING: {summary['dataset']} {split} has {s['people']} people; the full dataset has "
                f"{s['known_people']}.{consequence}",
                file=sys.stderr,
            )
        if s["images_skipped"]:
            print(
                f"WARNING: {len(s['images_skipped'])} images skipped, listed in summary.json", file=sys.stderr
            )


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "nobody"


def _write(path: Path, value: object, indent: int | None = 1) -> None:
    # What lies there may be a hard link into DVC's cache, which writing into it would spoil.
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(value, indent=indent) + "\n")
