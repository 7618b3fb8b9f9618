"""Whether a claim can be judged on what was trained: the paper's data at full size, and its protocol."""

from collections.abc import Mapping
from typing import Any

from pipeline.params import Params
from pipeline.report import paper
from pipeline.report.results import printable


def departures(params: Params, dataset: str) -> dict[str, Any]:
    """The parameters that are not as in the paper, by dotted key, where it binds on this dataset."""
    free = () if dataset in paper.datasets() else paper.free_elsewhere()
    return {key: value for key, value in _other(params).items() if key not in free}


def freedoms(params: Params, dataset: str) -> dict[str, Any]:
    """As `departures`, where it does not bind."""
    bound = departures(params, dataset)
    return {key: value for key, value in _other(params).items() if key not in bound}


def _other(params: Params) -> dict[str, Any]:
    tree = printable(params)
    share = params.input.size[0] / paper.protocol()["input.size"][0]
    other = {}
    for key, stated in paper.protocol().items():
        value = _value(tree, key)
        wanted = _scaled(stated, share) if key in paper.in_heatmap_pixels() else stated
        if value != wanted:
            other[key] = value
    return other


def _scaled(length: Any, share: float) -> Any:
    return [each * share for each in length] if isinstance(length, list) else length * share


def _value(tree: Mapping[str, Any], key: str) -> Any:
    group, _, name = key.rpartition(".")
    return (tree[group] if group else tree)[name]
