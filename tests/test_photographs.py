"""People on photographs that may be published."""

import json

import numpy as np
import pytest

from pipeline import params, photographs, study
from pipeline.datasets import DATASETS
from tests.conftest import ROOT, write_params, write_run

FOLDER = ROOT / study.PHOTOGRAPHS
LABELS = json.loads((FOLDER / photographs.LABELS).read_text())


def run_of(tmp_path, dataset, model="hrnet_small", radius=None):
    p = params.load(write_params(tmp_path / "params.yaml", {"model.small.width": 4, "model.small.stem": 8}))
    return write_run(tmp_path / "run", dataset, model, radius, p)


@pytest.mark.parametrize("dataset, count", [("lspet", 8), ("mpii", 8), ("coco", 2)])
def test_joints_are_those_of_the_dataset_by_name(tmp_path, dataset, count):
    shown = photographs.examples(FOLDER, run_of(tmp_path, dataset), flip_test=True)
    names, theirs = DATASETS[dataset].KEYPOINTS.names, LABELS["categories"][0]["keypoints"]
    people = [next(p for p in LABELS["annotations"] if p["id"] == key) for key in shown["person_id"]]
    assert len(people) == count and shown["input_BHW3"].shape == (count, 128, 96, 3)
    for person, labelled, input_xy in zip(people, shown["labelled"], shown["true_input_xy"], strict=True):
        keypoints = np.reshape(person["keypoints"], (-1, 3))
        there = [keypoints[theirs.index(name)] if name in theirs else (0, 0, 0) for name in names]
        assert labelled.tolist() == [v > 0 for *_, v in there]
        # A crop is the image, moved and made smaller: distances between two joints keep their ratio.
        image_xy = np.array(there)[labelled, :2]
        zoom = 128 / (1.25 * max(person["bbox"][3], person["bbox"][2] * 128 / 96))
        assert np.allclose(np.diff(input_xy[labelled], axis=0), np.diff(image_xy, axis=0) * zoom, atol=0.01)


def test_a_guided_network_has_maps_and_every_photograph_its_source(tmp_path):
    shown = photographs.examples(FOLDER, run_of(tmp_path, "mpii", "sg_hrnet_small", 2.5), flip_test=False)
    assert shown["maps_B4hw"].shape == (8, 4, 32, 24) and 0.1 < shown["target_map_Bhw"].mean() < 0.5
    urls = {image["flickr_url"]: image for image in LABELS["images"]}
    for source in shown["source"]:
        url, licence = source.split(" ")
        assert url in urls and licence == "(http://creativecommons.org/licenses/by/2.0/)"


def test_only_photographs_under_cc_by_are_there_and_all_are_named():
    assert {image["license"] for image in LABELS["images"]} == {4}
    assert {licence["url"] for licence in LABELS["licenses"]} == {
        "http://creativecommons.org/licenses/by/2.0/"
    }
    names = {image["file_name"] for image in LABELS["images"]}
    assert {path.name for path in FOLDER.glob("*.jpg")} == names
    text = (FOLDER / "README.md").read_text()
    assert all(image["flickr_url"] in text and image["file_name"] in text for image in LABELS["images"])
