"""Each way in which a download goes wrong, and that the next try gets to the right end."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import transfer
from pipeline.datasets.transfer import TransferError, download

# No download waits for real.
pytestmark = pytest.mark.usefixtures("pauses")
CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def url(server) -> str:
    server.files["/a.zip"] = CONTENT
    return f"{server.url}/a.zip"


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_whole_file_arrives_and_leaves_nothing_else(url, tmp_path):
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert left(tmp_path) == ["a.zip"]


def test_cut_connections_are_resumed_by_range(url, server, tmp_path, pauses):
    server.faults = ["cut", "cut"]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [r[1] for r in server.requests] == [None, "bytes=150000-", "bytes=225000-"]
    assert pauses == [1, 2]


def test_pauses_grow_while_nothing_new_arrives_and_then_it_ends(url, server, tmp_path, pauses):
    server.faults = [500] * 20
    with pytest.raises(TransferError, match=r"a\.zip cannot be fetched .*answers 500.*data\.source"):
        download(url, tmp_path / "a.zip")
    assert pauses == sorted(pauses) and pauses[-1] >= 30 * pauses[0]
    assert left(tmp_path) == []


def test_a_server_error_then_success(url, server, tmp_path):
    server.faults = [500, 503]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_not_found_ends_at_once_and_says_what_to_do(server, tmp_path, pauses):
    with pytest.raises(TransferError, match=r"gone\.zip answers 404; put gone\.zip into a folder"):
        download(f"{server.url}/gone.zip", tmp_path / "gone.zip")
    assert pauses == [] and left(tmp_path) == []


def test_no_server_at_all_is_said_in_few_words(server, tmp_path):
    server.close()
    with pytest.raises(TransferError, match=r"fetched \(no connection: \[Errno 111\] Connection refused\)"):
        download(f"{server.url}/a.zip", tmp_path / "a.zip")


def test_without_ranges_it_starts_over(url, server, tmp_path):
    server.faults = ["cut", "no range"]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_breaks_is_given_up(url, server, tmp_path, pauses):
    server.etag = None
    server.faults = ["cut"] * 50
    with pytest.raises(TransferError, match="run again"):
        download(url, tmp_path / "a.zip")
    assert len(server.requests) == len(transfer.PAUSES) + 1


def test_a_length_that_is_not_kept_is_never_a_whole_file(url, server, tmp_path):
    server.faults = ["wrong length"]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_another_range_than_asked_for_is_not_appended(url, server, tmp_path):
    server.faults = ["cut", "other range"]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_not_stitched_together(url, server, tmp_path):
    server.faults = ["cut", *[500] * 9]
    with pytest.raises(TransferError):
        download(url, tmp_path / "a.zip")
    server.files["/a.zip"], server.etag, server.faults = CONTENT[::-1], '"2"', []
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT[::-1]


def test_killed_between_the_last_byte_and_the_renaming(url, tmp_path, server):
    (tmp_path / ".a.zip.part").write_bytes(CONTENT)
    (tmp_path / ".a.zip.validator").write_text(server.etag)
    download(url, tmp_path / "a.zip", digest=f"md5:{hashlib.md5(CONTENT).hexdigest()}")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert left(tmp_path) == ["a.zip"] and len(server.requests) == 1


def test_killed_in_mid_download(server, tmp_path):
    server.files["/big.zip"] = content = np.random.default_rng(1).bytes(8 << 20)
    server.faults = ["slow"]
    code = (
        "import sys; from pathlib import Path; from pipeline.datasets.transfer import download;"
        "download(sys.argv[1], Path(sys.argv[2]))"
    )
    target, partial = tmp_path / "big.zip", tmp_path / ".big.zip.part"
    child = subprocess.Popen([sys.executable, "-c", code, f"{server.url}/big.zip", str(target)])
    deadline = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size >= 1 << 20):
        assert time.monotonic() < deadline and child.poll() is None
        os.sched_yield()
    child.send_signal(signal.SIGKILL)
    child.wait()
    reached = partial.stat().st_size
    assert not target.exists() and reached < len(content)
    download(f"{server.url}/big.zip", target)
    assert target.read_bytes() == content
    assert server.requests[-1][1] == f"bytes={reached}-"


def test_a_full_disk_is_met_before_the_first_byte(url, server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=transfer.RESERVE + 299_999))
    with pytest.raises(TransferError, match=r"GB free, but a\.zip needs"):
        download(url, tmp_path / "a.zip")
    assert left(tmp_path) == []


def test_a_disk_that_fills_up_under_way_keeps_what_is_there(url, tmp_path):
    # The kernel's device that is always full.
    (tmp_path / ".a.zip.part").symlink_to("/dev/full")
    with pytest.raises(TransferError, match="is full; free some space and run again"):
        download(url, tmp_path / "a.zip")
    (tmp_path / ".a.zip.part").unlink()
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_range_of_another_version_is_never_appended(url, server, tmp_path):
    server.faults = ["cut", "other version"]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [r[1] for r in server.requests] == [None, "bytes=150000-", None]


def test_the_old_beginning_is_gone_before_the_new_version_has_a_name(url, server, tmp_path, monkeypatch):
    (tmp_path / ".a.zip.part").write_bytes(b"old" * 1000)
    (tmp_path / ".a.zip.validator").write_text('"0"')
    seen, write = [], Path.write_text

    def write_text(path, text):
        seen.append((text, (tmp_path / ".a.zip.part").stat().st_size))
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", write_text)
    download(url, tmp_path / "a.zip")
    assert seen == [(server.etag, 0)]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("known", [True, False])
def test_a_file_as_long_as_the_servers_is_believed_by_its_hash_alone(url, server, tmp_path, known):
    (tmp_path / ".a.zip.part").write_bytes(CONTENT[::-1])
    (tmp_path / ".a.zip.validator").write_text(server.etag)
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}" if known else None
    download(url, tmp_path / "a.zip", digest=digest)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT and len(server.requests) == 2


def test_a_server_that_asks_to_wait_is_waited_for_and_not_for_ever(url, server, tmp_path, pauses):
    server.faults = [
        ("wait", "7"),
        ("wait", "1000000000"),
        ("wait", "soon"),
        ("wait", "Fri, 31 Dec 2999 23:59:59 GMT"),
    ]
    download(url, tmp_path / "a.zip")
    assert pauses == [7, transfer.LONGEST_PAUSE, 4, transfer.LONGEST_PAUSE]


@pytest.mark.parametrize("target", ["/a.zip", "file:///etc/passwd", "ftp://example.org/a.zip", "x"])
def test_redirections_to_nowhere_end_at_once(url, server, tmp_path, pauses, target):
    server.faults = [("to", target)] * (100 if target == "/a.zip" else 1)
    if target == "x":
        server.files = {}
    with pytest.raises(TransferError, match=r"a\.zip (leads|answers 404)"):
        download(url, tmp_path / "a.zip")
    assert pauses == [] and left(tmp_path) == []


@pytest.mark.parametrize(
    "location",
    ["http://[::1/x", "http://\xff\xfe/x", "/\xe9", "http://host:port/x", "http://host:99999/x"],
)
def test_a_redirection_to_no_address_is_said_in_a_sentence_that_names_the_first(
    url, server, tmp_path, pauses, location
):
    server.faults = [("to", location)]
    with pytest.raises(
        TransferError, match=r"^http://127\.0\.0\.1:\d+/a\.zip leads nowhere \(.*\); .*data\.source"
    ) as said:
        download(url, tmp_path / "a.zip")
    assert "codec" not in str(said.value)
    assert pauses == [] and left(tmp_path) == []


def test_redirections_are_followed_from_where_they_stand(url, server, tmp_path):
    server.files["/new/b%20c.zip"] = CONTENT
    server.faults = [
        ("to", "new/x.zip"),
        ("to", "/new/b c.zip#part"),
        "cut",
        ("to", f"{server.url}/new/b%20c.zip"),
    ]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [path for path, *_ in server.requests] == [
        "/a.zip", "/new/x.zip", "/new/b%20c.zip", "/a.zip", "/new/b%20c.zip",
    ]  # fmt: skip
    assert server.requests[-1][1] == "bytes=150000-"


def test_nobody_reads_a_redirection_s_page(url, server, tmp_path):
    server.faults = [("to", "/a.zip", 1 << 30)]
    download(url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    # But for what is on its way when the connection is closed.
    assert server.sent < 1 << 25


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://example.org/a.zip", "nonsense"])
def test_an_address_that_is_none_of_the_web_is_refused(tmp_path, address, pauses):
    with pytest.raises(TransferError, match="leads"):
        download(address, tmp_path / "a.zip")
    assert pauses == []


def test_a_server_that_drips_is_given_up(url, server, tmp_path, monkeypatch, pauses):
    monkeypatch.setattr(transfer, "PATIENCE", 0.2)
    server.faults = ["drip"] * 50
    with pytest.raises(TransferError, match=r"less than 1 kB a second.*run again to go on"):
        download(url, tmp_path / "a.zip")
    assert len(server.requests) == len(transfer.PAUSES) + 1


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "x"}, {"Content-Length": "-5"}, {"Content-Length": "9" * 30}]
)
def test_lengths_that_are_none_are_said_in_a_sentence(tmp_path, headers, pauses):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(len(transfer.PAUSES) + 1):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                    connection.sendall(
                        f"HTTP/1.1 200 OK\r\n{lines}Connection: close\r\n\r\n".encode() + b"abc"
                    )

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(TransferError):
            download(f"http://127.0.0.1:{port}/a.zip", tmp_path / "a.zip")
