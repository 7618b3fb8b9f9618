"""Files inside archives or folders, read one at a time, in any order, from any process."""

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

LOCAL_HEADER = struct.Struct("<4s22xHH")
# What a member may unpack to; a declared or real size beyond it is a bomb or a mistake.
MAX_IMAGE = 64 << 20
MAX_LABELS = 2 << 30
# Bytes of a zip's index; that of COCO's 118,000 images has 10 MB.
MAX_INDEX = 64 << 20
# Characters, as file systems have it.
MAX_PATH = 4096
MAX_NAME = 255


class StoreError(ValueError):
    """A file that is absent, damaged or not allowed; the message names it and its archive.

    Messages of `read` name no folder, since DVC tracks the list of images that were skipped, with the reasons.
    """


class ZipPart:
    """A zip's members by the names that `key` gives them, stored or deflated, checked by CRC when read.

    The index is arrays, not objects: COCO's 118,000 members take 6 MB and go to each worker as they are.
    key: member's path -> name, or None for a member that is of no use. Raises StoreError.
    """

    def __init__(self, path: Path, key: Callable[[str], str | None], limit: int):
        self.path, self.limit = Path(path), limit
        self._file: int | None = None
        _check_index(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = archive.infolist()
        except (
            zipfile.BadZipFile, OSError, EOFError, ValueError, OverflowError, NotImplementedError, RuntimeError,
            struct.error, zlib.error,
        ) as error:  # fmt: skip
            raise StoreError(
                f"{self.path} is damaged, cut short or no zip archive ({error}); fetch it again"
            ) from error
        length = self.path.stat().st_size
        rows = []
        for member in members:
            check_member_path(member.filename, self.path)
            name = None if member.is_dir() else key(member.filename)
            if name is None:
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                raise StoreError(f"{self.path} holds a link, {member.filename!r}, where a file must be")
            if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise StoreError(f"{self.path}: {member.filename!r} is encrypted or packed in an unknown way")
            if len(name.encode()) > MAX_NAME:
                raise StoreError(f"{self.path} holds a name of {len(name)} characters; it is not used")
            numbers = (member.header_offset, member.compress_size, member.file_size)
            if min(numbers) < 0 or max(numbers[:2]) > length or member.file_size >= 2**63:
                raise StoreError(
                    f"{self.path} is damaged: {member.filename!r} has a size or place that no file has"
                )
            deflated = member.compress_type == zipfile.ZIP_DEFLATED
            rows.append((name.encode(), *numbers, member.CRC, deflated))
        rows.sort()
        columns = list(zip(*rows, strict=True)) or [()] * 6
        self.names = np.array(columns[0], "S")
        self.offset, self.packed, self.size = (np.array(column, np.int64) for column in columns[1:4])
        self.crc, self.deflated = np.array(columns[4], np.uint32), np.array(columns[5], bool)
        # What this process has found whole: a checksum takes as long as half a crop, and epochs are many.
        self._whole = np.zeros(len(rows), bool)
        twice = self.names[1:][self.names[1:] == self.names[:-1]]
        if len(twice):
            raise StoreError(f"{self.path} holds {twice[0].decode()!r} twice")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_whole": np.zeros(len(self.names), bool)}

    def __contains__(self, name: str) -> bool:
        return self._row(name) is not None

    def _row(self, name: str) -> int | None:
        key = name.encode()
        row = int(np.searchsorted(self.names, key))
        return row if row < len(self.names) and self.names[row] == key else None

    def position(self, name: str) -> int:
        row = self._row(name)
        return -1 if row is None else int(self.offset[row])

    def contents(self) -> list[tuple[str, int, int]]:
        """Name, size and CRC of each member: the same for any packing of the same files."""
        return [
            (name.decode(), int(size), int(crc))
            for name, size, crc in zip(self.names, self.size, self.crc, strict=True)
        ]

    def read(self, name: str) -> bytes:
        row = self._row(name)
        if row is None:
            raise StoreError(f"{name} is not in {self.path.name}")
        size, packed = int(self.size[row]), int(self.packed[row])
        if size > self.limit or packed > self.limit:
            raise StoreError(
                f"{name} in {self.path.name} unpacks to {size} bytes; at most {self.limit} are expected"
            )
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        # pread keeps no position, so threads and forked workers may share the file.
        start, data = int(self.offset[row]), b""
        header = os.pread(self._file, LOCAL_HEADER.size, start)
        if len(header) == LOCAL_HEADER.size and header[:4] == b"PK\3\4":
            # Its extra field may differ in length from that of the central directory.
            _, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
            data = _pread(self._file, packed, start + LOCAL_HEADER.size + name_bytes + extra_bytes)
        if self.deflated[row] and len(data) == packed:
            try:
                # One byte more than declared shows a member that lies about its size.
                data = zlib.decompressobj(-15).decompress(data, size + 1)
            except zlib.error:
                data = b""
        if len(data) != size or not (self._whole[row] or zlib.crc32(data) == self.crc[row]):
            raise StoreError(f"{name} in {self.path.name} is damaged; fetch the archive again")
        self._whole[row] = True
        return data


def _pread(file: int, count: int, offset: int) -> bytes:
    blocks = []
    # One call returns at most 2 GB.
    while count > 0 and (block := os.pread(file, count, offset)):
        blocks.append(block)
        count, offset = count - len(block), offset + len(block)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


class FolderPart:
    """Files of a folder: `names` maps a name to its path below `path`, or is None for one file a name."""

    def __init__(self, path: Path, limit: int, prefix: str = "", names: dict[str, str] | None = None):
        self.path, self.limit, self.prefix, self.names = Path(path), limit, prefix, names

    def __contains__(self, name: str) -> bool:
        file = self._file(name)
        return file is not None and file.is_file()

    def _file(self, name: str) -> Path | None:
        if self.names is not None:
            return self.path / self.names[name] if name in self.names else None
        inner = name.removeprefix(self.prefix)
        return self.path / inner if "/" not in inner and name.startswith(self.prefix) else None

    def position(self, name: str) -> int:
        return 0

    def read(self, name: str) -> bytes:
        file = self._file(name)
        try:
            if file is None or not file.is_file():
                raise StoreError(f"{name} is not in {self.path.name}")
            if (size := file.stat().st_size) > self.limit:
                raise StoreError(f"{name} has {size} bytes; at most {self.limit} are expected")
            return file.read_bytes()
        except OSError as error:
            raise StoreError(f"{name} cannot be read: {error.strerror}") from error


class ImageStore:
    """Files by name from one or several archives and folders; may be pickled, opens what it reads late."""

    def __init__(self, parts: Iterable[ZipPart | FolderPart]):
        self.parts = list(parts)

    def __contains__(self, name: str) -> bool:
        return any(name in part for part in self.parts)

    def read(self, name: str) -> bytes:
        """The file's bytes, never damaged ones where an archive tells; raises StoreError."""
        for part in self.parts:
            if name in part:
                return part.read(name)
        where = " or ".join(part.path.name for part in self.parts)
        raise StoreError(f"{name} is not in {where}")

    def in_reading_order(self, names: Iterable[str]) -> list[str]:
        """The names as their files follow each other on disk."""
        return sorted(names, key=lambda name: next(
            ((row, part.position(name)) for row, part in enumerate(self.parts) if name in part), (-1, 0)
        ))  # fmt: skip


def _check_index(path: Path) -> None:
    """Raise StoreError for a zip whose index is larger than any that is used: it takes tenfold in memory."""
    try:
        with path.open("rb") as file:
            # The index ends with its size, and a comment of up to 64 kB.
            file.seek(max(0, path.stat().st_size - (1 << 16) - 128))
            end = file.read()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    at, at64 = end.rfind(b"PK\5\6"), end.rfind(b"PK\6\6")
    sizes = [struct.unpack_from("<I", end, at + 12)[0]] if 0 <= at <= len(end) - 22 else []
    if sizes == [0xFFFFFFFF] and 0 <= at64 <= len(end) - 56:
        sizes = [struct.unpack_from("<Q", end, at64 + 40)[0]]
    if any(size > MAX_INDEX for size in sizes):
        raise StoreError(f"{path} has an index of {sizes[0]} bytes; at most {MAX_INDEX} are expected")


def check_member_path(path: str, archive: Path) -> None:
    """Raise StoreError for a path that leaves the folder it is unpacked in, or is none."""
    if not path:
        raise StoreError(f"{archive} holds a file without a name; it is damaged")
    if len(path) > MAX_PATH:
        raise StoreError(f"{archive} holds a path of {len(path)} characters; it is not used")
    if not path.isascii() and path.encode(errors="replace") != path.encode(errors="surrogatepass"):
        raise StoreError(f"{archive} holds the path {path!r}, which is no text; it is not used")
    if path.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:", path) or ".." in re.split(r"[/\\]", path):
        raise StoreError(f"{archive} holds the path {path!r}, which leads out of its folder; it is not used")
