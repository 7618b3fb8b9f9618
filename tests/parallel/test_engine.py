"""Stages side by side: in the graph's order, with what fails, stops or dies on the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from parsl.executors import ThreadPoolExecutor

from pipeline.parallel import engine, machines
from pipeline.parallel.workspace import Workspace
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes the current folder a project of DVC with these stages: name -> (command, inputs); each writes NAME.out."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()

    def write(**stages: tuple[str, list[str]]) -> Path:
        written = {
            name: {"cmd": command, "deps": [f"{need}.out" for need in needs], "outs": [f"{name}.out"]}
            for name, (command, needs) in stages.items()
        }
        Path("dvc.yaml").write_text(yaml.safe_dump({"stages": written}))
        return tmp_path

    return write


def run(executors=None, stop=lambda: False) -> engine.State:
    executors = executors or [ThreadPoolExecutor(label=machines.RUNS, max_threads=3)]
    return engine.run(Workspace(), executors, Path("build"), lambda state: None, stop)


def dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def when(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_stage_starts_as_soon_as_its_own_upstream_is_done(project):
    # `slow` ends once `last` has, which in waves would wait for it.
    project(
        first=("echo 1 > first.out", []),
        slow=("until [ -f last.out ]; do sleep 0.05; done; echo 2 > slow.out", []),
        last=("cat first.out > last.out", ["first"]),
    )
    assert (run().ran, run().ran) == (3, 0)
    assert "Running stage" not in dvc("repro")
    assert dvc("status") == "Data and pipelines are up to date.\n"


def test_only_what_changed_runs_and_what_dvc_has_seen_is_restored(project):
    folder = project(one=("cat data > one.out", []), two=("cat one.out > two.out", ["one"]))
    text = yaml.safe_load(Path("dvc.yaml").read_text())
    text["stages"]["one"]["deps"] = ["data"]
    Path("dvc.yaml").write_text(yaml.safe_dump(text))
    for content, ran in (("a", 2), ("b", 2), ("a", 0)):
        (folder / "data").write_text(content)
        assert run().ran == ran
        assert (folder / "two.out").read_text() == content


def test_a_failure_is_named_with_its_log_and_others_end(project):
    project(
        bad=("echo it broke >&2; false", []),
        after=("echo > after.out", ["bad"]),
        good=("sleep 0.5; echo > good.out", []),
        more=("echo > more.out", ["good"]),
    )
    state = run()
    assert state.failed.keys() == {"bad"} and state.kept == {"after"} and state.ran == 2
    assert state.failed["bad"].read_text() == "it broke\n"


def test_a_stage_that_writes_nothing_has_failed(project):
    project(empty=("true", []))
    state = run()
    assert "empty.out" in state.failed["empty"].read_text()


def test_stopped_ones_write_their_checkpoints_within_seconds(project):
    train = "[ -f checkpoint ] && echo > train.out && exit; trap 'echo > checkpoint; exit 143' TERM; sleep 60 & wait"
    folder = project(train=(train, []), after=("echo > after.out", ["train"]))
    log = folder / "build" / "logs" / "train.log"
    began = time.monotonic()
    state = run(stop=log.exists)
    assert time.monotonic() - began < 15
    assert (folder / "checkpoint").exists() and not state.done and not state.failed
    assert run().ran == 2


def test_what_loses_its_place_goes_on_elsewhere(project):
    project(train=("[ -f checkpoint ] && echo > train.out && exit; echo > checkpoint; kill -TERM $$", []))
    assert run().ran == 1


def test_two_at_once_in_one_folder_are_refused(project):
    project(only=("echo > only.out", []))
    Path("build").mkdir()
    with engine._alone(Path("build/lock")), pytest.raises(ValueError, match="another process runs stages"):
        run()


def test_a_run_has_a_gpu_of_its_own(project):
    # Each waits for the other to begin.
    command = "echo $CUDA_VISIBLE_DEVICES > {0}.out; until [ -f {1}.out ]; do sleep 0.05; done # stages.train"
    folder = project(a=(command.format("a", "b"), []), b=(command.format("b", "a"), []))
    state = run(machines.local(2, 2, ["0", "1", "2", "5"]))
    assert state.ran == 2
    assert {(folder / name).read_text() for name in ("a.out", "b.out")} == {"0,1\n", "2,5\n"}


def test_more_runs_than_gpus_are_refused():
    with pytest.raises(ValueError, match="takes 4 GPUs, and this machine has 3; take JOBS=1"):
        machines.local(2, 2, ["0", "1", "2"])


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_works_or_locks(project):
    train = (
        "[ -f checkpoint ] && echo > train.out && exit; echo $$ > checkpoint; "
        f"exec {sys.executable} -c 'import stages, time; stages.end_with_dvc(); time.sleep(120)'"
    )
    folder = project(train=(train, []))
    code = "from tests.parallel.test_engine import *; run(machines.local(1, 1, []))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True) as process:
        when((folder / "checkpoint").exists)
        time.sleep(2)
        process.send_signal(signal.SIGKILL)
    pid = int((folder / "checkpoint").read_text())
    assert run().ran == 1
    when(lambda: not Path(f"/proc/{pid}").exists())
