"""Training as section 3.4 describes it, and stopped at any moment."""

import csv
import dataclasses
import io
import math
import os
import signal

import numpy as np
import pytest
import torch

from pipeline import loader
from pipeline.codec import heatmap, segmentation
from pipeline.datasets import DATASETS
from pipeline.ranks import Ranks
from pipeline.training import history, loop
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.losses import heatmap_loss, segmentation_loss
from tests.training.conftest import HostWaits

CPU = Ranks(0, 1, torch.device("cpu"))


def run(task, folder, key="run") -> loop.Trained:
    with Checkpoint(folder, key) as checkpoint:
        return loop.train(task, checkpoint, CPU)


def equal(a: loop.Trained, b: loop.Trained) -> bool:
    return a.history == b.history and all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


def steps(result: loop.Trained) -> list[dict]:
    return [row for row in result.history if row["kind"] == "step"]


def test_eq7_total_loss_is_the_weighted_sum(make_task, tmp_path):
    result = run(make_task(train={"log_every": 1}), tmp_path)
    assert len(steps(result)) == 9
    for row in steps(result):
        expected = row["w_seg"] * 0.002 * row["loss_seg"] + row["w_key"] * row["loss_key"]
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
        assert row["w_key"] + row["w_seg"] == pytest.approx(2, rel=1e-6)


def test_eq8_to_10_weights_follow_from_the_two_losses_before(make_task, tmp_path):
    rows = steps(run(make_task(train={"log_every": 1}), tmp_path))
    assert [(row["w_key"], row["w_seg"]) for row in rows[:2]] == [(1, 1)] * 2
    for before, last, row in zip(rows, rows[1:], rows[2:], strict=False):
        r_key, r_seg = last["loss_key"] / before["loss_key"], last["loss_seg"] / before["loss_seg"]
        assert row["r_key"] == pytest.approx(r_key, rel=1e-5)
        assert row["w_key"] == pytest.approx(
            2 * math.exp(r_key) / (math.exp(r_key) + math.exp(r_seg)), rel=1e-5
        )


def test_dwa_per_epoch_keeps_its_weights_within_an_epoch(make_task, tmp_path):
    rows = steps(run(make_task(dwa={"per": "epoch"}, train={"log_every": 1}), tmp_path))
    weights = [{row["w_key"] for row in rows if row["epoch"] == epoch} for epoch in range(3)]
    assert weights[:2] == [{1.0}, {1.0}] and len(weights[2]) == 1
    means = [np.mean([row["loss_key"] for row in rows if row["epoch"] == epoch]) for epoch in range(2)]
    assert rows[-1]["r_key"] == pytest.approx(means[1] / means[0], rel=1e-4)


def test_learning_rate_drops_after_so_many_finished_epochs(make_task, tmp_path):
    rows = steps(run(make_task(train={"log_every": 1, "lr": 0.01}), tmp_path))
    assert [row["lr"] for row in rows] == [0.01] * 6 + [0.001] * 3


def test_the_baseline_has_no_segmentation_loss_and_no_weights(make_task, tmp_path):
    result = run(make_task(radius=None), tmp_path)
    assert all("loss_seg" not in row and row["loss"] == row["loss_key"] for row in steps(result))
    text = history.to_csv(result.history).decode()
    assert next(csv.DictReader(io.StringIO(text)))["w_seg"] == ""


def test_without_segmentation_loss_the_maps_still_attend_and_are_not_supervised(make_task, tmp_path):
    result = run(make_task(ablation="no_seg_loss", train={"log_every": 1}), tmp_path)
    for row in steps(result):
        assert row["loss"] == pytest.approx(row["loss_key"]) and row["w_key"] == 1
    supervised = run(make_task(), tmp_path, "other")
    assert not torch.equal(
        supervised.weights["guidance.0.score.weight"], result.weights["guidance.0.score.weight"]
    )


def test_fixed_weights_stay_at_one(make_task, tmp_path):
    rows = steps(run(make_task(ablation="fixed_weights"), tmp_path))
    assert {(row["w_key"], row["w_seg"]) for row in rows} == {(1.0, 1.0)}


def test_two_runs_are_equal_to_the_last_bit(make_task, tmp_path):
    assert equal(run(make_task(), tmp_path, "a"), run(make_task(), tmp_path, "b"))


def test_workers_change_nothing(make_task, tmp_path):
    assert equal(run(make_task(), tmp_path, "a"), run(make_task(compute={"workers": 2}), tmp_path, "b"))


def signal_with_image(task, number: int) -> None:
    """Have SIGTERM arrive while a training reads its so-manieth image."""
    read, reads = task.loaders.images.read, 0

    def read_then_signal(name):
        nonlocal reads
        reads += 1
        if reads == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return read(name)

    task.loaders.images.read = read_then_signal


