"""Files beside the archives: what a record of them holds, and that nothing reads another file than the recorded."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline import files, paths, weights
from pipeline.networks import NETWORKS
from stages import download as stage
from tests.conftest import ROOT
from tests.datasets.server import Server


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project of six drawn people, where a detector's file and weights lie outside."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "elsewhere"


def settings(detections=None, pretrained="none"):
    raw = yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())
    raw["data"]["demo"] |= {"train_people": 4, "val_people": 2}
    raw["evaluate"]["detections"], raw["model"]["pretrained"] = detections, pretrained
    Path("params.yaml").write_text(yaml.safe_dump(raw))


def test_without_such_files_the_records_are_empty(place):
    settings()
    stage.download("coco")
    assert json.loads(paths.given_boxes("coco").read_text()) == []
    assert json.loads(paths.given_weights("coco").read_text()) == []
    assert json.loads(paths.manifest("coco").read_text())["source"] == "demo"


def test_records_hold_hashes_and_no_folder_and_change_with_the_file(place):
    boxes, first = place / "boxes.json", place / "weights.pth"
    boxes.write_text("[1]")
    first.write_text("2")
    settings(str(boxes), str(first))
    for dataset in ("coco", "mpii"):
        stage.download(dataset)
    # echo -n '[1]' | sha256sum
    sha256 = "080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"
    row = {"name": "boxes.json", "bytes": 3, "sha256": sha256}
    assert json.loads(paths.given_boxes("coco").read_text()) == [row]
    # MPII has no detected boxes.
    assert json.loads(paths.given_boxes("mpii").read_text()) == []
    (recorded,) = json.loads(paths.given_weights("mpii").read_text())
    assert recorded["name"] == "weights.pth" and recorded["bytes"] == 1
    before = paths.given_weights("coco").read_bytes()
    boxes.write_text("[2]")
    stage.download("coco")
    assert json.loads(paths.given_boxes("coco").read_text()) != [row]
    # So that other boxes train nothing again.
    assert paths.given_weights("coco").read_bytes() == before


def test_a_detectors_file_that_is_not_there_is_named(place):
    settings("boxes.json")
    with pytest.raises(ValueError, match=r"evaluate\.detections: .*boxes\.json is not there"):
        stage.download("coco")


def test_a_file_that_changed_since_is_refused_with_what_takes_it(place):
    boxes, manifest = place / "boxes.json", paths.given_boxes("coco")
    boxes.write_text("[1]")
    files.check_recorded("evaluate.detections", boxes, manifest)
    files.record(manifest, [boxes])
    files.check_recorded("evaluate.detections", boxes, manifest)
    boxes.write_text("[2]")
    with pytest.raises(ValueError, match=r"boxes\.json is not the file .* --force download@coco"):
        files.check_recorded("evaluate.detections", boxes, manifest)
    boxes.unlink()
    with pytest.raises(ValueError, match=r"evaluate\.detections: .*boxes\.json is not there"):
        files.check_recorded("evaluate.detections", boxes, manifest)


def test_imagenet_weights_are_found_in_the_folder_or_named_with_where_they_were_looked_for(tmp_path):
    name = "hrnet_w32-36af842e.pth"
    for wanted, file in (("none", None), ("imagenet_if_there", None)):
        assert weights.find("hrnet_w32", wanted, "mine", tmp_path) is file
    with pytest.raises(weights.CheckpointError, match=rf"{name} is not in .*/mine and .*/pretrained"):
        weights.find("hrnet_w32", "imagenet", "mine", tmp_path)
    kept = tmp_path / "data" / "archives" / "pretrained" / name
    mine = tmp_path / "mine" / name
    for file in (kept, mine):
        file.parent.mkdir(parents=True)
        file.touch()
        assert weights.find("sg_hrnet_w32", "imagenet", "mine", tmp_path) == file
    with pytest.raises(weights.CheckpointError, match=r"own\.pth is missing"):
        weights.find("hrnet_w32", "own.pth", "mine", tmp_path)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def published(server, monkeypatch):
    """A network whose ImageNet weights a local server publishes."""
    name = f"resnet_small-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth"
    network = replace(NETWORKS["pose_resnet50"], imagenet=f"{server.url}/{name}")
    monkeypatch.setitem(NETWORKS, "pose_resnet50", network)
    server.files[f"/{name}"] = b"weights"
    return name


def test_a_page_in_place_of_weights_is_thrown_away_and_they_are_fetched(published, server, tmp_path):
    kept = tmp_path / weights.KEPT / published
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"<html>log in first</html>")
    assert weights.fetch("pose_resnet50", "imagenet", "official", tmp_path) == kept
    assert kept.read_bytes() == b"weights"
    weights.fetch("pose_resnet50", "imagenet", "official", tmp_path)
    assert len(server.requests) == 1


def test_a_site_that_gives_a_page_for_weights_is_named_and_nothing_is_kept(published, server, tmp_path):
    right, server.files[f"/{published}"] = server.files[f"/{published}"], b"<html>log in first</html>"
    with pytest.raises(
        weights.CheckpointError, match=rf"{published} gives another file than its name promises"
    ):
        weights.fetch("pose_resnet50", "imagenet", "official", tmp_path)
    assert not (tmp_path / weights.KEPT / published).exists()
    server.files[f"/{published}"] = right
    assert weights.fetch("pose_resnet50", "imagenet", "official", tmp_path).read_bytes() == b"weights"


def test_weights_if_there_from_a_site_that_is_away_are_none_and_it_is_said(
    published, server, tmp_path, capsys
):
    server.files.clear()
    assert weights.fetch("pose_resnet50", "imagenet_if_there", "official", tmp_path) is None
    assert "pose_resnet50 starts from scratch" in capsys.readouterr().err
    with pytest.raises(ValueError, match="answers 404"):
        weights.fetch("pose_resnet50", "imagenet", "official", tmp_path)


def test_weights_if_there_are_for_every_run_what_they_were_for_the_record(
    published, server, tmp_path, capsys
):
    found, right = tmp_path / "given_weights.json", server.files.pop(f"/{published}")
    network = ("pose_resnet50", "imagenet_if_there", "official", tmp_path)
    assert weights.fetch(*network) is None
    files.record(found, [])
    # The site is back, and some runs are trained already.
    server.files[f"/{published}"] = right
    capsys.readouterr()
    assert weights.recorded(*network, found) is None
    assert "pose_resnet50 starts from scratch" in capsys.readouterr().out
    kept = weights.fetch(*network)
    files.record(found, [kept])
    assert weights.recorded(*network, found) == kept
    # They are gone, and the site again: what the record names is no matter of luck.
    kept.unlink()
    server.files.clear()
    with pytest.raises(ValueError, match="answers 404"):
        weights.recorded(*network, found)


def test_pinned_weights_are_known_by_all_their_digits():
    pins = json.loads(weights.PINS.read_text())
    for name in ("resnet50-0676ba61.pth", "resnet101-63fe2227.pth", "resnet152-394f9c45.pth"):
        digest = weights.promised_digest(name)
        assert re.fullmatch("[0-9a-f]{64}", digest) and digest.startswith(name[-12:-4])
    assert all(re.fullmatch("[0-9a-f]{64}", pin["sha256"]) for pin in pins.values())
