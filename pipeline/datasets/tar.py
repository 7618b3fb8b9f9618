"""A tar has no random access: the images that are needed go to a zip of stored members, in one pass."""

import gzip
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pipeline.datasets import transfer
from pipeline.datasets.archive import ArchiveError
from pipeline.datasets.store import MAX_IMAGE, StoreError, check_member_path

BLOCK = 4 << 20
# Bytes of a header: names and times, tens of bytes in an archive of images.
MAX_HEADER = 64 << 10


def to_zip(source: Path, target: Path, key: Callable[[str], str | None], wanted: set[str] | None) -> None:
    """Copy the images of a .tar.gz whose names, by `key`, are wanted (None: all); raises ArchiveError if not plain."""
    size = source.stat().st_size
    # Photographs do not shrink: what grows tenfold is no archive of them.
    budget = 10 * size + (64 << 20)
    transfer.require_free_disk(target.parent, size, f"the images of {source.name}")
    try:
        with (
            source.open("rb") as packed,
            gzip.GzipFile(fileobj=packed) as unpacked,
            tarfile.TarFile(fileobj=(sober := _Sober(unpacked, budget)), mode="r") as tar,
            zipfile.ZipFile(target, "w") as out,
            transfer.progress(f"converting {source.name}", size) as bar,
        ):
            done = set()
            for member in tar:
                check_member_path(member.name, source)
                if not (member.isreg() or member.isdir()):
                    raise ArchiveError(f"{source} holds {member.name!r}, which is neither file nor folder")
                if not 0 <= member.size <= MAX_IMAGE or member.offset_data + member.size > budget:
                    raise ArchiveError(f"{source} unpacks to far more than images take, at {member.name!r}")
                name = key(member.name) if member.isreg() else None
                if name and name not in done and (wanted is None or name in wanted):
                    done.add(name)
                    sober.limit = MAX_IMAGE
                    content = tar.extractfile(member)
                    data = content.read() if content else b""
                    sober.limit = MAX_HEADER
                    if len(data) != member.size:
                        raise EOFError("it ends within a file")
                    out.writestr(zipfile.ZipInfo(member.name), data)
                bar.update(packed.tell() - bar.n)
                # tarfile keeps every member it has seen.
                tar.members = []  # type: ignore[attr-defined]  # documented by no more than this use
            # The end of the tar is not the end of the gzip stream, whose checksum comes last.
            while unpacked.read(BLOCK):
                pass
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except (ArchiveError, StoreError):
        raise
    except (
        tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, TypeError,
        LookupError, RecursionError,
    ) as error:  # fmt: skip
        raise ArchiveError(f"{source} is damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise transfer.full_disk(error, target.parent, f"the images of {source.name}") from error


class _Sober:
    """A stream that believes no header: it reads at most `limit` at once, nothing beyond `budget`, nothing twice."""

    def __init__(self, file: gzip.GzipFile, budget: int):
        self.file, self.budget, self.limit = file, budget, MAX_HEADER

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.limit:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        if self.file.tell() > self.budget:
            raise tarfile.ReadError("it unpacks to far more than images take")
        return self.file.read(size)

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, position: int) -> int:
        # tarfile looks at the last byte of what it skipped.
        if not self.file.tell() - tarfile.BLOCKSIZE <= position <= self.budget:
            raise tarfile.ReadError(
                f"a header leads to byte {position}, back or to far more than images take"
            )
        return self.file.seek(position)

    def write(self, data: bytes) -> int:
        raise NotImplementedError("it is only read")

    def close(self) -> None:
        self.file.close()
