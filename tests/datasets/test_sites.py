"""Archives from the official sites: fetched once, verified, pinned and converted."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import transfer
from pipeline.datasets.archive import ArchiveError
from pipeline.datasets.formats import coco, mpii
from pipeline.datasets.sources import fetch, open_images
from pipeline.datasets.transfer import TransferError
from tests.conftest import ROOT
from tests.datasets.archives import (
    AN_IMAGE,
    MAKERS,
    RELEASE_PATH,
    data,
    jpeg,
    lspet_archives,
    lspet_joints,
    mat,
    mpii_archives,
    record,
    spoil,
    tar_bytes,
    write_archives,
    zip_bytes,
)


@pytest.mark.parametrize("dataset", MAKERS)
def test_official_archives_are_fetched_once_and_opened(dataset, root, site):
    manifest = fetch(dataset, data("official"), root)
    assert manifest["source"] == "official" and len(manifest["archives"]) == len(site.requests)
    record(dataset, manifest)
    assert open_images(dataset, data("official"), root).read(AN_IMAGE[dataset])[:2] == b"\xff\xd8"
    assert fetch(dataset, data("official"), root) == manifest
    assert len(site.requests) == len(manifest["archives"])


def test_what_has_no_published_hash_is_pinned_on_first_sight(root, site, tmp_path):
    fetch("mpii", data("official"), root)
    pins = json.loads((root / "sources.lock.json").read_text())
    assert sorted(pins) == ["mpii/mpii_human_pose_v1.tar.gz", "mpii/mpii_human_pose_v1_u12_2.zip"]
    tar = mpii_archives()["mpii_human_pose_v1.tar.gz"]
    # Times of packing differ, the pin is what was really seen.
    assert pins["mpii/mpii_human_pose_v1.tar.gz"]["bytes"] == pytest.approx(len(tar), abs=20)
    # A clone has the lock file and nothing else; its site serves something else.
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "sources.lock.json").write_text((root / "sources.lock.json").read_text())
    site.files["/mpii_human_pose_v1.tar.gz"] = tar_bytes({"images/a.jpg": jpeg(seed=5)})
    with pytest.raises(ArchiveError, match=r"when first fetched \(sources\.lock\.json\)"):
        fetch("mpii", data("official"), clone)
    assert json.loads((clone / "sources.lock.json").read_text()) == pins


COMMITTED = ROOT / "sources.lock.json"


def test_coco_is_known_by_sha256_too(root, site):
    """MD5, which its site publishes, can be forged; others' projects, each by itself, have the same SHA-256."""
    pins = json.loads(COMMITTED.read_text())
    # The site's fixture has sizes of its own.
    sizes = {
        "annotations_trainval2017.zip": 252_907_541,
        "val2017.zip": 815_585_330,
        "train2017.zip": 19_336_861_798,
    }
    assert {name: pins[f"coco/{name}"]["bytes"] for name in sizes} == sizes
    shutil.copy(COMMITTED, root)
    with pytest.raises(ArchiveError, match=r"annotations_trainval2017\.zip has sha256 .* but was 113a836d"):
        fetch("coco", data("official"), root)


def test_pins_do_not_judge_a_folder_of_the_users(root, tmp_path):
    shutil.copy(COMMITTED, root)
    for dataset, make in MAKERS.items():
        write_archives(tmp_path / "mine" / dataset, make())
        assert fetch(dataset, data("../mine"), root)["source"] == "folder"
    assert (root / COMMITTED.name).read_bytes() == COMMITTED.read_bytes()


def test_a_clone_with_the_manifest_and_no_archives_heals_itself(root, site):
    manifest = fetch("coco", data("official"), root)
    record("coco", manifest)
    (root / "data/archives/coco/val2017.zip").unlink()
    images = open_images("coco", data("official"), root)
    assert images.read("val2017/000000000011.jpg") == jpeg(seed=11)


def test_spoiled_bytes_fail_the_hash_and_are_fetched_again_at_once(root, site, capsys):
    site.faults = [None, "spoiled"]
    assert fetch("coco", data("official"), root)["archives"]
    assert [r[0] for r in site.requests].count("/val2017.zip") == 2
    assert "val2017.zip has md5" in capsys.readouterr().err


def test_what_stays_spoiled_is_removed_and_the_next_run_succeeds(root, site):
    site.faults = [None, "spoiled", "spoiled"]
    with pytest.raises(ArchiveError, match=r"val2017\.zip has md5 .* not the published .* by the next run"):
        fetch("coco", data("official"), root)
    assert not (root / "data/archives/coco/val2017.zip").exists()
    assert fetch("coco", data("official"), root)["archives"]


def test_an_image_spoiled_inside_an_archive_without_a_published_hash_is_not_pinned(root, site):
    good = site.files["/lspet_dataset.zip"]
    site.files["/lspet_dataset.zip"] = spoil(good, jpeg(seed=3))
    with pytest.raises(ArchiveError, match=r"im00004\.jpg in lspet_dataset\.zip is damaged"):
        fetch("lspet", data("official"), root)
    assert not (root / "sources.lock.json").exists()
    site.files["/lspet_dataset.zip"] = good
    assert fetch("lspet", data("official"), root)["archives"]


