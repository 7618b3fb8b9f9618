"""Where a dataset's archives come from: found, fetched or generated, verified, and opened where they lie.

A dataset's module lists its archives (`ARCHIVES`). They are not outputs of DVC: 20 GB stay in one copy under
data/archives/<dataset>, or in the user's own folder; DVC follows the manifest of names, sizes and hashes.
"""

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import code, paths
from pipeline.datasets import DATASETS, Dataset, transfer
from pipeline.datasets.archive import Archive
from pipeline.datasets.store import (
    MAX_IMAGE,
    MAX_LABELS,
    FolderPart,
    ImageStore,
    StoreError,
    ZipPart,
    check_member_path,
)
from pipeline.people import LabelError

BLOCK = 4 << 20


class ArchiveError(ValueError):
    """An archive that is not what it should be; the message names it."""


class MissingArchive(ArchiveError):
    """An archive that is nowhere; the message names it and the folders looked in."""


@dataclass(frozen=True)
class Found:
    """An archive's place: the file, or the folder that holds it unpacked.

    entry: its row of the manifest; images: the zip that a tar was converted to, which may outlive the tar.
    """

    archive: Archive
    path: Path
    entry: dict
    images: Path | None = None


def fetch(dataset: str, data, root: Path) -> dict:
    """Find, download or generate a dataset's archives and verify them; returns the manifest.

    data: params.Data; root: the project's folder. Raises ArchiveError, MissingArchive, StoreError.
    """
    found = _find(dataset, data, root)
    return {"source": source_kind(data), "archives": [f.entry for f in found]}


def open_images(dataset: str, data, root: Path) -> ImageStore:
    """The dataset's images by name, from archives that the manifest names; missing ones are fetched."""
    parts = []
    for f in _found_as_recorded(dataset, data, root):
        if f.archive.folder is None:
            continue
        if f.path.is_dir():
            parts.append(FolderPart(f.path / f.archive.folder, MAX_IMAGE, f.archive.prefix))
        else:
            parts.append(ZipPart(f.images or f.path, f.archive.image_key, MAX_IMAGE))
    return ImageStore(parts)


def open_labels(dataset: str, data, root: Path) -> ImageStore:
    """The dataset's label files by their own names (without folders), as `open_images`."""
    return _label_store(_found_as_recorded(dataset, data, root))


def entry(dataset: str) -> Dataset:
    """A dataset's module; raises ArchiveError for an unknown one."""
    if dataset not in DATASETS:
        raise ArchiveError(f"{dataset} is no dataset; there are {', '.join(DATASETS)}")
    return DATASETS[dataset]


def source_kind(data) -> str:
    return data.source if data.source in ("demo", "official") else "folder"


# Finding ---------------------------------------------------------------------------------------------------


def _find(dataset: str, data, root: Path) -> list[Found]:
    archives = entry(dataset).ARCHIVES
    home = root / "data" / "archives" / dataset
    home.mkdir(parents=True, exist_ok=True)
    # Ranks, queued experiments and stages may all ask at once; one fetches, the others find it done.
    with lock(home / ".lock"):
        ledger = Ledger(home / "verified.json")
        if data.source == "official":
            return _official(dataset, archives, root, home, ledger)
        if data.source == "demo":
            folders = [_generate(dataset, data.demo, home)]
        else:
            base = root / Path(data.source).expanduser()
            if not base.is_dir():
                raise MissingArchive(
                    f"data.source: {data.source} is neither `demo` nor `official`, and {base} is no folder"
                )
            folders = [base / dataset, base]
        found = []
        for archive in archives:
            found.append(_in_folders(archive, folders, ledger, dataset))
            if archive.kind == "tar" and found[-1].path.is_file():
                found[-1] = _with_images(found, dataset, home)
        _parsed(found, dataset, ledger)
        return found


def _generate(dataset: str, demo, home: Path) -> Path:
    """The folder of a synthetic dataset, named by what determines its content: parameters and code."""
    from pipeline.datasets.demo import writers

    recipe = hashlib.sha256(json.dumps(demo.model_dump(mode="json"), sort_keys=True).encode())
    recipe.update(code.fingerprint("pipeline.datasets.demo.writers", "generate", DATASETS=dataset).encode())
    key = recipe.hexdigest()[:12]
    folder = home / f"demo-{key}"
    if not folder.is_dir():
        partial = home / f".demo-{key}.part"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        writers.generate(dataset, demo, partial)
        partial.rename(folder)
    return folder


