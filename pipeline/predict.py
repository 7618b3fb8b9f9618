"""python -m pipeline.predict IMAGE... [--run RUN] [--box x,y,w,h | --boxes FILE]: a trained network on any images.

RUN is a folder under runs/, such as coco/sg_hrnet_w32-r5-s0, else the published network of studies/lspet-small.
IMAGE is a file, or a folder of them. A person's picture shows the skeleton in the image and in the crop, the heatmaps,
and of a guided network its four attention maps and their product. --boxes: boxes in COCO's format, `images` and
`annotations`. --results: joints as COCO's results.

python -m pipeline.predict --export FILE.onnx [--run RUN] writes the network for onnxruntime (pipeline/export.py).
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from pipeline import drawing, export, loader, paths
from pipeline.arrays import Array
from pipeline.codec import crop
from pipeline.datasets import DATASETS
from pipeline.evaluation import inference
from pipeline.images import claimed_size
from pipeline.people import crop_of_box
from pipeline.ranks import Ranks, place
from pipeline.runs import Record

# Joints with a lower score are not drawn; as in COCO's rescoring.
SHOWN_SCORE = 0.2
# Of a box's numbers, in pixels.
FARTHEST = 1e6
# Of what is drawn, in pixels: many times what a picture shows, and more would take gigabytes.
DRAWN_SIDE = 4000
# The study whose guided network predicts where no run is named.
PUBLISHED = Path("studies") / "lspet-small"
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def predict(image: Array, box: Array, folder: Path, device: torch.device) -> dict[str, Array]:
    """One person's joints, with the flip test.

    image (H, W, 4) uint8 RGBA; box (4,) x, y, width, height in image pixels; folder of a trained run. Returns
    image_xy (K, 2), input_xy (K, 2), score (K,), input (h, w, 3) uint8, heatmaps (K, h/4, w/4), and of a
    guided network maps (4, h/4, w/4) probabilities. Raises ValueError where the folder holds no run.
    """
    return pose(image, box, *inference.load(folder), device)


@torch.inference_mode()
def pose(
    image: Array, box: Array, record: Record, network: nn.Module, device: torch.device
) -> dict[str, Array]:
    """As `predict`, by a network that is loaded."""
    size = record.used.input.size
    center, scale = crop_of_box(box[None], size)
    to_input = crop.affine(center[0], scale[0], size)
    pixels = crop.warp(image, to_input, size)
    output = inference.forward(
        place(network, device).eval(),
        loader.normalise(torch.from_numpy(pixels)[None].to(device)),
        torch.from_numpy(DATASETS[record.run.dataset].KEYPOINTS.flip_order).to(device),
    )
    heatmap_xy, score = inference.decode(output)
    input_xy = heatmap_xy[0].double().cpu().numpy() * crop.STRIDE
    prediction = {
        "image_xy": crop.transform(input_xy, crop.invert(to_input)),
        "input_xy": input_xy,
        "score": score[0].cpu().numpy(),
        "input": pixels,
        "heatmaps": output.heatmaps[0].cpu().numpy(),
    }
    if output.map_logits is not None:
        prediction["maps"] = output.map_logits[0].sigmoid().cpu().numpy()
    return prediction


def picture(image: Array, box: Array, prediction: dict[str, Array], dataset: str) -> bytes:
    """PNG of what `predict` says of an image (H, W, 4) uint8 RGBA at a box (4,)."""
    from matplotlib.figure import Figure

    keypoints, shown = DATASETS[dataset].KEYPOINTS, prediction["score"] > SHOWN_SCORE
    shrunk = min(DRAWN_SIDE / max(image.shape[:2]), 1)
    if shrunk < 1:
        height, width = (max(round(side * shrunk), 1) for side in image.shape[:2])
        image, box = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), box * shrunk
    whole = drawing.skeleton(
        image[..., :3],
        prediction["image_xy"] * shrunk,
        shown,
        keypoints,
        thickness=max(1, round(max(image.shape[:2]) / 300)),
    )
    corner, end = box[:2].round().astype(int), (box[:2] + box[2:]).round().astype(int)
    cv2.rectangle(whole, tuple(map(int, corner)), tuple(map(int, end)), (255, 255, 255), 1, cv2.LINE_AA)
    panels = {
        f"{shown.sum()} of {len(shown)} joints": drawing.skeleton(
            prediction["input"], prediction["input_xy"], shown, keypoints
        ),
        "heatmaps": drawing.overlay(prediction["input"], prediction["heatmaps"].max(0).clip(0, 1), 0.7),
    }
    if "maps" in prediction:
        panels |= {
            f"map {n}": drawing.overlay(prediction["input"], m, 0.7)
            for n, m in enumerate(prediction["maps"], 1)
        }
        panels["product of the maps"] = drawing.overlay(prediction["input"], prediction["maps"].prod(0), 0.7)
    columns = 4 if "maps" in prediction else 2
    rows = -(-len(panels) // columns)
    # A panorama gets no longer a picture than this.
    shape = min(max(image.shape[1] / image.shape[0], 1 / 4), 4)
    widths = [4.4 * rows * shape / 1.5, 2.2 * columns]
    figure = Figure(figsize=(sum(widths), 3.3 * rows), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=widths)[0]
    axes = left.subplots()
    axes.imshow(whole)
    axes.axis("off")
    for axes in right.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
        if panels:
            title = next(iter(panels))
            axes.imshow(panels.pop(title))
            axes.set_title(title, fontsize=10)
    drawing.settle(figure, dpi=150)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def box_of(text: str | None, image: Array, option: str = "--box") -> Array:
    """The box (4,) that an option's "x,y,w,h" names, or the whole image; raises ValueError for anything else."""
    if text is None:
        return np.array([0, 0, image.shape[1], image.shape[0]], float)
    try:
        box = np.array([float(part) for part in text.split(",")])
    except ValueError:
        box = np.zeros(0)
    # Neither end is a person's; beyond them a crop has no inverse, and a joint no whole pixel.
    if box.shape != (4,) or not np.abs(box).max() <= FARTHEST or box[2:].min() < 1 / FARTHEST:
        raise ValueError(f"{option} {text[:80]} must be x,y,width,height in pixels, such as 40,20,120,300")
    height, width = image.shape[:2]
    if box[0] >= width or box[1] >= height or min(box[:2] + box[2:]) <= 0:
        raise ValueError(f"{option} {text[:80]} lies outside the image of {width}x{height} pixels")
    return box


