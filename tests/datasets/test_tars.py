"""Images in a tar: converted to a zip, and nothing but plain files of sound size comes out."""

import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import tar
from pipeline.datasets.archive import ArchiveError
from pipeline.datasets.sources import fetch, open_images
from pipeline.datasets.store import MAX_IMAGE, StoreError
from pipeline.datasets.transfer import TransferError
from tests.datasets.archives import (
    data,
    jpeg,
    mpii_archives,
    tar_bytes,
    write_archives,
)


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
    # Of this process, whatever else the machine does.
    begin = time.process_time()
    folder = mpii_with(gzip.compress(content + bytes(1024)), tmp_path / "mine")
    with pytest.raises((ArchiveError, StoreError), match=message):
        fetch("mpii", data(folder), root)
    assert time.process_time() - begin < 20
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
