"""The gain in the course of training, from histories."""

import csv
import io
import math
from statistics import stdev

import pytest
from scipy.stats import t

from pipeline import paths
from pipeline.report import course
from tests.report.synthetic import PAPER

BACKBONE, GUIDED = "hrnet_w32", "sg_hrnet_w32-r5"


def write(folder, name, seed, accuracies, dataset="mpii"):
    """A history that was validated after each of these epochs."""
    rows = [f"epoch,{epoch - 1},{epoch * 10},0.001,{value}\n" for epoch, value in accuracies.items()]
    steps = "step,0,5,0.001,\nstep,1,15,0.001,\n"
    text = "kind,epoch,step,lr,accuracy\n" + steps + "".join(rows)
    (folder / paths.results(dataset, f"{name}-s{seed}") / "history.csv").write_text(text)


@pytest.fixture
def made(results, tmp_path):
    made = results(
        tmp_path, **PAPER, seeds=[0, 1, 2], radius_sweep=["mpii"], radius_only=[], datasets=["mpii"]
    )
    for seed, luck in enumerate((0.0, 1.0, 2.0)):
        write(tmp_path, BACKBONE, seed, {2: 10 + luck, 4: 30, 6: 35, 8: 40})
        write(tmp_path, GUIDED, seed, {2: 12, 4: 33, 6: 36, 8: 40.5 + luck})
    return made


def test_a_quarter_half_and_all_of_the_epochs_seed_by_seed(made):
    first, half, whole = course.points(made)
    assert [(each.epoch, each.epochs, each.seeds) for each in (first, half, whole)] == [
        (2, 8, 3),
        (4, 8, 3),
        (8, 8, 3),
    ]
    assert (first.ours, first.theirs, first.gain) == (12, 11, 1)
    reach = t.ppf(0.975, 2) * stdev([2, 1, 0]) / math.sqrt(3)
    assert first.on_these_images == pytest.approx((1 - reach, 1 + reach))
    # All seeds are as good as each other.
    assert (half.gain, *half.on_these_images) == (3, 3, 3)
    rows = list(csv.DictReader(io.StringIO(course.to_csv([first, half, whole]))))
    assert rows[2]["difference"] == "1.5000" and rows[0]["backbone_validation"] == "11.0000"


def test_on_new_images_the_last_gain_is_as_sure_as_the_finished_networks(made):
    first, half, whole = course.points(made)
    assert math.isnan(first.low) and math.isnan(half.high)
    ours, theirs = (made.estimates(group, "label")["Mean"] for group in made.pair("mpii"))
    finished = ours - theirs
    assert whole.low - whole.gain == pytest.approx(finished.low - finished.value)
    assert whole.high - whole.gain == pytest.approx(finished.high - finished.value)
    rows = list(csv.DictReader(io.StringIO(course.to_csv([first, whole]))))
    assert rows[0]["low"] == "" and float(rows[1]["low"]) < 1.5 < float(rows[1]["high"])


def test_the_validation_nearest_to_a_share(made, tmp_path):
    for seed in range(3):
        for name in (BACKBONE, GUIDED):
            write(tmp_path, name, seed, {3: 10, 6: 20, 9: 30, 10: 31})
    # 2.5 and 5 of 10.
    assert [each.epoch for each in course.points(made)] == [3, 6, 10]


def test_one_seed_has_no_interval_and_an_unvalidated_history_no_point(results, tmp_path):
    made = results(tmp_path, **PAPER, radius_sweep=["mpii"], radius_only=[], datasets=["mpii"])
    for name in (BACKBONE, GUIDED):
        write(tmp_path, name, 0, {4: 10})
    (point,) = course.points(made)
    assert point.gain == 0 and math.isnan(point.on_these_images[0]) and point.low < point.high
    write(tmp_path, BACKBONE, 0, {})
    assert course.points(made) == [] and len(course.to_csv([]).splitlines()) == 1
