"""Whether a machine is ready to train: what the doctor finds, and what it says of a fault."""

import re

import pytest

from pipeline import doctor, paths, runs
from pipeline.training import outlook
from tests.conftest import Pictures
from tests.training.conftest import some_params, some_people


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def found(capsys, changes) -> tuple[list[str], dict[str, str]]:
    changes = list(changes)
    lines = capsys.readouterr().out.splitlines()
    return changes, {line.split()[0]: line for line in lines}


def test_a_machine_that_is_ready(capsys):
    changes, lines = found(capsys, doctor.examine(some_params()))
    assert changes == []
    assert list(lines) == "run device step loading disk resuming bfloat16 free data".split()
    # The machine's memory, as a GPU's own on a GPU.
    assert re.search(r"\d threads, \d+\.\d GiB of memory \(\d+\.\d free\), ", lines["device"])
    assert re.match(
        r"free      \d\.\d\d of the rate; losses of 4 steps within \S+ of the chosen way's", lines["free"]
    )
    assert "losses within 0.0e+00 of those without a stop (0 allowed)" in lines["resuming"]


def test_a_prepared_dataset_gives_the_batches_their_share_of_waiting_and_the_time_of_all_trainings(
    capsys, monkeypatch
):
    for split, count in (("train", 12), ("val", 6)):
        some_people(count, split).save(paths.people("mpii") / f"{split}.npz")
    pictures = Pictures((90, 80))
    monkeypatch.setattr(doctor.sources, "open_images", lambda *_: pictures)
    p = some_params()
    changes, lines = found(capsys, doctor.examine(p))
    assert changes == [] and "data" not in lines
    # The batches are of those people, and no noise.
    assert 12 >= len(pictures.data) > 4
    assert re.fullmatch(r"waiting +\d+% of the time for data: \d+ images/s with them", lines["waiting"])
    assert lines["run"].split()[1].startswith("mpii/sg_hrnet_small-r")
    mpii = [run for run in runs.named_by(p) if run.dataset == "mpii"]
    assert re.search(
        rf"this run [\d a-z]+, all {len(mpii)} planned ones [\d a-z]+, without coco, not prepared yet$",
        lines["expected"],
    )


def test_what_is_examined_is_guided_and_prepared_where_there_is_such():
    p = some_params()
    assert doctor.planned(p, {}).guided
    assert doctor.planned(p, {"coco": 9}).dataset == "coco" and doctor.planned(p, {"coco": 9}).guided
    nothing = p.model_copy(update={"datasets": (), "radius_sweep": (), "radius_only": ()})
    with pytest.raises(ValueError, match="plans no training"):
        doctor.planned(nothing, {})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_a_time_is_told_in_two_units(seconds, words):
    assert outlook.duration(seconds) == words


def test_kernels_that_are_free_are_compared_with_deterministic_ones(capsys):
    _, lines = found(capsys, doctor.examine(some_params(train={"deterministic": False})))
    assert "deterministic" in lines and "free" not in lines


def test_losses_that_differ_and_a_training_that_does_not_go_on_are_named(capsys, monkeypatch):
    first_steps = doctor.first_steps

    def wrong_in_bfloat16(run, settings, ranks, execution, batches):
        its = first_steps(run, settings, ranks, execution, batches)
        factor = 1.1 if execution.bfloat16 else 1
        return doctor.FirstSteps([factor * loss for loss in its.losses], its.images_per_second)

    monkeypatch.setattr(doctor, "first_steps", wrong_in_bfloat16)
    monkeypatch.setattr(doctor.Step, "load_state_dict", lambda self, state: None)
    changes, _ = found(capsys, doctor.examine(some_params()))
    stopped, differing = changes
    assert differing.startswith("losses differ by 1.0e-01 with bfloat16: train with train.compile: false")
    assert stopped.startswith("a training that was stopped would not go on as if it never was")


def test_a_real_network_without_a_gpu_is_not_ready(capsys, monkeypatch):
    p = some_params(compute={"device": "cuda"})
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.params, "load", lambda: p)
    with pytest.raises(SystemExit) as ended:
        doctor.main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert ended.value.code == 1 and last.startswith("not ready: compute.device: cuda, but PyTorch")
