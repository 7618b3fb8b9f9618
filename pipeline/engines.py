"""Which instructions, kernels and threads the numerical libraries may use: of their sums, the order is thus the same.

Each library chooses its kernels by the processor that it finds, and another kernel adds in another order: the last
bits differ, and after an epoch of training so do the first. What every x86-64 processor with AVX2 has (Intel's since
2013, AMD's since 2015) gives the same bytes on all of them. The libraries read the environment once, so all this comes
before they are imported.
"""

import functools
import os
import platform
from pathlib import Path
from typing import Literal

Kernels = Literal["avx2", "own"]

# NumPy and the BLAS below it: labels, crops, metrics, in every stage. One thread, since a sum that threads share has
# its parts added in an order of its own.
ARRAYS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
}
# Torch's own kernels, oneDNN's, and MKL's: its other settings for one order of sums hold among Intel's processors.
TORCH = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
}
# How long one of several threads spins before it sleeps. By default it is so long that beside one busy process a
# training on all cores all but stands still.
WAITING = {"GOMP_SPINCOUNT": "1000"}


def pin_arrays() -> None:
    """Before NumPy is imported."""
    if has_avx2():
        os.environ.update(ARRAYS)


def pin_torch(deterministic: bool) -> None:
    """Before torch is imported. What is deterministic costs a training on a CPU with AVX-512 a quarter of its rate."""
    os.environ.update(WAITING)
    if deterministic and has_avx2():
        os.environ.update(TORCH)


def pinned() -> Kernels:
    """What the libraries compute with in this process."""
    chosen = all(os.environ.get(name) == value for name, value in (ARRAYS | TORCH).items())
    return "avx2" if chosen and has_avx2() else "own"


@functools.cache
def has_avx2() -> bool:
    """Whether this is an x86-64 processor with AVX2, as Linux tells."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(line.startswith("flags") and "avx2" in line.split() for line in told.splitlines())
