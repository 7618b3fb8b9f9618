"""Libraries compute with the kernels that every processor with AVX2 has, and with so many threads as a run names."""

import os
import subprocess
import sys

import pytest

from pipeline import engines
from tests.conftest import ROOT, write_params

pytestmark = pytest.mark.skipif(not engines.has_avx2(), reason="nothing is pinned on this processor")

FOUND = """
import ctypes, glob, os
import stages
import numpy, torch
from pipeline import engines
torch.set_num_threads(1)
x = torch.ones(16, 16, 8, 8, requires_grad=True)
torch.nn.functional.conv2d(x, torch.ones(16, 16, 3, 3)).sum().backward()
torch.ones(64, 64) @ torch.ones(64, 64)
blas = ctypes.CDLL(*glob.glob(os.path.join(os.path.dirname(numpy.__file__), "..", "numpy.libs", "*openblas*")))
blas.scipy_openblas_get_corename64_.restype = ctypes.c_char_p
print("OpenBLAS", blas.scipy_openblas_get_corename64_().decode())
print("NumPy", numpy._core._multiarray_umath.__cpu_features__["X86_V4"])
print("torch", torch.backends.cpu.get_cpu_capability())
print("pinned", engines.pinned())
"""

STEPS = """
import os, sys
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[: int(sys.argv[1])])
import stages
import hashlib, torch
from benchmarks import steps
from pipeline.training.step import Execution

torch.set_num_threads(1)
execution = Execution(bfloat16=False, compiled="eager", deterministic=True)
step = steps.build("sg_hrnet_small", (128, 96), torch.device("cpu"), execution)
batch = steps.batch(4, (128, 96), torch.device("cpu"))
for number in range(2):
    step(batch, number, 1e-3)
whole = b"".join(value.numpy().tobytes() for value in step.network.state_dict().values())
print(os.sched_getaffinity(0), hashlib.sha256(whole).hexdigest())
"""


def output(script: str, folder, *arguments: str, **environment: str) -> str:
    own = {name: value for name, value in os.environ.items() if name not in engines.ARRAYS | engines.TORCH}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=own | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_every_library_obeys(tmp_path):
    write_params(tmp_path / "params.yaml", {})
    said = output(FOUND, tmp_path, ONEDNN_VERBOSE="1", MKL_VERBOSE="1")
    assert "OpenBLAS Haswell\nNumPy False\ntorch AVX2\npinned avx2\n" in said
    assert "isa:Intel AVX2\n" in said
    assert "CNR:COMPATIBLE" in said and "CNR:OFF" not in said


def test_who_asks_for_speed_gets_the_processors_own_kernels(tmp_path):
    write_params(tmp_path / "params.yaml", {"train.deterministic": False})
    said = output(FOUND, tmp_path, MKL_VERBOSE="1")
    assert "OpenBLAS Haswell\nNumPy False\n" in said
    assert "pinned own\n" in said
    assert "CNR:OFF" in said


@pytest.mark.skipif(os.cpu_count() == 1, reason="there is one core alone")
def test_how_many_cores_there_are_changes_nothing(tmp_path):
    write_params(tmp_path / "params.yaml", {})
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")
    one, two = (output(STEPS, tmp_path, cores).rsplit(maxsplit=1) for cores in "12")
    assert one[0] != two[0]
    assert one[1] == two[1]
