"""Bytes of the demo's files and archives: the same for the same content."""

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

JPEG_QUALITY = 90


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def json_bytes(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def replace(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Have `write` fill a file that appears under its name only when it is whole."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
    os.replace(part, path)


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in sorted(members):
                member = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
                member.external_attr = 0o644 << 16
                stored = name.endswith(".jpg")
                member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                archive.writestr(member, content)

    replace(path, write)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    def write(file: IO[bytes]) -> None:
        with (
            gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for name, content in sorted(members):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    replace(path, write)
