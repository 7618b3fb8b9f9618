"""MATLAB's files, as bytes."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.people import LabelError


def load(content: bytes, name: str, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    """Some variables of a file, or all where none is named; raises LabelError where it is none or lacks one.

    name: of the file; what: whose file it should be.
    """
    # Not at the top: every stage imports this module, and few read such files.
    from scipy.io import loadmat

    try:
        variables = loadmat(io.BytesIO(content), variable_names=keys or None)  # type: ignore[arg-type]  # open files do too
    except Exception as error:  # scipy raises whatever its reader stumbles over
        raise LabelError(f"{name} is no MATLAB file ({error}); fetch it again") from error
    for key in keys:
        if key not in variables:
            raise LabelError(f"{name} holds no {key}: it is not {what}'s file; fetch it again")
    return variables


def save(variables: Mapping[str, Any], **options: Any) -> bytes:
    """A file of variables, the same bytes for the same values."""
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, variables, **options)  # type: ignore[arg-type]  # open files do too
    # The first 116 bytes are free text, in which scipy puts the time.
    return b"MATLAB 5.0 MAT-file".ljust(116) + file.getvalue()[116:]


def struct(**values: Any) -> np.ndarray:
    """A MATLAB struct (1, 1)."""
    out = np.empty((1, 1), dtype=[(name, object) for name in values])
    for name, value in values.items():
        out[name][0, 0] = value
    return out


def structs(rows: list[np.ndarray]) -> np.ndarray:
    """A MATLAB struct array (1, N); fields that a row lacks are empty there."""
    fields = list(dict.fromkeys(name for row in rows for name in row.dtype.names or ()))
    out = np.empty((1, len(rows)), dtype=[(name, object) for name in fields])
    for i, row in enumerate(rows):
        for name in fields:
            out[name][0, i] = row[name][0, 0] if name in (row.dtype.names or ()) else np.zeros((0, 0))
    return out
