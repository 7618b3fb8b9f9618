"""What is installed comes from lists with hashes, which hold all that requirements.in asks for."""

import re
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.installed import canonical, differences, pinned, spoiled

ASKED = (ROOT / "requirements.in").read_text()
LISTS = {name: (ROOT / f"requirements{name}.txt").read_text() for name in ("", "-cpu", "-cuda")}


def test_all_that_the_project_asks_for_is_pinned():
    asked = {canonical(name) for name in re.findall(r"^([\w.-]+)", ASKED, re.M)}
    assert len(asked) > 30
    assert asked - pinned(LISTS[""]).keys() == set(), "run `make requirements`"


@pytest.mark.parametrize("name", LISTS)
def test_every_pin_has_the_hashes_of_its_files(name):
    text = re.sub(r"^ *#.*\n", "", LISTS[name], flags=re.M).replace("\\\n", "")
    rows = text.splitlines()
    assert len(rows) == len(pinned(LISTS[name]))
    wrong = [row for row in rows if not re.fullmatch(r"\S+==[^#]+?( +--hash=sha256:[0-9a-f]{64})+ *", row)]
    assert wrong == [], "run `make requirements`"


def test_the_builds_of_torch_are_of_one_version():
    (cpu,) = pinned(LISTS["-cpu"]).values()
    assert cpu == pinned(LISTS[""])["torch"] + "+cpu"


def test_packages_that_differ_from_the_lists_are_told():
    wanted = {"torch": "2.13.0", "numpy": "2.5.0", "triton": "3.7.1"}
    installed = {"torch": "2.13.0+cpu", "scipy": "1.18.0", "pip": "23.2"}
    assert list(differences(wanted, {"torch", "numpy"}, installed)) == [
        "numpy 2.5.0 is not installed",
        "scipy 1.18.0 is in no list",
    ]
    assert list(differences(wanted, set(), {"numpy": "2.4.0"})) == ["numpy is 2.4.0, and 2.5.0 is wanted"]


def test_a_file_that_was_changed_after_its_installation_is_told(tmp_path):
    folder = tmp_path / "thing-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    # printf 1 | openssl sha256 -binary | basenc --base64url
    (folder / "RECORD").write_text("thing.py,sha256=a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s,1\n")
    (thing,) = metadata.distributions(path=[str(tmp_path)])
    file = Path(tmp_path / "thing.py")
    file.write_text("1")
    assert list(spoiled(thing)) == []
    file.write_text("2")
    assert list(spoiled(thing)) == ["thing.py of thing was changed since it was installed"]
    file.unlink()
    assert list(spoiled(thing)) == ["thing.py of thing cannot be read: No such file or directory"]
