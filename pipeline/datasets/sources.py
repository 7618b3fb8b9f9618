"""Where a dataset's archives come from: found, fetched or generated, verified, and opened where they lie.

A dataset's module lists its archives (`ARCHIVES`). They are not outputs of DVC: 20 GB stay in one copy under
data/archives/<dataset>, or in the user's own folder; DVC follows the manifest of names, sizes and hashes.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from pipeline import code, paths
from pipeline.datasets import DATASETS, Dataset, Source, official
from pipeline.datasets.archive import Archive, ArchiveError, MissingArchive
from pipeline.datasets.elsewhere import LabelsAlone
from pipeline.datasets.ledger import Ledger, label_files, packed_entry, unpacked_entry
from pipeline.datasets.places import (
    Place,
    check_labels,
    image_store,
    label_store,
    last_labels,
    opened,
    with_images,
)
from pipeline.datasets.store import ImageStore
from pipeline.files import lock
from pipeline.params import Data, Demo


def fetch(dataset: str, data: Data, root: Path, labels_only: bool = False) -> dict[str, Any]:
    """Find, download or generate a dataset's archives and verify them; returns the manifest.

    root: the project's folder. labels_only: the file alone that names and labels the validation people. Raises
    ArchiveError, MissingArchive, StoreError, LabelError, TransferError.
    """
    places = _find(dataset, data, root, labels_only)
    manifest = {"source": source_kind(data), "archives": [place.entry for place in places]}
    return manifest | ({"labels_only": True} if labels_only else {})


def open_images(dataset: str, data: Data, root: Path) -> ImageStore:
    """The dataset's images by name, from archives that the manifest names; missing ones are fetched."""
    return image_store(_as_recorded(dataset, data, root))


def open_labels(dataset: str, data: Data, root: Path) -> ImageStore:
    """The dataset's label files by their own names (without folders), as `open_images`."""
    return label_store(_as_recorded(dataset, data, root))


def entry(dataset: str) -> Dataset:
    """A dataset's module; raises ArchiveError for an unknown one."""
    if dataset not in DATASETS:
        raise ArchiveError(f"{dataset} is no dataset; there are {', '.join(DATASETS)}")
    return DATASETS[dataset]


def source_kind(data: Data) -> str:
    return data.source if data.source in ("demo", "official") else "folder"


def _as_recorded(dataset: str, data: Data, root: Path) -> list[Place]:
    try:
        recorded = json.loads(paths.manifest(dataset).read_text())
    except FileNotFoundError:
        return _find(dataset, data, root)
    labels_only = recorded.get("labels_only", False)
    places = _find(dataset, data, root, labels_only)
    expected = {entry["name"]: entry for entry in recorded["archives"]}
    for place in places:
        if place.entry != expected.get(place.archive.name):
            raise ArchiveError(
                f"{place.path} is not the {place.archive.name} that {paths.manifest(dataset)} records; "
                f"`dvc repro --force download{'_labels' * labels_only}@{dataset}` takes it as it is now"
            )
    return places


def source(dataset: str, labels_only: bool = False) -> Source:
    """What is fetched of a dataset, and read; raises ArchiveError where its labels do not come alone."""
    module = entry(dataset)
    if not labels_only:
        return module
    if module.PREDICTIONS is None:
        raise ArchiveError(f"{dataset}'s labels do not come apart from its images")
    return LabelsAlone(module.PREDICTIONS)


def _find(dataset: str, data: Data, root: Path, labels_only: bool = False) -> list[Place]:
    module = source(dataset, labels_only)
    home = root / "data" / "archives" / dataset
    home.mkdir(parents=True, exist_ok=True)
    # Ranks, queued experiments and stages may all ask at once; one fetches, the others find it done.
    with lock(home / ".lock"):
        ledger = Ledger(home / "verified.json")
        if data.source == "official":
            return official.fetch(dataset, module, root, home, ledger)
        if data.source == "demo":
            folders = [_generate(dataset, data.demo, home)]
        else:
            base = root / Path(data.source).expanduser()
            if not base.is_dir():
                raise MissingArchive(
                    f"data.source: {data.source} is neither `demo` nor `official`, and {base} is no folder"
                )
            folders = [base / dataset, base]
        places: list[Place] = []
        for archive in module.ARCHIVES:
            # Where bad images are skipped, a damaged one is no reason to refuse its archive.
            whole = data.source != "demo" and data.on_bad_image == "fail"
            places.append(_in_folders(archive, folders, ledger, dataset, whole))
            if archive is last_labels(module):
                check_labels(places, module, ledger)
            if archive.kind == "tar" and places[-1].path.is_file():
                places[-1] = with_images(places, home, module.LABELLED_IMAGES)
        return places


def _generate(dataset: str, demo: Demo, home: Path) -> Path:
    """The folder of a synthetic dataset, named by what determines its content: parameters and code."""
    # It imports what draws, which takes longer than all else here.
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


def _in_folders(archive: Archive, folders: list[Path], ledger: Ledger, dataset: str, whole: bool) -> Place:
    """An archive under one of its names, else what it unpacks to, in the first folder that has it."""
    # Also one level down, as an archive unpacked into a folder of its own, but not in another dataset's.
    others = DATASETS.keys() - {dataset}
    inner = [
        p for f in folders if f.is_dir() for p in sorted(f.iterdir()) if p.is_dir() and p.name not in others
    ]
    for folder in (*folders, *inner):
        for name in (archive.name, *archive.aliases):
            path = folder / name
            if path.is_file():
                opened(archive, path, ledger, whole)
                return Place(archive, path, packed_entry(archive, path, ledger))
    for folder in (*folders, *inner):
        if archive.kind != "file" and _holds(folder, archive):
            return Place(archive, folder, unpacked_entry(archive, folder, ledger))
    looked = ", ".join(str(f) for f in folders)
    raise MissingArchive(
        f"{archive.name}, an archive of {dataset}, is not there, packed or unpacked; looked in {looked} (data.source)"
    )


def _holds(base: Path, archive: Archive) -> bool:
    labels = len(label_files(archive, base)) == len(archive.files)
    return labels and (archive.folder is None or (base / archive.folder).is_dir())
