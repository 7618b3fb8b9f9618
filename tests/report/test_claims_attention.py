"""Claims about attention and about single joints: what they measure, and what they make of it."""

import numpy as np
import pandas as pd
import pytest

from pipeline.report import attention, claims
from pipeline.report.results import Results
from tests.report.synthetic import JUDGED

MPII = JUDGED | {"datasets": ["mpii"], "radius_only": [], "ablations": ["no_seg_loss", "fixed_weights"]}


@pytest.fixture
def changed(tmp_path, results):
    """Function of a change to each run's history, or its samples -> the claims by (number, part)."""

    def judge(history=None, samples=None, full_size=True, **changes):
        made = results(tmp_path, source="official", full_size=full_size, **MPII | changes)
        for folder in sorted((tmp_path / "results" / "mpii").iterdir()):
            if history:
                path = folder / "history.csv"
                rows = pd.read_csv(path)
                history(folder.name, rows)
                rows.to_csv(path, index=False)
            if samples:
                with np.load(folder / "samples.npz") as file:
                    arrays = dict(file)
                samples(folder.name, arrays)
                np.savez(folder / "samples.npz", **arrays)
        found = claims.judge(Results(made.params, tmp_path))
        return {(claim.number, claim.part): claim for claim in found}

    return judge


def test_faster_is_the_share_of_training_until_90_percent_of_its_own_final_iou(changed):
    def history(name, rows):
        rows.epoch -= 1
        epochs = rows.kind == "epoch"
        # Of six epochs; both end at their own height, the guided one's is there after two.
        if name.startswith("sg_hrnet"):
            rows.loc[epochs, "iou_1":"iou_4"] = np.outer([0.1, 0.75, 0.6, 0.7, 0.8, 0.8], np.ones(4))
        elif name.startswith("no_seg_loss"):
            rows.loc[epochs, "iou_1":"iou_4"] = np.outer([0.1, 0.1, 0.2, 0.3, 0.35, 0.4], np.ones(4))
            # A map that ends no better than one of ones is soon where it ends, and says nothing.
            rows.loc[epochs, "iou_3"] = 0.05

    claim = changed(history)[12, "faster"]
    assert claim.measured == pytest.approx(100 / 3) and claim.against == pytest.approx(100)
    assert claim.difference == pytest.approx(200 / 3) and claim.verdict == "supported"
    # Three seeds that agree to the epoch are no certainty: validations lie on a grid.
    assert claim.low < claim.difference < claim.high and 0 < claim.p < 0.025


def test_equal_differences_of_validations_apart_are_not_certain_beyond_their_distance(changed):
    def history(name, rows):
        rows.epoch -= 1
        if name.startswith(("sg_hrnet", "no_seg_loss")):
            # There at the second of six validations, or the fourth, from every seed.
            there = 2 if name.startswith("sg_hrnet") else 4
            ious = np.where(np.arange(1, 7) < there, 0.2, 0.8)
            rows.loc[rows.kind == "epoch", "iou_1":"iou_4"] = np.outer(ious, np.ones(4))

    claim = changed(history)[12, "faster"]
    assert claim.difference == pytest.approx(100 / 3) and claim.verdict == "supported"
    # Both sides are rounded to the three epochs of 210 between validations; t of two degrees of freedom.
    reach = 4.303 * np.sqrt(2 * (100 * 3 / 210) ** 2 / 12 / 3)
    assert claim.low == pytest.approx(100 / 3 - reach, abs=0.01)
    assert 0 < claim.p < claim.p_holm


def test_maps_that_learn_nothing_are_not_fast(changed):
    def history(name, rows):
        if name.startswith("no_seg_loss"):
            rows.loc[rows.kind == "epoch", "iou_1":"iou_4"] = 0.05

    claim = changed(history)[12, "faster"]
    assert claim.verdict == "inconclusive" and "no map ends better" in claim.note


def test_a_map_of_ones_is_none_whatever_its_last_digit(changed):
    def history(name, rows):
        if name.startswith("no_seg_loss"):
            # Foreground of the validation maps, as a history rounds it.
            rows.loc[rows.kind == "epoch", "iou_1":"iou_4"] = 0.1000001

    claim = changed(history)[12, "faster"]
    assert claim.verdict == "inconclusive" and "no map ends better" in claim.note


