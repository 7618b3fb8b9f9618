"""The fixtures of the datasets' tests: a web server, and the datasets' sites on it."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.datasets.formats import coco, lspet, mpii
from tests.datasets.archives import coco_archives, lspet_archives, lspet_joints, mat, mpii_archives
from tests.datasets.server import Server


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that were made, none of them waited for."""
    made = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture
def root(tmp_path, monkeypatch, pauses) -> Path:
    """A project of its own, with no time lost between attempts."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def site(server, monkeypatch):
    """The datasets' sites on the local server, with published hashes of what they serve."""
    for module, make in (
        (mpii, mpii_archives),
        (coco, coco_archives),
        (lspet, lambda: lspet_archives(top="lsp-1/")),
    ):
        contents = make()
        changed = []
        for archive in module.ARCHIVES:
            content = contents[archive.name]
            server.files[f"/{archive.name}"] = content
            kind = (archive.digest or "none").split(":")[0]
            digest = f"{kind}:{hashlib.new(kind, content).hexdigest()}" if archive.digest else None
            known = tuple(
                (n, hashlib.sha256(mat(joints=lspet_joints())).hexdigest()) for n, _ in archive.content
            )
            url = f"{server.url}/{archive.name}"
            changed.append(replace(archive, url=url, size=len(content), digest=digest, content=known))
        monkeypatch.setattr(module, "ARCHIVES", tuple(changed))
    return server
