"""What code a consumer can reach, as a fingerprint: DVC and checkpoints follow meaning, and not files.

The project's sources are read, not run. A consumer starts at a function. From there every definition that it names is
followed: functions, classes, constants, through imports of this project alone. Each counts by its syntax tree without
docstrings, comments and the annotations of functions, and by what the names stand for that other packages give it.
So an edit that changes no meaning changes no fingerprint, and neither does a definition that is not reached.

- A method counts once a reached definition mentions its name. Where a class inherits from another package, which may
  call anything (`nn.Module` calls `forward`), all of its methods count.
- So do the fields of a dataclass that takes them by name alone (`kw_only`), if they have a default, and the values that
  an entry of a table gives them: what only the report reads, such as a title, changes no training.
- A table (`TABLES`) is a dict with an entry for each network, dataset and so on. Where a consumer says which entry it
  takes, the others do not count: adding a network leaves those that exist as they are.
- What is in `FOLLOWED_OTHERWISE` cannot change what a run makes, or is followed by other means.

For this to hold no code imports, reads or sets what it names at run time only; a test runs a training and compares.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLES = {
    "NETWORKS": "pipeline.networks",
    "FAMILIES": "pipeline.models",
    "DATASETS": "pipeline.datasets",
    "VARIANTS": "pipeline.variants",
}
FOLLOWED_OTHERWISE = {
    "pipeline.code": "it reads code",
    "pipeline.consumers": "it says who depends on code",
    "pipeline.files": "it hashes and writes files that DVC follows",
    "pipeline.images": "it refuses images, and changes none",
    "pipeline.params": "DVC follows the parameters' values",
    "pipeline.paths": "where files lie is in dvc.yaml too",
    "pipeline.runs": "a run's record holds the values that it carries",
    "pipeline.strict_yaml": "it reads params.yaml, whose values DVC follows",
    "pipeline.tracking": "MLflow gets what the history holds",
    "pipeline.training.checkpoint": "it keeps bytes that others make",
    "pipeline.training.progress": "people see it, and no file",
    "pipeline.training.signals": "it says when a training stops, and not what it makes",
    "stages": "how a stage starts and fails",
}
BYTES_AS_THEY_ARE = {
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


@dataclass(frozen=True)
class Definition:
    """A function, a class without its methods, a method, an assignment, or an entry of a table.

    digest: of its syntax tree. names: dotted names that it takes from its module; `TABLE[].name` is what it takes from
    an entry of a table, and `TABLE{}` its keys. attributes: all that it mentions, for members to be found by.
    imports: its own. bases: of a class. members: a class's methods and fields, or an entry's values, that count once
    they are mentioned.
    """

    digest: str
    names: frozenset[str]
    attributes: frozenset[str]
    imports: Mapping[str, str]
    bases: tuple[str, ...] = ()
    members: Mapping[str, "Definition"] = field(default_factory=dict)


@dataclass(frozen=True)
class Module:
    """A source file: its definitions by name, what its imports bind, and the entries of its tables by key.

    definitions[""] is what it does besides when it is imported.
    """

    definitions: Mapping[str, Definition]
    imports: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Definition]]


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
        if module in self.without or (source := read(module)) is None:
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
        module, rest = _split(dotted)
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
        module, name = _split(table)
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
        inner, rest = _split(source.imports.get(next(iter(entry.names)), ""))
        if inner is None or rest:
            return False
        self._symbol(inner, attribute.split(".")[0])
        return True

    def _members(self, module: str, name: str, definition: Definition) -> None:
        ours = all(self._is_ours(module, base) for base in definition.bases)
        for member, body in definition.members.items():
            item = (module, f"{name}.{member}", body)
            special = member.startswith("__") and member.endswith("__")
            if not ours or special or member in self.attributes:
                self.open.append(item)
            else:
                self.waiting.setdefault(member, []).append(item)

    def _is_ours(self, module: str, base: str) -> bool:
        source = read(module)
        assert source is not None
        root, *rest = base.split(".")
        target = ".".join([source.imports.get(root, f"{module}.{root}"), *rest])
        inner, name = _split(target)
        parent = read(inner) if inner else None
        if inner is None or parent is None or name not in parent.definitions:
            return False
        return all(self._is_ours(inner, above) for above in parent.definitions[name].bases)


@functools.cache
def _split(dotted: str) -> tuple[str | None, str]:
    """The longest part of a dotted name that is a module of this project, and the rest."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        if _file(module) is not None:
            return module, ".".join(parts[end:])
    return None, dotted


