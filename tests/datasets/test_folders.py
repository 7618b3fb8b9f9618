"""Archives in a folder of the user's: read where they lie, verified, and nothing wrong is taken for data."""

import hashlib

import pytest

from pipeline.datasets.archive import ArchiveError, MissingArchive
from pipeline.datasets.formats import lspet
from pipeline.datasets.sources import fetch, open_images, open_labels
from pipeline.datasets.store import StoreError
from tests.datasets.archives import (
    A_LABEL,
    AN_IMAGE,
    MAKERS,
    coco_archives,
    data,
    jpeg,
    lspet_archives,
    mpii_archives,
    record,
    spoil,
    unpack,
    write_archives,
    zip_bytes,
)


@pytest.mark.parametrize("dataset", MAKERS)
@pytest.mark.parametrize("place", ["flat", "subfolder"])
def test_archives_in_a_folder_are_read_in_place(dataset, place, root, tmp_path):
    contents = MAKERS[dataset]()
    folder = write_archives(tmp_path / "mine" / (dataset if place == "subfolder" else ""), contents)
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    # Relative to the project, as a user writes it.
    manifest = fetch(dataset, data("../mine"), root)
    assert manifest["source"] == "folder"
    rows = {row["name"]: row for row in manifest["archives"]}
    assert set(rows) == set(contents)
    for name, row in rows.items():
        if "of" not in row:
            assert row["bytes"] == len(contents[name])
            assert row["sha256"] == hashlib.sha256(contents[name]).hexdigest()
    assert open_images(dataset, data("../mine"), root).read(AN_IMAGE[dataset])[:2] == b"\xff\xd8"
    assert len(open_labels(dataset, data("../mine"), root).read(A_LABEL[dataset])) > 100
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
    copies = [
        p.name for p in (root / "data/archives" / dataset).iterdir() if p.suffix in (".zip", ".gz", ".jpg")
    ]
    assert all(name.startswith("images-") for name in copies) and len(copies) == (dataset == "mpii")


@pytest.mark.parametrize("dataset", MAKERS)
@pytest.mark.parametrize("inside", ["", "downloaded-and-unpacked"])
def test_unpacked_datasets_serve_without_copies(dataset, inside, root, tmp_path):
    contents = MAKERS[dataset]()
    packed = write_archives(tmp_path / "packed", contents)
    unpacked = unpack(tmp_path / "mine" / inside, contents)
    manifest = fetch(dataset, data("../mine"), root)
    assert all(
        "unpacked" in row.get("of", "") or row["name"] == "detections.mat" for row in manifest["archives"]
    )
    images, labels = (f(dataset, data("../mine"), root) for f in (open_images, open_labels))
    assert images.read(AN_IMAGE[dataset]) == open_images(dataset, data(packed), root).read(AN_IMAGE[dataset])
    assert labels.read(A_LABEL[dataset]) == open_labels(dataset, data(packed), root).read(A_LABEL[dataset])
    # A changed label or a lost image is another dataset.
    next(unpacked.rglob("*.jpg")).unlink()
    assert fetch(dataset, data("../mine"), root) != manifest


def test_one_datasets_images_are_not_taken_for_anothers(root, tmp_path):
    unpack(tmp_path / "mine" / "lspet", lspet_archives())
    labels = {name: content for name, content in mpii_archives().items() if not name.endswith(".gz")}
    write_archives(tmp_path / "mine" / "mpii", labels)
    with pytest.raises(MissingArchive, match=r"mpii_human_pose_v1\.tar\.gz"):
        fetch("mpii", data(tmp_path / "mine"), root)


def test_lspet_is_the_same_with_and_without_a_top_folder(root, tmp_path):
    write_archives(tmp_path / "a", lspet_archives())
    write_archives(
        tmp_path / "b", {f"lsp-{lspet.COMMIT}.zip": lspet_archives(top="lsp-x/")["lspet_dataset.zip"]}
    )
    one, other = (fetch("lspet", data(tmp_path / f), root) for f in "ab")
    assert one == other
    assert open_images("lspet", data(tmp_path / "b"), root).read("im00001.jpg") == jpeg(seed=0)


def test_a_missing_archive_is_named_with_the_folders_looked_in(root, tmp_path):
    contents = coco_archives()
    del contents["val2017.zip"]
    folder = write_archives(tmp_path / "mine", contents)
    with pytest.raises(MissingArchive) as error:
        fetch("coco", data(folder), root)
    assert "val2017.zip" in str(error.value)
    assert f"{folder / 'coco'}, {folder}" in str(error.value)
    with pytest.raises(MissingArchive, match=r"data\.source: nowhere is neither"):
        fetch("coco", data("nowhere"), root)


def test_an_archive_changed_after_download_is_refused(root, tmp_path):
    folder = write_archives(tmp_path / "mine", coco_archives())
    record("coco", fetch("coco", data(folder), root))
    open_images("coco", data(folder), root)
    (folder / "train2017.zip").write_bytes(zip_bytes({"train2017/000000000001.jpg": jpeg(seed=9)}))
    with pytest.raises(ArchiveError, match=r"train2017\.zip is not the .* records; `dvc repro --force"):
        open_images("coco", data(folder), root)


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("val2017.zip", lambda content: content[: len(content) // 2], r"val2017\.zip is damaged, cut short"),
        (
            "annotations_trainval2017.zip",
            lambda content: zip_bytes(
                {f"annotations/person_keypoints_{s}2017.json": b"[1, 2]" for s in ("train", "val")}
            ),
            r"person_keypoints_train2017\.json",
        ),
    ],
    ids=["cut", "not COCO"],
)
def test_what_is_of_no_use_is_not_recorded_and_the_right_file_follows(root, tmp_path, name, harm, message):
    folder = write_archives(tmp_path / "mine", coco_archives())
    right = fetch("coco", data(folder), root)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(harm(content))
    with pytest.raises(ValueError, match=message):
        fetch("coco", data(folder), root)
    (folder / name).write_bytes(content)
    assert fetch("coco", data(folder), root) == right


def test_hashes_are_not_computed_twice(root, tmp_path, monkeypatch):
    folder = write_archives(tmp_path / "mine", coco_archives())
    first = fetch("coco", data(folder), root)
    monkeypatch.setattr(hashlib, "new", None)
    assert fetch("coco", data(folder), root) == first


def test_the_real_archives(root, shared):
    sums = dict(reversed(line.split()) for line in (shared / "mirror/SHA256SUMS").read_text().splitlines())
    for dataset in ("mpii", "coco"):
        for row in fetch(dataset, data(shared / "mirror"), root)["archives"]:
            assert row["sha256"] == sums[f"{dataset}/{row['name']}"]
    assert len(open_images("mpii", data(shared / "mirror"), root).parts[0].names) == 141


def test_an_image_spoiled_inside_an_archive_of_the_users_is_not_recorded(root, tmp_path):
    contents = coco_archives()
    folder = write_archives(tmp_path / "mine", contents)
    right = fetch("coco", data(folder), root)
    (folder / "val2017.zip").write_bytes(spoil(contents["val2017.zip"], jpeg(seed=12)))
    with pytest.raises(StoreError, match=r"000000000012\.jpg in val2017\.zip is damaged"):
        fetch("coco", data(folder), root)
    (folder / "val2017.zip").write_bytes(contents["val2017.zip"])
    assert fetch("coco", data(folder), root) == right
