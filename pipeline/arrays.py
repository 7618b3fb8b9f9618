"""The type of NumPy's arrays: what is in them, and their shapes, the docstrings and names say."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
