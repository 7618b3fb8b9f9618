"""python -m pipeline.profiles NAME: write params.yaml as a profile has it.

profiles/demo.yaml is the whole file, with a comment for each key. The others hold what differs from it, below a heading
of their own. What somebody changed in params.yaml is named, and kept beside it.
"""

import io
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from pipeline import params, strict_yaml

FOLDER = Path("profiles")
WHOLE = "demo"


class _Representer(RoundTripRepresenter):
    """Writes null as the whole file does; ruamel.yaml leaves its place empty."""

    def represent_none(self, data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def names(folder: Path = FOLDER) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))


def merged(name: str, folder: Path = FOLDER) -> str:
    """The parameter file of a profile: the whole one with its heading and values.

    Raises ValueError for no profile, and for values that cannot be, naming its file and the key.
    """
    if name not in names(folder):
        raise params.ParamsError(f"there is no profile {name!r}; NAME is one of {', '.join(names(folder))}")
    file = folder / f"{name}.yaml"
    text = file.read_text()
    if name != WHOLE:
        heading, _, values = text.partition("\n\n")
        if not all(line.startswith("#") for line in heading.splitlines()):
            raise params.ParamsError(
                f"{file} must begin with comments that say what it is for, and an empty line"
            )
        strict_yaml.read(text, str(file))
        whole = (folder / f"{WHOLE}.yaml").read_text().partition("\n\n")[2]
        yaml = YAML()
        yaml.Representer = _Representer
        yaml.preserve_quotes = True
        # No line is folded.
        yaml.width = 1_000_000
        base = yaml.load(whole)
        _merge(base, yaml.load(values), str(file))
        body = io.StringIO()
        yaml.dump(base, body)
        text = f"{heading}\n\n{body.getvalue()}"
    if params.parse(text, str(file)).profile != name:
        raise params.ParamsError(f"{file}: profile must be {name}")
    return text


def _merge(base: dict[str, Any], changes: dict[str, Any], source: str, group: str = "") -> None:
    for key, value in changes.items():
        if key not in base:
            raise params.ParamsError(f"{source}: {group}{key} is no parameter")
        if isinstance(base[key], dict) and isinstance(value, dict):
            _merge(base[key], value, source, f"{group}{key}.")
        else:
            base[key] = value


def own_changes(text: str, folder: Path = FOLDER) -> list[str] | None:
    """What a parameter file has that its profile has not, as `key: value (the profile's)`; None if it is a profile's.

    An empty list: comments or order alone, or no YAML.
    """
    profiles = {name: merged(name, folder) for name in names(folder)}
    if text in profiles.values():
        return None
    try:
        values = strict_yaml.read(text, "params.yaml")
    except ValueError:
        return []
    # The profile that it names, or the whole file.
    name = str(values.get("profile"))
    name = name if name in profiles else WHOLE
    here, there = (dict(_flat(each)) for each in (values, strict_yaml.read(profiles[name], name)))
    return [
        f"{key}: {here.get(key, 'left out')} ({name}: {there.get(key, 'no such key')})"
        for key in here | there
        if here.get(key) != there.get(key)
    ]


def _flat(values: dict[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and their values as YAML has them."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{group}{key}.")
        else:
            yield f"{group}{key}", json.dumps(value, default=str)


def write(name: str, path: Path = Path("params.yaml"), folder: Path = FOLDER) -> None:
    """Replace the parameter file; one that is no profile's as it stands is kept beside it, and its changes printed."""
    text = merged(name, folder)
    if path.is_file() and (changes := own_changes(path.read_text(errors="replace"), folder)) is not None:
        kept = next(
            copy
            for number in itertools.count(1)
            if not (copy := path.with_name(f"{path.name}.orig{number if number > 1 else ''}")).exists()
        )
        path.rename(kept)
        print(f"{path} had changes of its own and is now {kept}: {'; '.join(changes) or 'no other values'}")
    path.write_text(text)
    print(f"{path} is now the profile {name}")


if __name__ == "__main__":
    try:
        write(" ".join(sys.argv[1:]))
    except (ValueError, OSError) as error:
        sys.exit(f"pipeline.profiles: {error}")
