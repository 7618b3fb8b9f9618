"""Valid content made invalid: bytes anywhere, or values where they stand."""

import copy
import gzip
import random
import struct
from collections.abc import Sequence
from typing import Any

# What readers take for sizes and counts, at the ends of their types.
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, 10**400, -0.0, 0.5, 1e308, -1e308, 5e-324, float("nan"),
    float("inf"), float("-inf"), "", "0", "nan", "a", "../x", "/etc/passwd", "$(touch x)", "'; touch x; '",
    "x\0y", "\ud800", "é" * 300, [], [[]], [None], {}, {"a": 1}, [1] * 1000,
)  # fmt: skip


def of_bytes(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """One to four changes of bytes, most often in the first ones, where headers are."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        size = len(out)
        at = min(int(size * rng.random() ** rng.choice((1, 1, 4))), max(size - 1, 0))
        length = min(1 + int(rng.expovariate(1 / 20)), size)
        match rng.randrange(8):
            case 0 if size:
                out[at] ^= 1 << rng.randrange(8)
            case 1 if size:
                out[at] = rng.randrange(256)
            case 2:
                width, order = rng.choice("BHIQ"), rng.choice("<>")
                number = rng.choice(NUMBERS) & (2 ** (8 * struct.calcsize(width)) - 1)
                out[at : at + struct.calcsize(width)] = struct.pack(order + width, number)
            case 3:
                del out[at:]
            case 4:
                del out[at : at + length]
            case 5:
                out[at:at] = out[at : at + length] * rng.choice((1, 1, 50))
            case 6:
                out[at:at] = rng.randbytes(length)
            case 7:
                other = rng.choice(others)
                start = rng.randrange(len(other) or 1)
                out[at : at + length] = other[start : start + length]
    return bytes(out)


def of_gzip(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """As `of_bytes`, within the packed content: its checksum fits again."""
    return gzip.compress(of_bytes(gzip.decompress(data), [gzip.decompress(o) for o in others], rng), 1)


def of_values(content: Any, rng: random.Random) -> Any:
    """JSON's or YAML's values, of which one to three are replaced, dropped, doubled or exchanged."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(content))
        if not places:
            return _hostile(rng)
        inside, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, list):
                inside.append(copy.deepcopy(inside[key]))
            case 2:
                other, there = rng.choice(places)
                inside[key] = copy.deepcopy(other[there]) if there in _keys(other) else None
            case 3 if isinstance(inside[key], int | float) and not isinstance(inside[key], bool):
                factor = rng.choice((-1, 0, 2, 10**30, 0.5, 1e6))
                inside[key] = factor if abs(inside[key]) > 1e300 else inside[key] * factor
            case 4 if isinstance(inside, dict):
                inside[rng.choice(("", "x", "id", "__class__"))] = _hostile(rng)
            case _:
                inside[key] = _hostile(rng)
    return content


def _hostile(rng: random.Random) -> Any:
    # Not the very list that stands in HOSTILE: the next change may be to it.
    return copy.deepcopy(rng.choice(HOSTILE))


def _places(content: Any) -> Any:
    for key in _keys(content):
        yield content, key
        yield from _places(content[key])


def _keys(content: Any) -> list[Any]:
    if isinstance(content, dict):
        return list(content)
    return list(range(len(content))) if isinstance(content, list) else []