def _in_folders(archive: Archive, folders: list[Path], ledger: "Ledger", dataset: str) -> Found:
    """An archive under one of its names, else what it unpacks to, in the first folder that has it."""
    # Also one level down, as an archive unpacked into a folder of its own, but not in another dataset's.
    inner = [
        p
        for f in folders
        if f.is_dir()
        for p in sorted(f.iterdir())
        if p.is_dir() and p.name not in DATASETS.keys() - {dataset}
    ]
    for folder in (*folders, *inner):
        for name in (archive.name, *archive.aliases):
            if (folder / name).is_file():
                _opened(archive, folder / name, ledger)
                return Found(archive, folder / name, _entry(archive, folder / name, ledger))
    for folder in (*folders, *inner):
        if archive.kind != "file" and _holds(folder, archive):
            return Found(archive, folder, _unpacked_entry(archive, folder, ledger))
    looked = ", ".join(str(f) for f in folders)
    raise MissingArchive(
        f"{archive.name}, an archive of {dataset}, is not there, packed or unpacked; looked in {looked} (data.source)"
    )


def _parsed(found: list[Found], dataset: str, ledger: "Ledger") -> None:
    """Raise ValueError for labels that cannot be parsed: recorded, they would make DVC refuse the right ones."""
    places = [
        place
        for f in found
        for place in ([f.path] if f.path.is_file() else [_label_file(f.path, n) for n in f.archive.files])
        if f.archive.files
    ]
    if not all(ledger.get(place).get("parsed") for place in places):
        entry(dataset).people(_label_store(found), (256, 192))
        for place in places:
            ledger.put(place, parsed=True)


def _holds(base: Path, archive: Archive) -> bool:
    labels = all(_label_file(base, f) is not None for f in archive.files)
    return labels and (archive.folder is None or (base / archive.folder).is_dir())


def _label_file(base: Path, path: str) -> Path | None:
    """A label file below an unpacked archive's folder, also where only the file itself was kept."""
    return next((p for p in (base / path, base / Path(path).name) if p.is_file()), None)


def _label_store(found: list[Found]) -> ImageStore:
    parts = []
    for f in found:
        if not f.archive.files:
            continue
        if f.path.is_dir():
            files = {Path(n).name: str(_label_file(f.path, n).relative_to(f.path)) for n in f.archive.files}
            parts.append(FolderPart(f.path, MAX_LABELS, names=files))
        elif f.archive.kind == "zip":
            parts.append(ZipPart(f.path, f.archive.label_key, MAX_LABELS))
        else:
            parts.append(FolderPart(f.path.parent, MAX_LABELS, names={f.archive.files[0]: f.path.name}))
    return ImageStore(parts)


def _found_as_recorded(dataset: str, data, root: Path) -> list[Found]:
    found = _find(dataset, data, root)
    try:
        recorded = json.loads(paths.manifest(dataset).read_text())
    except FileNotFoundError:
        return found
    expected = {entry["name"]: entry for entry in recorded["archives"]}
    for f in found:
        if f.entry != expected.get(f.archive.name):
            raise ArchiveError(
                f"{f.path} is not the {f.archive.name} that {paths.manifest(dataset)} records; "
                f"`dvc repro --force download@{dataset}` takes it as it is now"
            )
    return found


# Verifying -------------------------------------------------------------------------------------------------


