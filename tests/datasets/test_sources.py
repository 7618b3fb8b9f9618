"""Archives from every source: found or fetched, verified, converted; nothing wrong is taken for data."""

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import code, paths
from pipeline.datasets import ledger, tar, transfer
from pipeline.datasets.archive import ArchiveError, MissingArchive
from pipeline.datasets.demo import writers
from pipeline.datasets.formats import coco, lspet, mpii
from pipeline.datasets.sources import fetch, open_images, open_labels
from pipeline.datasets.store import MAX_IMAGE, StoreError
from pipeline.datasets.transfer import TransferError
from tests.datasets.conftest import (
    RELEASE_PATH,
    coco_archives,
    data,
    jpeg,
    lspet_archives,
    lspet_joints,
    mat,
    mpii_archives,
    tar_bytes,
    unpack,
    write_archives,
    zip_bytes,
)

MAKERS = {"mpii": mpii_archives, "coco": coco_archives, "lspet": lspet_archives}
AN_IMAGE = {"mpii": "b.jpg", "coco": "train2017/000000000002.jpg", "lspet": "im00020.jpg"}
A_LABEL = {
    "mpii": "detections.mat",
    "coco": "person_keypoints_val2017.json",
    "lspet": "joints.mat",
}


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project of its own, with no time lost between attempts."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(
        transfer, "time", SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic)
    )
    return folder


@pytest.fixture
def site(server, monkeypatch):
    """The datasets' sites on the local server, with published hashes of what they serve."""
    for module, make in (
        (mpii, mpii_archives),
        (coco, coco_archives),
        (lspet, lambda: lspet_archives(top="lsp-1/")),
    ):
        contents = make()
        changed = []
        for archive in module.ARCHIVES:
            content = contents[archive.name]
            server.files[f"/{archive.name}"] = content
            kind = (archive.digest or "none").split(":")[0]
            digest = f"{kind}:{hashlib.new(kind, content).hexdigest()}" if archive.digest else None
            known = tuple(
                (n, hashlib.sha256(mat(joints=lspet_joints())).hexdigest()) for n, _ in archive.content
            )
            url = f"{server.url}/{archive.name}"
            changed.append(replace(archive, url=url, size=len(content), digest=digest, content=known))
        monkeypatch.setattr(module, "ARCHIVES", tuple(changed))
    return server


def record(dataset: str, manifest: dict) -> None:
    """As the stage `download` does."""
    path = paths.manifest(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))


# Folders ---------------------------------------------------------------------------------------------------


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
    ("name", "spoil", "message"),
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
def test_what_is_of_no_use_is_not_recorded_and_the_right_file_follows(root, tmp_path, name, spoil, message):
    folder = write_archives(tmp_path / "mine", coco_archives())
    right = fetch("coco", data(folder), root)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(spoil(content))
    with pytest.raises(ValueError, match=message):
        fetch("coco", data(folder), root)
    (folder / name).write_bytes(content)
    assert fetch("coco", data(folder), root) == right


def test_hashes_are_not_computed_twice(root, tmp_path, monkeypatch):
    folder = write_archives(tmp_path / "mine", coco_archives())
    first = fetch("coco", data(folder), root)
    monkeypatch.setattr(ledger.hashlib, "new", None)
    assert fetch("coco", data(folder), root) == first


def test_the_real_archives(root, shared):
    sums = dict(reversed(line.split()) for line in (shared / "mirror/SHA256SUMS").read_text().splitlines())
    for dataset in ("mpii", "coco"):
        for row in fetch(dataset, data(shared / "mirror"), root)["archives"]:
            assert row["sha256"] == sums[f"{dataset}/{row['name']}"]
    assert len(open_images("mpii", data(shared / "mirror"), root).parts[0].names) == 141


# Demo ------------------------------------------------------------------------------------------------------


@pytest.fixture
def generator(monkeypatch):
    """A stand-in for the synthetic data: counts its calls, fails on demand, is code of some version."""
    state = SimpleNamespace(calls=0, fail=False, version="1")

    def generate(dataset, demo, folder):
        state.calls += 1
        for name, content in MAKERS[dataset]().items():
            (folder / name).write_bytes(content)
            if state.fail:
                raise RuntimeError("killed")

    monkeypatch.setattr(writers, "generate", generate)
    monkeypatch.setattr(code, "fingerprint", lambda *function, **selection: f"{selection} {state.version}")
    return state


def demo(seed: int):
    return data("demo", demo=SimpleNamespace(model_dump=lambda mode: {"seed": seed}))


