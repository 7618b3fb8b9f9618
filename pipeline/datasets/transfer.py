"""One file over HTTP, however often the connection breaks."""

import datetime
import email.utils
import errno
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urljoin

import requests
import urllib3
from requests import exceptions
from requests.utils import requote_uri
from tqdm import tqdm

BLOCK = 1 << 20
# Seconds before each next attempt in a row that brought nothing new.
PAUSES = (1, 2, 4, 8, 15, 30, 60, 60)
TIMEOUT = (30, 60)
# Kept free besides what is fetched, so that a full disk is met here and not by everything else.
RESERVE = 256 << 20
# Seconds that a server may ask to wait, and in which a kilobyte a second must come.
LONGEST_PAUSE = 300
PATIENCE = 120
LEAST_RATE = 1000
# Addresses that no other attempt reaches.
NOWHERE = (
    exceptions.TooManyRedirects, exceptions.InvalidSchema, exceptions.InvalidURL, exceptions.MissingSchema,
)  # fmt: skip


class TransferError(ValueError):
    """A download that cannot go on; the message names the address or the folder and what to do."""


class _Broken(Exception):
    """An attempt that may be repeated, after so many seconds if the server says so."""

    def __init__(self, message: str, pause: float = 0):
        super().__init__(message)
        self.pause = pause


def download(url: str, path: Path, also_needed: int = 0, digest: str | None = None) -> None:
    """Fetch a file to `path`, which appears only when it is whole; goes on where an earlier run stopped.

    also_needed: free bytes that must remain for what follows. digest: "sha256:..." or "md5:...", whole or its first
    digits; what lies here whole already is believed by it alone. Raises TransferError.
    """
    best, attempt = -1, 0
    while True:
        try:
            return _attempt(url, path, also_needed, digest)
        except _Broken as error:
            reached = partial_size(path)
            # Only new ground counts: a server without ranges starts over each time, one that drips goes on for ever.
            if reached >= best + BLOCK and best >= 0:
                attempt = 0
            best = max(best, reached)
            if attempt == len(PAUSES):
                raise TransferError(
                    f"{url} cannot be fetched ({error}); run again to go on, or put {path.name} into a "
                    f"folder and name the folder in data.source"
                ) from error
            pause = min(max(PAUSES[attempt], error.pause), LONGEST_PAUSE)
            print(f"{path.name}: {error}; trying again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
            attempt += 1


def _attempt(url: str, path: Path, also_needed: int, digest: str | None) -> None:
    partial, label = _partial(path), path.with_name(f".{path.name}.validator")
    start, validator = _resume_point(partial, label)
    # A .gz file must arrive as it is: no content encoding, and the raw stream below.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    try:
        with _Session() as session, session.answer(url, headers) as response:
            status = response.status_code
            if status == 416:
                # Killed between the last byte and the renaming: nothing is left to ask for.
                whole = response.headers.get("Content-Range") == f"bytes */{start}"
                # Of the same length it may be another version, or end in what was never written.
                if whole and digest and matches(partial, digest):
                    return _finish(partial, label, path)
                partial.unlink(missing_ok=True)
                raise _Broken("what was fetched before does not fit the file any more")
            if status in (408, 425, 429) or status >= 500:
                raise _Broken(
                    f"the server answers {status}", _retry_after(response.headers.get("Retry-After"))
                )
            if status not in (200, 206):
                raise TransferError(
                    f"{url} answers {status}; put {path.name} into a folder and name that in data.source"
                )
            length = response.headers.get("Content-Length", "")
            if length and not re.fullmatch(r"\d{1,18}", length):
                raise _Broken(f"the server announces {length[:30]!r} bytes")
            total = int(length) if length else None
            strong = response.headers.get("ETag", "")
            named = strong if strong.startswith('"') else response.headers.get("Last-Modified", "")
            if status == 206:
                if named != validator:
                    partial.unlink(missing_ok=True)
                    raise _Broken("the server answers with a part of another version")
                match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
                if not start or not match or int(match[1]) != start:
                    partial.unlink(missing_ok=True)
                    raise _Broken("the server answers with another range than asked for")
                total = int(match[2])
            else:
                start = 0
            require_free_disk(path.parent, (total or 0) - start + also_needed, path.name)
            # Killed in between, a new name must find nothing of the old version.
            with partial.open("ab" if start else "wb") as file:
                label.write_text(named)
                with progress(path.name, total, start) as bar:
                    for block in _blocks(response.raw):
                        file.write(block)
                        bar.update(len(block))
                file.flush()
                os.fsync(file.fileno())
                reached = file.tell()
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(f"the connection broke off at {partial_size(path)} bytes") from error
    except NOWHERE as error:
        raise TransferError(
            f"{url} leads nowhere ({_reason(error)}); put {path.name} into a folder and name that in data.source"
        ) from error
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


class _Session(requests.Session):
    """Follows redirections without their pages: requests reads each whole, into memory and for as long as it comes."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say nothing, so that requests follows none, nor reads what it would follow."""

    def answer(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """The response at the end of them, its body unread; raises what requests raises."""
        for _ in range(self.max_redirects + 1):
            response = self.get(url, headers=headers, stream=True, timeout=TIMEOUT)
            if not response.is_redirect:
                return response
            response.close()
            location = response.headers["Location"]
            try:
                # Headers arrive as Latin-1, and are UTF-8.
                url = urljoin(url, requote_uri(location.encode("latin-1").decode()))
                continue
            except ValueError:
                pass
            # Out here it has no context, which `_reason` would tell instead.
            raise exceptions.InvalidURL(f"it sends on to {location[:100]!r}")
        raise exceptions.TooManyRedirects(f"it sends on more than {self.max_redirects} times")


def _blocks(raw: Any) -> Iterator[bytes]:
    """The bytes of a response as they come; raises _Broken where they drip."""
    begin, received = time.monotonic(), 0
    while block := raw.read1(BLOCK, decode_content=False):
        yield block
        received += len(block)
        if (passed := time.monotonic() - begin) > PATIENCE:
            if received < LEAST_RATE * passed:
                raise _Broken(f"less than 1 kB a second came for {passed:.0f} s")
            begin, received = time.monotonic(), 0


def _retry_after(value: str | None) -> float:
    """The seconds that a Retry-After header asks for, as a number or a date; 0 where it is neither."""
    try:
        if re.fullmatch(r"\d{1,12}", value or ""):
            return float(value or 0)
        date = email.utils.parsedate_to_datetime(value or "")
        return max(0.0, (date - datetime.datetime.now(date.tzinfo)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def matches(path: Path, digest: str) -> bool:
    """Whether a file has a digest, "sha256:..." or "md5:...", of which the first digits may be known alone."""
    kind, _, expected = digest.partition(":")
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
    return actual.hexdigest().startswith(expected)


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
