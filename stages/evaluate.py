"""python -m stages.evaluate DATASET RUN: predictions and metrics of a trained run on the validation people.

python -m stages.evaluate --weights FILE --model MODEL --dataset DATASET [--name NAME]
does the same with somebody else's checkpoint, at the input that MODEL ends in (hrnet_w32-256x256), else at that of
params.yaml: into results/DATASET/NAME where `checkpoints` in params.yaml lists that name, else into
evaluated/DATASET/NAME.

python -m stages.evaluate --predictions FILE --dataset DATASET [--box BOX] [--model MODEL] [--name NAME]
does the same with somebody else's predictions (docs/predictions.md), without a GPU and without images.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from pipeline import files, params, paths, runs, tracking
from pipeline.codec import crop, segmentation
from pipeline.datasets import DATASETS, sources
from pipeline.evaluation import attention, inference, pictures, score
from pipeline.loader import Images
from pipeline.metrics import Array, Rules, bootstrap
from pipeline.models import complexity, pretrained
from pipeline.networks import NETWORKS
from pipeline.people import People
from pipeline.predicted import measuring
from pipeline.ranks import Ranks
from stages import main

# Training people, spread over the table, on whom the maps' thresholds are chosen.
LOOKED_AT = 500


def evaluate(*arguments: str) -> None:
    a = arguments_of(arguments)
    p = params.load()
    if a.predictions:
        of_predictions(a, p)
        return
    if a.weights:
        record = of_checkpoint(a, p)
        network = inference.build(record)
        pretrained.load_checkpoint(network, a.weights)
        folder = None
    else:
        folder = paths.run(a.dataset, a.run)
        record, network = inference.load(folder)
    dataset, run = record.run.dataset, record.run
    device = Ranks.join(p.compute.device).device
    torch.backends.cudnn.deterministic = True
    # All else is as in the run's training, whatever params.yaml says by now.
    training = record.used.training
    torch.set_num_threads((training.train if training else p.train).threads)
    test = inference.Inference(
        network,
        record.used.input,
        device,
        p.evaluate.flip_test,
        training.train.batch_size if training else 32,
        p.compute.workers,
    )

    people_folder = paths.people(dataset)
    people = People.load(people_folder / "val.npz")
    if run.input and not DATASETS[dataset].SQUARE_CROPS:
        people = people.cropped_for(run.input)
    images = sources.open_images(dataset, p.data, paths.project_root())
    maps, foreground = targets_of(run)
    look = look_of(run, test, images) if maps is not None and run.guided else None
    predictions = test.predict(people, images, maps, look)
    metric = DATASETS[dataset].METRIC
    boxes = {metric.boxes[0]: score.Boxes(people, predictions, np.ones(len(people)))}
    if p.evaluate.detections and DATASETS[dataset].DETECTIONS:
        file = paths.given(p.evaluate.detections)
        files.check_recorded("evaluate.detections", file, paths.given_boxes(dataset))
        boxes["detected"] = score.detected(test, dataset, file, people_folder, images)
    rules = Rules(p.evaluate.keypoint_score, p.evaluate.oks_nms)
    scored = score.score(dataset, boxes, people_folder, rules)

    summary = files.read_json(people_folder / "summary.json")
    cost = complexity.count(network, record.used.input.size)
    evaluation = runs.Evaluation(
        record=record,
        scores=score.columns(dataset, scored),
        params=cost.params,
        gflops=cost.gflops,
        gmacs=cost.gmacs,
        people=len(people),
        images=len(np.unique(people.image_id)),
        full_size=summary["full_size"],
        missing_people=sum(abs(s["known_people"] - s["people"]) for s in summary["splits"].values()),
        map_iou=None if predictions.map_iou is None else predictions.map_iou.mean(0).tolist(),
        foreground_share=foreground,
    )
    out = folder_of(run, p)
    for name, content in score.predictions(dataset, boxes, scored):
        data = content if isinstance(content, bytes) else to_json(content)
        (out / name).write_bytes(data)
    rows = pictures.hardest(people)
    shown = test.examples(people.select(rows), images, None if maps is None else maps[rows])
    of_maps = score.of_maps(people, predictions, record.used.input.size, people_folder)
    samples = score.samples(scored, of_maps) | bootstrap.clusters(people_folder)
    np.savez_compressed(out / "samples.npz", **samples)  # type: ignore[arg-type]
    np.savez_compressed(out / "examples.npz", **shown)  # type: ignore[arg-type]
    evaluation.save(out / "metrics.json")
    if folder:
        shutil.copyfile(folder / "history.csv", out / "history.csv")
    for kind, each in scored.items():
        say(run, kind, each.values)
    if run in runs.named_by(p):
        tracking.bring(dataset, run.name)


def of_predictions(a: argparse.Namespace, p: params.Params) -> None:
    """Measure a file of predictions, and say how sure its main number is on these people."""
    metric = DATASETS[a.dataset].METRIC
    file = measuring.File(a.predictions, a.name, a.dataset, a.box, a.model or "none")
    evaluation, samples = measuring.measure(file, p.data)
    run = evaluation.record.run
    out = folder_of(run, p)
    np.savez_compressed(out / "samples.npz", **samples)  # type: ignore[arg-type]
    evaluation.save(out / "metrics.json")
    values = evaluation.scores[a.box] or {}
    say(run, a.box, {name: values[name] for name in metric.columns})
    own = {name.removeprefix(f"{a.box}_"): array for name, array in samples.items()}
    draws = bootstrap.weights(len(metric.images(own)), p.report.resamples, p.report.seed)
    low, high = bootstrap.interval(metric.summarise(own, draws)[metric.main])
    print(
        f"{metric.main}, 95% interval on {evaluation.people} people in {evaluation.images} images: "
        f"{low:.2f} to {high:.2f}",
        flush=True,
    )
    if run in runs.named_by(p):
        tracking.bring(run.dataset, run.name)


def folder_of(run: runs.Run, p: params.Params) -> Path:
    """The run's folder of results, emptied: results/ holds what params.yaml names, and nothing else, for the report
    depends on the whole of it."""
    named = run.checkpoint is None or run in runs.named_by(p)
    dataset, name = run.dataset, run.name
    return paths.emptied(paths.results(dataset, name) if named else paths.evaluated(dataset, name))


def say(run: runs.Run, kind: str, values: Mapping[str, float | None]) -> None:
    numbers = "  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
    print(f"{run.dataset}/{run.name}, {kind.replace('_', ' ')} boxes: {numbers}", flush=True)


def targets_of(run: runs.Run) -> tuple[Array | None, float | None]:
    """The validation people's packed maps at a run's radius, and these maps' share of foreground."""
    if run.radius is None:
        return None, None
    folder = paths.targets(run.dataset, run.radius)
    share = files.read_json(folder / "statistics.json")["val"]["foreground_share"]
    return np.load(folder / "val.npy"), share


