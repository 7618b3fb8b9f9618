"""Random access to members, and what must never come out of it."""

import pickle
import stat
import zipfile
import zlib
from multiprocessing import get_context
from pathlib import Path

import pytest

from pipeline.datasets.store import FolderPart, ImageStore, StoreError, ZipPart
from tests.datasets.conftest import zip_bytes


def bare(path: str) -> str:
    return path.split("/")[-1]


def make(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_as_zipfile_reads_them(tmp_path, compression):
    members = {f"images/{i:03d}.jpg": bytes([i]) * i * 50 for i in range(40)} | {"images/ü.jpg": b"ue"}
    path = make(tmp_path / "a.zip", zip_bytes(members, compression))
    part = ZipPart(path, bare, 1 << 20)
    for name, content in members.items():
        assert part.read(bare(name)) == content
    assert "images" not in part and "041.jpg" not in part


def test_long_local_extra_fields_and_large_offsets(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in (1, 2):
            info = zipfile.ZipInfo(f"{number}.jpg")
            info.extra = b"\xaa\xaa" + (3000).to_bytes(2, "little") + b"x" * 3000
            archive.writestr(info, b"content %d" % number * 100)
    part = ZipPart(tmp_path / "a.zip", bare, 1 << 20)
    assert part.read("2.jpg") == b"content 2" * 100


def test_every_mirror_image_equals_what_zipfile_reads(shared):
    for path in sorted((shared / "mirror").glob("*/*.zip")):
        part = ZipPart(path, lambda name: name, 1 << 30)
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist()[:50]:
                assert part.read(name) == archive.read(name)


def _read_in_worker(images: ImageStore) -> int:
    return zlib.crc32(images.read("b.jpg"))


def test_a_store_goes_to_workers_and_opens_its_archive_there(tmp_path):
    path = make(tmp_path / "a.zip", zip_bytes({"a.jpg": b"a", "b.jpg": b"bb"}))
    images = ImageStore([ZipPart(path, bare, 100)])
    assert images.read("a.jpg") == b"a"
    assert pickle.loads(pickle.dumps(images)).read("b.jpg") == b"bb"
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(_read_in_worker, (images,)) == zlib.crc32(b"bb")


def test_a_spoiled_byte_is_never_data(tmp_path):
    content = bytearray(zip_bytes({"a.jpg": b"A" * 500, "b.jpg": b"B" * 500}))
    content[content.index(b"BBBB") + 100] ^= 1
    images = ImageStore([ZipPart(make(tmp_path / "a.zip", bytes(content)), bare, 1000)])
    assert images.read("a.jpg") == b"A" * 500
    with pytest.raises(StoreError, match=r"b\.jpg in .*a\.zip is damaged"):
        images.read("b.jpg")


def test_a_truncated_zip_is_named(tmp_path):
    content = zip_bytes({"a.jpg": b"A" * 5000})
    path = make(tmp_path / "a.zip", content[:-40])
    with pytest.raises(StoreError, match=r"a\.zip is damaged, cut short or no zip"):
        ZipPart(path, bare, 10_000)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "..\\a.jpg", "C:\\a.jpg"])
def test_members_that_lead_outside_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(StoreError, match="leads out of its folder"):
        ZipPart(tmp_path / "a.zip", bare, 100)


def test_links_are_refused(tmp_path):
    info = zipfile.ZipInfo("a.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(StoreError, match="holds a link"):
        ZipPart(tmp_path / "a.zip", bare, 100)


def test_bombs_are_refused_whatever_size_they_declare(tmp_path):
    honest = make(tmp_path / "a.zip", zip_bytes({"a.jpg": bytes(10_000_000)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(StoreError, match="unpacks to 10000000 bytes"):
        ZipPart(honest, bare, 1 << 20).read("a.jpg")
    content = honest.read_bytes().replace((10_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    liar = ZipPart(make(tmp_path / "b.zip", content), bare, 1 << 20)
    with pytest.raises(StoreError, match="is damaged"):
        liar.read("a.jpg")


def test_one_name_twice_is_refused(tmp_path):
    path = make(tmp_path / "a.zip", zip_bytes({"x/a.jpg": b"1", "y/a.jpg": b"2"}))
    with pytest.raises(StoreError, match=r"holds 'a\.jpg' twice"):
        ZipPart(path, bare, 100)


def test_folders_give_their_own_files_only(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"s")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    part = FolderPart(folder, 100, prefix="train/")
    assert part.read("train/a.jpg") == b"a"
    for name in ("train/../secret.jpg", "a.jpg", "train/b.jpg", "val/a.jpg"):
        assert name not in part
        with pytest.raises(StoreError, match="is not in"):
            part.read(name)
