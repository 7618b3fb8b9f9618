"""The stage `train` under DVC: killed with it, without it, and started again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline.training.checkpoint import Checkpoint
from tests.conftest import ROOT
from tests.project import with_frequent_checkpoints

# Of a training that is to be killed several times, three steps each: seconds of them.
EPOCHS = 40
RUN = Path("runs/mpii/hrnet_small-s0")
STAGE = """
stages:
  train:
    cmd: python -m stages.train mpii hrnet_small-s0
    deps: [stages/train.py]
    outs:
      - runs/mpii/hrnet_small-s0/weights.safetensors
      - runs/mpii/hrnet_small-s0/history.csv
      - runs/mpii/hrnet_small-s0/run.json
"""


def start(folder: Path, *command: str, **kwargs) -> subprocess.Popen:
    # The first `python` on the path is the one that runs the stages.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, **output, **kwargs)


def finish(folder: Path, *command: str) -> str:
    process = start(folder, *command)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def wait_for(text: str, process: subprocess.Popen) -> str:
    """What a process says until it says a text."""
    output = ""
    while text not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    return output


def change(folder: Path, **groups) -> None:
    raw = yaml.safe_load((folder / "params.yaml").read_text())
    for group, values in groups.items():
        raw[group] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """People to train on, and a pipeline that only trains; the run that nobody stopped is in `whole`."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pipeline", "stages"):
        subprocess.run(["cp", "-r", ROOT / name, folder], check=True)
    with_frequent_checkpoints(folder)
    (folder / "params.yaml").write_bytes((ROOT / "profiles" / "demo.yaml").read_bytes())
    small = {"width": 4, "stem": 8, "bottlenecks": 1, "modules": [1, 1, 1], "blocks": 1}
    change(folder, model={"small": small}, input={"size": [64, 64]}, compute={"device": "cpu", "workers": 1})
    change(folder, train={"epochs": 12, "batch_size": 8, "lr_drops": [9], "checkpoint_minutes": 1e-6})
    raw = yaml.safe_load((folder / "params.yaml").read_text())
    raw["data"]["demo"] |= {"train_people": 24, "val_people": 8}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    (folder / "dvc.yaml").write_text(STAGE)
    for command in (["stages.download", "mpii"], ["stages.prepare", "mpii"], ["dvc", "init", "--no-scm"]):
        finish(folder, "-m", *command)
    finish(folder, "-m", "stages.train", "mpii", "hrnet_small-s0")
    (folder / RUN).rename(folder / "whole")
    shutil.rmtree(folder / "checkpoints")
    return folder


