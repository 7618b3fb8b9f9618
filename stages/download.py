"""Find, fetch or generate what a dataset needs, and write the manifests that DVC tracks."""

from pathlib import Path

from pipeline import files, params, paths, weights
from pipeline.datasets import DATASETS, sources
from stages import main


def download(dataset: str) -> None:
    p, root = params.load(), paths.project_root()
    labels_only = dataset in p.labels_only
    manifest = sources.fetch(dataset, p.data, root, labels_only)
    if not labels_only:
        first_files(dataset, p, root)
    files.write_json(paths.manifest(dataset), manifest)
    for entry in manifest["archives"]:
        print(f"{entry['name']}: {entry['bytes']} bytes, sha256 {entry['sha256'][:12]}")


def first_files(dataset: str, p: params.Params, root: Path) -> None:
    """Record what else is given: a detector's boxes, and the weights that networks start from."""
    detections = p.evaluate.detections if DATASETS[dataset].DETECTIONS else None
    boxes = [paths.given(detections)] if detections else []
    for file in boxes:
        if not file.is_file():
            raise ValueError(f"evaluate.detections: {file} is not there; name the file, or null")
    files.record(paths.given_boxes(dataset), boxes)
    files.record(paths.given_weights(dataset), first_weights(p, root))


def first_weights(p: params.Params, root: Path) -> list[Path]:
    """The files that the networks start from."""
    first = {
        weights.fetch(params.sized(name)[0], p.model.pretrained, p.data.source, root) for name in p.baselines
    }
    return sorted(file for file in first if file)


if __name__ == "__main__":
    main(download)