def photograph(file: Path) -> Array:
    """Pixels (H, W, 4) uint8 RGBA of an image as a person sees it: turned as its EXIF tag says, which training ignores.

    Raises crop.BadImage, which names the file.
    """
    data = file.read_bytes()
    try:
        claimed_size(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except ValueError as error:
        raise crop.BadImage(f"the image {file} {error}") from None
    except cv2.error:
        image = None
    if image is None:
        raise crop.BadImage(f"the image {file} does not decode")
    return cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)


def images_of(places: list[Path]) -> list[Path]:
    """The image files that are named, and those of folders that are, by name; raises ValueError for an empty folder."""
    found: list[Path] = []
    for place_ in places:
        inside = [place_]
        if place_.is_dir():
            inside = sorted(file for file in place_.iterdir() if file.suffix.lower() in ENDINGS)
            if not inside:
                raise ValueError(f"the folder {place_} holds no image ({', '.join(ENDINGS)})")
        found += inside
    return found


def people_of(path: Path) -> dict[str, tuple[int, list[str]]]:
    """Of a file in COCO's format, by the image's file name: its id, and its people's boxes as --box has them."""
    try:
        content = json.loads(path.read_text())
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        boxes: dict[str, tuple[int, list[str]]] = {name: (int(key), []) for key, name in names.items()}
        for person in content["annotations"]:
            boxes[names[person["image_id"]]][1].append(",".join(str(float(v)) for v in person["bbox"]))
    # Besides what JSON cannot be: a number that is no float, and thousands of brackets, one in the other.
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"--boxes {path} must hold COCO's `images` (id, file_name) and `annotations` (image_id, bbox): "
            f"{repr(error)[:100]}"
        ) from None
    return boxes


