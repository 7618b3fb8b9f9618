"""What code a consumer can reach, as a fingerprint: DVC and checkpoints follow meaning, and not files.

The project's sources are read, not run. A consumer starts at a function. From there every definition that it names is
followed: functions, classes, constants, through imports of this project alone. Each counts by its syntax tree without
docstrings, comments and the annotations of functions, and by the names that it takes from other packages. So an edit
that changes no meaning changes no fingerprint, and a definition that is not reached does not count.

- A method of a class counts once a reached definition mentions its name. Where a class inherits from another package
  (`nn.Module` calls `forward` by itself) all of its methods count.
- A table (`TABLES`) is a dict with an entry for each network, dataset and so on. Where a consumer says which entry it
  takes, the others do not count: adding a network leaves those that exist as they are.
- What is in `FOLLOWED_OTHERWISE` cannot change what a run makes, or DVC follows it by other means.

The code may therefore not import by a name made at run time, nor read or set attributes of modules by such names.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "stages")
TABLES = {
    "NETWORKS": "pipeline.networks",
    "FAMILIES": "pipeline.models",
    "DATASETS": "pipeline.datasets",
    "VARIANTS": "pipeline.variants",
}
FOLLOWED_OTHERWISE = {
    "pipeline.params": "DVC follows the parameters' values",
    "pipeline.runs": "records hold the parameters that a run used",
    "pipeline.code": "this file",
    "pipeline.paths": "where files lie",
    "pipeline.files": "hashes and JSON of files that DVC follows",
    "pipeline.tracking": "MLflow gets what the history holds",
    "pipeline.training.progress": "what people see of a training",
    "pipeline.training.signals": "when a training stops",
    "pipeline.training.checkpoint": "how a training survives, with the state that the step makes",
    "stages.__init__": "how a stage starts and fails",
}
SOURCES = {
    "pipeline.datasets.sources": "files' bytes as they are, whose hashes DVC follows",
    "pipeline.datasets.store": "files' bytes as they are, whose hashes DVC follows",
}


class CodeError(ValueError):
    """Code that cannot be followed; the message names file and line."""


@dataclass
class Definition:
    """A top-level function, class shell, method or assignment, or a module's other statements.

    digest: of its syntax tree. names: dotted names that it loads from the module's scope. attributes: every
    attribute that it mentions, for methods. methods: of a class, by name; whole: whether all of them count.
    """

    digest: str
    names: frozenset[str]
    attributes: frozenset[str]
    imports: dict[str, str]
    methods: dict[str, "Definition"] = field(default_factory=dict)
    bases: tuple[str, ...] = ()


@dataclass
class Module:
    """A source file. imports: names bound by imports, as dotted targets. entries: of its tables, by key."""

    name: str
    definitions: dict[str, Definition]
    imports: dict[str, str]
    entries: dict[str, dict[str, Definition]]
