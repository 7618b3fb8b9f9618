"""From archives to tables: counts, warnings, images that cannot be used, and the two stages as they are run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.datasets import prepare as prepare_
from pipeline.datasets.prepare import BadImages, prepare
from pipeline.datasets.store import StoreError
from pipeline.people import People
from tests.datasets.archives import (
    coco_archives,
    data,
    jpeg,
    lspet_archives,
    lspet_joints,
    mpii_archives,
    unpack,
    write_archives,
    zip_bytes,
)

ROOT = Path(__file__).parents[2]
MAKERS = {"mpii": mpii_archives, "coco": coco_archives, "lspet": lspet_archives}
COUNTS = {"mpii": (2, 1), "coco": (3, 2), "lspet": (18, 2)}
SIZE = (256, 192)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(dataset: str, root: Path, archives: dict, on_bad_image: str = "fail") -> dict:
    folder = write_archives(root / "mine", archives)
    return prepare(dataset, data(folder, on_bad_image), SIZE, root, root / "people")


@pytest.mark.parametrize("dataset", MAKERS)
def test_tables_and_summary_agree_with_the_labels(dataset, root, capsys):
    summary = run(dataset, root, MAKERS[dataset]())
    for split, count in zip(("train", "val"), COUNTS[dataset], strict=True):
        people = People.load(root / "people" / f"{split}.npz")
        assert len(people) == count == summary["splits"][split]["people"]
        assert summary["splits"][split]["joints"] == people.labelled.sum()
    assert json.loads((root / "people/summary.json").read_text()) == json.loads(json.dumps(summary))
    assert not summary["full_size"]
    assert (root / "people/val_annotations.json").exists() == (dataset == "coco")
    out, err = capsys.readouterr()
    assert f"{dataset} train: {COUNTS[dataset][0]} people" in out
    assert f"WARNING: {dataset} train has {COUNTS[dataset][0]} people; the full dataset has" in err


def test_the_same_archives_give_the_same_bytes_packed_or_not(root):
    run("coco", root, coco_archives())
    first = {p.name: p.read_bytes() for p in (root / "people").iterdir()}
    unpack(root / "unpacked", coco_archives())
    prepare("coco", data(root / "unpacked"), SIZE, root, root / "again")
    assert {p.name: p.read_bytes() for p in (root / "again").iterdir()} == first


def with_images(changes: dict[str, bytes | None]) -> dict[str, bytes]:
    """COCO's archives with other training and validation images; None leaves one out."""
    archives = coco_archives()
    for split, ids in (("train", (1, 2)), ("val", (11, 12, 13))):
        members = {f"{split}2017/{i:012d}.jpg": jpeg(seed=i) for i in ids} | changes
        kept = {n: c for n, c in members.items() if c is not None and n.startswith(split)}
        archives[f"{split}2017.zip"] = zip_bytes(kept)
    return archives


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (jpeg(seed=2)[:900], "is a JPEG cut short"),
        (b"no image at all", "does not decode"),
        (jpeg(60, 40), "has 40x60 pixels, its label says 60x40"),
        (None, "is not in"),
    ],
)
def test_a_bad_image_fails_or_is_skipped_counted_and_listed(root, content, reason):
    name = "train2017/000000000002.jpg"
    archives = with_images({name: content})
    with pytest.raises(BadImages, match=rf"1 of 2 images cannot be used, first {name}.*on_bad_image: skip"):
        run("coco", root, archives)
    train = run("coco", root, archives, "skip")["splits"]["train"]
    assert list(train["images_skipped"]) == [name] and reason in train["images_skipped"][name]
    # DVC tracks this file.
    assert str(root) not in (root / "people/summary.json").read_text()
    assert train["people"] == 1 and train["dropped"]["in an image that cannot be used"] == 2
    assert name not in People.load(root / "people/train.npz").images


