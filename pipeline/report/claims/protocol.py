"""Whether a claim can be judged on what was trained: the paper's data at full size, and its protocol."""

from collections.abc import Mapping
from typing import Any

from pipeline.params import Params
from pipeline.report import paper
from pipeline.report.results import printable


def departures(params: Params, dataset: str) -> dict[str, Any]:
    """The parameters that are not as in the paper, by dotted key, where it binds on this dataset."""
    tree = printable(params)
    free = () if dataset in paper.datasets() else paper.free_elsewhere()
    values = {key: _value(tree, key) for key in paper.protocol() if key not in free}
    return {key: value for key, value in values.items() if value != paper.protocol()[key]}


def _value(tree: Mapping[str, Any], key: str) -> Any:
    group, _, name = key.rpartition(".")
    return (tree[group] if group else tree)[name]