class Ledger:
    """What was hashed before, by path, size and time of change: 20 GB are not read twice. Not tracked."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.rows = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.rows = {}

    def get(self, path: Path) -> dict:
        row = self.rows.get(str(path.absolute()), {})
        return row if row.get("stat") == self._stat(path) else {}

    def put(self, path: Path, **values) -> dict:
        row = {**self.get(path), "stat": self._stat(path), **values}
        self.rows[str(path.absolute())] = row
        _write_json(self.path, self.rows)
        return row

    @staticmethod
    def _stat(path: Path) -> list[int]:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns, status.st_ino]


def _hashes(path: Path, ledger: Ledger, kinds: set[str] = frozenset({"sha256"})) -> dict[str, str]:
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


def _entry(archive: Archive, path: Path, ledger: Ledger) -> dict:
    """The manifest row of an archive: the hash of the file, or of what is in it where packings differ."""
    if not archive.content:
        sha256 = _hashes(path, ledger)["sha256"]
        return {"name": archive.name, "bytes": path.stat().st_size, "sha256": sha256}
    contents = ZipPart(path, archive.any_key, MAX_LABELS).contents()
    listing = "".join(f"{name} {size} {crc:08x}\n" for name, size, crc in contents)
    return _listing_entry(archive, listing, [size for _, size, _ in contents], "names, sizes and CRCs inside")


def _unpacked_entry(archive: Archive, base: Path, ledger: Ledger) -> dict:
    """The manifest row of an unpacked archive: label files by content, images by name and size."""
    rows = []
    for name in archive.files:
        file = _label_file(base, name)
        rows.append((file.name, file.stat().st_size, _hashes(file, ledger)["sha256"]))
    if archive.folder is not None:
        with os.scandir(base / archive.folder) as entries:
            images = [e for e in entries if archive.image_key(f"{archive.folder}/{e.name}")]
            rows += sorted((e.name, e.stat().st_size, "") for e in images)
    listing = "".join(f"{name} {size} {sha256}\n" for name, size, sha256 in rows)
    return _listing_entry(
        archive,
        listing,
        [size for _, size, _ in rows],
        "hashes of labels, names and sizes of images, unpacked",
    )


def _listing_entry(archive: Archive, listing: str, sizes: list[int], of: str) -> dict:
    sha256 = hashlib.sha256(listing.encode()).hexdigest()
    return {"name": archive.name, "bytes": sum(sizes), "sha256": sha256, "of": of}


# Official archives -----------------------------------------------------------------------------------------


class Pins:
    """Hashes of official archives that nobody publishes, as first seen; a committed file."""

    def __init__(self, path: Path, dataset: str):
        self.path, self.dataset = path, dataset
        self.rows = json.loads(path.read_text()) if path.is_file() else {}

    def get(self, archive: Archive) -> dict | None:
        return self.rows.get(f"{self.dataset}/{archive.name}")

    def compare(self, archive: Archive, entry: dict) -> None:
        pinned = self.get(archive)
        if pinned and pinned["sha256"] != entry["sha256"]:
            raise ArchiveError(
                f"{archive.name} has sha256 {entry['sha256']}, but was {pinned['sha256']} when first fetched "
                f"({self.path.name}); if its site replaced it, remove that entry"
            )

    def add(self, archive: Archive, entry: dict) -> None:
        if self.get(archive) is None:
            self.rows[f"{self.dataset}/{archive.name}"] = {k: v for k, v in entry.items() if k != "name"}
            _write_json(self.path, self.rows)


def _official(dataset: str, archives, root: Path, home: Path, ledger: Ledger) -> list[Found]:
    pins = Pins(root / "sources.lock.json", dataset)
    need = 0
    for archive in archives:
        if not (home / archive.name).is_file() and not _converted_before(archive, pins, home):
            need += _disk_need(archive) - transfer.partial_size(home / archive.name)
    transfer.require_free_disk(home, need, f"the archives of {dataset}")
    found = []
    for archive in archives:
        path = home / archive.name
        if not path.is_file() and (images := _converted_before(archive, pins, home)):
            entry = {"name": archive.name, **pins.get(archive)}
            if images == _images_path([*found, Found(archive, path, entry)], home):
                found.append(Found(archive, path, entry, images))
                continue
        if not path.is_file():
            transfer.download(archive.url, path, also_needed=_disk_need(archive) - archive.size)
            ledger.put(path, fetched_by_us=True)
        try:
            entry = _verified(archive, path, ledger, pins)
            found.append(Found(archive, path, entry))
            if archive.kind == "tar":
                found[-1] = _with_images(found, dataset, home)
        except (ArchiveError, StoreError) as error:
            raise _rejected([path], error, ledger) from error
        except LabelError as error:
            # The images could not be chosen: it is the labels that are wrong.
            raise _rejected([f.path for f in found if f.archive.files], error, ledger) from error
    # Only now, when all of them have opened: nothing wrong is pinned.
    for f in found:
        if not f.archive.digest:
            pins.add(f.archive, f.entry)
        # 13 GB that nothing reads again: its pinned hash and the converted images stand for it.
        if f.images and f.path.is_file() and ledger.get(f.path).get("fetched_by_us"):
            f.path.unlink()
    return found


def _rejected(files: list[Path], error: Exception, ledger: Ledger) -> ArchiveError:
    """The error for files that are not what they should be; those that we fetched are fetched anew next time."""
    ours = [path for path in files if ledger.get(path).get("fetched_by_us")]
    for path in ours:
        path.unlink()
    what = f"{' and '.join(p.name for p in ours)} removed, to be fetched again by the next run"
    return ArchiveError(f"{error}; {what if ours else f'remove {files[0]} to have it fetched'}")


def _disk_need(archive: Archive) -> int:
    """Bytes for an archive and, for a tar, for its images in a zip beside it."""
    return archive.size * (2 if archive.kind == "tar" else 1)


def _verified(archive: Archive, path: Path, ledger: Ledger, pins: Pins) -> dict:
    """The manifest row of an archive that has its published or first-seen hash and holds what it should."""
    if archive.digest:
        kind, expected = archive.digest.split(":")
        if (actual := _hashes(path, ledger, {kind, "sha256"})[kind]) != expected:
            raise ArchiveError(f"{archive.name} has {kind} {actual}, not the published {expected}")
    store = _opened(archive, path, ledger)
    for name, expected in archive.content if store else ():
        if (actual := hashlib.sha256(store.read(name)).hexdigest()) != expected:
            raise ArchiveError(f"{name} in {archive.name} has sha256 {actual}, not the known {expected}")
    entry = _entry(archive, path, ledger)
    pins.compare(archive, entry)
    return entry


def _opened(archive: Archive, path: Path, ledger: Ledger) -> ZipPart | None:
    """A zip seen for the first time, opened; raises ArchiveError or StoreError where it lacks its label files."""
    # Reading the index of COCO's 118,000 images takes a second, too much for each time that they are opened.
    if archive.kind != "zip" or ledger.get(path).get("holds_its_files"):
        return None
    store = ZipPart(path, archive.any_key, MAX_LABELS)
    for name in archive.files:
        if Path(name).name not in store:
            raise ArchiveError(f"{archive.name} holds no {name}")
    ledger.put(path, holds_its_files=True)
    return store


# A tar has no random access ---------------------------------------------------------------------------------


def _images_path(found: list[Found], home: Path) -> Path:
    """The zip of the last archive's images, named by that archive and by the labels that chose the images."""
    labels = "".join(f.entry["sha256"] for f in found[:-1])
    key = hashlib.sha256(labels.encode()).hexdigest()
    return home / f"images-{found[-1].entry['sha256'][:12]}-{key[:12]}.zip"


