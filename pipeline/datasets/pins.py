"""Hashes of official archives that nobody publishes, as first seen: a file that is committed with the project."""

import json
import re
from pathlib import Path

from pipeline.datasets.archive import Archive, ArchiveError
from pipeline.datasets.ledger import Entry, write_json


def read(path: Path) -> dict[str, Entry]:
    """The rows of a file of pins, none where it is not there; raises ArchiveError for another file."""
    remedy = f"`git checkout {path.name}` brings back the committed one"
    try:
        rows = json.loads(path.read_bytes()) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{path} is no JSON ({error}); {remedy}") from None
    proper = isinstance(rows, dict) and all(
        isinstance(row, dict) and re.fullmatch("[0-9a-f]{64}", str(row.get("sha256")))
        for row in rows.values()
    )
    if not proper:
        raise ArchiveError(f"{path} must hold a sha256 of 64 digits for each file; {remedy}")
    return dict(rows)


class Pins:
    """The pins of one dataset's archives, by their official names."""

    def __init__(self, path: Path, dataset: str):
        self.path, self.dataset = path, dataset
        self.rows = read(path)

    def get(self, archive: Archive) -> Entry | None:
        """The manifest's row of an archive as it was first seen."""
        pinned = self.rows.get(f"{self.dataset}/{archive.name}")
        return None if pinned is None else {"name": archive.name, **pinned}

    def digest(self, archive: Archive) -> str | None:
        """The pinned hash of the file itself, as Archive has it."""
        pinned = self.get(archive)
        return f"sha256:{pinned['sha256']}" if pinned and "of" not in pinned else None

    def compare(self, archive: Archive, entry: Entry) -> None:
        """Raise ArchiveError where an archive is another than the pinned one."""
        pinned = self.get(archive)
        if pinned and pinned["sha256"] != entry["sha256"]:
            raise ArchiveError(
                f"{archive.name} has sha256 {entry['sha256']}, but was {pinned['sha256']} when first fetched "
                f"({self.path.name}); if its site replaced it, remove that entry"
            )

    def add(self, archive: Archive, entry: Entry) -> None:
        if self.get(archive) is None:
            self.rows[f"{self.dataset}/{archive.name}"] = {k: v for k, v in entry.items() if k != "name"}
            write_json(self.path, self.rows)