def test_an_error_page_is_never_pinned(root, site):
    good = site.files["/mpii_human_pose_v1_u12_2.zip"]
    site.files["/mpii_human_pose_v1_u12_2.zip"] = b"<html>log in first</html>"
    with pytest.raises(ArchiveError, match=r"no zip archive .* by the next run"):
        fetch("mpii", data("official"), root)
    assert not (root / "sources.lock.json").exists()
    site.files["/mpii_human_pose_v1_u12_2.zip"] = good
    fetch("mpii", data("official"), root)


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_tar_from_the_site_is_fetched_again(root, site, keep):
    good = site.files["/mpii_human_pose_v1.tar.gz"]
    site.files["/mpii_human_pose_v1.tar.gz"] = good[: int(len(good) * keep)]
    with pytest.raises(ArchiveError, match=r"tar\.gz is damaged or cut short"):
        fetch("mpii", data("official"), root)
    assert not (root / "sources.lock.json").exists()
    site.files["/mpii_human_pose_v1.tar.gz"] = good
    record("mpii", fetch("mpii", data("official"), root))
    assert open_images("mpii", data("official"), root).read("c.jpg") == jpeg(seed=2)


def test_lspet_is_known_by_its_joints(root, site):
    other = lspet_joints()
    other[0, 0, 0] += 1
    site.files["/lspet_dataset.zip"] = lspet_archives(other)["lspet_dataset.zip"]
    with pytest.raises(ArchiveError, match=r"joints\.mat in lspet_dataset\.zip has sha256"):
        fetch("lspet", data("official"), root)


def test_labels_without_release_are_fetched_again(root, site):
    good = site.files["/mpii_human_pose_v1_u12_2.zip"]
    site.files["/mpii_human_pose_v1_u12_2.zip"] = zip_bytes({RELEASE_PATH: mat(other=np.zeros(3))})
    with pytest.raises(ArchiveError, match=r"holds no RELEASE.*mpii_human_pose_v1_u12_2\.zip and .* removed"):
        fetch("mpii", data("official"), root)
    assert not (root / "sources.lock.json").exists()
    site.files["/mpii_human_pose_v1_u12_2.zip"] = good
    assert len(fetch("mpii", data("official"), root)["archives"]) == 3


def test_a_wrong_archive_that_the_user_put_there_is_not_removed(root, site):
    home = write_archives(root / "data/archives/coco", {"val2017.zip": b"precious"})
    with pytest.raises(
        ArchiveError, match=r"val2017\.zip has md5 .*; remove .*val2017\.zip to have it fetched"
    ):
        fetch("coco", data("official"), root)
    assert (home / "val2017.zip").read_bytes() == b"precious"


def test_the_tar_is_converted_to_labelled_images_and_removed(root, site):
    record("mpii", fetch("mpii", data("official"), root))
    home = root / "data/archives/mpii"
    assert not (home / "mpii_human_pose_v1.tar.gz").exists()
    (converted,) = home.glob("images-*.zip")
    with zipfile.ZipFile(converted) as archive:
        assert sorted(archive.namelist()) == ["images/a.jpg", "images/b.jpg", "images/c.jpg"]
        assert all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist())
    requests = len(site.requests)
    fetch("mpii", data("official"), root)
    assert len(site.requests) == requests


def test_a_tar_that_the_user_put_there_stays(root, site):
    home = root / "data/archives/mpii"
    write_archives(home, {"mpii_human_pose_v1.tar.gz": site.files["/mpii_human_pose_v1.tar.gz"]})
    fetch("mpii", data("official"), root)
    assert (home / "mpii_human_pose_v1.tar.gz").exists()
    assert "/mpii_human_pose_v1.tar.gz" not in [r[0] for r in site.requests]


def test_free_disk_is_checked_before_the_first_byte_with_room_for_converting(root, site, monkeypatch):
    sizes = {a.name: a.size for a in mpii.ARCHIVES}
    need = sum(sizes.values()) + sizes["mpii_human_pose_v1.tar.gz"]
    usage = shutil.disk_usage(root)
    free = transfer.RESERVE + need - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    with pytest.raises(TransferError, match="the archives of mpii needs"):
        fetch("mpii", data("official"), root)
    assert site.requests == []
    free += 1
    assert fetch("mpii", data("official"), root)


def test_two_processes_share_one_download(root, site):
    site.faults = ["slow"] * 3
    code = """
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from pipeline.datasets import sources
from pipeline.datasets.formats import coco
sizes = [int(s) for s in sys.argv[3].split(",")]
coco.ARCHIVES = tuple(
    replace(a, url=f"{sys.argv[2]}/{a.name}", digest=None, size=s) for a, s in zip(coco.ARCHIVES, sizes)
)
sources.fetch("coco", SimpleNamespace(source="official"), Path(sys.argv[1]))
"""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    sizes = ",".join(str(a.size) for a in coco.ARCHIVES)
    command = [sys.executable, "-c", code, str(root), site.url, sizes]
    children = [subprocess.Popen(command, env=here, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], errors
    assert len(site.requests) == 3
