"""python -m stages.evaluate DATASET RUN: predictions and metrics of a trained run on the validation people.

python -m stages.evaluate --weights FILE --model MODEL --dataset DATASET [--name NAME] [--input-size HxW]
does the same with somebody else's checkpoint: into results/DATASET/NAME where `checkpoints` in params.yaml
lists that name, else into evaluated/DATASET/NAME.
"""

import argparse
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import torch

from pipeline import files, models, params, paths
from pipeline.datasets import DATASETS, sources
from pipeline.datasets.formats import coco
from pipeline.evaluation import inference
from pipeline.models import complexity, pretrained
from pipeline.people import People
from pipeline.training import loop
from pipeline.training.checkpoint import fingerprint
from stages import main


def evaluate(*arguments: str) -> None:
    a = arguments_of(arguments)
    p = params.load()
    if a.weights:
        run = of_checkpoint(a, p)
        network, settings = inference.build(run)
        pretrained.load_checkpoint(network, a.weights)
    else:
        folder = paths.run(a.dataset, a.run)
        run, network, settings = inference.load(folder)
    # All else is as in the run's training, whatever params.yaml says by now.
    settings.evaluate, settings.compute = p.evaluate, p.compute
    device = loop.Ranks.join(p.compute.device).device
    torch.backends.cudnn.deterministic = True

    if a.dataset == "coco" and p.evaluate.detections:
        files.check_recorded(
            "evaluate.detections", paths.given(p.evaluate.detections), paths.given_boxes("coco")
        )
    people_folder = paths.people(a.dataset)
    people = People.load(people_folder / "val.npz")
    images = sources.open_images(a.dataset, p.data, paths.project_root())
    maps, foreground = None, None
    if run["radius"] is not None:
        targets = paths.targets(a.dataset, run["radius"])
        maps = np.load(targets / "val.npy")
        foreground = read_json(targets / "statistics.json")

    found = inference.predict(network, people, images, settings, device, maps)
    cost = complexity.count(network, settings.input.size)
    summary = read_json(people_folder / "summary.json")
    metrics = {
        key: run[key] for key in ("dataset", "run", "model", "radius", "seed", "ablation", "checkpoint")
    }
    metrics |= {
        "input_size": settings.input.size,
        "pretrained": run["pretrained"],
        "params": cost.params,
        "gflops": cost.gflops,
        "gmacs": cost.gmacs,
        "people": len(people),
        "images": len(np.unique(people.image_id)),
        "data": run["data"] | {"full_size": summary["full_size"]},
        "map_iou": None if found.map_iou is None else found.map_iou.mean(0).tolist(),
        "people_summary": summary,
        "foreground": foreground,
        "train_params": run["params"],
    }
    # results/ holds what params.yaml names, and nothing else: the report depends on the whole of it.
    named = not a.weights or (a.dataset, a.name) in [(c.dataset, c.name) for c in p.checkpoints]
    out = paths.results(a.dataset, run["run"]) if named else Path("evaluated") / a.dataset / a.name
    paths.emptied(out)
    if a.dataset == "coco":
        scores, samples = score_coco(network, people, found, images, settings, device, out)
    else:
        scores, samples = score_pckh(people, found, out)
    if found.map_iou is not None:
        samples["map_iou"] = found.map_iou.astype(np.float32)

    rows = inference.hardest(people)
    shown = inference.examples(
        network, people.select(rows), images, settings, device, None if maps is None else maps[rows]
    )
    np.savez_compressed(out / "samples.npz", **samples)
    np.savez_compressed(out / "examples.npz", **shown)
    write_json(out / "metrics.json", without_nan(metrics | scores), indent=2)
    if not a.weights:
        shutil.copyfile(folder / "history.csv", out / "history.csv")
    for line in in_lines(scores):
        print(f"{a.dataset}/{run['run']}{line}", flush=True)


def score_pckh(people: People, found: inference.Predictions, out: Path) -> tuple[dict, dict]:
    """Write the predictions; PCKh for metrics.json, and the bootstrap's samples."""
    ones = np.ones(len(people))
    write_json(out / "predictions.json", oks.results(people.image_id, found.image_xy, found.score, ones))
    if people.dataset == "mpii":
        (out / "predictions.mat").write_bytes(pckh.mat_file(found.image_xy, people))
    samples = pckh.samples(found.image_xy, people)
    values = pckh.summarise(samples, DATASETS[people.dataset].KEYPOINTS)
    values["people_without_head_size"] = int((~(people.head_size > 0)).sum())
    return {"pckh": values}, samples