@pytest.mark.parametrize("stop_at", [1, 3, 4, 7])
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_stopped_by_sigterm_and_resumed_ends_as_if_never_stopped(make_task, tmp_path, stop_at, per):
    task = make_task(dwa={"per": per})
    whole = run(task, tmp_path, "whole")

    signal_with_image(task, 4 * stop_at)
    with pytest.raises(SystemExit) as stopped:
        run(task, tmp_path, "stopped")
    assert stopped.value.code == 128 + signal.SIGTERM
    assert equal(whole, run(task, tmp_path, "stopped"))


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_validation_that_a_signal_stops_is_made_up_for(make_task, tmp_path, log_every):
    task = make_task(train={"validate_every": 1, "log_every": log_every})
    whole = run(task, tmp_path, "whole")
    # An epoch trains on twelve images and validates on six: the second validation is under way.
    signal_with_image(task, 12 + 6 + 12 + 1)
    with pytest.raises(SystemExit):
        run(task, tmp_path, "stopped")
    with Checkpoint(tmp_path, "stopped") as checkpoint:
        kept = checkpoint.load()
    history = kept.facts["history"]
    assert kept.facts["step"] == 6 and [row["epoch"] for row in history if row["kind"] == "epoch"] == [0]
    assert equal(whole, run(task, tmp_path, "stopped"))
    assert [row["epoch"] for row in whole.history if row["kind"] == "epoch"] == [0, 1, 2]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_images(make_task, tmp_path):
    with pytest.raises(ValueError, match=r"step \d+ is no finite number .* try a lower train\.lr .*\d\.jpg"):
        run(make_task(train={"lr": 1e30, "epochs": 20}), tmp_path)


def test_what_is_kept_before_a_loss_that_is_not_finite_is_finite(make_task, tmp_path):
    with pytest.raises(ValueError, match="no finite number"):
        run(make_task(train={"lr": 1e30, "epochs": 20, "log_every": 1000}), tmp_path)
    with Checkpoint(tmp_path, "run") as checkpoint:
        saved = checkpoint.load()
    assert saved is None or all(value.isfinite().all() for value in saved.tensors.values())


def test_a_batch_larger_than_the_data_is_an_error_that_names_the_key(make_task, tmp_path):
    with pytest.raises(ValueError, match=r"train\.batch_size: 64 is more than the 12 people"):
        run(make_task(train={"batch_size": 64}), tmp_path)


def test_validation_rows_hold_losses_iou_and_accuracy(make_task, tmp_path):
    rows = [row for row in run(make_task(), tmp_path).history if row["kind"] == "epoch"]
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert {"val_loss_key", "val_loss_seg", "iou_1", "iou_4", "accuracy"} <= row.keys()
        assert 0 <= row["iou_1"] <= 1 and row["val_loss_seg"] > 0


@pytest.mark.parametrize("radius", [None, 3])
def test_the_host_waits_for_the_device_at_logged_steps_only(make_task, tmp_path, monkeypatch, radius):
    # Six steps an epoch, of which the third is logged.
    task = make_task(radius, train={"batch_size": 2, "log_every": 3, "epochs": 1})
    read, waits, before_read = task.loaders.images.read, HostWaits(), []

    def counting_read(name):
        before_read.append(waits.count)
        return read(name)

    task.loaders.images.read = counting_read
    # On a CPU these are no operations of their own.
    for name in ("tolist", "cpu"):
        method = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda tensor, method=method: (waits.add(), method(tensor))[1]
        )
    with waits:
        run(task, tmp_path)
    before_step = before_read[:12:2]
    assert before_step[1] == before_step[2] and before_step[3] == before_step[4] == before_step[5]
    assert 0 < before_step[3] - before_step[2] <= 2


def test_targets_and_losses_copy_nothing_to_the_device():
    # The device without numbers stands for a GPU: to copy from the host to it is an operation, as it is there.
    device = torch.device("meta")
    input_BHWC = torch.zeros(2, 64, 48, 3, dtype=torch.uint8, device=device)
    centres_BK2 = torch.zeros(2, 16, 2, dtype=torch.int32, device=device)
    labelled_BK = torch.ones(2, 16, dtype=torch.bool, device=device)

    def step():
        loader.normalise(input_BHWC)
        target_BKHW, weight_BK = heatmap.encode(centres_BK2, labelled_BK, (16, 12), 2)
        map_BHW = segmentation.encode(centres_BK2, labelled_BK, (16, 12), 3)
        heatmap_loss(target_BKHW, target_BKHW, weight_BK)
        segmentation_loss(torch.zeros(2, 4, 16, 12, device=device), map_BHW)

    with HostWaits() as first:
        step()
    with HostWaits() as later:
        step()
    assert first.count > 0 and later.count == 0


def test_without_guidance_there_is_no_iou(make_task, tmp_path):
    rows = run(make_task(ablation="bilinear_hrnet"), tmp_path).history
    assert all("iou_1" not in row and "loss_seg" not in row for row in rows)
    assert any("accuracy" in row for row in rows)


@pytest.mark.parametrize("deterministic", [False, True])
def test_float32_is_no_tf32(make_task, tmp_path, deterministic):
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    task = make_task(train={"deterministic": deterministic, "epochs": 1, "validate_every": 9})
    with Checkpoint(tmp_path, "run") as checkpoint:
        loop.train(task, checkpoint, Ranks.join("cpu"))
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    # The names of the same switches by which newer versions of PyTorch and its compiler read them.
    assert "tf32" not in (
        torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    )  # fmt: skip


def test_a_network_of_bones_and_limbs_trains_and_validates_on_them(make_task, tmp_path):
    task = make_task(radius=None, train={"epochs": 1, "lr_drops": []})
    task = dataclasses.replace(task, run=task.run.model_copy(update={"model": "dlcm_small"}))
    result = run(task, tmp_path)
    start = loop.models.build(
        "dlcm_small", DATASETS["mpii"].KEYPOINTS, model=task.settings.model, guidance=None
    )
    for level, parts in ((1, 12), (2, 6), (3, 12)):
        name = f"predict.{level}.score.weight"
        trained, fresh = result.weights[name][-parts:], start.state_dict()[name][-parts:]
        assert trained.shape[0] == parts and (trained != fresh).flatten(1).any(1).all()
    assert result.history[-1]["val_loss_key"] > 0
