"""People on photographs that may be published: studies/photographs, in COCO's format, and what a network sees there.

Most datasets' images may not be passed on. The page of a published study shows these people instead of a dataset's own.
"""

import json
from pathlib import Path

import numpy as np
import torch

from pipeline.arrays import Array
from pipeline.codec import segmentation
from pipeline.datasets import DATASETS
from pipeline.evaluation import inference
from pipeline.people import People, crop_of_box
from pipeline.runs import Record

LABELS = "people.json"


class Folder:
    """Images by name, as a loader reads them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


def examples(folder: Path, run: Path, flip_test: bool) -> dict[str, Array]:
    """What pictures of the people on a folder's photographs need, as `Inference.examples` has it, for a trained run.

    `source`, (B,) text, is where each person's photograph comes from and its licence. Raises ValueError where the run's
    folder holds none.
    """
    record, network = inference.load(run)
    people, source = photographed(folder, record)
    maps, guided = None, record.used.guided
    if guided is not None and record.run.radius is not None:
        size = record.used.input.size
        maps = segmentation.of_people(people, size, record.run.radius, guided.segmentation.distance)
    test = inference.Inference(network, record.used.input, torch.device("cpu"), flip_test)
    return {**test.examples(people, Folder(folder), maps), "source": source}


def photographed(folder: Path, record: Record) -> tuple[People, Array]:
    """The table of a folder's people, with the joints of a run's dataset, and each one's source, (N,) text.

    Joints that the dataset has and COCO has not are unlabelled. What a network may have trained on is left out.
    """
    labels = json.loads((folder / LABELS).read_text())
    dataset = record.run.dataset
    licences = {licence["id"]: licence["url"] for licence in labels["licenses"]}
    images = {
        image["id"]: image
        for image in labels["images"]
        if dataset != "coco" or "/train2017/" not in image["coco_url"]
    }
    people = [person for person in labels["annotations"] if person["image_id"] in images]
    names = labels["categories"][0]["keypoints"]
    order = [names.index(name) if name in names else len(names) for name in DATASETS[dataset].KEYPOINTS.names]
    # A joint more, that nobody has.
    keypoints = np.zeros((len(people), len(names) + 1, 3))
    keypoints[:, :-1] = np.array([person["keypoints"] for person in people]).reshape(len(people), -1, 3)
    keypoints = keypoints[:, order]
    labelled = keypoints[..., 2] > 0
    box = np.array([person["bbox"] for person in people], float)
    center, scale = crop_of_box(box, record.used.input.size)
    of_images = list(images)
    table = People(
        dataset=dataset,
        split="val",
        images=np.array([image["file_name"] for image in images.values()]),
        image=np.array([of_images.index(person["image_id"]) for person in people], np.int32),
        image_id=np.array([person["image_id"] for person in people]),
        person_id=np.array([person["id"] for person in people]),
        box=box,
        center=center,
        scale=scale,
        joints=np.where(labelled[..., None], keypoints[..., :2], 0),
        labelled=labelled,
        visible=keypoints[..., 2] == 2,
        head_size=np.full(len(people), np.nan),
        area=np.array([person["area"] for person in people]),
    )
    photographs = [images[person["image_id"]] for person in people]
    return table, np.array([f"{image['flickr_url']} ({licences[image['license']]})" for image in photographs])