def score_coco(network, people, found, images, settings, device, out: Path) -> tuple[dict, dict]:
    """Write the predictions; AP for metrics.json under labelled and detected boxes, and the samples of both."""
    annotations = paths.people("coco") / "val_annotations.json"
    detected = None
    if settings.evaluate.detections:
        file = paths.given(settings.evaluate.detections)
        boxes, box_score = coco.load_detections(file, read_json(annotations), settings.input.size)
        detected = boxes, inference.predict(network, boxes, images, settings, device), box_score
    values, samples = {"ground_truth": None, "detected": None}, {}
    kinds = {"ground_truth": (people, found, np.ones(len(people))), "detected": detected}
    names = {"ground_truth": "predictions.json", "detected": "predictions_detected.json"}
    for kind, inputs in kinds.items():
        if inputs is None:
            continue
        boxes, predicted, box_score = inputs
        results = oks.scored_results(
            boxes,
            predicted.image_xy,
            predicted.score,
            box_score,
            settings.evaluate.keypoint_score,
            settings.evaluate.oks_nms,
        )
        write_json(out / names[kind], results)
        values[kind], matches = oks.evaluate(annotations, results)
        samples |= {f"{kind}_{name}": array for name, array in matches.items()}
    return {"coco": values}, samples


def arguments_of(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__)
    parser.add_argument("run", nargs="*", metavar="DATASET RUN", help="a trained run")
    parser.add_argument("--weights", type=Path, help="a checkpoint of this or of HRNet's official code")
    parser.add_argument("--model", choices=models.NAMES)
    parser.add_argument("--dataset", choices=sorted(KEYPOINTS))
    parser.add_argument("--name", help="of the folder of results; the file's name without its ending")
    parser.add_argument("--input-size", help="height x width, such as 256x192; else as in params.yaml")
    a = parser.parse_args(arguments)
    if a.weights:
        if a.run or not (a.model and a.dataset):
            parser.error("--weights needs --model and --dataset, and no run")
        a.name = a.name or a.weights.stem
        if not re.fullmatch(params.NAME, a.name):
            parser.error(f"{a.name!r} cannot name a folder of results; give another by --name")
    elif len(a.run) != 2 or a.model or a.dataset or a.name or a.input_size:
        parser.error("name a dataset and a run, or a file by --weights")
    else:
        a.dataset, a.run = a.run
        if a.dataset not in KEYPOINTS:
            parser.error(f"there is no dataset {a.dataset}; there are {', '.join(sorted(KEYPOINTS))}")
    return a


def of_checkpoint(a: argparse.Namespace, p: params.Params) -> dict:
    """What run.json says of a run, for a checkpoint that was not trained here."""
    if not a.weights.is_file():
        raise ValueError(f"there is no file {a.weights} to take weights from; give another to --weights")
    raw = p.model_dump(mode="json", by_alias=True)
    if a.input_size:
        height, width = (int(side) if side.isdigit() else 0 for side in a.input_size.partition("x")[::2])
        if min(height, width) < 32 or height % 32 or width % 32:
            raise ValueError(f"--input-size {a.input_size} must be height x width, multiples of 32: 256x192")
        prepared = p.input.size
        if a.dataset != "mpii" and height * prepared[1] != width * prepared[0]:
            raise ValueError(
                f"--input-size {a.input_size}: {a.dataset}'s boxes were widened to the shape of input.size "
                f"{list(prepared)}; set input.size in params.yaml and run `dvc repro prepare`"
            )
        raw["input"]["size"] = [height, width]
    if not (manifest_path := paths.manifest(a.dataset)).is_file():
        raise ValueError(
            f"{manifest_path} is not there: name {a.dataset} in `datasets` of params.yaml and in one of the "
            f"lists below it, then run `dvc repro prepare@{a.dataset}`"
        )
    manifest = read_json(manifest_path)
    return {
        "dataset": a.dataset,
        "run": a.name,
        "model": a.model,
        "radius": None,
        "seed": None,
        "ablation": None,
        "joints": DATASETS[a.dataset].KEYPOINTS.count,
        "checkpoint": a.weights.name,
        "pretrained": f"weights of {a.weights.name}, sha256 {files.sha256(a.weights)[:12]}",
        "data": {"source": manifest["source"], "archives_sha256": fingerprint(manifest)},
        "params": {group: raw[group] for group in ("input", "model", "guidance")}
        | {"train": {"batch_size": 32}},
    }


def without_nan(value):
    """JSON has no nan: what had nothing to count is null."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def in_lines(scores: dict) -> list[str]:
    """Metrics for people to read, each kind of box in a line of its own."""
    kinds = {f", {kind.replace('_', ' ')} boxes": values for kind, values in scores.get("coco", {}).items()}
    kinds |= {"": scores["pckh"]} if "pckh" in scores else {}
    return [
        f"{kind}: "
        + "  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        for kind, values in kinds.items()
        if values
    ]


def read_json(path: Path):
    return json.loads(path.read_text())


def write_json(path: Path, value, indent: int | None = None) -> None:
    separators = None if indent else (",", ":")
    path.write_text(json.dumps(value, indent=indent, separators=separators) + "\n")


if __name__ == "__main__":
    main(evaluate)
