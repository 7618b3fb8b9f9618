"""What holds of PCKh (Eqs. 11, 12) and of the bootstrap, whatever was predicted."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import DATASETS
from pipeline.metrics import bootstrap, pckh

METRIC = DATASETS["mpii"].METRIC
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def measured(draw):
    """(people, image_xy): a few people in fewer images, some without a head, and predictions around the joints."""
    rng, count = np.random.default_rng(draw(SEEDS)), draw(st.integers(1, 8))
    image_id = np.sort(rng.integers(1, 5, count))
    people = SimpleNamespace(
        joints=rng.uniform(0, 500, (count, 16, 2)),
        labelled=rng.random((count, 16)) < draw(st.floats(0, 1)),
        head_size=np.where(rng.random(count) < 0.2, np.nan, rng.uniform(10, 90, count)),
        image_id=image_id,
        person_id=image_id * 1000 + np.arange(count),
    )
    return people, people.joints + rng.normal(0, draw(st.floats(0, 40)), (count, 16, 2))


@given(measured(), SEEDS)
def test_pckh_is_a_percentage_and_hangs_neither_on_the_unit_nor_on_the_order_nor_on_what_is_not_labelled(
    drawn, seed
):
    people, image_xy = drawn
    values = METRIC.summarise(pckh.samples(image_xy, people))
    known = [value for value in values.values() if not np.isnan(value)]
    assert all(0 <= value <= 100 for value in known)
    order = np.random.default_rng(seed).permutation(len(people.image_id))
    changed = {name: column[order] for name, column in vars(people).items()}
    elsewhere = np.where(people.labelled[..., None], image_xy, -1e4)[order]
    larger = SimpleNamespace(**changed | {name: 4 * changed[name] for name in ("joints", "head_size")})
    np.testing.assert_equal(METRIC.summarise(pckh.samples(4 * elsewhere, larger)), values)


@given(measured(), st.floats(0, 1))
def test_a_prediction_moved_toward_its_joint_is_never_worse(drawn, share):
    people, image_xy = drawn
    closer = image_xy + share * (people.joints - image_xy)
    before, after = (METRIC.summarise(pckh.samples(xy, people)) for xy in (image_xy, closer))
    assert all(np.isnan(before[name]) or after[name] >= before[name] for name in before)
    exact = METRIC.summarise(pckh.samples(people.joints, people))
    assert all(np.isnan(value) or value == 100 for value in exact.values())


@given(measured())
def test_the_curve_rises_to_100_and_passes_through_the_tables_numbers(drawn):
    people, image_xy = drawn
    samples = pckh.samples(image_xy, people)
    curve = METRIC.curve(samples, np.array([0, 0.1, 0.3, 0.5, 1, 1e9]))
    values = METRIC.summarise(samples)
    np.testing.assert_allclose(curve[[1, 3]], [values["Mean@0.1"], values["Mean"]])
    if not np.isnan(curve[0]):
        assert (np.diff(curve) >= 0).all() and curve[-1] == 100


@given(measured(), SEEDS)
def test_an_images_weight_is_how_often_it_is_there(drawn, seed):
    people, image_xy = drawn
    samples = pckh.samples(image_xy, people)
    images, place = np.unique(people.image_id, return_inverse=True)
    weights = np.random.default_rng(seed).integers(0, 3, len(images))
    again = np.repeat(np.arange(len(place)), weights[place])
    repeated = {name: column[again] for name, column in samples.items()}
    ones = METRIC.summarise(samples, np.ones((1, len(images))))
    np.testing.assert_equal({k: float(v[0]) for k, v in ones.items()}, METRIC.summarise(samples))
    weighted = METRIC.summarise(samples, weights[None])
    np.testing.assert_equal({k: float(v[0]) for k, v in weighted.items()}, METRIC.summarise(repeated))


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 2**31))
def test_each_resample_has_as_many_images_as_there_are(images, resamples, seed):
    weights = bootstrap.weights(images, resamples, seed)
    assert weights.shape == (resamples, images) and (weights.sum(1) == images).all()
    np.testing.assert_array_equal(weights, bootstrap.weights(images, resamples, seed))


@st.composite
def replicates(draw, name="a"):
    """A model's metric over one to four seeds, on resampled images."""
    rng, seeds = np.random.default_rng(draw(SEEDS)), draw(st.integers(1, 4))
    values = rng.normal(50, draw(st.floats(0.01, 5)), seeds)
    draws = values[:, None] + rng.normal(0, draw(st.floats(0.01, 5)), (seeds, 200))
    return bootstrap.over_seeds([{"m": v} for v in values], [{"m": d} for d in draws], name)["m"]


@given(replicates(), replicates("b"))
def test_a_difference_turned_round_is_its_negative(a, b):
    low, high = bootstrap.interval(a - b)
    assert low <= high
    assert bootstrap.interval(b - a) == pytest.approx((-high, -low), rel=1e-6, abs=1e-9)


@given(replicates(), st.floats(0.5, 0.99), st.floats(0.5, 0.99))
def test_a_surer_interval_holds_the_less_sure_one(values, one, other):
    low, high = sorted((one, other))
    inner, outer = bootstrap.interval(values, low), bootstrap.interval(values, high)
    assert outer[0] <= inner[0] <= inner[1] <= outer[1]


@given(replicates(), st.floats(40, 60), st.floats(0, 10))
def test_a_higher_bound_is_harder_to_be_above(values, bound, more):
    p, higher = bootstrap.p_above(values, bound), bootstrap.p_above(values, bound + more)
    assert 0 <= p <= higher <= 1


@given(replicates())
def test_a_model_differs_from_itself_by_nothing(values):
    low, high = bootstrap.interval(values - values)
    assert (low, high) == (0, 0)
