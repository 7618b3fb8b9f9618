"""Files by their content, and the record of those that the user gives beside the archives.

A detector's boxes and weights to start from lie wherever the user put them, and DVC follows no path that may
be null. So the stage `download` records their hashes, DVC follows the record, and whoever reads such a file
compares first.
"""

import fcntl
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: Path | str) -> str:
    """The hexadecimal sha256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: object) -> str:
    """The sha256 of a value as JSON, its first 24 digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


def hash_files(*paths: Path) -> str:
    """One sha256 of files and their names."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        digest.update(bytes.fromhex(sha256(path)))
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """A JSON file's content; raises ValueError, which names the file, for anything else."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); run the stage that writes it again") from None


def write_json(path: Path, value: object) -> None:
    """Replace a file that DVC may have linked to its cache, which writing into it would spoil."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(json_text(value))


def json_text(value: object) -> str:
    """As `write_json` writes it."""
    return json.dumps(value, indent=1) + "\n"


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel releases it with the process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that fetches into {path.parent}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def record(manifest: Path, given: Iterable[Path]) -> None:
    """Write names, sizes and hashes of the files given, without their folders."""
    rows = [{"name": f.name, "bytes": f.stat().st_size, "sha256": sha256(f)} for f in given]
    write_json(manifest, rows)


def check_recorded(key: str, path: Path, manifest: Path) -> None:
    """Raise ValueError for no file, or if a manifest is there and names none with this name and content.

    key: the parameter that names the file.
    """
    if not path.is_file():
        raise ValueError(f"{key}: {path} is not there; name the file, or where it lies now")
    if not manifest.is_file():
        return
    recorded = {row["name"]: row["sha256"] for row in json.loads(manifest.read_text())}
    if recorded.get(path.name) != sha256(path):
        raise ValueError(
            f"{key}: {path} is not the file that {manifest} records; "
            f"`dvc repro --force download@{manifest.parent.name}` takes it as it is now"
        )
