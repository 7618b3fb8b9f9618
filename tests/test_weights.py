"""Files of weights: which is wanted, where it is looked for, what is fetched, and that they are whole."""

import hashlib
from dataclasses import replace

import pytest

from pipeline import weights
from pipeline.datasets import transfer
from pipeline.networks import NETWORKS
from pipeline.weights import CheckpointError, check_hash, fetch, find

NAME = "hrnet_w32-36af842e.pth"


def with_hash(path, promise):
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(path.with_name(promise.format(digits)))


def test_imagenet_weights_are_found_in_the_folder_or_named_with_where_they_were_looked_for(tmp_path):
    for wanted in ("none", "imagenet_if_there"):
        assert find("hrnet_w32", wanted, "mine", tmp_path) is None
    with pytest.raises(CheckpointError, match=rf"{NAME} is not in .*/mine and .*/pretrained"):
        find("hrnet_w32", "imagenet", "mine", tmp_path)
    for file in (tmp_path / weights.KEPT / NAME, tmp_path / "mine" / NAME):
        file.parent.mkdir(parents=True)
        file.touch()
        # A guided network starts from its backbone's.
        assert find("sg_hrnet_w32", "imagenet", "mine", tmp_path) == file


def test_a_file_of_ones_own_must_be_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"own\.pth is missing"):
        find("hrnet_w32", "own.pth", "mine", tmp_path)
    (tmp_path / "own.pth").touch()
    assert find("hrnet_w32", "own.pth", "mine", tmp_path) == tmp_path / "own.pth"


@pytest.mark.parametrize("name", ["hrnet_small", "hourglass"])
def test_a_network_without_published_weights_starts_afresh(name, tmp_path):
    for wanted in ("imagenet", "imagenet_if_there"):
        assert find(name, wanted, "demo", tmp_path) is None


@pytest.fixture
def site(monkeypatch):
    """A site with one file of weights, of which a network starts; returns the file's name and what was fetched."""
    content, fetched = b"weights", []
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"

    def download(url, file, digest):
        fetched.append((url, digest))
        file.write_bytes(content)

    monkeypatch.setattr(transfer, "download", download)
    network = replace(NETWORKS["hrnet_w32"], imagenet=f"https://site.example/{name}")
    monkeypatch.setitem(NETWORKS, "hrnet_w32", network)
    return name, fetched


def test_only_official_sources_are_fetched_and_once(site, tmp_path):
    name, fetched = site
    assert fetch("hrnet_w32", "imagenet_if_there", "mine", tmp_path) is None and not fetched
    assert fetch("hrnet_small", "imagenet_if_there", "official", tmp_path) is None and not fetched
    assert fetch("hrnet_w32", "none", "official", tmp_path) is None and not fetched
    for _ in range(2):
        assert fetch("hrnet_w32", "imagenet", "official", tmp_path) == tmp_path / weights.KEPT / name
    assert [url for url, _ in fetched] == [f"https://site.example/{name}"]


@pytest.mark.parametrize("promise", ["hrnet_w32-{}.pth", "hrnet_w32_mpii-{}_20200812.pth", "net-{}.pth.tar"])
def test_file_must_have_the_hash_in_its_name(promise, tmp_path):
    (tmp_path / "file").write_bytes(b"weights")
    path = with_hash(tmp_path / "file", promise)
    check_hash(path)
    path.write_bytes(b"wejghts")
    with pytest.raises(CheckpointError, match=r"is damaged: its name promises a sha256 of [0-9a-f]{8}\.\.\."):
        check_hash(path)


def test_name_without_hash_promises_nothing(tmp_path):
    (tmp_path / "pose_hrnet_w32_256x192.pth").write_bytes(b"weights")
    check_hash(tmp_path / "pose_hrnet_w32_256x192.pth")
