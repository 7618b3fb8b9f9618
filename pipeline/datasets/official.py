"""A dataset's archives from their sites: downloaded, verified, pinned on first sight, and fetched anew where wrong."""

import hashlib
import sys
from pathlib import Path

from pipeline.datasets import Source, transfer
from pipeline.datasets.archive import Archive, ArchiveError
from pipeline.datasets.ledger import Entry, Ledger, hashes, packed_entry
from pipeline.datasets.pins import Pins
from pipeline.datasets.places import Place, check_labels, images_path, last_labels, opened, with_images
from pipeline.datasets.store import StoreError
from pipeline.people import LabelError


def fetch(name: str, dataset: Source, root: Path, home: Path, ledger: Ledger) -> list[Place]:
    """The places of a dataset's archives, downloaded to `home` where they are not there yet.

    Raises TransferError, and ArchiveError for an archive that is not what it should be.
    """
    pins = Pins(root / "sources.lock.json", name)
    need = 0
    for archive in dataset.ARCHIVES:
        if not (home / archive.name).is_file() and not _converted_before(archive, pins, home):
            need += _disk_need(archive) - transfer.partial_size(home / archive.name)
    transfer.require_free_disk(home, need, f"the archives of {name}")
    try:
        places = _places(dataset, home, ledger, pins)
    except _Removed as error:
        # A server, a line or a disk may have spoiled it: once more, and then it is the site.
        print(error, file=sys.stderr)
        places = _places(dataset, home, ledger, pins)
    # Only now, when all of them have opened: nothing wrong is pinned.
    for place in places:
        if not place.archive.digest:
            pins.add(place.archive, place.entry)
        # 13 GB that nothing reads again: its pinned hash and the converted images stand for it.
        if place.images and place.path.is_file() and ledger.get(place.path).get("fetched_by_us"):
            place.path.unlink()
    return places


class _Removed(ArchiveError):
    """An archive that was fetched, was wrong, and is no longer there."""


def _places(dataset: Source, home: Path, ledger: Ledger, pins: Pins) -> list[Place]:
    places: list[Place] = []
    for archive in dataset.ARCHIVES:
        path, pinned = home / archive.name, pins.get(archive)
        images = _converted_before(archive, pins, home)
        if pinned and images and not path.is_file():
            place = Place(archive, path, pinned, images)
            if images == images_path([*places, place], home):
                places.append(place)
                continue
        if not path.is_file():
            digest = archive.digest or pins.digest(archive)
            transfer.download(archive.url, path, _disk_need(archive) - archive.size, digest)
            ledger.put(path, fetched_by_us=True)
        try:
            places.append(Place(archive, path, _verified(archive, path, ledger, pins)))
            if archive is last_labels(dataset):
                check_labels(places, dataset, ledger)
            if archive.kind == "tar":
                places[-1] = with_images(places, home, dataset.LABELLED_IMAGES)
        except (ArchiveError, StoreError) as error:
            raise _rejected([path], error, ledger) from error
        except LabelError as error:
            raise _rejected([p.path for p in places if p.archive.files], error, ledger) from error
    return places


def _rejected(files: list[Path], error: Exception, ledger: Ledger) -> ArchiveError:
    """The error for files that are not what they should be; those that we fetched are fetched anew next time."""
    ours = [path for path in files if ledger.get(path).get("fetched_by_us")]
    for path in ours:
        path.unlink()
    if not ours:
        return ArchiveError(f"{error}; remove {files[0]} to have it fetched")
    names = " and ".join(path.name for path in ours)
    return _Removed(f"{error}; {names} removed, to be fetched again, now or by the next run")


def _disk_need(archive: Archive) -> int:
    """Bytes for an archive and, for a tar, for its images in a zip beside it."""
    return archive.size * (2 if archive.kind == "tar" else 1)


def _verified(archive: Archive, path: Path, ledger: Ledger, pins: Pins) -> Entry:
    """The manifest's row of an archive that has its published or first-seen hash and holds what it should."""
    if archive.digest:
        kind, expected = archive.digest.split(":")
        if (actual := hashes(path, ledger, frozenset({kind, "sha256"}))[kind]) != expected:
            raise ArchiveError(f"{archive.name} has {kind} {actual}, not the published {expected}")
    store = opened(archive, path, ledger, whole=True)
    for name, expected in archive.content if store else ():
        if store and (actual := hashlib.sha256(store.read(name)).hexdigest()) != expected:
            raise ArchiveError(f"{name} in {archive.name} has sha256 {actual}, not the known {expected}")
    entry = packed_entry(archive, path, ledger)
    pins.compare(archive, entry)
    return entry


def _converted_before(archive: Archive, pins: Pins, home: Path) -> Path | None:
    if archive.kind != "tar" or not (pin := pins.get(archive)):
        return None
    return next(iter(sorted(home.glob(f"images-{pin['sha256'][:12]}-*.zip"))), None)
