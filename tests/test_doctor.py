"""Whether a machine is ready to train: what the doctor finds, and what it says of a fault."""

import pytest

from pipeline import doctor
from tests.training.conftest import some_params


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
    assert list(lines) == "run device step loading disk resuming bfloat16 data".split()
    assert "losses within 0.0e+00 of those without a stop (0 allowed)" in lines["resuming"]


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
