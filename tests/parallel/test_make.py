"""`make repro JOBS=2`: side by side, and then a look at whether that was all."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

# What make calls, as far as it goes here: each notes its arguments, and DVC's status is as LEFT says.
COMMAND = """#!/bin/sh
echo "$(basename "$0") $*" >> called
[ "$*" = "status --quiet" ] && exit ${LEFT}
exit 0
"""


@pytest.fixture
def folder(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-cpu.txt", "requirements-cuda.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "dvc"):
        command = tmp_path / ".venv" / "bin" / name
        command.write_text(COMMAND)
        command.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def make(folder, *arguments: str, left: int = 0) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    # A make above this one would tell it of its own arguments.
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "repro", *arguments],
        cwd=folder, env=own | {"LEFT": str(left)}, capture_output=True, text=True,
    )  # fmt: skip
    return done, (folder / "called").read_text().splitlines()


@pytest.mark.parametrize("how", ["JOBS=2", "CLUSTER=slurm"])
def test_what_runs_side_by_side_leaves_nothing_to_a_plain_run(folder, how):
    done, called = make(folder, how)
    assert done.returncode == 0, done.stderr
    assert called[1].startswith("python -m pipeline.parallel --")
    assert called[2:4] == ["dvc status --quiet", "dvc repro"]


@pytest.mark.parametrize("how", ["JOBS=2", "CLUSTER=slurm"])
def test_what_it_leaves_is_said_and_fails(folder, how):
    done, called = make(folder, how, left=1)
    assert done.returncode != 0 and "dvc repro" not in called
    assert "Stages ran side by side, and DVC still has something to do" in done.stderr
    # Which tells what.
    assert called[-1] == "dvc status"


def test_a_plain_run_asks_no_such_thing(folder):
    done, called = make(folder, left=1)
    assert done.returncode == 0, done.stderr
    assert called == ["python -m pipeline.params", "dvc repro", "python -m pipeline.committed"]