def result(prediction: dict[str, Array], box: Array, image_id: int, file: Path) -> dict[str, Any]:
    """A person of COCO's results, with the image's name and the box beside them."""
    joints = np.column_stack([prediction["image_xy"], prediction["score"]])
    return {
        "image_id": image_id,
        "file_name": file.name,
        "category_id": 1,
        "bbox": box.tolist(),
        "keypoints": [round(float(value), 3) for value in joints.ravel()],
        "score": round(float(prediction["score"].mean()), 5),
    }


def people(a: argparse.Namespace) -> Iterator[tuple[Path, int, Array, Array]]:
    """Each person's file, image's id, image and box."""
    given, files = people_of(a.boxes) if a.boxes else None, images_of(a.image)
    # Before anybody's picture is written.
    for file in files:
        if given is not None and file.name not in given:
            raise ValueError(f"--boxes {a.boxes} names no image {file.name}")
    for number, file in enumerate(files, 1):
        image_id, boxes = (number, [a.box]) if given is None else given[file.name]
        image = photograph(file)
        for box in boxes:
            yield file, image_id, image, box_of(box, image, f"--boxes {a.boxes}:" if a.boxes else "--box")


def folder_of(run: str | None) -> Path:
    """The folder of the run that is named, or of the published guided one; raises ValueError where there is none."""
    if run is None:
        published = sorted((PUBLISHED / "runs").glob(f"*/sg_*/{paths.WEIGHTS}"))
        if not published:
            raise ValueError(f"{PUBLISHED} has no published weights; name a run by --run")
        return published[0].parent
    dataset, _, name = run.removeprefix("runs/").strip("/").partition("/")
    if dataset not in DATASETS or not name:
        raise ValueError(f"--run {run} must be dataset/run, a folder under runs/")
    return paths.run(dataset, name)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=__doc__)
    parser.add_argument("image", type=Path, nargs="*", help="a file, or a folder of them")
    parser.add_argument("--run", help="such as coco/sg_hrnet_w32-r5-s0; else the published one")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--box", help="x,y,width,height of the person in pixels; else the whole image")
    either.add_argument("--boxes", type=Path, help="a file of boxes in COCO's format, for several people")
    parser.add_argument("--results", type=Path, help="a .json to write, everybody's joints as COCO's results")
    parser.add_argument(
        "--output", type=Path, help="one person's picture, a PNG; else the image's name with -pose.png, here"
    )
    parser.add_argument("--export", type=Path, help="an .onnx to write, the network itself")
    a = parser.parse_args(arguments)
    if bool(a.image) == bool(a.export):
        parser.error("name images, or a file to --export")
    try:
        folder = folder_of(a.run)
        if a.export:
            if a.export.suffix.lower() != ".onnx":
                raise ValueError(f"--export {a.export} must end with .onnx, as that is what is written")
            apart = export.export(*inference.load(folder), a.export)
            print(f"written: {a.export}, within {apart:.1g} of torch's largest value by onnxruntime")
            return
        if a.output and a.output.suffix.lower() != ".png":
            raise ValueError(f"--output {a.output} must end with .png, as that is what is written")
        if a.output and (a.boxes or len(images_of(a.image)) > 1):
            raise ValueError("--output names one picture; without it each person has one of its own")
        record, network = inference.load(folder)
        dataset = record.run.dataset
        device, results, count = Ranks.join("auto").device, [], dict[str, int]()
        for file, image_id, image, box in people(a):
            prediction = pose(image, box, record, network, device)
            results.append(result(prediction, box, image_id, file))
            number = count[file.stem] = count.get(file.stem, 0) + 1
            output = a.output or Path(f"{file.stem}-pose{f'-{number}' if number > 1 else ''}.png")
            output.write_bytes(picture(image, box, prediction, dataset))
            for joint, (x, y), score in zip(
                DATASETS[dataset].KEYPOINTS.names, prediction["image_xy"], prediction["score"], strict=True
            ):
                print(f"{joint:15} {x:8.1f} {y:8.1f}  {score:.2f}")
            print(f"picture: {output}")
        if a.results:
            a.results.write_text(json.dumps(results, indent=1) + "\n")
            print(f"results: {a.results}")
    except (ValueError, OSError) as error:
        sys.exit(f"predict: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
