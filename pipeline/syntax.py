"""Syntax trees of Python: the names in them, and what they say as text."""

import ast
import builtins
from collections.abc import Iterator, Mapping


class Names(ast.NodeVisitor):
    """The names that a definition takes from its module, with the attributes behind them, and all attributes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.imports: dict[str, str] = {}
        self.scopes: list[set[str]] = []
        # Names of which the keys alone are asked for.
        self.keys: set[int] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.imports |= bound(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imports |= bound(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._take(f"{node.id}{{}}" if id(node) in self.keys else node.id)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.keys |= {id(right) for right in node.comparators}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("join", "len", "list", "set", "sorted", "tuple"):
            self.keys |= {id(argument) for argument in node.args}
        self.generic_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        self.attributes |= {*node.kwd_attrs}
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
        elif isinstance(base, ast.Subscript) and (table := dotted_name(base.value)):
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
        root = root_of(dotted)
        if root in self.imports or not any(root in scope for scope in self.scopes):
            self.names.add(dotted)


def root_of(dotted: str) -> str:
    return dotted.partition("[")[0].partition("{")[0].split(".")[0]


def dotted_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (above := dotted_name(node.value)):
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


def bound(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """The names that an import binds, and what they stand for."""
    if isinstance(statement, ast.Import):
        return {
            a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0]
            for a in statement.names
        }
    if any(alias.name == "*" for alias in statement.names):
        raise ValueError(f"line {statement.lineno}: an import of everything; name what is taken")
    if statement.level:
        raise ValueError(f"line {statement.lineno}: a relative import; name the whole module")
    return {a.asname or a.name: f"{statement.module}.{a.name}" for a in statement.names}


def assigned(statement: ast.stmt) -> list[str]:
    """The names that a statement of a module binds."""
    names, pending = [], list[ast.AST]([statement])
    while pending:
        inner = pending.pop()
        match inner:
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() | ast.Lambda():
                continue
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
                continue
            case ast.Name(id=name, ctx=ast.Store()):
                names.append(name)
        pending.extend(ast.iter_child_nodes(inner))
    return names


def changes_something(statement: ast.stmt) -> bool:
    """Whether an assignment sets what belongs to something else: an attribute, or an item."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return any(isinstance(n, ast.Attribute | ast.Subscript) for target in targets for n in ast.walk(target))


def registers(statement: ast.stmt, imports: Mapping[str, str]) -> bool:
    """Whether a definition's decorators may keep it somewhere, where others find it without its name."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    roots = (root_of(ast.unparse(decorator).partition("(")[0]) for decorator in statement.decorator_list)
    return any(root not in imports and not hasattr(builtins, root) for root in roots)


def text_of(node: object, inside: bool = False) -> str:
    """A syntax tree as text, the same in every version of Python, without what changes nothing.

    inside: of a function, where annotations are not read.
    """
    if isinstance(node, list):
        return "[" + ",".join(text_of(item, inside) for item in node) + "]"
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
        parts.append(f"{name}={text_of(value, inside or function)}")
    return "(" + " ".join(parts) + ")"


def _says_nothing(statement: ast.stmt) -> bool:
    """A docstring, a text that stands for one, or `pass`."""
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
