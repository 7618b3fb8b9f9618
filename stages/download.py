"""Find, fetch or generate a dataset's archives, and write the manifest that DVC tracks."""

import json

from pipeline import params, paths
from pipeline.datasets import archives
from stages import main


def download(dataset: str) -> None:
    manifest = archives.fetch(dataset, params.load().data, paths.project_root())
    path = paths.manifest(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    # What lies there may be a hard link into DVC's cache, which writing into it would spoil.
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    for entry in manifest["archives"]:
        print(f"{entry['name']}: {entry['bytes']} bytes, sha256 {entry['sha256'][:12]}")


if __name__ == "__main__":
    main(download)