@functools.cache
def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    if module.split(".")[0] not in ("pipeline", "stages"):
        return None
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


@functools.cache
def read(module: str) -> Module | None:
    """A module of this project, from its source; None where there is none."""
    file = _file(module)
    if file is None:
        return None
    definitions: dict[str, Definition] = {}
    imports: dict[str, str] = {}
    tables: dict[str, dict[str, Definition]] = {}
    effects: list[ast.stmt] = []
    tree = ast.parse(file.read_text(), file)
    for statement in tree.body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                imports |= _bound(statement)
    for statement in tree.body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                definitions[name] = _define(statement, imports)
            case ast.ClassDef(name=name):
                definitions[name] = _define_class(statement, imports)
            case ast.Assign() | ast.AnnAssign():
                for name in _assigned(statement):
                    definitions[name] = _define(statement, imports)
                    if TABLES.get(name) == module and isinstance(statement.value, ast.Dict):
                        tables[name] = dict(_entries(statement.value, imports))
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.If(test=test) if ast.unparse(test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
                pass
            case _:
                effects.append(statement)
                for name in _assigned(statement):
                    definitions[name] = _define(statement, imports)
    if effects:
        definitions[""] = _define(ast.Module(effects, []), imports)
    return Module(definitions, imports, tables)


def _entries(table: ast.Dict, imports: Mapping[str, str]) -> Iterator[tuple[str, Definition]]:
    for key, value in zip(table.keys, table.values, strict=True):
        if not isinstance(key, ast.Constant):
            raise ValueError(f"line {table.lineno}: the keys of a table must be plain texts")
        yield str(key.value), _define_entry(value, imports)


def _define_class(node: ast.ClassDef, imports: Mapping[str, str]) -> Definition:
    by_name = any("kw_only=True" in ast.unparse(decorator) for decorator in node.decorator_list)
    members: dict[str, list[ast.stmt]] = {}
    rest: list[ast.stmt] = []
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                # A property's setter has its getter's name.
                members.setdefault(name, []).append(statement)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()) if by_name:
                members.setdefault(name, []).append(statement)
            case _:
                rest.append(statement)
    shell = ast.ClassDef(node.name, node.bases, node.keywords, rest, node.decorator_list)
    bodies = {name: _define(ast.Module(body, []), imports) for name, body in members.items()}
    bases = tuple(ast.unparse(base).partition("[")[0] for base in node.bases)
    return replace(_define(shell, imports), bases=bases, members=bodies)


def _define_entry(value: ast.expr, imports: Mapping[str, str]) -> Definition:
    if not isinstance(value, ast.Call) or value.args or not all(keyword.arg for keyword in value.keywords):
        return _define(value, imports)
    values = {str(keyword.arg): _define(keyword.value, imports) for keyword in value.keywords}
    return replace(_define(value.func, imports), members=values)


def _define(node: ast.AST, imports: Mapping[str, str]) -> Definition:
    names = _Names()
    names.visit(node)
    roots = {_root(dotted) for dotted in names.names}
    known = {**imports, **names.imports}
    # A name of another package counts by what it stands for.
    others = sorted(
        f"{root}={known[root]}" for root in roots & known.keys() if _split(known[root])[0] is None
    )
    digest = hashlib.sha256("\n".join([_text(node), *others]).encode()).hexdigest()[:16]
    return Definition(digest, frozenset(names.names), frozenset(names.attributes), names.imports)


