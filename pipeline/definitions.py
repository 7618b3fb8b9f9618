"""The project's sources, read and not run: the definitions in them, what each names, and what it means."""

import ast
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.syntax import Names, assigned, bound, changes_something, registers, root_of, text_of

ROOT = Path(__file__).resolve().parent.parent
TABLES = {
    "NETWORKS": "pipeline.networks",
    "FAMILIES": "pipeline.models",
    "DATASETS": "pipeline.datasets",
    "VARIANTS": "pipeline.variants",
}


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


@functools.cache
def split(dotted: str) -> tuple[str | None, str]:
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
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports |= bound(statement)
    by_name = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and _takes_by_name(node)}
    for statement in tree.body:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                continue
            case ast.If(test=test, orelse=[]) if ast.unparse(test) in (
                "TYPE_CHECKING",
                "__name__ == '__main__'",
            ):
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if registers(statement, imports):
                    effects.append(statement)
            case ast.Assign() | ast.AnnAssign() if not changes_something(statement):
                pass
            case _:
                effects.append(statement)
                if any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in ast.walk(statement)):
                    raise ValueError(
                        f"{file}, line {statement.lineno}: imports stand at the top, or in a function"
                    )
        for name in assigned(statement):
            if name in definitions:
                raise ValueError(f"{file}, line {statement.lineno}: {name} stands for something already")
            if isinstance(statement, ast.ClassDef):
                definitions[name] = _define_class(statement, imports)
                continue
            definitions[name] = _define(statement, imports)
            value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            if TABLES.get(name) == module and isinstance(value, ast.Dict):
                tables[name] = dict(_entries(value, imports, by_name))
    if effects:
        definitions[""] = _define(ast.Module(effects, []), imports)
    return Module(definitions, imports, tables)


def _entries(
    table: ast.Dict, imports: Mapping[str, str], by_name: set[str]
) -> Iterator[tuple[str, Definition]]:
    for key, value in zip(table.keys, table.values, strict=True):
        if not isinstance(key, ast.Constant):
            raise ValueError(f"line {table.lineno}: the keys of a table must be plain texts")
        yield str(key.value), _define_entry(value, imports, by_name)


def _define_class(node: ast.ClassDef, imports: Mapping[str, str]) -> Definition:
    by_name = _takes_by_name(node)
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
    whole = _define(shell, imports)
    # A method may stand in the class's body under another name, or inside a property().
    mentioned = whole.attributes | {root_of(dotted) for dotted in whole.names}
    return replace(whole, attributes=frozenset(mentioned), bases=bases, members=bodies)


def _takes_by_name(node: ast.ClassDef) -> bool:
    return any("kw_only=True" in ast.unparse(decorator) for decorator in node.decorator_list)


def _define_entry(value: ast.expr, imports: Mapping[str, str], by_name: set[str]) -> Definition:
    # Of a class that takes its fields by name alone each value counts by itself; a helper may do anything with them.
    ours = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in by_name
    if not isinstance(value, ast.Call) or not ours or not all(keyword.arg for keyword in value.keywords):
        return _define(value, imports)
    values = {str(keyword.arg): _define(keyword.value, imports) for keyword in value.keywords}
    return replace(_define(value.func, imports), members=values)


def _define(node: ast.AST, imports: Mapping[str, str]) -> Definition:
    names = Names()
    names.visit(node)
    roots = {root_of(dotted) for dotted in names.names}
    known = {**imports, **names.imports}
    # An imported name counts by what it stands for.
    imported = sorted(f"{root}={known[root]}" for root in roots & known.keys())
    digest = hashlib.sha256("\n".join([text_of(node), *imported]).encode()).hexdigest()[:16]
    return Definition(digest, frozenset(names.names), frozenset(names.attributes), names.imports)
