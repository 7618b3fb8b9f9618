"""What code a consumer can reach, as a fingerprint: DVC and checkpoints follow meaning, and not files.

The project's sources are read, not run. A consumer starts at a function. From there every definition that it names is
followed: functions, classes, constants, through imports of this project alone. Each counts by its syntax tree without
docstrings, comments and the annotations of functions, and by what the names stand for that other packages give it.
So an edit that changes no meaning changes no fingerprint, and neither does a definition that is not reached.

- A method counts once a reached definition mentions its name. Where a class inherits from another package, which may
  call anything (`nn.Module` calls `forward`), all of its methods count.
- So do the fields of a dataclass that takes them by name alone (`kw_only`), if they have a default, and the values that
  an entry of a table gives them: what only the report reads, such as a title, changes no training.
- A table (`definitions.TABLES`) is a dict with an entry for each network, dataset and so on. Where a consumer says
  which entry it takes, the others do not count: adding a network leaves those that exist as they are.
- What is in `FOLLOWED_OTHERWISE`, modules or single definitions, cannot change what a run makes, or is followed by
  other means.

For this to hold no code imports, reads or sets what it names at run time only; a test runs a training and compares.
"""

import hashlib
import json
from collections.abc import Mapping

from pipeline.definitions import Definition, read, split

FOLLOWED_OTHERWISE = {
    "pipeline.code": "it reads code",
    "pipeline.definitions": "it reads code",
    "pipeline.syntax": "it reads code",
    "pipeline.consumers": "it says who depends on code",
    "pipeline.dvc_stages": "names of stages",
    "pipeline.files": "it hashes and writes files that DVC follows",
    "pipeline.params": "DVC follows the parameters' values",
    "pipeline.paths": "where files lie is in dvc.yaml too",
    "pipeline.runs:_load": "it reads those two",
    "pipeline.runs:Record": "it holds what a run did, and decides nothing",
    "pipeline.runs:Evaluation": "it holds what was measured",
    "pipeline.runs:Machine": "it holds on what a run was done",
    "pipeline.runs:Data": "it holds hashes of what DVC follows",
    "pipeline.strict_yaml": "it reads params.yaml, whose values DVC follows",
    "pipeline.tensors": "it keeps bytes that others make",
    "pipeline.tracking": "MLflow gets what the history holds",
    "pipeline.tracking.live": "people see it grow, and no stage reads it",
    "pipeline.training.checkpoint": "it keeps bytes that others make",
    "pipeline.training.finished": "it keeps bytes that others make",
    "pipeline.training.outlook": "people see it, and no file",
    "pipeline.training.progress": "people see it, and no stage",
    "pipeline.training.signals": "it says when a training stops, and not what it makes",
    "pipeline.training.trial": "it says how steps can be carried out here, which run.json tells",
    "stages": "how a stage starts and fails",
}
BYTES_AS_THEY_ARE = {
    "pipeline.images": "it refuses images, which `prepare` has looked at, and changes none",
    "pipeline.datasets.archive": "names of archives and of files in them",
    "pipeline.datasets.ledger": "hashes of archives",
    "pipeline.datasets.official": "archives, as their sites give them",
    "pipeline.datasets.pins": "hashes of archives",
    "pipeline.datasets.places": "archives, whose hashes DVC follows",
    "pipeline.datasets.sources": "archives, whose hashes DVC follows",
    "pipeline.datasets.store": "files of archives, checked as they are read",
    "pipeline.datasets.tar": "files of archives, copied",
    "pipeline.datasets.transfer": "archives, as their sites give them",
}
Selection = Mapping[str, str | None]


def fingerprint(module: str, function: str, **selection: str | None) -> str:
    """The hash of all that a function can reach; `selection` says which entry of a table it takes (None: none)."""
    reached = reachable(module, function, selection)
    return hashlib.sha256(json.dumps(reached, sort_keys=True).encode()).hexdigest()


def reachable(
    module: str, function: str, selection: Selection, without: Mapping[str, str] = FOLLOWED_OTHERWISE
) -> dict[str, str]:
    """What a function can reach: `module:definition` -> digest, sorted. without: modules that do not count."""
    return dict(sorted(_Walk(selection, without).walk(module, function).items()))


