"""What is known of an official archive, and which of its files are read."""

import re
from dataclasses import dataclass
from pathlib import Path


class ArchiveError(ValueError):
    """An archive that is not what it should be; the message names it."""


class MissingArchive(ArchiveError):
    """An archive that is nowhere; the message names it and the folders looked in."""


@dataclass(frozen=True)
class Archive:
    """An official archive and what is read from it.

    name: its official file name; aliases: others under which it is downloaded.
    size: about how many bytes it has, for the check of free disk before a download.
    digest: "md5:..." or "sha256:..." as published; None pins the first one seen in sources.lock.json.
    files: label files, by their paths in it; one that is no zip or tar is itself its only file.
    folder: the images' folder in it; prefix: what stands before their file names in the table of people.
    content: sha256 of files in it, where its own bytes may change with each packing.
    """

    name: str
    url: str
    size: int
    digest: str | None = None
    files: tuple[str, ...] = ()
    folder: str | None = None
    prefix: str = ""
    aliases: tuple[str, ...] = ()
    content: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        return {".zip": "zip", ".gz": "tar"}.get(Path(self.name).suffix, "file")

    def image_key(self, path: str) -> str | None:
        """The image's name for a path in the archive or in an unpacked folder."""
        *folders, name = path.split("/")
        wanted = folders[-1:] == [self.folder] and "__MACOSX" not in folders
        return self.prefix + name if wanted and re.search(r"\.jpe?g$", name, re.I) else None

    def any_key(self, path: str) -> str | None:
        return self.label_key(path) or self.image_key(path)

    def label_key(self, path: str) -> str | None:
        """The label file's own name for a path in the archive."""
        return next((Path(f).name for f in self.files if path == f or path.endswith("/" + f)), None)