def test_skipped_validation_images_are_not_evaluated(root):
    run("coco", root, with_images({"val2017/000000000012.jpg": b""}), "skip")
    evaluation = json.loads((root / "people/val_annotations.json").read_text())
    assert [image["id"] for image in evaluation["images"]] == [11, 13]
    assert [a["id"] for a in evaluation["annotations"]] == [11]
    assert len(People.load(root / "people/val.npz")) == 1


def test_bytes_spoiled_inside_an_archive_are_found_or_skipped(root):
    archives = coco_archives()
    content = bytearray(archives["train2017.zip"])
    content[content.index(jpeg(seed=2)) + 1500] ^= 0xFF
    spoiled = archives | {"train2017.zip": bytes(content)}
    with pytest.raises(StoreError, match=r"000000000002\.jpg in .*train2017\.zip is damaged"):
        run("coco", root, spoiled)
    train = run("coco", root, spoiled, "skip")["splits"]["train"]
    assert list(train["images_skipped"]) == ["train2017/000000000002.jpg"]


def test_a_repaired_archive_gets_to_the_right_end(root):
    with pytest.raises(BadImages):
        run("coco", root, with_images({"train2017/000000000002.jpg": b""}))
    run("coco", root, coco_archives())
    assert len(People.load(root / "people/train.npz")) == 3


def test_a_split_without_people_is_an_error(root):
    archives = with_images({f"train2017/{i:012d}.jpg": b"" for i in (1, 2)})
    with pytest.raises(ValueError, match="no person of the train split is left"):
        run("coco", root, archives, "skip")


# As they are run -------------------------------------------------------------------------------------------


def stage(name: str, dataset: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", f"stages.{name}", dataset],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def project(folder: Path, source: str) -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["data"]["source"] = source
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def test_the_two_stages(tmp_path):
    write_archives(tmp_path / "mine", mpii_archives())
    project(tmp_path, "mine")
    for name in ("download", "prepare"):
        done = stage(name, "mpii", tmp_path)
        assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "data/mpii/archives.json").read_text())
    assert [row["name"] for row in manifest["archives"]] == sorted(mpii_archives(), key=lambda n: "tar" in n)
    assert str(tmp_path) not in (tmp_path / "data/mpii/archives.json").read_text()
    assert len(People.load(tmp_path / "data/mpii/people/val.npz")) == 1


def test_an_experiment_in_a_copy_uses_the_main_workspaces_archives(tmp_path):
    main, copy = tmp_path / "main", tmp_path / "main/.dvc/tmp/exps/1"
    copy.mkdir(parents=True)
    write_archives(main / "mine", mpii_archives())
    project(copy, "mine")
    for name in ("download", "prepare"):
        done = stage(name, "mpii", copy, DVC_ROOT=str(main))
        assert done.returncode == 0, done.stderr
    assert (copy / "data/mpii/people/train.npz").exists() and not (copy / "data/archives").exists()
    assert len(list((main / "data/archives/mpii").glob("images-*.zip"))) == 1


def test_an_expected_error_is_one_sentence_and_code_1(tmp_path):
    project(tmp_path, "mine")
    (tmp_path / "mine").mkdir()
    done = stage("download", "mpii", tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("stages.download: mpii_human_pose_v1_u12_2.zip") and str(tmp_path / "mine") in line
    done = stage("prepare", "cocoa", tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "cocoa" in done.stderr


def test_people_without_a_head_size_are_counted(root):
    joints = lspet_joints()
    joints[12, 2, 9] = 0
    summary = run("lspet", root, lspet_archives(joints))
    assert summary["splits"]["val"]["people_without_head_size"] == 1
    assert np.isnan(People.load(root / "people/val.npz").head_size).tolist() == [True, False]


@pytest.mark.parametrize(("people", "whole"), [(2958, True), (2944, True), (2943, False), (2980, False)])
def test_a_dataset_is_whole_without_a_handful_of_its_people(people, whole):
    assert prepare_.is_whole({"people": people, "known_people": 2958}) == whole