class _Names(ast.NodeVisitor):
    """The names that a definition takes from its module, with the attributes behind them, and all attributes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.imports: dict[str, str] = {}
        self.scopes: list[set[str]] = []
        # Names of which the keys alone are asked for.
        self.keys: set[int] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.imports |= _bound(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports |= _bound(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._take(f"{node.id}{{}}" if id(node) in self.keys else node.id)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.keys |= {id(right) for right in node.comparators}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("join", "len", "list", "set", "sorted", "tuple"):
            self.keys |= {id(argument) for argument in node.args}
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.keys.add(id(node.iter))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.attributes.add(node.attr)
        path, base = [node.attr], node.value
        while isinstance(base, ast.Attribute):
            self.attributes.add(base.attr)
            path.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            self._take(".".join([base.id, *reversed(path)]))
        elif isinstance(base, ast.Subscript) and (table := _dotted(base.value)):
            self._take(f"{table}[].{'.'.join(reversed(path))}")
            self.visit(base.slice)
        else:
            self.visit(base)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for inner in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(inner)
        self._inside(_locals(node), node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for inner in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(inner)
        self._inside(_arguments(node.args), [node.body])

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        targets = {
            name.id
            for generator in node.generators
            for name in ast.walk(generator.target)
            if isinstance(name, ast.Name)
        }
        # The first source is read outside; to read it inside too can only find more.
        self.keys |= {id(generator.iter) for generator in node.generators}
        self.visit(node.generators[0].iter)
        self._inside(targets, ast.iter_child_nodes(node))

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        if not self.scopes:
            # A field of a class: pydantic and dataclass read its annotation.
            self.visit(node.annotation)

    def _inside(self, local: set[str], nodes: Iterator[ast.AST] | list[ast.stmt] | list[ast.expr]) -> None:
        self.scopes.append(local)
        for node in nodes:
            self.visit(node)
        self.scopes.pop()

    def _take(self, dotted: str) -> None:
        root = _root(dotted)
        if root in self.imports or not any(root in scope for scope in self.scopes):
            self.names.add(dotted)


def _root(dotted: str) -> str:
    return dotted.partition("[")[0].partition("{")[0].split(".")[0]


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (above := _dotted(node.value)):
        return f"{above}.{node.attr}"
    return None


def _arguments(arguments: ast.arguments) -> set[str]:
    every = (
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    )
    return {argument.arg for argument in every if argument}


def _locals(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that a function binds itself: to Python they are local in all of it."""
    names, elsewhere, pending = _arguments(node.args), set[str](), list[ast.AST](node.body)
    while pending:
        inner = pending.pop()
        match inner:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
                continue
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                continue
            case ast.Global(names=taken) | ast.Nonlocal(names=taken):
                elsewhere |= set(taken)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
        pending.extend(ast.iter_child_nodes(inner))
    return names - elsewhere


def _bound(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """The names that an import binds, and what they stand for."""
    if isinstance(statement, ast.Import):
        return {
            a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0]
            for a in statement.names
        }
    if statement.level:
        raise ValueError(f"line {statement.lineno}: a relative import; name the whole module")
    return {a.asname or a.name: f"{statement.module}.{a.name}" for a in statement.names}


def _assigned(statement: ast.stmt) -> list[str]:
    return [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _text(node: object, inside: bool = False) -> str:
    """A syntax tree as text, the same in every version of Python, without what changes nothing.

    inside: of a function, where annotations are not read.
    """
    if isinstance(node, list):
        return "[" + ",".join(_text(item, inside) for item in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    parts = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name in ("ctx", "kind", "type_comment", "type_params", "type_ignores"):
            continue
        if name in ("returns", "annotation") and (inside or function or isinstance(node, ast.arg)):
            continue
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            value = [item for item in value if not _says_nothing(item)]
        if value is None or value == []:
            continue
        parts.append(f"{name}={_text(value, inside or function)}")
    return "(" + " ".join(parts) + ")"


def _says_nothing(statement: ast.stmt) -> bool:
    """A docstring, or a text that stands for one."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