def _converted_before(archive: Archive, pins: Pins, home: Path) -> Path | None:
    if archive.kind != "tar" or not (pin := pins.get(archive)):
        return None
    return next(iter(sorted(home.glob(f"images-{pin['sha256'][:12]}-*.zip"))), None)


def _with_images(found: list[Found], dataset: str, home: Path) -> Found:
    """The last of the archives, a tar, with its labelled images in a zip of stored members, made once."""
    last, target = found[-1], _images_path(found, home)
    if not target.is_file():
        wanted = entry(dataset).LABELLED_IMAGES(_label_store(found[:-1]))
        partial = target.with_suffix(".part")
        try:
            _tar_to_zip(last.path, partial, last.archive.image_key, wanted)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(target)
    return Found(last.archive, last.path, last.entry, target)


def _tar_to_zip(source: Path, target: Path, key, wanted: set[str]) -> None:
    """Copy the wanted images of a .tar.gz to a zip in one pass; raises ArchiveError if it is not plain."""
    size = source.stat().st_size
    # Photographs do not shrink: what grows tenfold is no archive of them.
    budget = 10 * size + (64 << 20)
    transfer.require_free_disk(target.parent, size, f"the images of {source.name}")
    try:
        with (
            source.open("rb") as packed,
            gzip.GzipFile(fileobj=packed) as unpacked,
            tarfile.TarFile(fileobj=_Sober(unpacked), mode="r") as tar,
            zipfile.ZipFile(target, "w") as out,
            transfer.progress(f"converting {source.name}", size) as bar,
        ):
            done = set()
            for member in tar:
                check_member_path(member.name, source)
                if not (member.isreg() or member.isdir()):
                    raise ArchiveError(f"{source} holds {member.name!r}, which is neither file nor folder")
                budget -= member.size
                if member.size > MAX_IMAGE or budget < 0:
                    raise ArchiveError(f"{source} unpacks to far more than images take, at {member.name!r}")
                name = key(member.name) if member.isreg() else None
                if name in wanted and name not in done:
                    done.add(name)
                    data = tar.extractfile(member).read()
                    if len(data) != member.size:
                        raise EOFError("it ends within a file")
                    out.writestr(zipfile.ZipInfo(member.name), data)
                bar.update(packed.tell() - bar.n)
                # tarfile keeps every member it has seen.
                tar.members = []
            # The end of the tar is not the end of the gzip stream, whose checksum comes last.
            while unpacked.read(BLOCK):
                pass
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{source} is damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise transfer.full_disk(error, target.parent, f"the images of {source.name}") from error


class _Sober:
    """A stream that refuses a single read of more than an image: a header may claim any length."""

    def __init__(self, file):
        self.file, self.tell = file, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_IMAGE:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self.file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        return self.file.seek(position, whence)


# Small tools -----------------------------------------------------------------------------------------------


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


def _write_json(path: Path, value) -> None:
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    partial.replace(path)
