"""Random access to members, and what must never come out of it."""

import pickle
import stat
import struct
import zipfile
import zlib
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import store
from pipeline.datasets.store import FolderPart, ImageStore, StoreError, ZipPart
from tests.datasets.archives import zip_bytes


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


def test_a_deflated_member_as_long_as_its_content_is_read(tmp_path):
    content = next(
        data
        for data in (bytes(range(n)) + bytes(4 + n % 3) for n in range(3, 250))
        if len(deflated(data)) == len(data)
    )
    path = make(tmp_path / "a.zip", zip_bytes({"a.jpg": content}, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("a.jpg")
        assert info.compress_type == zipfile.ZIP_DEFLATED and info.compress_size == info.file_size
    assert ZipPart(path, bare, 1000).read("a.jpg") == content


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def test_names_of_thousands_of_characters_are_refused(tmp_path):
    path = make(tmp_path / "a.zip", zip_bytes({"a" * 60_000 + ".jpg": b"1", "b.jpg": b"2"}))
    with pytest.raises(StoreError, match=r"a\.zip holds a path of 60004 characters"):
        ZipPart(path, bare, 100)


def zip64(size: int, packed: int, offset: int) -> bytes:
    """A zip of one member whose index claims these numbers."""
    local = b"PK\3\4" + bytes(22) + struct.pack("<HH", 5, 0) + b"a.jpgcontent"
    extra = struct.pack("<HHQQQ", 1, 24, size, packed, offset)
    index = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 0, 0, 0, zlib.crc32(b"content"), 0xFFFFFFFF, 0xFFFFFFFF, 5,
        len(extra), 0, 0, 0, 0, 0xFFFFFFFF,
    ) + b"a.jpg" + extra  # fmt: skip
    return local + index + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(index), len(local), 0)


@pytest.mark.parametrize(
    "numbers",
    [
        (2**64 - 1, 7, 0),
        (7, 2**63, 0),
        (7, 7, 2**63 + 5),
        (7, 7, 2**62),
        (7, 10**6, 0),
        (2**63, 2**63, 2**63),
    ],
)
def test_sizes_and_places_that_no_file_has_are_refused(tmp_path, numbers):
    assert ZipPart(make(tmp_path / "good.zip", zip64(7, 7, 0)), bare, 100).read("a.jpg") == b"content"
    with pytest.raises(StoreError, match=r"a\.(zip|jpg)"):
        ZipPart(make(tmp_path / "a.zip", zip64(*numbers)), bare, 100).read("a.jpg")


def test_an_index_of_gigabytes_is_refused_unread(tmp_path, monkeypatch):
    path = make(tmp_path / "a.zip", zip_bytes({f"{i}.jpg": b"x" for i in range(100)}))
    assert ZipPart(path, bare, 100)
    monkeypatch.setattr(store, "MAX_INDEX", 1000)
    monkeypatch.setattr(zipfile, "ZipInfo", None)
    with pytest.raises(StoreError, match=r"a\.zip has an index of \d+ bytes"):
        ZipPart(path, bare, 100)


def test_spoiled_zips_are_store_errors_and_nothing_else(tmp_path):
    random = np.random.default_rng(0)
    whole = np.frombuffer(zip64(7, 7, 0) + zip_bytes({"b.jpg": b"b" * 50}, zipfile.ZIP_DEFLATED), np.uint8)
    for content in (whole, np.frombuffer(zip64(7, 7, 0), np.uint8)):
        for _ in range(400):
            spoiled = content.copy()
            spoiled[random.integers(0, len(spoiled), 3)] = random.choice([0, 1, 127, 128, 255], 3)
            try:
                ZipPart(make(tmp_path / "a.zip", spoiled.tobytes()), bare, 100).read("b.jpg")
            except StoreError:
                pass
