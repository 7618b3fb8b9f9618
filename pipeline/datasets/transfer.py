"""One file over HTTP, however often the connection breaks."""

import errno
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

BLOCK = 1 << 20
# Seconds before each next attempt in a row that brought nothing new.
PAUSES = (1, 2, 4, 8, 15, 30, 60, 60)
TIMEOUT = (30, 60)
# Kept free besides what is fetched, so that a full disk is met here and not by everything else.
RESERVE = 256 << 20


class TransferError(ValueError):
    """A download that cannot go on; the message names the address or the folder and what to do."""


class _Broken(Exception):
    """An attempt that may be repeated."""


def download(url: str, path: Path, also_needed: int = 0) -> None:
    """Fetch a file to `path`, which appears only when it is whole; goes on where an earlier run stopped.

    also_needed: free bytes that must remain for what follows. Raises TransferError.
    """
    best, attempt = -1, 0
    while True:
        try:
            return _attempt(url, path, also_needed)
        except _Broken as error:
            reached = partial_size(path)
            # Only new ground counts: a server without ranges starts over each time.
            attempt = 0 if reached > best >= 0 else attempt
            best = max(best, reached)
            if attempt == len(PAUSES):
                raise TransferError(
                    f"{url} cannot be fetched ({error}); run again to go on, or put {path.name} into a "
                    f"folder and name the folder in data.source"
                ) from error
            print(f"{path.name}: {error}; trying again in {PAUSES[attempt]} s", file=sys.stderr)
            time.sleep(PAUSES[attempt])
            attempt += 1


def _attempt(url: str, path: Path, also_needed: int) -> None:
    import requests
    import urllib3

    partial, label = _partial(path), path.with_name(f".{path.name}.validator")
    start, validator = _resume_point(partial, label)
    # A .gz file must arrive as it is: no content encoding, and the raw stream below.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            status = response.status_code
            if status == 416:
                # Killed between the last byte and the renaming: nothing is left to ask for.
                if response.headers.get("Content-Range") == f"bytes */{start}":
                    return _finish(partial, label, path)
                partial.unlink(missing_ok=True)
                raise _Broken("what was fetched before does not fit the file any more")
            if status in (408, 425, 429) or status >= 500:
                raise _Broken(f"the server answers {status}")
            if status not in (200, 206):
                raise TransferError(
                    f"{url} answers {status}; put {path.name} into a folder and name that in data.source"
                )
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            if status == 206:
                match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
                if not start or not match or int(match[1]) != start:
                    partial.unlink(missing_ok=True)
                    raise _Broken("the server answers with another range than asked for")
                total = int(match[2])
            else:
                start = 0
            require_free_disk(path.parent, (total or 0) - start + also_needed, path.name)
            strong = response.headers.get("ETag", "")
            validator = strong if strong.startswith('"') else response.headers.get("Last-Modified", "")
            label.write_text(validator)
            with partial.open("ab" if start else "wb") as file:
                with progress(path.name, total, start) as bar:
                    for block in response.raw.stream(BLOCK, decode_content=False):
                        file.write(block)
                        bar.update(len(block))
                file.flush()
                os.fsync(file.fileno())
                reached = file.tell()
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(f"the connection broke off at {partial_size(path)} bytes") from error
    except requests.RequestException as error:
        raise _Broken(f"no connection: {_reason(error)}") from error
    except OSError as error:
        raise full_disk(error, path.parent, path.name) from error
    if total is not None and reached < total:
        raise _Broken(f"the connection broke off at {reached} of {total} bytes")
    if total is not None and reached > total:
        partial.unlink()
        raise _Broken(f"it has {reached} bytes instead of {total}")
    _finish(partial, label, path)


def _finish(partial: Path, label: Path, path: Path) -> None:
    partial.replace(path)
    label.unlink(missing_ok=True)


def partial_size(path: Path) -> int:
    """Bytes of the file that an earlier attempt left."""
    partial = _partial(path)
    return partial.stat().st_size if partial.is_file() else 0


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _resume_point(partial: Path, label: Path) -> tuple[int, str]:
    """Where to go on, and what tells that the file on the server is still the same; 0 to begin anew."""
    try:
        validator = label.read_text()
        return (partial.stat().st_size, validator) if validator else (0, "")
    except FileNotFoundError:
        return 0, ""


def full_disk(error: OSError, folder: Path, what: str) -> Exception:
    """The error to raise for one of the system: a sentence where the disk is full, else itself."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransferError(
            f"the disk of {folder} is full; free some space and run again to go on with {what}"
        )
    return error


def _reason(error: BaseException) -> str:
    """What is at the bottom of it: libraries wrap "connection refused" three times."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def require_free_disk(folder: Path, needed: int, what: str) -> None:
    """Raise TransferError unless the disk of `folder` has so many bytes free, and a reserve."""
    if needed <= 0:
        return
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise TransferError(
            f"{folder} has {free / 1e9:.1f} GB free, but {what} needs {(needed + RESERVE) / 1e9:.1f} GB; "
            f"free some space, or name a folder that holds it in data.source"
        )


def progress(what: str, total: int | None, start: int = 0) -> "tqdm[NoReturn]":
    """A bar with rate and time left; a line every half minute where output is no terminal."""
    quiet = total is not None and total < 64 << 20
    return tqdm(
        total=total, initial=start, desc=what, unit="B", unit_scale=True, unit_divisor=1024, disable=quiet,
        mininterval=0.2 if sys.stderr.isatty() else 30,
    )  # fmt: skip
