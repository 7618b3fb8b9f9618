"""How a stage ends: in one sentence, whatever happens."""

import sys

import pytest

import stages


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


def test_a_stage_that_the_parameters_no_longer_name_is_refused(place, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train_baseline@mpii-hrnet_w99-0")
    with pytest.raises(SystemExit, match=r"params\.yaml names no stage train_baseline@mpii-hrnet_w99-0"):
        stages.main(lambda dataset, run: None)