def test_similar_speed_is_that_of_the_logged_rates(changed):
    def history(name, rows):
        steps, seed = rows.kind == "step", int(name[-1])
        if "-r" in name:
            rows.loc[steps, "r_key"] = np.exp(-0.002 - 0.0001 * seed)
            rows.loc[steps, "r_seg"] = np.exp(-0.004 if name.startswith("fixed") else -0.0025)

    claim = changed(history)[11, "similar speed"]
    assert claim.measured_text.startswith("rates -2.10 (keypoints) and -2.50 per mille")
    assert (claim.measured, claim.against) == pytest.approx((0.4, 1.9))
    assert claim.difference == pytest.approx(1.5) and claim.verdict == "supported"


def test_joints_are_judged_one_by_one(changed):
    found = changed()
    assert {part for number, part in found if number == 13} == {
        "Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle",
    }  # fmt: skip
    elbow, knee = found[13, "Elbow"], found[13, "Knee"]
    assert elbow.claimed == 0.6 and elbow.difference > 2 and elbow.verdict == "supported"
    # The fake networks gain in every joint.
    assert knee.reported_text == "-0.3" and knee.verdict == "contradicted"


def swap_ankles(arrays):
    """In every other person both ankles lie at each other's label."""
    half = np.arange(60) % 2 == 0
    arrays["label_mirror_distance"] = np.full_like(arrays["label_distance"], np.nan)
    for side in (0, 5):
        arrays["label_distance"][:, side] = np.where(half, 5, 0.1)
        arrays["label_mirror_distance"][:, side] = np.where(half, 0.1, 5)


def test_a_joint_that_either_side_did_not_learn_has_no_verdict(changed):
    def samples(name, arrays):
        if name == "hrnet_w32-s1":
            swap_ankles(arrays)

    found = changed(samples=samples)
    ankle, knee, mean = found[13, "Ankle"], found[13, "Knee"], found[1, "mean PCKh@0.5"]
    assert ankle.verdict == "not comparable" and ankle.difference is None and ankle.p_holm is None
    # No number of seeds makes it comparable.
    assert ankle.need is None
    assert "Not learned: Ankle of HRNet-W32." in ankle.note
    assert knee.verdict == "contradicted" and "Not learned" not in knee.note
    assert mean.verdict == "supported" and "not learned counts in this mean: Ankle of HRNet-W32." in mean.note


def test_on_data_that_judges_nothing_a_joint_not_learned_is_not_testable_first(changed):
    def samples(name, arrays):
        if name.startswith("hrnet"):
            swap_ankles(arrays)

    ankle = changed(samples=samples, full_size=False)[13, "Ankle"]
    assert (ankle.verdict, ankle.would_be) == ("not testable with this data", "not comparable")
    assert "Not learned: Ankle of HRNet-W32." in ankle.note


def test_the_gain_where_others_are_near_is_held_against_that_elsewhere(changed):
    def samples(name, arrays):
        # The guided network finds everybody near others, and is else as it was.
        if name.startswith("sg_hrnet"):
            arrays["label_distance"][arrays["map_others"]] *= 0.01

    found = changed(samples=samples)
    claim, clutter = (found[14, f"{what}, mean PCKh@0.5"] for what in ("others near", "clutter"))
    assert claim.verdict == "supported" and claim.difference == pytest.approx(claim.measured - claim.against)
    assert "on 10 images against" in claim.measured_text and clutter.measured_text.count("on 15 images") == 1
    assert claim.low_these_images < claim.difference < claim.high_these_images


def test_where_all_images_are_of_one_kind_nothing_is_compared(changed):
    def samples(name, arrays):
        if "map_others" in arrays:
            arrays["map_others"][:] = False

    claim = changed(samples=samples)[14, "others near, mean PCKh@0.5"]
    assert claim.verdict == "not measured" and "of one kind" in claim.note


def test_coco_too_has_its_maps_and_its_images_with_others(results):
    lists = {"ablation_datasets": ["coco"], "ablations": ["no_seg_loss"]}
    made = results(source="official", full_size=True, **JUDGED | lists)
    found = {claim.part: claim for claim in claims.judge(made) if claim.number == 14}
    assert found["attention on the person, COCO"].verdict == "supported"
    assert "add `mpii` to `ablation_datasets`" in found["attention on the person"].note.replace(
        "and `mpii`", "add `mpii`"
    )
    ap = found["others near, AP with ground truth boxes"]
    assert ap.low < ap.difference < ap.high and ap.seeds == 3


def test_a_contrast_keeps_what_seeds_leave_open(results):
    made = results(source="official", full_size=True, **MPII)
    group = made.guided("mpii")
    kinds = attention.kinds_of_images(group, "others")
    found = attention.contrast(made, group, "label", "Mean", kinds)
    assert found.difference.value == pytest.approx(found.there.value - found.elsewhere.value)
    (seeds,) = found.difference.replicates.seeds.values()
    assert (seeds.factor, seeds.count) == (1, 3)
