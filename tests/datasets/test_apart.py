"""A file is read for the first time where it can do no harm."""

import base64
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import apart
from pipeline.datasets.sources import fetch
from pipeline.people import LabelError
from tests.datasets.archives import data, mpii_archives, write_archives

# The two indices of MPII's validation split, spoiled in a few bytes.
CRASH = (
    "DgAAAFAAAAAGAAAACAAAAA4AAAAAAAAABQAAAAgAAAABAAAAAQAAAAEAAAARAAAAUkVMRQEAAABpbWcAAFAAAAAGAAAACAAAAA4AAAAAAAAABQAA"
    "AAgAAAABAAAAAWVyc29uX2luZAEAAAAAAAwAAAAIAAAAAQAAAAAAAAA="
)
FILES = [Path("somewhere/labels.mat")]


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise LabelError("labels.mat holds no ü")


def loop() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (crash, r"^labels\.mat crashes its reader"),
        (refuse, r"^labels\.mat holds no ü$"),
        (loop, r"^labels\.mat takes more than 1 s to read"),
        (lambda: np.ones(1 << 31), r"^labels\.mat takes more memory than labels do"),
    ],
    ids=["crash", "refuse", "loop", "memory"],
)
def test_a_reader_that_does_not_come_back_is_a_wrong_file(function, message, monkeypatch):
    monkeypatch.setattr(apart, "SECONDS", 1)
    monkeypatch.setattr(apart, "MEMORY", 4 << 30)
    with pytest.raises(LabelError, match=message):
        apart.parse(function, FILES)


def test_what_is_in_order_says_nothing_and_a_fault_of_ours_is_seen():
    apart.parse(lambda: None, FILES)
    with pytest.raises(ZeroDivisionError):
        apart.parse(lambda: 1 / 0, FILES)


def test_a_file_on_which_scipy_crashes_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spoiled = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + base64.b64decode(CRASH)
    folder = write_archives(tmp_path / "mine", mpii_archives() | {"detections.mat": spoiled})
    with pytest.raises(LabelError, match=r"detections\.mat"):
        fetch("mpii", data(folder), tmp_path)
    # The right file takes its place, and nothing else needs to be done.
    write_archives(folder, mpii_archives())
    assert len(fetch("mpii", data(folder), tmp_path)["archives"]) == 3
