"""What is known of archives on this disk: their hashes, computed once, and the manifest's rows made of them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pipeline.datasets import transfer
from pipeline.datasets.archive import Archive
from pipeline.datasets.store import MAX_LABELS, ZipPart

BLOCK = 4 << 20
Entry = dict[str, Any]
"""A row of the manifest: `name`, `bytes`, `sha256`, and `of` where that is of a listing and not of the file."""


class Ledger:
    """What was found out about files, by path, size and time of change: 20 GB are not read twice. Not tracked."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.rows = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.rows = {}

    def get(self, path: Path) -> dict[str, Any]:
        row: dict[str, Any] = self.rows.get(str(path.absolute()), {})
        return row if row.get("stat") == self._stat(path) else {}

    def put(self, path: Path, **values: object) -> dict[str, Any]:
        row = {**self.get(path), "stat": self._stat(path), **values}
        self.rows[str(path.absolute())] = row
        write_json(self.path, self.rows)
        return row

    @staticmethod
    def _stat(path: Path) -> list[int]:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns, status.st_ino]


def hashes(path: Path, ledger: Ledger, kinds: frozenset[str] = frozenset({"sha256"})) -> dict[str, Any]:
    """A file's hashes of some kinds, in one pass."""
    if kinds <= (row := ledger.get(path)).keys():
        return row
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with path.open("rb") as file, transfer.progress(f"verifying {path.name}", path.stat().st_size) as bar:
        while block := file.read(BLOCK):
            for digest in digests.values():
                digest.update(block)
            bar.update(len(block))
    return ledger.put(path, **{kind: digest.hexdigest() for kind, digest in digests.items()})


def packed_entry(archive: Archive, path: Path, ledger: Ledger) -> Entry:
    """The manifest's row of an archive: the hash of the file, or of what is in it where packings differ."""
    if not archive.content:
        sha256 = hashes(path, ledger)["sha256"]
        return {"name": archive.name, "bytes": path.stat().st_size, "sha256": sha256}
    contents = ZipPart(path, archive.any_key, MAX_LABELS).contents()
    listing = "".join(f"{name} {size} {crc:08x}\n" for name, size, crc in contents)
    sizes = [size for _, size, _ in contents]
    return _listing_entry(archive, listing, sizes, of="names, sizes and CRCs inside")


def unpacked_entry(archive: Archive, base: Path, ledger: Ledger) -> Entry:
    """The manifest's row of an unpacked archive: label files by content, images by name and size."""
    rows = []
    for file in label_files(archive, base):
        rows.append((file.name, file.stat().st_size, hashes(file, ledger)["sha256"]))
    if archive.folder is not None:
        with os.scandir(base / archive.folder) as entries:
            images = [e for e in entries if archive.image_key(f"{archive.folder}/{e.name}")]
            rows += sorted((e.name, e.stat().st_size, "") for e in images)
    listing = "".join(f"{name} {size} {sha256}\n" for name, size, sha256 in rows)
    sizes = [size for _, size, _ in rows]
    return _listing_entry(archive, listing, sizes, of="hashes of labels, names and sizes of images, unpacked")


def _listing_entry(archive: Archive, listing: str, sizes: list[int], of: str) -> Entry:
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    return {"name": archive.name, "bytes": sum(sizes), "sha256": sha256, "of": of}


def label_files(archive: Archive, base: Path) -> list[Path]:
    """The label files below an unpacked archive's folder, also where only the files themselves were kept."""
    places = [place for path in archive.files for place in (base / path, base / Path(path).name)]
    by_name = {place.name: place for place in reversed(places) if place.is_file()}
    return [by_name[name] for path in archive.files if (name := Path(path).name) in by_name]


def write_json(path: Path, value: object) -> None:
    """Replace a file at once: who reads it finds the old one or the new one, whole."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    partial.replace(path)
