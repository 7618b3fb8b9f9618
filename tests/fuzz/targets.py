"""What is fuzzed: each target has valid files, ways to spoil them, and what reads them in the pipeline."""

import contextlib
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from pipeline import images, params, runs
from pipeline.codec import crop
from pipeline.datasets import tar
from pipeline.datasets.archive import Archive
from pipeline.datasets.formats import coco, lspet, mpii
from pipeline.datasets.pins import Pins
from pipeline.datasets.store import StoreError, ZipPart
from pipeline.people import People
from tests.conftest import ROOT
from tests.datasets import archives
from tests.fuzz import labels, mutate, weights

Spoil = Callable[[list[bytes], random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """What reads a kind of file. name: of the target; read: raises for a file that is not right; valid: files that are;
    spoil: ways to make them wrong; file: the name that the file has, if not the target's."""

    name: str
    read: Callable[[Path], object]
    valid: Callable[[], list[bytes]]
    spoil: tuple[Spoil, ...]
    file: str = ""


def bytes_(valid: list[bytes], rng: random.Random) -> bytes:
    return mutate.of_bytes(rng.choice(valid), valid, rng)


def gzip_(valid: list[bytes], rng: random.Random) -> bytes:
    return mutate.of_gzip(rng.choice(valid), valid, rng)


def json_(valid: list[bytes], rng: random.Random) -> bytes:
    return json.dumps(mutate.of_values(json.loads(rng.choice(valid)), rng)).encode()


def yaml_(valid: list[bytes], rng: random.Random) -> bytes:
    text = yaml.safe_dump(mutate.of_values(yaml.safe_load(rng.choice(valid)), rng), allow_unicode=True)
    return text.encode(errors="surrogatepass")


# Parameters and records ------------------------------------------------------------------------------------


def valid_params() -> list[bytes]:
    return [(ROOT / "profiles" / "demo.yaml").read_bytes()]


def read_record(path: Path) -> None:
    runs.Record.load(path)


def valid_record() -> list[bytes]:
    p = params.parse(valid_params()[0].decode(), "demo.yaml")
    record = runs.Record(
        run=runs.Run(dataset="mpii", model="sg_hrnet_small", radius=5, seed=0, ablation=None), joints=16,
        settings=runs.Settings.of(p, guided=True),
        data=runs.Data(source="demo", people_sha256="0" * 64, archives_sha256="0" * 24), first_weights="none",
        machine=runs.Machine(ranks=1, device="cpu", kernels="avx2", torch="2.13.0", compiled="eager"),
    )  # fmt: skip
    return [record.to_json().encode()]


def read_pins(path: Path) -> None:
    archive = Archive("a.zip", "", 0)
    pins = Pins(path, "mpii")
    pins.get(archive)
    pins.digest(archive)
    pins.compare(archive, {"name": "a.zip", "bytes": 1, "sha256": "0" * 64})


def valid_pins() -> list[bytes]:
    return [json.dumps({"mpii/a.zip": {"bytes": 1, "sha256": "0" * 64}}).encode()]


def valid_people() -> list[bytes]:
    file = io.BytesIO()
    people = labels.mpii_people()
    np.savez(file, **{name: np.asarray(value) for name, value in vars(people).items()})
    return [file.getvalue()]


# Archives and images ---------------------------------------------------------------------------------------


def read_zip(path: Path) -> None:
    part = ZipPart(path, lambda member: member.rpartition("/")[2] or None, 1 << 20)
    for name, _, _ in part.contents():
        # One file that is damaged says nothing of the others, and is named as in its archive.
        with contextlib.suppress(StoreError):
            part.read(name)


def valid_zips() -> list[bytes]:
    files = {f"images/{n}.jpg": archives.jpeg(20, 30, n) for n in range(3)}
    return [archives.zip_bytes(files, kind) for kind in (0, 8)]


def read_tar(path: Path) -> None:
    archive = Archive("a.tar.gz", "", 0, folder="images")
    tar.to_zip(path, path.with_suffix(".zip"), archive.image_key, None)


def valid_tars() -> list[bytes]:
    long = {"images/" + "x" * 150 + ".jpg": archives.jpeg(20, 30)}
    return [archives.tar_bytes({f"images/{n}.jpg": archives.jpeg(20, 30, n) for n in range(3)} | long)]


def read_image(path: Path) -> None:
    data = path.read_bytes()
    try:
        images.image_size(data)
    except ValueError as error:
        # As prepare says it.
        error.args = (f"{path.name} {error}",)
        refused = error
    else:
        refused = None
    for reduce in (1, 2, 8):
        # Bytes spoiled inside decode to other pixels, or not at all.
        with contextlib.suppress(crop.BadImage):
            crop.decode_image(data, path.name, reduce)
    if refused:
        raise refused


def valid_images() -> list[bytes]:
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8), (0, 0), 3)
    return [cv2.imencode(ending, pixels)[1].tobytes() for ending in (".jpg", ".png", ".webp", ".bmp")]


MATLAB = (bytes_, labels.mat_, labels.mat_)
TARGETS = {
    target.name: target
    for target in (
        Target(coco.LABELS["train"], labels.read_coco, labels.valid_coco, (bytes_, json_, json_, json_)),
        Target("detections.json", labels.read_detections, labels.valid_detections, (bytes_, json_, json_)),
        Target(mpii.RELEASE, labels.read_mpii, labels.valid_mpii, MATLAB),
        Target(mpii.VALIDATION, labels.read_validation, labels.valid_validation, MATLAB),
        Target(
            "detections-alone.mat", labels.read_validation_labels, labels.valid_validation_labels, MATLAB,
            file=mpii.VALIDATION,
        ),
        Target(lspet.JOINTS, labels.read_lspet, labels.valid_lspet, MATLAB),
        Target("predictions.mat", labels.read_predictions, labels.valid_mat_predictions, MATLAB),
        Target("predictions.h5", labels.read_predictions, labels.valid_h5_predictions, (bytes_,)),
        Target("params.yaml", params.load, valid_params, (bytes_, yaml_, yaml_, yaml_)),
        Target("run.json", read_record, valid_record, (bytes_, json_)),
        Target("sources.lock.json", read_pins, valid_pins, (bytes_, json_)),
        Target("people.npz", People.load, valid_people, (bytes_,)),
        Target("images.zip", read_zip, valid_zips, (bytes_,)),
        Target("images.tar.gz", read_tar, valid_tars, (bytes_, gzip_, gzip_)),
        Target("image.jpg", read_image, valid_images, (bytes_,)),
        Target("weights.pth", weights.read_weights, weights.valid_pth, (bytes_, weights.pth_, weights.pth_)),
        Target("weights.safetensors", weights.read_weights, weights.valid_safetensors, (bytes_, bytes_)),
        Target(
            "checkpoint.safetensors", weights.read_checkpoint, weights.valid_checkpoint,
            (bytes_, weights.resealed_, weights.resealed_),
        ),
    )
}  # fmt: skip
