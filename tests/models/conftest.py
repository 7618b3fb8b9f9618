"""Small networks, and weights made by a rule, for the tests of the networks."""

import functools
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.datasets import DATASETS
from pipeline.models import build, skeleton

KEYPOINTS = {entry.KEYPOINTS.count: entry.KEYPOINTS for entry in DATASETS.values()}


def parameters(
    fuse_upsample="nearest",
    modules=(1, 2, 2),
    apply="last_module",
    guided_fuse_upsample="bilinear",
    gate_bias=0.0,
):
    small = SimpleNamespace(width=8, stem=8, bottlenecks=1, modules=modules, blocks=1)
    model = SimpleNamespace(fuse_upsample=fuse_upsample, small=small)
    guidance = SimpleNamespace(apply=apply, gate_bias=gate_bias, fuse_upsample=guided_fuse_upsample)
    return {"model": model, "guidance": guidance}


@pytest.fixture(scope="session")
def make():
    """Build a network by name; the keywords of `parameters`, `ablation` and `seed` change it."""

    def make(name, joints=17, ablation=None, seed=0, **changes):
        return build(name, KEYPOINTS[joints], ablation=ablation, seed=seed, **parameters(**changes))

    return make


@pytest.fixture(scope="session")
def shape():
    """The same without values, on the meta device."""

    def shape(name, joints=17, ablation=None, **changes):
        return skeleton(name, KEYPOINTS[joints], ablation=ablation, **parameters(**changes))

    return shape


@pytest.fixture(scope="session")
def ruled():
    """Give a network the weights that the golden files were made with: each a function of its name alone."""

    def ruled(net):
        net.load_state_dict(
            {name: _weights(name, tuple(value.shape)) for name, value in net.state_dict().items()}
        )
        return net.eval()

    return ruled


@pytest.fixture(scope="session")
def image():
    """The golden files' input, (1, 3, 256, 192)."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 256, 192)).astype(np.float32))


@functools.cache
def _weights(name, shape):
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("running_var"):
        values = generator.uniform(0.5, 1.5, shape)
    elif len(shape) == 1 and name.endswith("weight"):
        values = generator.uniform(0.3, 0.7, shape)
    elif len(shape) == 1:
        values = generator.standard_normal(shape) * 0.05
    else:
        values = generator.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))
