"""Reading the runs that the parameters name, and leaving no trace of others."""

import numpy as np
import pytest

from pipeline.report.results import Results, remove_stale
from pipeline.runs import named_by


def test_folders_that_the_parameters_do_not_name_are_removed(tmp_path, params):
    parameters = params(radius=5)
    root = tmp_path / "results"
    named = [root / run.dataset / run.name for run in named_by(parameters)]
    stale = [root / "mpii" / "sg_hrnet_small-r7-s0", root / "lspet" / "hrnet_small-s0"]
    for folder in named + stale:
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{}")
    (root / ".gitignore").write_text("/mpii\n")

    assert sorted(remove_stale(parameters, root)) == sorted(stale)

    assert all(folder.is_dir() for folder in named)
    assert not any(folder.exists() for folder in stale) and not (root / "lspet").exists()
    assert (root / ".gitignore").is_file()
    assert remove_stale(parameters, root) == []


def test_nothing_to_remove_where_nothing_was_evaluated(tmp_path, params):
    assert remove_stale(params(), tmp_path / "results") == []


def test_a_run_without_results_is_an_error_that_names_its_file(tmp_path, params):
    with pytest.raises(
        ValueError, match=r"results/mpii/hrnet_small-s0/metrics\.json is not there; .*`evaluate`"
    ):
        Results(params(), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK nothing", "half"])
def test_damaged_samples_are_named(results, content, tmp_path):
    outcome = results(own=tmp_path, datasets=["mpii"], radius_only=[])
    path = outcome.root / "results" / "mpii" / "hrnet_small-s0" / "samples.npz"
    path.write_bytes(path.read_bytes()[:300] if content == "half" else content)
    with pytest.raises(ValueError, match=r"hrnet_small-s0/samples\.npz is damaged .*`evaluate`"):
        outcome.baseline("mpii").samples("label")


def test_results_of_another_run_are_refused(results, tmp_path):
    outcome = results(own=tmp_path, datasets=["mpii"], radius_only=[])
    folder = tmp_path / "results" / "mpii"
    (folder / "sg_hrnet_small-r5-s0" / "metrics.json").write_bytes(
        (folder / "sg_hrnet_small-r3-s0" / "metrics.json").read_bytes()
    )
    with pytest.raises(ValueError, match=r"sg_hrnet_small-r5-s0/metrics\.json is of .*radius=3"):
        Results(outcome.params, tmp_path)


def test_seeds_become_one_row_with_mean_and_spread(results):
    outcome = results(seeds=[0, 1, 2], radius_only=[], datasets=["mpii"])
    group = outcome.guided("mpii")
    means = [evaluation.scores["label"]["Mean"] for evaluation in group.evaluations]

    estimate = outcome.estimates(group, "label")["Mean"]

    assert [run.seed for run in group.runs] == [0, 1, 2] and group.run.configuration == "sg_hrnet_small-r5"
    assert estimate.value == pytest.approx(np.mean(means))
    assert estimate.spread == pytest.approx(np.std(means, ddof=1))
    assert estimate.low < estimate.value < estimate.high


def test_a_difference_is_paired_by_image(results):
    outcome = results(radius_only=[], datasets=["mpii"])
    ours, theirs = (
        outcome.estimates(group, "label")["Mean"]
        for group in (outcome.guided("mpii"), outcome.baseline("mpii"))
    )

    difference = ours - theirs

    assert difference.value == pytest.approx(ours.value - theirs.value)
    # Both networks err on the same people, so that the difference is known better than either.
    apart = np.hypot(ours.high - ours.low, theirs.high - theirs.low)
    assert difference.high - difference.low < 0.8 * apart


def test_detected_boxes_without_a_detectors_file_are_not_available(results):
    outcome = results()
    assert outcome.values(outcome.guided("coco"), "detected") is None
    assert outcome.estimates(outcome.guided("coco"), "detected") is None
    assert outcome.estimates(outcome.guided("coco"), "ground_truth")["AP"].value > 0


def test_estimates_of_joints_agree_with_the_columns(results):
    outcome = results(radius_only=[], datasets=["mpii"])
    group = outcome.guided("mpii")
    joints, columns = outcome.parts(group, "label"), outcome.estimates(group, "label")
    ankles = [joints[name].value for name in ("right_ankle", "left_ankle")]
    assert np.mean(ankles) == pytest.approx(columns["Ankle"].value)


def test_a_metric_that_cannot_be_taken_apart_has_its_columns_for_parts(results):
    outcome = results()
    group = outcome.guided("coco")
    assert outcome.parts(group, "ground_truth") is outcome.estimates(group, "ground_truth")
    assert outcome.parts(group, "detected") is None


def test_frames_of_one_video_are_resampled_together(tmp_path, results):
    made = results(tmp_path, datasets=["mpii"], radius_only=[])
    assert made.clustering("mpii") is None
    guided, backbone = made.pair("mpii")
    images = np.unique(guided.samples("label")["image_id"])
    apart = made.estimates(guided, "label")["Mean"] - made.estimates(backbone, "label")["Mean"]
    for path in (tmp_path / "results" / "mpii").glob("*/samples.npz"):
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **arrays, clusters_image_id=images, clusters_cluster=images // 3)
    together = Results(made.params, tmp_path)
    clustering = together.clustering("mpii")
    assert (clustering.images, clustering.clusters) == (len(images), len(np.unique(images // 3)))
    assert clustering.apart == pytest.approx(apart.high - apart.low)
    assert clustering.together != pytest.approx(clustering.apart, rel=1e-3)