def trainers(folder: Path) -> list[int]:
    """The processes at work in a folder, but for DVC's own."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"stages.train" in (process / "cmdline").read_bytes() and (process / "cwd").samefile(folder):
                numbers.append(int(process.name))
        except OSError:
            continue
    return sorted(numbers)


def same(folder: Path) -> bool:
    return all(
        (folder / RUN / name).read_bytes() == (folder / "whole" / name).read_bytes()
        for name in ("weights.safetensors", "history.csv", "run.json")
    )


@pytest.fixture
def long(project, tmp_path):
    """The same with more epochs, in a folder of its own in which nothing ran yet, but for `whole`."""
    folder = shutil.copytree(
        project, tmp_path / "long", ignore=shutil.ignore_patterns("runs", "whole", "checkpoints", "dvc.lock")
    )
    change(folder, train={"epochs": EPOCHS, "lr_drops": [EPOCHS - 5]})
    finish(folder, "-m", "stages.train", "mpii", "hrnet_small-s0")
    (folder / RUN).rename(folder / "whole")
    shutil.rmtree(folder / "checkpoints")
    return folder


def step_of(folder: Path) -> int:
    """The step that a training has saved last."""
    file = next(folder.glob("checkpoints/mpii-hrnet_small-s0-*.safetensors"), None)
    saved = Checkpoint(file.parent, file.stem).load() if file else None
    return saved.facts["step"] if saved else 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_at_random_moments_dvc_repro_goes_on_and_ends_with_the_same_bytes(long):
    steps, chance, reached = 3 * EPOCHS, random.Random(), 0
    for number, victim in enumerate(("trainer", "dvc", "both"), 1):
        process = start(long, "-m", "dvc", "repro")
        if reached:
            wait_for(f"going on from step {reached} of {steps}", process)
        # Somewhere in its own quarter of the steps: a step or more after the last kill, well before the end.
        aim = chance.randint(reached + 1, steps * number // 4)
        deadline = time.monotonic() + 60
        while step_of(long) < aim:
            assert process.poll() is None and time.monotonic() < deadline, f"{victim}, step {step_of(long)}"
            time.sleep(0.01)
        # And anywhere in a step.
        time.sleep(chance.uniform(0, 0.05))
        # The first is the trainer, and its loaders come after it.
        trainer = trainers(long)[0]
        if victim in ("dvc", "both"):
            process.kill()
        if victim in ("trainer", "both"):
            os.kill(trainer, signal.SIGKILL)
        assert process.wait(60) != 0
        gone = time.monotonic() + 10
        while trainers(long):
            assert time.monotonic() < gone, f"{victim} was killed, and {trainers(long)} work on"
            time.sleep(0.05)
        reached = step_of(long)
        assert aim <= reached < steps
    output = finish(long, "-m", "dvc", "repro")
    assert f"going on from step {reached} of {steps}" in output and same(long), output


@pytest.mark.slow
def test_a_forced_run_starts_anew_and_so_does_one_whose_record_is_gone(project):
    finish(project, "-m", "dvc", "repro")
    assert "epoch 1/12" in finish(project, "-m", "dvc", "repro", "--force")
    # As in a temporary experiment, whose own lock never came here: the run cache remembers it.
    (project / "dvc.lock").unlink()
    assert "epoch 1/12" in finish(project, "-m", "dvc", "repro", "--force")
    assert same(project)


@pytest.mark.slow
def test_what_is_cached_is_not_trained_again_under_a_lock_of_another_machine(project):
    finish(project, "-m", "dvc", "repro")
    lock = (project / "dvc.lock").read_text()
    foreign = yaml.safe_load(lock)
    foreign["stages"]["train"]["outs"][-1]["md5"] = "0" * 32
    (project / "dvc.lock").write_text(yaml.safe_dump(foreign))
    output = finish(project, "-m", "dvc", "repro")
    assert "taken over" in output and "epoch" not in output
    assert same(project) and (project / "dvc.lock").read_text() == lock


@pytest.mark.slow
def test_two_workspaces_that_need_one_run_train_it_once(project, tmp_path, monkeypatch):
    shutil.rmtree(project / "checkpoints", ignore_errors=True)
    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("runs", "checkpoints", ".dvc"))
    monkeypatch.setenv("DVC_ROOT", str(project))
    command = ["-m", "stages.train", "mpii", "hrnet_small-s0"]
    first = start(project, *command)
    while not list(project.glob("checkpoints/*.safetensors")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.02)
    # It holds the run, and ends when it is told to go on.
    first.send_signal(signal.SIGSTOP)
    second = start(other, *command)
    output = wait_for("waiting to take it over", second)
    first.send_signal(signal.SIGCONT)
    output += second.communicate(timeout=60)[0]
    assert first.wait(60) == 0 and second.returncode == 0
    assert "taken over" in output and "epoch" not in output
    assert (
        same(project)
        and (other / RUN / "weights.safetensors").read_bytes()
        == (project / RUN / "weights.safetensors").read_bytes()
    )


@pytest.mark.slow
def test_another_parameter_does_not_resume_the_old_run(project):
    finish(project, "-m", "dvc", "repro")
    before = set(project.glob("checkpoints/*.json"))
    change(project, train={"lr": 0.001})
    output = finish(project, "-m", "stages.train", "mpii", "hrnet_small-s0")
    assert "epoch 1/12" in output and len(set(project.glob("checkpoints/*.json")) - before) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a training outlives its DVC")
@pytest.mark.parametrize("shell", ["{}", "({}; true)"])
def test_no_training_outlives_dvc_whatever_shell_is_in_between(tmp_path, shell):
    # Loaders are forked, and threads are not: none may watch.
    waiting = (
        "import threading, time; from stages import end_with_dvc; end_with_dvc();"
        "print(threading.active_count(), flush=True); time.sleep(60)"
    )
    inner = shell.format(
        f'exec "{sys.executable}" -c "{waiting}"' if shell == "{}" else f'"{sys.executable}" -c "{waiting}"'
    )
    dvc = f"import os, subprocess; subprocess.run(['sh', '-c', {inner!r}], env=os.environ | {{'DVC_STAGE': 'x'}})"
    process = start(ROOT, "-c", dvc)
    assert process.stdout.readline() == "1\n"
    process.kill()
    # Its output ends when the last process that holds it has ended.
    began = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a training outlives its DVC")
@pytest.mark.parametrize("end", ["os._exit(0)", "os.execvp('cat', ['cat'])"], ids=["ended", "another"])
def test_what_watches_a_stage_is_gone_with_it(end):
    stage = (
        "import os, sys, stages; stages.end_with_dvc(); print(stages._watchers[0].pid, flush=True);"
        f"sys.stdin.readline(); {end}"
    )
    dvc = "import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=0,"
    dvc += "env=os.environ | {'DVC_STAGE': 'x'}); sys.exit(p.wait())"
    with subprocess.Popen(
        [sys.executable, "-c", dvc, stage], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        watcher = Path("/proc", process.stdout.readline().strip())
        wait = time.monotonic() + 10
        while b"watch.py" not in (watcher / "cmdline").read_bytes():
            assert time.monotonic() < wait
        process.stdin.write("go on\n")
        process.stdin.flush()
        # Of one that ended and that nobody waited for, this is empty.
        while watcher.exists() and (watcher / "cmdline").read_bytes():
            assert time.monotonic() < wait
            time.sleep(0.01)
