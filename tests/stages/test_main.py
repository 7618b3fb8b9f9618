"""How a stage ends: in one sentence, whatever happens."""

import subprocess
import sys

import pytest

import stages
from tests.conftest import ROOT


def foreseen() -> None:
    raise ValueError("the sky is green; look again")


def unforeseen() -> None:
    raise KeyError("sky\nsea")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(sys, "argv", ["stage"])
    return tmp_path


def test_an_error_that_was_foreseen_is_one_sentence(place):
    with pytest.raises(SystemExit, match=r"^stages\.test_main: the sky is green; look again$"):
        stages.main(foreseen)
    assert not list(place.iterdir())


def test_of_one_that_was_not_the_traceback_is_kept_in_a_file(place):
    with pytest.raises(SystemExit) as error:
        stages.main(unforeseen)
    assert "KeyError" in str(error.value) and "\n" not in str(error.value)
    (log,) = (place / "build" / "errors").iterdir()
    assert str(log) in str(error.value) and "def unforeseen" not in log.read_text()
    assert "raise KeyError" in log.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "take fewer compute.workers"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "take fewer compute.workers"),
        ("DataLoader worker (pid 7) is killed by signal: Bus error. ", "docker run --shm-size"),
        ("unable to open shared memory object </torch_7> in read-write mode", "docker run --shm-size"),
    ],
)
def test_loaders_that_die_are_said_in_a_sentence(place, text, said):
    def stage() -> None:
        raise RuntimeError(text)

    with pytest.raises(SystemExit) as error:
        stages.main(stage)
    assert said in str(error.value) and "nobody foresaw" not in str(error.value)
    assert not list(place.iterdir())


def test_an_error_in_a_loader_is_not_its_death(place):
    def stage() -> None:
        raise RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nthe sky is green")

    with pytest.raises(SystemExit, match="nobody foresaw this"):
        stages.main(stage)


def test_a_loader_that_the_kernel_kills_names_the_parameter(place):
    code = """
import os, signal, stages
from torch.utils.data import DataLoader

class Fatal(list):
    def __getitem__(self, item):
        os.kill(os.getpid(), signal.SIGKILL)

def stage() -> None:
    list(DataLoader(Fatal([1]), num_workers=1))

stage.__code__ = stage.__code__.replace(co_filename="evaluate.py")
stages.main(stage)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == "stages.evaluate: " + stages.KILLED + "\n"


def test_a_stage_that_the_parameters_no_longer_name_is_refused(place, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train_baseline@mpii-hrnet_w99-0")
    with pytest.raises(SystemExit, match=r"params\.yaml names no stage train_baseline@mpii-hrnet_w99-0"):
        stages.main(lambda dataset, run: None)
