"""The demo's archives: generated once for their parameters and code."""

from types import SimpleNamespace

import pytest

from pipeline import code
from pipeline.datasets.demo import writers
from pipeline.datasets.sources import fetch, open_images
from tests.datasets.archives import (
    MAKERS,
    data,
    jpeg,
)


@pytest.fixture
def generator(monkeypatch):
    """A stand-in for the synthetic data: counts its calls, fails on demand, is code of some version."""
    state = SimpleNamespace(calls=0, fail=False, version="1")

    def generate(dataset, demo, folder):
        state.calls += 1
        for name, content in MAKERS[dataset]().items():
            (folder / name).write_bytes(content)
            if state.fail:
                raise RuntimeError("killed")

    monkeypatch.setattr(writers, "generate", generate)
    monkeypatch.setattr(code, "fingerprint", lambda *function, **selection: f"{selection} {state.version}")
    return state


def demo(seed: int):
    return data("demo", demo=SimpleNamespace(model_dump=lambda mode: {"seed": seed}))


def test_demo_is_generated_once_for_its_parameters_and_code(root, generator):
    first = fetch("mpii", demo(0), root)
    assert first["source"] == "demo"
    assert fetch("mpii", demo(0), root) == first and generator.calls == 1
    fetch("mpii", demo(1), root)
    assert generator.calls == 2
    generator.version = "2"
    fetch("mpii", demo(0), root)
    assert generator.calls == 3


def test_demo_killed_half_way_is_generated_anew(root, generator):
    generator.fail = True
    with pytest.raises(RuntimeError):
        fetch("mpii", demo(0), root)
    generator.fail = False
    fetch("mpii", demo(0), root)
    assert open_images("mpii", demo(0), root).read("a.jpg") == jpeg(seed=0)