def test_demo_is_generated_once_for_its_parameters_and_code(root, generator):
    first = fetch("mpii", demo(0), root)
    assert first["source"] == "demo"
    assert fetch("mpii", demo(0), root) == first and generator.calls == 1
    fetch("mpii", demo(1), root)
    assert generator.calls == 2
    generator.version = "2"
    fetch("mpii", demo(0), root)
    assert generator.calls == 3


def test_demo_killed_half_way_is_generated_anew(root, generator):
    generator.fail = True
    with pytest.raises(RuntimeError):
        fetch("mpii", demo(0), root)
    generator.fail = False
    fetch("mpii", demo(0), root)
    assert open_images("mpii", demo(0), root).read("a.jpg") == jpeg(seed=0)


# Official --------------------------------------------------------------------------------------------------


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


def spoil(archive: bytes, content: bytes) -> bytes:
    """An archive with one wrong byte in the middle of a member."""
    spoiled = bytearray(archive)
    spoiled[archive.index(content) + len(content) // 2] ^= 1
    return bytes(spoiled)


def test_an_image_spoiled_inside_an_archive_without_a_published_hash_is_not_pinned(root, site):
    good = site.files["/lspet_dataset.zip"]
    site.files["/lspet_dataset.zip"] = spoil(good, jpeg(seed=3))
    with pytest.raises(ArchiveError, match=r"im00004\.jpg in lspet_dataset\.zip is damaged"):
        fetch("lspet", data("official"), root)
    assert not (root / "sources.lock.json").exists()
    site.files["/lspet_dataset.zip"] = good
    assert fetch("lspet", data("official"), root)["archives"]


def test_an_image_spoiled_inside_an_archive_of_the_users_is_not_recorded(root, tmp_path):
    contents = coco_archives()
    folder = write_archives(tmp_path / "mine", contents)
    right = fetch("coco", data(folder), root)
    (folder / "val2017.zip").write_bytes(spoil(contents["val2017.zip"], jpeg(seed=12)))
    with pytest.raises(StoreError, match=r"000000000012\.jpg in val2017\.zip is damaged"):
        fetch("coco", data(folder), root)
    (folder / "val2017.zip").write_bytes(contents["val2017.zip"])
    assert fetch("coco", data(folder), root) == right


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
    usage = transfer.shutil.disk_usage(root)
    free = transfer.RESERVE + need - 1
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: usage._replace(free=free))
    with pytest.raises(TransferError, match="the archives of mpii needs"):
        fetch("mpii", data("official"), root)
    assert site.requests == []
    free += 1
    assert fetch("mpii", data("official"), root)


# Tars ------------------------------------------------------------------------------------------------------


def mpii_with(tar: bytes, folder: Path) -> Path:
    return write_archives(folder, mpii_archives() | {"mpii_human_pose_v1.tar.gz": tar})


def special_tar(**fields) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("images/a.jpg")
        for name, value in fields.items():
            setattr(info, name, value)
        archive.addfile(info, io.BytesIO(bytes(min(info.size, 1000))))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "../a.jpg"}, "leads out of its folder"),
        ({"name": "/images/a.jpg"}, "leads out of its folder"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "neither file nor folder"),
        ({"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "neither file nor folder"),
        ({"type": tarfile.CHRTYPE}, "neither file nor folder"),
        ({"type": tarfile.FIFOTYPE}, "neither file nor folder"),
    ],
)
def test_a_tar_with_more_than_plain_files_is_refused(root, tmp_path, fields, message):
    folder = mpii_with(special_tar(**fields), tmp_path / "mine")
    with pytest.raises((ArchiveError, StoreError), match=message):
        fetch("mpii", data(folder), root)
    assert not list((root / "data/archives/mpii").glob("images-*"))
    assert (folder / "mpii_human_pose_v1.tar.gz").exists()


def test_bombs_in_a_tar_are_refused(root, tmp_path):
    one = mpii_with(tar_bytes({"images/a.jpg": bytes(MAX_IMAGE + 1)}), tmp_path / "one")
    with pytest.raises(ArchiveError, match="far more than images take"):
        fetch("mpii", data(one), root)
    many = {f"images/{i}.jpg": bytes(20 << 20) for i in range(5)}
    with pytest.raises(ArchiveError, match="far more than images take"):
        fetch("mpii", data(mpii_with(tar_bytes(many), tmp_path / "many")), root)
    # A header that is itself enormous: a path of 100 MB.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("images/" + "a" * (100 << 20)))
    with pytest.raises(ArchiveError, match="header claims"):
        fetch("mpii", data(mpii_with(buffer.getvalue(), tmp_path / "name")), root)


