"""Weights and checkpoints: what reads them, valid ones, and ways to spoil what they hold."""

import hashlib
import io
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors

from pipeline import params, tensors
from pipeline.evaluation import inference
from pipeline.models import pretrained
from pipeline.training.checkpoint import Checkpoint
from pipeline.weights import published
from tests.conftest import ROOT, write_run
from tests.fuzz import mutate


@cache
def _network() -> Any:
    p = params.load(ROOT / "profiles" / "demo.yaml")
    small = p.model.small.model_copy(update={"width": 2, "stem": 2})
    p = p.model_copy(update={"model": p.model.model_copy(update={"small": small})})
    with tempfile.TemporaryDirectory() as folder:
        return inference.load(write_run(Path(folder) / "run", "mpii", "hrnet_small", None, p))[1]


def read_weights(path: Path) -> None:
    assert not published(path)
    pretrained.load_checkpoint(_network(), path)


def valid_pth() -> list[bytes]:
    state = _network().state_dict()
    first = dict(list(state.items())[:6])
    return [_saved(content) for content in (state, {"state_dict": state, "epoch": 1}, first)]


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def pth_(valid: list[bytes], rng: random.Random) -> bytes:
    """A state dict in which some entry is another thing."""
    state = dict(_network().state_dict())
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(state))
        value = state[name] if isinstance(state[name], torch.Tensor) else torch.zeros(2)
        state.pop(name)
        others: list[Any] = [
            value.double(), value.half(), value.bool(), value.to(torch.complex64), value * torch.nan, value - 1e30,
            -value.abs() - 1, value[..., None], value.flatten(), value.flatten()[:0], value.to_sparse(),
            torch.empty(value.shape, device="meta"), torch.empty((), dtype=value.dtype).expand(value.shape),
            torch.nn.Parameter(value.float()), [value], {"a": value}, None, 1.5, "text",
        ]  # fmt: skip
        key: Any = rng.choice([name, name, name, "module." + name, "backbone." + name, "", 5, name + "x"])
        state[key] = rng.choice(others)
    wrapped = rng.choice(
        [state, state, {"state_dict": state}, list(state.values()), {"state_dict": 5}, [state]]
    )
    try:
        return _saved(wrapped)
    except (RuntimeError, NotImplementedError, TypeError):
        return rng.choice(valid)


def valid_safetensors() -> list[bytes]:
    state = _network().state_dict()
    return [safetensors.save({name: value.contiguous() for name, value in state.items()})]


def read_checkpoint(path: Path) -> None:
    Checkpoint(path.parent, path.stem).load()


def valid_checkpoint() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), "x")
        checkpoint.save({"a": torch.arange(4.0)}, {"epoch": 1})
        return [checkpoint.path.read_bytes()]


def resealed_(valid: list[bytes], rng: random.Random) -> bytes:
    """Spoiled, and then with the digest of what it is now."""
    data = mutate.of_bytes(rng.choice(valid), valid, rng)
    if not (found := tensors.DIGEST.search(data)):
        return data
    start, end = found.span(1)
    digest = hashlib.sha256(data[:start] + tensors.ZEROS + data[end:]).hexdigest()
    return data[:start] + digest.encode() + data[end:]
