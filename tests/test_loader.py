"""Crops, augmentation and the order of the batches."""

import subprocess
import sys

import numpy as np
import pytest

from pipeline import loader
from pipeline.codec import crop
from pipeline.training.schedule import Schedule
from tests.conftest import ROOT, Pictures
from tests.training.conftest import some_params, some_people


@pytest.fixture
def crops():
    p = some_params()
    return loader.Crops(some_people(12), Pictures((90, 80)), p.input.size, p.augment, seed=3)


def test_a_crop_is_the_same_whenever_it_is_read_and_another_in_the_next_epoch(crops):
    first, again, later = crops[5, 2], crops[5, 2], crops[6, 2]
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.array_equal(first["input"], later["input"])


def test_mirrored_joints_change_sides(crops):
    items = [(epoch, 0) for epoch in range(20)]
    matrices, flips = crops.matrices(items)
    input_xy, labelled = crops.joints(matrices, flips, [0] * 20)
    plain = crop.transform(crops.people.joints[0], matrices)
    assert 0 < flips.sum() < 20
    # MPII: 0 is the right ankle, 5 the left one.
    for n, flip in enumerate(flips):
        np.testing.assert_array_equal(input_xy[n, 0], plain[n, 5 if flip else 0])
        assert labelled[n, 0] == crops.people.labelled[0][5 if flip else 0]
        assert (np.linalg.det(matrices[n, :, :2]) < 0) == flip


def test_a_batch_holds_what_its_items_hold(crops):
    items = [(4, 3), (4, 0), (4, 7)]
    batch = crops.__getitems__(items)
    for n, item in enumerate(items):
        assert all(np.array_equal(batch[key][n], value) for key, value in crops[item].items())


def test_draws_are_hrnets():
    augment = some_params(augment={"rotation_std": 45, "scale_std": 0.35}).augment
    draws = np.array([loader.draw(augment, np.random.default_rng([0, 0, row])) for row in range(20_000)])
    zoom, rotation, flip = draws.T
    assert zoom.min() == pytest.approx(0.65) and zoom.max() == pytest.approx(1.35)
    # A normal cut at one standard deviation has 31.7% of its draws on the cuts.
    assert np.mean((zoom <= 0.65001) | (zoom >= 1.34999)) == pytest.approx(0.317, abs=0.01)
    assert np.mean(rotation != 0) == pytest.approx(0.6, abs=0.01)
    assert np.abs(rotation).max() == pytest.approx(90) and np.mean(np.abs(rotation) == 90) < 0.04
    assert flip.mean() == pytest.approx(0.5, abs=0.01)


def test_an_epoch_visits_nobody_twice_and_ranks_share_a_batch():
    whole = list(Schedule(103, 10, 2, seed=0))
    assert len(whole) == 20
    rows = [row for batch in whole[:10] for _, row in batch]
    assert len(set(rows)) == 100
    halves = [list(Schedule(103, 10, 2, 0, rank, 2)) for rank in range(2)]
    for batch, first, second in zip(whole, *halves, strict=True):
        assert sorted(first + second) == sorted(batch) and len(first) == len(second) == 5


def test_a_schedule_begun_in_the_middle_goes_on_as_the_whole_one():
    whole, part = Schedule(20, 4, 3, seed=1), Schedule(20, 4, 3, seed=1)
    part.start = 7
    assert list(part) == list(whole)[7:]
    assert [row for _, row in list(whole)[7]] == whole.rows(7).tolist()


def test_reduced_decoding_takes_effect_and_shows_the_same(crops):
    people, pictures = crops.people, crops.images
    plain = loader.Crops(people, pictures, (32, 32))
    reduced = loader.Crops(people, pictures, (32, 32), reduced_decoding=True)
    a, b = plain[0, 0]["input"].astype(int), reduced[0, 0]["input"]
    assert not np.array_equal(a, b) and np.abs(a - b).mean() < 8


HELD = """
import torch
from pipeline import loader

class Crops:
    size = 64, 48

    def __len__(self):
        return 4000

    def __getitems__(self, items):
        return {"x": torch.zeros(2)}

held = iter(loader.batches(Crops(), loader.in_order(4000, 2), 4))
next(held)
raise SystemExit(143)
"""


def test_a_process_that_ends_takes_its_workers_along_without_a_word():
    process = subprocess.run(
        [sys.executable, "-c", HELD], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 143 and "Traceback" not in process.stderr
