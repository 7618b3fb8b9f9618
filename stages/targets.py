"""python -m stages.targets DATASET RADIUS: everybody's segmentation map (Eq. 2) at one radius, bit-packed."""

import json

import numpy as np

from pipeline import drawing, params, paths
from pipeline.codec import crop, segmentation
from pipeline.datasets import DATASETS, sources
from pipeline.loader import Crops
from pipeline.people import People
from stages import main

ON_SHEET = 40


def contact_sheet(people: People, packed: np.ndarray, p: params.Params) -> np.ndarray:
    """Crops of people spread over the split, with joints and maps, to look at."""
    images = sources.open_images(people.dataset, p.data, paths.project_root())
    crops = Crops(people, images, p.input.size)
    pictures = []
    for row in np.linspace(0, len(people) - 1, min(ON_SHEET, len(people))).round().astype(int):
        item = crops[0, int(row)]
        tinted = drawing.overlay(
            item["input"], segmentation.unpack(packed[row : row + 1], crop.heatmap_size(p.input.size))[0]
        )
        matrix = crop.affine(people.center[row], people.scale[row], p.input.size)
        joints_xy = crop.transform(people.joints[row], matrix)
        pictures.append(
            drawing.skeleton(tinted, joints_xy, item["labelled"], DATASETS[people.dataset].KEYPOINTS)
        )
    return drawing.sheet(pictures, columns=10)


def targets(dataset: str, radius: str) -> None:
    p = params.load()
    pixels = {str(each): each for each in p.radii_on(dataset)}.get(radius)
    if pixels is None:
        raise ValueError(f"params.yaml names no radius {radius} for {dataset}; see radius and radii")
    sources.fetch(dataset, p.data, paths.project_root())
    out = paths.emptied(paths.targets(dataset, pixels))
    statistics = {}
    for split in ("train", "val"):
        people = People.load(paths.people(dataset) / f"{split}.npz")
        packed = segmentation.of_people(people, p.input.size, pixels, p.segmentation.distance)
        np.save(out / f"{split}.npy", packed)
        share = np.bitwise_count(packed).sum(1) / (8 * packed.shape[1])
        statistics[split] = {
            "people": len(people),
            "foreground_share": float(share.mean()),
            "foreground_share_5_50_95_percent": np.percentile(share, (5, 50, 95)).round(6).tolist(),
            "people_without_foreground": int((share == 0).sum()),
        }
    (out / "statistics.json").write_text(json.dumps(statistics, indent=2) + "\n")
    (out / "contact_sheet.png").write_bytes(drawing.png(contact_sheet(people, packed, p)))


if __name__ == "__main__":
    main(targets)
