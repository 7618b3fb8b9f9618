"""The validation people whom predictions made elsewhere are measured on: as prepared, or from labels alone."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import files, paths
from pipeline.arrays import Array
from pipeline.datasets import DATASETS, apart, sources
from pipeline.datasets.elsewhere import Files
from pipeline.params import Data
from pipeline.people import People
from pipeline.runs import Data as Source


@dataclass(frozen=True)
class Labels:
    """Validation people. order: person_id (N,) in the order of files of predictions, None where none has one.

    folder: that of the stage `prepare`; full_size: whether the real dataset has no others, but for a handful;
    missing_people: by how many it differs from the official count.
    """

    people: People
    order: Array | None
    folder: Path
    data: Source
    full_size: bool
    missing_people: int


def read(dataset: str, data: Data, file: Path, rows: int | None = None) -> Labels:
    """The people of the stage `prepare`, or else those of the dataset's label file alone, which needs no images; that
    also where the demo drew the former and the predictions are for another number of people, `rows`.

    file: the predictions, which may lie in that file. Raises ValueError where neither is there.
    """
    folder, own, known = paths.people(dataset), DATASETS[dataset].PREDICTIONS, DATASETS[dataset].PEOPLE[1]
    if (folder / "val.npz").is_file() and paths.manifest(dataset).is_file():
        manifest = files.read_json(paths.manifest(dataset))
        summary, people = files.read_json(folder / "summary.json"), People.load(folder / "val.npz")
        others = manifest["source"] == "demo" and rows not in (None, len(people))
        if own is not None and others and _places(dataset, own, data, file):
            return _alone(dataset, own, data, file)
        order = None
        if own is not None:
            labels = sources.open_labels(dataset, data, paths.project_root())
            order = own.order(labels.read(own.archive.name))
        return Labels(
            people=people,
            order=order,
            folder=folder,
            data=Source(
                source=manifest["source"], people_sha256=None, archives_sha256=files.hash_json(manifest)
            ),
            full_size=summary["full_size"],
            missing_people=abs(len(people) - known),
        )
    if own is None or (data.source == "demo" and not _places(dataset, own, data, file)):
        alone = f"; or in `labels_only`, then run `dvc repro prepare_labels@{dataset}`" if own else ""
        raise ValueError(
            f"{folder / 'val.npz'} is not there: name {dataset} in `datasets` of params.yaml and in one of the "
            f"lists below it, then run `dvc repro prepare@{dataset}`{alone}"
        )
    return _alone(dataset, own, data, file)


def of_demo(dataset: str, labels: Labels) -> str:
    """What a sentence on the number of these people ends in where the demo drew them."""
    own = DATASETS[dataset].PREDICTIONS
    if own is None or labels.data.source != "demo":
        return ""
    return (
        f", which the demo drew: for the real ones put {own.archive.name} ({own.archive.url}) into "
        f"{paths.archives(dataset)}, or name {dataset} in `labels_only` of params.yaml with data.source: official"
    )


def _alone(dataset: str, own: Files, data: Data, file: Path) -> Labels:
    places = _places(dataset, own, data, file)
    if not places:
        raise ValueError(
            f"{own.archive.name}, which holds {dataset}'s validation labels, is not there: put it ({own.archive.url}) "
            f"into {paths.archives(dataset)}, or into the folder that data.source names"
        )
    content, sha256 = places[0].read_bytes(), files.sha256(places[0])
    apart.parse(lambda: own.people(content), [places[0]])
    people = own.people(content)
    published = own.archive.digest == f"sha256:{sha256}"
    return Labels(
        people=people,
        order=own.order(content),
        folder=paths.people(dataset),
        data=Source(
            source="official" if published else "folder",
            people_sha256=None,
            archives_sha256=files.hash_json([{"name": own.archive.name, "sha256": sha256}]),
        ),
        full_size=len(people) == DATASETS[dataset].PEOPLE[1],
        missing_people=abs(len(people) - DATASETS[dataset].PEOPLE[1]),
    )


def _places(dataset: str, own: Files, data: Data, file: Path) -> list[Path]:
    """Where the label file lies, best place first."""
    root, name = paths.project_root(), own.archive.name
    folders = [paths.archives(dataset)]
    if data.source not in ("demo", "official"):
        given = root / Path(data.source).expanduser()
        folders = [given / dataset, given, *folders]
    places = [folder / name for folder in folders] + ([file] if file.name == name else [])
    return [place for place in places if place.is_file()]
