"""What the fuzz found, and a few files more: `make fuzz` reads spoiled files by the hour."""

import os
import signal
import time

import pytest

from tests.fuzz.__main__ import FOUND, explore, fault, valid
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize(
    "found", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_what_was_found_once_is_one_sentence(found):
    assert fault(TARGETS[found.parent.name], found.read_bytes()) is None


@pytest.mark.parametrize("name", TARGETS)
def test_spoiled_files_are_one_sentence_and_valid_ones_are_read(name):
    assert [fault(TARGETS[name], data) for data in valid(name)] == [None] * len(valid(name))
    reached, found = explore(TARGETS[name], 0, 0, time.monotonic() + 0.5)
    assert reached > 0 and found == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no", "ends its reader"),
        (b"an exception of Python's", "KeyError"),
        (b"another file's name", "ValueError"),
        (b"two lines", "ValueError"),
    ],
)
def test_the_fuzz_finds_what_is_no_sentence_of_the_project(content, said, monkeypatch):
    def read(path):
        match path.read_bytes():
            case b"no":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"an exception of Python's":
                raise KeyError(path.name)
            case b"another file's name":
                raise ValueError("other.json is damaged")
            case b"two lines":
                raise ValueError(f"{path.name}\nis damaged")

    target = TARGETS["run.json"]
    broken = type(target)(target.name, read, lambda: [content], (lambda files, _: files[0],))
    monkeypatch.setitem(TARGETS, target.name, broken)
    valid.cache_clear()
    _, found = explore(broken, 0, 0, time.monotonic() + 1)
    valid.cache_clear()
    assert found and said in found[0][1]
