"""Files of weights and checkpoints: the same bytes for the same tensors, and not one bit that may flip unseen."""

import hashlib
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline import tensors

SOME = {
    "conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "bn1.running_var": torch.ones(3),
    "bn1.num_batches_tracked": torch.tensor(7),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(tensors.pack(SOME))
    return path


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


def test_tensors_come_back_and_any_reader_of_safetensors_reads_them(file):
    assert same(tensors.read(file), SOME) and same(load_file(file), SOME)


def test_the_digest_is_the_sha256_of_the_file_with_zeros_in_its_place(file):
    data = file.read_bytes()
    digest = re.search(rb'"sha256":"(\w{64})"', data)[1]
    assert hashlib.sha256(data.replace(digest, b"0" * 64)).hexdigest().encode() == digest


def test_bytes_depend_neither_on_the_process_nor_on_the_order_nor_on_the_memory_layout(file):
    turned = {k: SOME[k] for k in reversed(SOME)}
    turned["conv1.weight"] = turned["conv1.weight"].to(memory_format=torch.channels_last)
    assert tensors.pack(turned) == file.read_bytes()
    code = "import sys; from tests.test_tensors import *; sys.stdout.buffer.write(tensors.pack(SOME))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert other.stdout == file.read_bytes()


def test_each_bit_that_flips_is_noticed(file):
    whole = file.read_bytes()
    for number in range(8 * len(whole)):
        data = bytearray(whole)
        data[number // 8] ^= 1 << number % 8
        file.write_bytes(data)
        with pytest.raises(tensors.DamagedError):
            tensors.read(file)


def test_each_cut_and_each_addition_is_noticed(file):
    whole = file.read_bytes()
    for data in (*(whole[:end] for end in range(len(whole))), whole + b"\0", whole + whole):
        file.write_bytes(data)
        with pytest.raises(tensors.DamagedError):
            tensors.read(file)


def test_a_file_without_a_digest_is_read_only_where_it_may_be_foreign(file):
    save_file(SOME, file, {"format": "pt"})
    assert same(tensors.read(file, foreign=True), SOME)
    with pytest.raises(tensors.DamagedError, match="no sha256 of itself"):
        tensors.read(file)
    file.write_bytes(tensors.pack(SOME)[:-1] + b"?")
    with pytest.raises(tensors.DamagedError, match="not that of the sha256 in it"):
        tensors.read(file, foreign=True)
