"""Where a dataset's archives lie on this disk, and how they are opened there."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.datasets import Source, apart, tar, transfer
from pipeline.datasets.archive import Archive, ArchiveError
from pipeline.datasets.ledger import Entry, Ledger, hashes, label_files
from pipeline.datasets.store import MAX_IMAGE, MAX_LABELS, FolderPart, ImageStore, ZipPart


@dataclass(frozen=True)
class Place:
    """An archive's place: the file, or the folder that holds it unpacked.

    entry: its row of the manifest; images: the zip that a tar was converted to, which may outlive the tar.
    """

    archive: Archive
    path: Path
    entry: Entry
    images: Path | None = None

    @property
    def labels(self) -> list[Path]:
        """The files that labels are read from: the archive itself, or those in its folder."""
        if not self.archive.files:
            return []
        return label_files(self.archive, self.path) if self.path.is_dir() else [self.path]


def label_store(places: Sequence[Place]) -> ImageStore:
    """The label files by their own names."""
    parts: list[ZipPart | FolderPart] = []
    for place in places:
        archive, path = place.archive, place.path
        if not archive.files:
            continue
        if path.is_dir():
            names = {file.name: str(file.relative_to(path)) for file in place.labels}
            parts.append(FolderPart(path, MAX_LABELS, names=names))
        elif archive.kind == "zip":
            parts.append(ZipPart(path, archive.label_key, MAX_LABELS))
        else:
            parts.append(FolderPart(path.parent, MAX_LABELS, names={archive.files[0]: path.name}))
    return ImageStore(parts)


def image_store(places: Sequence[Place]) -> ImageStore:
    """The images by their names in the table of people."""
    parts: list[ZipPart | FolderPart] = []
    for place in places:
        archive = place.archive
        if archive.folder is None:
            continue
        if place.path.is_dir():
            parts.append(FolderPart(place.path / archive.folder, MAX_IMAGE, archive.prefix))
        else:
            parts.append(ZipPart(place.images or place.path, archive.image_key, MAX_IMAGE))
    return ImageStore(parts)


def opened(archive: Archive, path: Path, ledger: Ledger, whole: bool) -> ZipPart | None:
    """A zip seen for the first time, opened; raises ArchiveError or StoreError where it lacks its label files.

    whole: also where one of its files or images is damaged; one with its published hash is whole.
    """
    row = ledger.get(path)
    # Reading the index of COCO's 118,000 images takes a second, too much for each time that they are opened.
    if archive.kind != "zip" or row.get("is_whole") or (row.get("holds_its_files") and not whole):
        return None
    store = ZipPart(path, archive.any_key, MAX_LABELS)
    for name in archive.files:
        if Path(name).name not in store:
            raise ArchiveError(f"{archive.name} holds no {name}")
    kind, _, published = (archive.digest or "").partition(":")
    if not whole:
        ledger.put(path, holds_its_files=True)
        return store
    if not published or hashes(path, ledger, frozenset({kind, "sha256"}))[kind] != published:
        contents = store.contents()
        with transfer.progress(f"reading {path.name}", sum(size for _, size, _ in contents)) as bar:
            for name, size, _ in contents:
                store.read(name)
                bar.update(size)
    ledger.put(path, is_whole=True)
    return store


def last_labels(dataset: Source) -> Archive | None:
    """The archive with which all of a dataset's labels are there."""
    return next((archive for archive in reversed(dataset.ARCHIVES) if archive.files), None)


def check_labels(places: Sequence[Place], dataset: Source, ledger: Ledger) -> None:
    """Raise ValueError for labels that cannot be parsed: recorded, they would make DVC refuse the right ones."""
    files = [file for place in places for file in place.labels]
    if not all(ledger.get(file).get("parsed") for file in files):
        apart.parse(lambda: dataset.people(label_store(places), (256, 192)), files)
        for file in files:
            ledger.put(file, parsed=True)


def images_path(places: Sequence[Place], home: Path) -> Path:
    """The zip of the last archive's images, named by that archive and by the labels that chose the images."""
    labels = "".join(place.entry["sha256"] for place in places[:-1])
    key = hashlib.sha256(labels.encode()).hexdigest()
    return home / f"images-{places[-1].entry['sha256'][:12]}-{key[:12]}.zip"


def with_images(
    places: Sequence[Place], home: Path, labelled_images: Callable[[ImageStore], set[str]] | None
) -> Place:
    """The last of the archives, a tar, with its labelled images in a zip of stored members, made once."""
    last, target = places[-1], images_path(places, home)
    if not target.is_file():
        wanted = labelled_images(label_store(places[:-1])) if labelled_images else None
        partial = target.with_suffix(".part")
        try:
            tar.to_zip(last.path, partial, last.archive.image_key, wanted)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(target)
    return replace(last, images=target)
