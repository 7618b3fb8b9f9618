"""dvc.lock as stages, and the hashes of DVC computed by ourselves."""

import pytest
import yaml

from pipeline import lock
from tests.project import dvc

STAGES = {
    "make": {
        "cmd": "mkdir -p made/deep && cp given.txt made/deep/a.txt && echo b > made/b.txt && echo n > made/now.txt",
        "deps": ["given.txt", "build/code/make.json"],
        "params": ["train.lr", "seeds"],
        "outs": ["made"],
    },
    "use": {"cmd": "cp made/b.txt used.txt", "deps": ["made/b.txt"], "outs": ["used.txt"]},
    "sum": {
        "cmd": "cat used.txt made/deep/a.txt > sum.txt",
        "deps": ["used.txt", "made"],
        "outs": ["sum.txt"],
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of three stages that DVC has run; it ignores made/now.txt."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    (folder / "params.yaml").write_text("train: {lr: 0.1, epochs: 3}\nseeds: [0, 1]\n")
    (folder / "given.txt").write_text("a\r\n")
    (folder / ".dvcignore").write_text("# comment\n/made/now.txt\n__pycache__/\n")
    (folder / "build" / "code").mkdir(parents=True)
    (folder / "build" / "code" / "make.json").write_text("{}")
    dvc(folder, "init", "--no-scm", "-q")
    dvc(folder, "repro")
    return folder


def test_a_stage_is_its_command_inputs_outputs_code_and_parameters(project):
    stages = lock.load(project)
    make = stages["make"]
    assert make.command.startswith("mkdir -p made/deep")
    assert [item.path for item in make.data] == ["given.txt"]
    assert make.code.path == "build/code/make.json" and make.code.size == 2
    assert dict(make.params) == {"train.lr": 0.1, "seeds": [0, 1]}
    assert make.outputs[0].is_folder and not stages["use"].outputs[0].is_folder
    assert stages["use"].code is None


def test_hashes_of_files_and_folders_are_those_of_dvc(project):
    workspace = lock.Workspace(project)
    items = [item for stage in lock.load(project).values() for item in (*stage.inputs, *stage.outputs)]
    assert len(items) == 8
    assert [workspace.digest(item.path) for item in items] == [item.md5 for item in items]
    assert set(workspace.listing("made")) == {"deep/a.txt", "b.txt"}
    assert workspace.digest("nothing") is None


def test_a_changed_byte_changes_the_hash_of_its_folder(project, tmp_path):
    workspace = lock.Workspace(project)
    files = workspace.listing("made")
    assert lock.of_listing(files) == workspace.digest("made")
    assert lock.of_listing(files | {"b.txt": "0" * 32}) != workspace.digest("made")


def test_who_made_what(project):
    stages = lock.load(project)
    assert [stage.name for stage, _ in lock.makers(stages, "made/b.txt")] == ["make"]
    assert [stage.name for stage, _ in lock.makers(stages, "made")] == ["make"]
    assert list(lock.makers(stages, "mad")) == list(lock.makers(stages, "given.txt")) == []
    assert [stage.name for stage in lock.before(stages, stages["sum"])] == ["make", "use"]
    assert lock.before(stages, stages["make"]) == []


@pytest.mark.parametrize("text", ["", "stages: [", "stages: 3\n", "stages: {a: {deps: 1}}\n", "[]"])
def test_what_is_no_lock_is_one_sentence(text):
    with pytest.raises(ValueError, match=r"^x\.lock is no lock of DVC \(.*\); `dvc repro` writes one$"):
        lock.read(text, "x.lock")


def test_no_lock_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"dvc\.lock is not there; `dvc repro` writes it$"):
        lock.load(tmp_path)
