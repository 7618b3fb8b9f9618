"""Intervals cover what they say they cover: 93 to 97% of 500 and more trials with a known truth."""

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.datasets.formats.mpii import METRIC
from pipeline.metrics import bootstrap
from pipeline.metrics.bootstrap import Replicates, Seeds, Student

RESAMPLES, IMAGES = 500, 150
WEIGHTS = bootstrap.weights(IMAGES, RESAMPLES, 0)


def two_models(rng, people=240, rates=(0.83, 0.85)):
    """Distances of two models on the same people, with images and people of all difficulties.

    A joint is found where a normal variable, the sum of its image's, its person's, its own and the model's
    difficulty, is below the quantile of the rate: PCKh is known, and the models are alike on each image.
    """
    image = np.concatenate([np.arange(IMAGES), rng.integers(0, IMAGES, people - IMAGES)])
    shared = 0.5 * rng.standard_normal(IMAGES)[image][:, None] + 0.4 * rng.standard_normal((people, 1))
    shared = shared + 0.6 * rng.standard_normal((people, 16))
    unlabelled = np.where(rng.random((people, 16)) < 0.2, np.nan, 0)
    samples = []
    for rate in rates:
        hard = shared + np.sqrt(1 - 0.25 - 0.16 - 0.36) * rng.standard_normal((people, 16))
        distance = np.where(hard < norm.ppf(rate), 0.25, 0.75) + unlabelled
        samples.append({"image_id": image, "distance": distance.astype(np.float32)})
    return samples


def replicates(samples, name, metric="Mean"):
    values, draws = METRIC.summarise(samples), METRIC.summarise(samples, WEIGHTS)
    return bootstrap.over_seeds([values], [draws], name)[metric]


def coverage(trial, truth, trials=500):
    """The share of trials whose interval holds the truth."""
    held = [low <= truth <= high for low, high in (trial(np.random.default_rng(n)) for n in range(trials))]
    return np.mean(held)


@pytest.mark.slow
def test_interval_of_one_models_pckh_covers_it_in_93_to_97_percent():
    def trial(rng):
        return bootstrap.interval(replicates(two_models(rng)[0], "a"))

    assert 0.93 <= coverage(trial, 83, 1000) <= 0.97


@pytest.mark.slow
def test_interval_of_a_paired_difference_of_pckh_covers_it_in_93_to_97_percent():
    def trial(rng):
        a, b = two_models(rng)
        return bootstrap.interval(replicates(b, "b") - replicates(a, "a"))

    assert 0.93 <= coverage(trial, 2, 1000) <= 0.97


@pytest.mark.parametrize(
    ("seeds", "by_seed"), [(2, 0.25), (3, 0.0), (3, 0.25), (3, 1.0), (5, 0.25)], ids=lambda value: str(value)
)
def test_interval_of_a_difference_over_seeds_covers_it_in_93_to_98_5_percent(seeds, by_seed):
    """A metric that is a mean over images: each image, each model on it and each seed on it has its own
    difficulty; `by_seed` is the standard deviation of a training's luck, in percent."""

    def trial(rng):
        image, models = 8 * rng.standard_normal(IMAGES), []
        for number, mean in enumerate((90.0, 90.3)):
            model = image + 3 * rng.standard_normal(IMAGES) + mean
            scores = (
                model + 3 * rng.standard_normal((seeds, IMAGES)) + by_seed * rng.standard_normal((seeds, 1))
            )
            models.append(
                bootstrap.over_seeds(
                    [{"AP": value} for value in scores.mean(1)],
                    [{"AP": draws} for draws in scores @ (WEIGHTS.T / IMAGES)],
                    str(number),
                )["AP"]
            )
        return bootstrap.interval(models[1] - models[0])

    # With few seeds rather too wide than too narrow.
    assert 0.93 <= coverage(trial, 0.3) <= 0.985


def test_pairing_makes_the_interval_of_a_difference_narrower():
    a, b = two_models(np.random.default_rng(0))
    paired = bootstrap.interval(replicates(b, "b") - replicates(a, "a"))
    other = bootstrap.weights(IMAGES, RESAMPLES, 1)
    unpaired = bootstrap.interval(METRIC.summarise(b, other)["Mean"] - replicates(a, "a").draws)
    assert paired[1] - paired[0] < 0.8 * (unpaired[1] - unpaired[0])


def test_seeds_widen_an_interval_and_one_seed_is_plain_percentiles():
    draws = np.random.default_rng(0).standard_normal((3, 1000)) * 0.01
    alone = bootstrap.over_seeds([{"AP": 70.0}], [{"AP": 70 + draws[0]}], "a")["AP"]
    assert bootstrap.interval(alone) == tuple(np.quantile(70 + draws[0], [0.025, 0.975]))
    three = [{"AP": value} for value in (69.0, 70.0, 71.0)]
    several = bootstrap.over_seeds(three, [{"AP": 70 + d} for d in draws], "a")["AP"]
    low, high = bootstrap.interval(several)
    # With images of next to no influence: t of 2 degrees of freedom, times 1 / sqrt(3).
    assert high - 70 == pytest.approx(4.303 / np.sqrt(3), rel=0.01)
    assert 70 - low == pytest.approx(4.303 / np.sqrt(3), rel=0.01)