def look_of(run: runs.Run, test: inference.Inference, images: Images) -> attention.Look:
    """The thresholds that suit a run's maps best, found on people that it was trained on."""
    assert run.radius is not None, "a guided run has a radius"
    people = People.load(paths.people(run.dataset) / "train.npz")
    rows = np.linspace(0, len(people) - 1, min(LOOKED_AT, len(people))).round().astype(int)
    maps = np.load(paths.targets(run.dataset, run.radius) / "train.npy")[rows]
    logits = test.map_logits(people.select(rows), images)
    truth = segmentation.unpack(maps, crop.heatmap_size(test.input.size))
    return attention.Look(run.radius, attention.best_thresholds(logits, truth))


def to_json(results: list[dict[str, object]]) -> bytes:
    return (json.dumps(results, separators=(",", ":"), allow_nan=False) + "\n").encode()


def arguments_of(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate", description=__doc__)
    parser.add_argument("run", nargs="*", metavar="DATASET RUN", help="a trained run")
    parser.add_argument("--weights", type=Path, help="a checkpoint of this or of HRNet's official code")
    parser.add_argument(
        "--model", help="a network, such as hrnet_w32 or hrnet_w32-256x256; of predictions, or none"
    )
    parser.add_argument("--predictions", type=Path, help="a file of predictions made elsewhere")
    parser.add_argument("--box", help="the kind of person box that the predictions were made in")
    parser.add_argument("--dataset", choices=sorted(DATASETS))
    parser.add_argument("--name", help="of the folder of results; the file's name without its ending")
    a = parser.parse_args(arguments)
    if a.predictions:
        if a.run or a.weights or not a.dataset:
            parser.error("--predictions needs --dataset, and neither a run nor --weights")
        boxes = DATASETS[a.dataset].METRIC.boxes
        a.box = a.box or (boxes[0] if len(boxes) == 1 else None)
        if a.box not in boxes:
            parser.error(f"--box must be one of {', '.join(boxes)}: results under them are never compared")
        if a.model not in (None, "none"):
            check_model(a.model, parser)
        a.name = name_of(a.name or a.predictions.stem, parser)
    elif a.weights:
        if a.run or a.box or not (a.model and a.dataset):
            parser.error("--weights needs --model and --dataset, and neither a run nor --box")
        check_model(a.model, parser)
        a.name = name_of(a.name or a.weights.stem, parser)
    elif len(a.run) != 2 or a.model or a.dataset or a.name or a.box:
        parser.error("name a dataset and a run, or a file by --weights or --predictions")
    else:
        a.dataset, a.run = a.run
        if a.dataset not in DATASETS:
            parser.error(f"there is no dataset {a.dataset}; there are {', '.join(sorted(DATASETS))}")
    return a


def check_model(model: str, parser: argparse.ArgumentParser) -> None:
    network, size = params.sized(model)
    if network not in NETWORKS or (size and any(side % 32 for side in size)):
        parser.error(
            f"--model {model} must be one of {', '.join(NETWORKS)}, perhaps with an input's size of multiples of 32 "
            f"behind it: hrnet_w32-256x256"
        )


def name_of(name: str, parser: argparse.ArgumentParser) -> str:
    if not re.fullmatch(params.NAME, name):
        parser.error(f"{name!r} cannot name a folder of results; give another by --name")
    return name


def of_checkpoint(a: argparse.Namespace, p: params.Params) -> runs.Record:
    """The record of weights that were not trained here."""
    if not a.weights.is_file():
        raise ValueError(f"there is no file {a.weights} to take weights from; give another to --weights")
    network, size = params.sized(a.model)
    guided = NETWORKS[network].backbone is not None
    settings = runs.Settings.of(p, guided=guided, trained=False, input_size=size)
    manifest_path = paths.manifest(a.dataset)
    if not manifest_path.is_file():
        raise ValueError(
            f"{manifest_path} is not there: name {a.dataset} in `datasets` of params.yaml and in one of the "
            f"lists below it, then run `dvc repro prepare@{a.dataset}`"
        )
    manifest = files.read_json(manifest_path)
    return runs.Record(
        run=runs.Run(
            dataset=a.dataset,
            model=network,
            radius=None,
            seed=None,
            ablation=None,
            checkpoint=a.name,
            input=size,
        ),
        joints=DATASETS[a.dataset].KEYPOINTS.count,
        settings=settings,
        data=runs.Data(
            source=manifest["source"], people_sha256=None, archives_sha256=files.hash_json(manifest)
        ),
        first_weights=f"weights of {a.weights.name}, sha256 {files.sha256(a.weights)[:12]}",
        machine=None,
    )


if __name__ == "__main__":
    main(evaluate)
