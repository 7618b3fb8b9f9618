"""What holds of the dynamic weight average (Eqs. 8 to 10), whatever the losses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.dwa import DynamicWeightAverage

# As far as float32 goes without losing digits.
LOSS = st.floats(2.0**-60, 2.0**60, width=32)
TEMPERATURE = st.floats(0.25, 8)


def weights(before, last, temperature=1.0):
    dwa = DynamicWeightAverage(temperature)
    for losses in (before, last):
        dwa.update(torch.tensor(losses))
    return dwa.weights().tolist()


@given(*[st.floats(0, allow_infinity=True, width=32)] * 4, TEMPERATURE)
def test_weights_add_up_to_2_and_are_numbers_whatever_the_losses(a, b, c, d, temperature):
    key, seg = weights([a, b], [c, d], temperature)
    assert 0 <= key <= 2 and 0 <= seg <= 2
    assert key + seg == pytest.approx(2, rel=1e-6)


@given(LOSS, LOSS, st.floats(0.125, 8, width=32), TEMPERATURE)
def test_losses_that_fall_alike_weigh_alike(key, seg, rate, temperature):
    assert weights([key, seg], [key * rate, seg * rate], temperature) == pytest.approx([1, 1], abs=1e-5)


@given(*[LOSS] * 4, TEMPERATURE)
def test_the_loss_that_fell_less_weighs_more(a, b, c, d, temperature):
    key, seg = weights([a, b], [c, d], temperature)
    if c / a > d / b * (1 + 1e-5):
        assert key >= seg
    # And nothing hangs on which of them is called key points.
    assert weights([b, a], [d, c], temperature) == pytest.approx([seg, key], abs=1e-6)


@given(*[LOSS] * 4, st.integers(-40, 40))
def test_the_unit_of_a_loss_does_not_matter(a, b, c, d, power):
    unit = 2.0**power
    assert weights([a * unit, b], [c * unit, d]) == pytest.approx(weights([a, b], [c, d]), abs=1e-6)


@given(*[LOSS] * 4, TEMPERATURE, st.floats(1, 4))
def test_a_higher_temperature_brings_the_weights_together(a, b, c, d, temperature, factor):
    cool = abs(weights([a, b], [c, d], temperature)[0] - 1)
    assert abs(weights([a, b], [c, d], temperature * factor)[0] - 1) <= cool + 1e-5