def test_what_the_images_explain_is_taken_out_of_the_spread_over_seeds():
    rng = np.random.default_rng(0)
    scores = 90 + 10 * rng.standard_normal((4, IMAGES))
    seeds = bootstrap.over_seeds(
        [{"AP": value} for value in scores.mean(1)],
        [{"AP": draws} for draws in scores @ (WEIGHTS.T / IMAGES)],
        "a",
    )["AP"].seeds["a"]
    # Every difference between these seeds is noise of the images.
    assert 0.5 < seeds.by_images / seeds.variance < 2


def test_a_model_that_stands_on_both_sides_leaves_the_difference():
    draws = np.zeros(10)
    a, b, c = (Replicates(draws, {name: Seeds(1.0, 3, 1.0, 0.0)}) for name in "abc")
    seeds = ((a - b) - (a - c)).seeds
    assert {name: s.factor for name, s in seeds.items()} == {"a": 0.0, "b": -1.0, "c": 1.0}


def test_a_single_run_beside_several_seeds_takes_their_variance():
    draws = np.zeros(1000)
    several, one = (
        Replicates(draws, {"a": Seeds(1.0, 4, 1.0, 0.0)}),
        Replicates(draws, {"b": Seeds(1.0, 1, np.nan, np.nan)}),
    )
    low, high = bootstrap.interval(several - one)
    # Variance 1/4 + 1, of which all is known by 3 degrees of freedom.
    assert high == pytest.approx(np.sqrt(1.25) * 3.182, rel=1e-3) and low == pytest.approx(-high)


def test_of_different_numbers_of_seeds_the_fewer_decide_the_degrees_of_freedom():
    draws = np.zeros(1000)
    five, three = (Replicates(draws, {str(n): Seeds(1.0, n, 1.0, 0.0)}) for n in (5, 3))
    assert bootstrap.interval(five - three)[1] == pytest.approx(np.sqrt(1 / 5 + 1 / 3) * 4.303, rel=1e-3)
    # A model that has left the difference does not count.
    other = Replicates(draws, {"other": Seeds(1.0, 5, 1.0, 0.0)})
    assert bootstrap.interval((five - three) - (other - three)) == bootstrap.interval(five - other)


@pytest.mark.parametrize("freedom", [2, 4, np.inf])
def test_p_is_half_the_smallest_alpha_of_which_the_interval_lies_above(freedom):
    student = Student(0.4, 0.3, freedom)
    for bound in (-0.5, 0.0, 0.9):
        p = student.p_above(bound)
        low, high = student.interval(1 - 2 * min(p, 1 - p))
        assert (low if p < 0.5 else high) == pytest.approx(bound, abs=1e-6)
    assert student.p_above(student.center) == 0.5


def test_resamples_are_the_same_for_all_runs_and_sum_to_the_images():
    np.testing.assert_array_equal(WEIGHTS, bootstrap.weights(IMAGES, RESAMPLES, 0))
    assert (WEIGHTS.sum(1) == IMAGES).all() and WEIGHTS.shape == (RESAMPLES, IMAGES)
    assert np.var(WEIGHTS) == pytest.approx(1 - 1 / IMAGES, rel=0.05)


def test_a_metric_that_resamples_often_miss_has_no_interval():
    draws = np.linspace(0, 1, 1000)
    draws[:5] = np.nan
    assert bootstrap.interval(draws)[0] == pytest.approx(0.03, abs=0.01)
    draws[:50] = np.nan
    assert np.isnan(bootstrap.interval(draws)).all()


def test_differing_numbers_of_runs_are_refused():
    with pytest.raises(ValueError, match="2 runs and the draws of 1"):
        bootstrap.over_seeds([{}, {}], [{}], "a")


def test_images_of_one_cluster_are_drawn_together():
    clusters = {"image_id": np.array([3, 5, 8, 9]), "cluster": np.array([40, 7, 40, 7])}
    cluster = bootstrap.clustered(np.array([3, 5, 8]), clusters)
    np.testing.assert_array_equal(cluster, [1, 0, 1])
    drawn = bootstrap.weights(2, 100, 0)[:, cluster]
    assert (drawn[:, 0] == drawn[:, 2]).all() and (drawn[:, 0] + drawn[:, 1] == 2).all()
    np.testing.assert_array_equal(bootstrap.clustered(np.array([3, 5]), None), [0, 1])
    with pytest.raises(ValueError, match="evaluate"):
        bootstrap.clustered(np.array([4]), clusters)


@pytest.mark.parametrize(("together", "least", "most"), [(True, 0.92, 0.97), (False, 0.6, 0.88)])
def test_only_drawn_together_do_alike_images_give_an_interval_that_covers(together, least, most):
    """Images in fives that are hard for a network together, as the frames of a video are."""
    video = np.repeat(np.arange(IMAGES), 5)
    drawn = bootstrap.weights(IMAGES, 300, 0)[:, video] if together else bootstrap.weights(len(video), 300, 0)

    def trial(rng):
        scores = rng.standard_normal(IMAGES)[video] + rng.standard_normal(len(video))
        return bootstrap.interval(drawn @ scores / drawn.sum(1))

    assert least <= coverage(trial, 0.0, 300) <= most
