"""Files of weights that networks start from: which is wanted, where it lies, whether it is whole. Needs no torch."""

import re
import sys
from pathlib import Path

from pipeline.datasets import pins, transfer
from pipeline.datasets.transfer import TransferError
from pipeline.files import lock, read_json, sha256
from pipeline.networks import NETWORKS

KEPT = Path("data") / "archives" / "pretrained"
"""Where downloaded files lie, under the project."""
PINS = Path(__file__).resolve().parent.parent / "sources.lock.json"
"""Whole hashes, where they are known."""


class CheckpointError(ValueError):
    """A file of weights that is missing, not what its name says, or not this network's; one sentence."""


def find(name: str, wanted: str, source: str, root: Path) -> Path | None:
    """The file that the network called `name` starts from, as `model.pretrained` wants it; None for none.

    wanted: none, imagenet, imagenet_if_there or a file of weights. An ImageNet file is looked for in the folder
    `source` (`data.source`) and in `KEPT`, both of `root`; a network of which none is published starts afresh.
    Raises CheckpointError with the folders looked in.
    """
    if wanted == "none":
        return None
    if wanted not in ("imagenet", "imagenet_if_there"):
        file = root / Path(wanted).expanduser()
        if not file.is_file():
            raise CheckpointError(f"model.pretrained: {file} is missing; put the file of weights there")
        return file
    url = NETWORKS[name].imagenet
    if url is None:
        return None
    folders = [root / KEPT] if source in ("demo", "official") else [root / source, root / KEPT]
    for folder in folders:
        if (folder / file_name(url)).is_file():
            return folder / file_name(url)
    if wanted == "imagenet_if_there":
        return None
    looked = " and ".join(str(folder) for folder in folders)
    raise CheckpointError(
        f"model.pretrained: imagenet, but {file_name(url)} is not in {looked}; put it there, or use none"
    )


def fetch(name: str, wanted: str, source: str, root: Path) -> Path | None:
    """As `find`; where `source` is `official`, a missing ImageNet file is downloaded first.

    With imagenet_if_there a site that is away means none, and says so.
    """
    url = NETWORKS[name].imagenet
    if source == "official" and wanted in ("imagenet", "imagenet_if_there") and url is not None:
        file = root / KEPT / file_name(url)
        try:
            _download(url, file)
        except (TransferError, CheckpointError) as error:
            if wanted == "imagenet":
                raise
            print(
                f"model.pretrained: {wanted}, and they are not: {error}; {name} starts from scratch",
                file=sys.stderr,
            )
    return find(name, wanted, source, root)


def recorded(name: str, wanted: str, source: str, root: Path, manifest: Path) -> Path | None:
    """As `fetch`, once the manifest tells what was found: where imagenet_if_there met none, none is looked for any
    more, and where it met some, they are needed, so that no run of a table starts otherwise than the others."""
    url = NETWORKS[name].imagenet
    if wanted == "imagenet_if_there" and url is not None and manifest.is_file():
        there = any(row["name"] == file_name(url) for row in read_json(manifest))
        wanted = "imagenet" if there else "none"
        if not there:
            print(
                f"model.pretrained: imagenet_if_there, and {file_name(url)} was not: {name} starts from scratch"
            )
    return fetch(name, wanted, source, root)


def _download(url: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with lock(file.parent / ".lock"):
        # What lies there may be a site's page in place of the file: it goes, and another comes once.
        if not _is_promised(file):
            file.unlink(missing_ok=True)
            transfer.download(url, file, digest=f"sha256:{promised_digest(file.name)}")
        if not _is_promised(file):
            file.unlink()
            raise CheckpointError(
                f"{url} gives another file than its name promises; put {file.name} into a folder and name the "
                f"folder in data.source, or set model.pretrained: none"
            )


def published(file: Path) -> bool:
    """Whether a file has the name of one with a network's ImageNet weights."""
    return any(network.imagenet and file_name(network.imagenet) == file.name for network in NETWORKS.values())


def check_hash(path: Path | str) -> None:
    """Raise CheckpointError unless a file is there and its sha256 starts as its name says.

    The names of published files end in its first digits, as in hrnet_w32-36af842e.pth; a date may follow, as in
    -6c4f923f_20200812.pth. A name without digits promises nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; put the file of weights there")
    promised = promised_digest(path.name)
    if promised and not (digest := sha256(path)).startswith(promised):
        raise CheckpointError(
            f"{path} is damaged: its name promises a sha256 of {promised[:16]}..., and it is {digest[:16]}...; "
            "fetch it again"
        )


def promised_digest(name: str) -> str:
    """The sha256 that a published file's name promises: all 64 digits where they are pinned, else those in the name."""
    pinned = pins.read(PINS).get(f"pretrained/{name}", {})
    promised = re.search(r"-([0-9a-f]{8,64})(_\d{8})?\.pth(\.tar)?$", name)
    return str(pinned.get("sha256", promised[1] if promised else ""))


def _is_promised(file: Path) -> bool:
    return file.is_file() and transfer.matches(file, f"sha256:{promised_digest(file.name)}")


def file_name(url: str) -> str:
    return url.rpartition("/")[2]
