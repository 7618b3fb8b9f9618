"""Files of named tensors: safetensors, with a digest inside of all of their bytes.

The digest is the sha256 of the file with zeros in the digest's place. It is the only key of safetensors' metadata,
whose order is not fixed: the same tensors give the same bytes. Nothing in such a file can run.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

ZEROS = b"0" * 64
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')


class DamagedError(ValueError):
    """A file that is not as it was written; says how that is known."""


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a file of tensors, the same for the same tensors, whichever device and memory layout they have."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.save(contiguous, {"sha256": ZEROS.decode()})
    start, end = _place(data)
    return b"".join([data[:start], hashlib.sha256(data).hexdigest().encode(), data[end:]])


def read(path: Path, *, foreign: bool = False) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; raises DamagedError, and OSError where it cannot be read.

    foreign: it may come from elsewhere, without a digest.
    """
    data = path.read_bytes()
    try:
        start, end = _place(data)
    except DamagedError:
        if not foreign:
            raise
    else:
        digest = hashlib.sha256(memoryview(data)[:start])
        digest.update(ZEROS)
        digest.update(memoryview(data)[end:])
        if digest.hexdigest().encode() != data[start:end]:
            raise DamagedError("its content is not that of the sha256 in it")
    try:
        return safetensors.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise DamagedError(f"it is no file of tensors: {error}") from None


def _place(data: bytes) -> tuple[int, int]:
    """Where the digest stands, in the header, whose length stands in the first eight bytes."""
    found = DIGEST.search(data, 8, min(len(data), 8 + int.from_bytes(data[:8], "little")))
    if not found:
        raise DamagedError("it holds no sha256 of itself")
    return found.span(1)
