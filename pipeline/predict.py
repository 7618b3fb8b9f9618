"""python -m pipeline.predict IMAGE --run RUN [--box x,y,w,h]: a trained network on any image, as a picture.

RUN is a folder under runs/, such as coco/sg_hrnet_w32-r5-s0. The picture shows the person's skeleton in the
image and in the crop, the heatmaps, and of a guided network its four attention maps and their product.
"""

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline import drawing, loader, paths
from pipeline.arrays import Array
from pipeline.codec import crop, heatmap
from pipeline.datasets import DATASETS
from pipeline.evaluation import inference
from pipeline.people import crop_of_box
from pipeline.ranks import Ranks, place

# Joints with a lower score are not drawn; as in COCO's rescoring.
SHOWN_SCORE = 0.2


@torch.inference_mode()
def predict(image: Array, box: Array, folder: Path, device: torch.device) -> dict[str, Array]:
    """One person's joints, with the flip test.

    image (H, W, 4) uint8 RGBA; box (4,) x, y, width, height in image pixels; folder of a trained run. Returns
    image_xy (K, 2), input_xy (K, 2), score (K,), input (h, w, 3) uint8, heatmaps (K, h/4, w/4), and of a
    guided network maps (4, h/4, w/4) probabilities. Raises ValueError where the folder holds no run.
    """
    record, network = inference.load(folder)
    size = record.used.input.size
    center, scale = crop_of_box(box[None], size)
    to_input = crop.affine(center[0], scale[0], size)
    pixels = crop.warp(image, to_input, size)
    heatmaps_1KHW, map_logits_14HW = inference.forward(
        place(network, device).eval(),
        loader.normalise(torch.from_numpy(pixels)[None].to(device)),
        torch.from_numpy(DATASETS[record.run.dataset].KEYPOINTS.flip_order).to(device),
    )
    heatmap_xy, score = heatmap.decode(heatmaps_1KHW)
    input_xy = heatmap_xy[0].double().cpu().numpy() * crop.STRIDE
    prediction = {
        "image_xy": crop.transform(input_xy, crop.invert(to_input)),
        "input_xy": input_xy,
        "score": score[0].cpu().numpy(),
        "input": pixels,
        "heatmaps": heatmaps_1KHW[0].cpu().numpy(),
    }
    if map_logits_14HW is not None:
        prediction["maps"] = map_logits_14HW[0].sigmoid().cpu().numpy()
    return prediction


def picture(image: Array, box: Array, prediction: dict[str, Array], dataset: str) -> bytes:
    """PNG of what `predict` says of an image (H, W, 4) uint8 RGBA at a box (4,)."""
    from matplotlib.figure import Figure

    keypoints, shown = DATASETS[dataset].KEYPOINTS, prediction["score"] > SHOWN_SCORE
    whole = drawing.skeleton(
        image[..., :3],
        prediction["image_xy"],
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
    height, width = image.shape[:2]
    figure = Figure(
        figsize=(2.2 * columns + 4.4 * rows * width / height / 1.5, 3.3 * rows), layout="constrained"
    )
    widths = [4.4 * rows * width / height / 1.5, 2.2 * columns]
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
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()


def box_of(text: str | None, image: Array) -> Array:
    """The box (4,) that "x,y,w,h" names, or the whole image; raises ValueError for anything else."""
    if text is None:
        return np.array([0, 0, image.shape[1], image.shape[0]], float)
    try:
        box = np.array([float(part) for part in text.split(",")])
    except ValueError:
        box = np.zeros(0)
    if box.shape != (4,) or not np.isfinite(box).all() or box[2:].min() <= 0:
        raise ValueError(f"--box {text} must be x,y,width,height in pixels, such as 40,20,120,300")
    height, width = image.shape[:2]
    if box[0] >= width or box[1] >= height or min(box[:2] + box[2:]) <= 0:
        raise ValueError(f"--box {text} lies outside the image of {width}x{height} pixels")
    return box


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--run", required=True, help="such as coco/sg_hrnet_w32-r5-s0")
    parser.add_argument("--box", help="x,y,width,height of the person in pixels; else the whole image")
    parser.add_argument(
        "--output", type=Path, help="the picture, a PNG; else the image's name with -pose.png, here"
    )
    a = parser.parse_args(arguments)
    try:
        dataset, _, name = a.run.removeprefix("runs/").strip("/").partition("/")
        if dataset not in DATASETS or not name:
            raise ValueError(f"--run {a.run} must be dataset/run, a folder under runs/")
        output = a.output or Path(f"{a.image.stem}-pose.png")
        if output.suffix.lower() != ".png":
            raise ValueError(f"--output {output} must end with .png, as that is what is written")
        image = crop.decode_image(a.image.read_bytes(), str(a.image))
        box = box_of(a.box, image)
        prediction = predict(image, box, paths.run(dataset, name), Ranks.join("auto").device)
        output.write_bytes(picture(image, box, prediction, dataset))
    except (ValueError, OSError) as error:
        sys.exit(f"predict: {error}")
    for joint, (x, y), score in zip(
        DATASETS[dataset].KEYPOINTS.names, prediction["image_xy"], prediction["score"], strict=True
    ):
        print(f"{joint:15} {x:8.1f} {y:8.1f}  {score:.2f}")
    print(f"picture: {output}")


if __name__ == "__main__":
    main(sys.argv[1:])
