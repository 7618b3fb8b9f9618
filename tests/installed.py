"""python -m tests.installed FILE...: what is installed here, against the lists of requirements that it came from.

pip compares an archive with its hash when it installs it. This compares what lies in the environment since: every
package that a list has is there in that version and no other is, and every file still has the sha256 that the package
gave for it. What no list has an answer to, known vulnerabilities, is `make audit`'s other half.
"""

import base64
import csv
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

# What makes environments, and so is in none of the lists.
MAKERS = {"pip", "setuptools", "wheel"}


def pinned(text: str, *, everywhere: bool = False) -> dict[str, str]:
    """Versions by package that a list of requirements asks for; everywhere: leave out those of some systems only."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)( *;)?", text, re.M)
    return {canonical(name): version for name, version, some in found if not (everywhere and some)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def differences(wanted: dict[str, str], needed: set[str], installed: dict[str, str]) -> Iterator[str]:
    """What of the installed packages is not as wanted; a version's local part, as +cpu, is a build of it."""
    for name in sorted(needed - installed.keys()):
        yield f"{name} {wanted[name]} is not installed"
    for name, version in sorted(installed.items()):
        if name not in wanted:
            if name not in MAKERS:
                yield f"{name} {version} is in no list"
        elif version.partition("+")[0] != wanted[name]:
            yield f"{name} is {version}, and {wanted[name]} is wanted"


def spoiled(distribution: metadata.Distribution) -> Iterator[str]:
    """The files of a package that are not as it brought them."""
    # Not by `files`, which leaves out those that are gone from Python 3.12 on.
    for file, promised, _ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        kind, _, expected = promised.partition("=")
        if not expected:
            continue
        try:
            digest = hashlib.new(kind, Path(str(distribution.locate_file(file))).read_bytes()).digest()
        except OSError as error:
            yield f"{file} of {distribution.name} cannot be read: {error.strerror}"
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != expected:
            yield f"{file} of {distribution.name} was changed since it was installed"


def main(*lists: str) -> None:
    text = "\n".join(Path(file).read_text() for file in lists)
    wanted, needed = pinned(text), set(pinned(text, everywhere=True))
    there = {canonical(each.name): each for each in metadata.distributions()}
    faults = list(differences(wanted, needed, {name: each.version for name, each in there.items()}))
    for each in there.values():
        faults += spoiled(each)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(there)} packages are those of {' and '.join(lists)}, and their files as they came")


if __name__ == "__main__":
    main(*sys.argv[1:])
