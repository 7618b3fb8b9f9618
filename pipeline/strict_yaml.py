"""YAML in which nothing is read otherwise than it looks: parameters and profiles."""

from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Keys are texts and stand once in their place, and nothing is an alias.

    Of two equal keys the last would count, without a word; a few lines of aliases can stand for billions of values.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.current_event.start_mark
            raise _unreadable("an alias (*) stands for a value; write the value", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[str] = set()
        for item, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(item, deep=True)
            if not isinstance(key, str):
                raise _unreadable(f"the key {short(key)} is no text", item.start_mark)
            if key in keys:
                raise _unreadable(f"the key {key!r} stands twice in one place", item.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


def _unreadable(problem: str, mark: yaml.Mark) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def read(text: str, source: str) -> dict[str, Any]:
    """Keys and values of a file's text; raises ValueError, one sentence that names source, as the file is called."""
    try:
        values = yaml.load(text, _Loader)
    # ValueError: a number or a date that cannot be; RecursionError: thousands of brackets, one in the other.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not YAML: {_problem(error)}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{source} must hold keys and values; `make profile NAME=demo` writes a whole one")
    return values


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem or error.context}, in line {error.problem_mark.line + 1}"
    return " ".join(str(error).split())


def short(value: object) -> str:
    """A value as people see it in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def as_number(value: object) -> str | None:
    """A text such as 1e-3, for YAML no number without a point, as YAML writes that number."""
    try:
        return yaml.safe_dump(float(value)).split()[0] if isinstance(value, str) else None
    except ValueError:
        return None