def gnu_header(kind: bytes, size: int, name: bytes = b"a") -> bytes:
    header = bytearray(512)
    header[:100] = name.ljust(100, b"\0")
    header[100:108], header[156:157], header[257:265] = b"0000644\0", kind, b"ustar  \0"
    header[124:136] = b"%011o\0" % size if size >= 0 else (size % 2**96 | 0xFF << 88).to_bytes(12, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((gnu_header(b"L", 10) + b"b".ljust(512, b"\0")) * 5000, "is damaged or cut short"),
        ((gnu_header(b"x", 20) + b"20 path=b.jpg\n".ljust(512, b"\0")) * 5000, "is damaged or cut short"),
        (gnu_header(b"L", 60_000) + b"a" * 60_416 + gnu_header(b"0", 0), r"holds a path of 60\d+ characters"),
        (gnu_header(b"L", 1 << 20) + b"a" * (1 << 20), "a header claims 1048576 bytes"),
        (gnu_header(b"0", -1024, b"images/a.jpg") * 20, "is damaged or cut short|far more"),
        (gnu_header(b"0", 0) * 150_000, "far more than images take"),
    ],
    ids=["chained names", "chained headers", "long name", "huge name", "negative size", "empty members"],
)
def test_hostile_headers_of_a_tar_end_soon(root, tmp_path, content, message):
    begin = time.monotonic()
    folder = mpii_with(gzip.compress(content + bytes(1024)), tmp_path / "mine")
    with pytest.raises((ArchiveError, StoreError), match=message):
        fetch("mpii", data(folder), root)
    assert time.monotonic() - begin < 20
    assert not list((root / "data/archives/mpii").glob("images-*"))


def test_spoiled_tars_are_archive_errors_and_nothing_else(root, tmp_path):
    random = np.random.default_rng(0)
    plain = np.frombuffer(
        gzip.decompress(tar_bytes({f"images/{i}.jpg": bytes(20) for i in range(5)})), np.uint8
    )
    for _ in range(300):
        spoiled = plain.copy()
        header = int(random.integers(0, 10)) * 512
        spoiled[header + random.integers(0, 512, 3)] = random.choice([0, 32, 48, 55, 76, 120, 128, 255], 3)
        # With the right checksum, for the rest to be believed.
        row = spoiled[header : header + 512]
        row[148:156] = 32
        row[148:156] = np.frombuffer(b"%06o\0 " % int(row.sum()), np.uint8)
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(spoiled.tobytes(), 1))
        try:
            tar.to_zip(tmp_path / "a.tar.gz", tmp_path / "a.zip", lambda path: path, None)
        except (ArchiveError, StoreError):
            pass


def test_a_full_disk_in_converting_leaves_nothing_and_the_next_run_succeeds(root, tmp_path):
    folder = write_archives(tmp_path / "mine", mpii_archives())
    fetch("mpii", data(folder), root)
    (converted,) = (root / "data/archives/mpii").glob("images-*.zip")
    converted.unlink()
    converted.with_suffix(".part").symlink_to("/dev/full")
    with pytest.raises(TransferError, match="is full; free some space and run again"):
        fetch("mpii", data(folder), root)
    assert not list((root / "data/archives/mpii").glob("images-*"))
    fetch("mpii", data(folder), root)
    assert converted.is_file()


def test_killed_in_mid_unpacking(root, tmp_path):
    noise = np.random.default_rng(0).bytes(4 << 20)
    tar = tar_bytes({f"images/{name}.jpg": jpeg(seed=i) + noise for i, name in enumerate("abc")})
    folder = mpii_with(tar, tmp_path / "mine")
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace;"
        "from pipeline.datasets import sources;"
        "sources.fetch('mpii', SimpleNamespace(source=sys.argv[1], on_bad_image='fail'), Path(sys.argv[2]))"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen([sys.executable, "-c", code, str(folder), str(root)], env=here)
    home, deadline = root / "data/archives/mpii", time.monotonic() + 120
    while not list(home.glob("images-*.part")):
        assert time.monotonic() < deadline and child.poll() is None
        os.sched_yield()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not list(home.glob("images-*.zip"))
    fetch("mpii", data(folder), root)
    assert open_images("mpii", data(folder), root).read("c.jpg") == jpeg(seed=2) + noise
    assert not list(home.glob("*.part"))


def test_two_processes_share_one_download(root, site, monkeypatch):
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
    children = [subprocess.Popen(command, env=here, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [c.wait(timeout=120) for c in children] == [0, 0]
    assert len(site.requests) == 3