class _Walk:
    def __init__(self, selection: Selection, without: Mapping[str, str]):
        self.selection, self.without = selection, without
        self.reached: dict[str, str] = {}
        self.attributes: set[str] = set()
        # Members that count once somebody mentions their names.
        self.waiting: dict[str, list[tuple[str, str, Definition]]] = {}
        self.open: list[tuple[str, str, Definition]] = []

    def walk(self, module: str, function: str) -> dict[str, str]:
        self._symbol(module, function)
        while self.open:
            module, name, definition = self.open.pop()
            key = f"{module}:{name}"
            if key in self.reached:
                continue
            self.reached[key] = definition.digest
            for attribute in definition.attributes - self.attributes:
                self.attributes.add(attribute)
                self.open += self.waiting.pop(attribute, [])
            for dotted in definition.names:
                self._name(module, dotted, definition)
            self._members(module, name, definition)
        return self.reached

    def _symbol(self, module: str, name: str) -> None:
        """Reach a name of a module: what it defines, or what it imports in turn."""
        source = None if {module, f"{module}:{name}"} & self.without.keys() else read(module)
        if source is None:
            return
        if name in source.tables and name in self.selection:
            key = self.selection[name]
            if key is not None and key not in source.tables[name]:
                raise ValueError(f"{module}.{name} has no entry {key!r}")
            if key is not None:
                self.open.append((module, f"{name}[{key}]", source.tables[name][key]))
        elif name in source.definitions:
            self.open.append((module, name, source.definitions[name]))
        elif name in source.imports:
            self._target(source.imports[name])
        if "" in source.definitions:
            self.open.append((module, "", source.definitions[""]))

    def _target(self, dotted: str) -> None:
        """Reach what a dotted name of this project stands for; a bare module is all that is in it."""
        module, rest = split(dotted)
        if module is None or module in self.without:
            return
        if rest:
            self._symbol(module, rest.split(".")[0])
        elif (source := read(module)) is not None:
            for name in source.definitions:
                self._symbol(module, name)

    def _name(self, module: str, dotted: str, definition: Definition) -> None:
        source = read(module)
        assert source is not None
        if dotted.endswith("{}"):
            # Which entries there are besides its own is not what a consumer is about.
            dotted = dotted.removesuffix("{}")
            if dotted in self.selection:
                return
        head, _, rest = dotted.partition("[]")
        root, *attributes = head.split(".")
        imports = {**source.imports, **definition.imports}
        target = ".".join([imports.get(root, f"{module}.{root}"), *attributes])
        if rest and self._entry(target, rest.removeprefix(".")):
            return
        self._target(target)

    def _entry(self, table: str, attribute: str) -> bool:
        """Reach one name of a module that stands in a table; False where this is no such thing."""
        module, name = split(table)
        source = read(module) if module else None
        if module is None or source is None:
            return False
        if name in source.imports and name not in source.definitions:
            return self._entry(source.imports[name], attribute)
        key = self.selection.get(name)
        if name not in source.tables or name not in self.selection or key is None or module in self.without:
            return False
        entry = source.tables[name].get(key)
        # An entry that is a bare name of a module.
        if entry is None or len(entry.names) != 1:
            return False
        inner, rest = split(source.imports.get(next(iter(entry.names)), ""))
        if inner is None or rest:
            return False
        self._symbol(inner, attribute.split(".")[0])
        return True

    def _members(self, module: str, name: str, definition: Definition) -> None:
        ours = all(self._is_ours(module, base) for base in definition.bases)
        if not ours:
            self._call_everything_of_bases(module, definition)
        for member, body in definition.members.items():
            item = (module, f"{name}.{member}", body)
            special = member.startswith("__") and member.endswith("__")
            if not ours or special or member in self.attributes:
                self.open.append(item)
            else:
                self.waiting.setdefault(member, []).append(item)

    def _call_everything_of_bases(self, module: str, definition: Definition) -> None:
        """What calls a class's methods by itself finds those of its bases too."""
        for base in definition.bases:
            inner, name, parent = _base(module, base)
            if parent is not None:
                self.open += [(inner, f"{name}.{member}", body) for member, body in parent.members.items()]
                self._call_everything_of_bases(inner, parent)

    def _is_ours(self, module: str, base: str) -> bool:
        inner, _, parent = _base(module, base)
        return parent is not None and all(self._is_ours(inner, above) for above in parent.bases)


def _base(module: str, name: str) -> tuple[str, str, Definition | None]:
    """The module, name and definition of a class that a class of a module inherits from; None of another package's."""
    source = read(module)
    assert source is not None
    root, *rest = name.split(".")
    inner, name = split(".".join([source.imports.get(root, f"{module}.{root}"), *rest]))
    parent = read(inner) if inner else None
    return inner or "", name, parent.definitions.get(name) if parent else None
