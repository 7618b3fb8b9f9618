"""Eqs. 8-10: the weights of the two tasks."""

import math

import pytest
import torch
import torch.multiprocessing as multiprocessing

from pipeline.training.dwa import DynamicWeightAverage, average_over_ranks
from tests.training.conftest import HostWaits


def after(*losses, temperature=1.0):
    average = DynamicWeightAverage(temperature)
    for pair in losses:
        average.update(torch.tensor(pair))
    return average


def test_both_weights_are_one_in_the_first_two_steps():
    assert after().weights().tolist() == [1, 1]
    assert after((0.3, 0.7)).weights().tolist() == [1, 1]
    assert after((0.3, 0.7), (0.2, 0.1)).weights().tolist() != [1, 1]


def test_eq10_rates_divide_the_last_loss_by_the_one_before():
    assert after((9.0, 9.0), (2.0, 0.5), (1.0, 0.4)).rates().tolist() == pytest.approx([0.5, 0.8])


def test_eqs_8_and_9_worked_by_hand():
    # r = 0.5, 0.8: w_k = 2 e^0.5 / (e^0.5 + e^0.8), w_s = 2 e^0.8 / (e^0.5 + e^0.8).
    key, segmentation = after((2.0, 0.5), (1.0, 0.4)).weights().tolist()
    assert key == pytest.approx(0.851115, abs=1e-6)
    assert segmentation == pytest.approx(1.148885, abs=1e-6)


def test_temperature_divides_the_rates():
    key = 2 * math.exp(0.25) / (math.exp(0.25) + math.exp(0.4))
    weights = after((2.0, 0.5), (1.0, 0.4), temperature=2.0).weights().tolist()
    assert weights == pytest.approx([key, 2 - key])


def test_eq10_weight_grows_when_a_task_stops_improving():
    falling = after((1.0, 1.0), (0.5, 0.5)).weights()
    stopped = after((1.0, 1.0), (0.5, 0.5), (0.25, 0.5)).weights()
    assert stopped[1] > falling[1] and stopped[0] < falling[0]
    assert stopped.sum().item() == pytest.approx(2)


@pytest.mark.parametrize(
    "losses, rates",
    [
        (((0.0, 1.0), (0.5, 0.5)), [1, 0.5]),  # out of zero: no rate to speak of
        (((0.0, 1.0), (0.0, 0.5)), [1, 0.5]),  # stays zero
        (((1.0, 1.0), (0.0, 0.5)), [0, 0.5]),  # falls to zero: as fast as can be
        (((1e-30, 1.0), (1e30, 1.0)), [1, 1]),  # the quotient overflows
    ],
)
def test_a_loss_of_zero_breaks_nothing(losses, rates):
    average = after(*losses)
    assert average.rates().tolist() == pytest.approx(rates)
    assert average.weights().isfinite().all()
    assert average.weights().sum().item() == pytest.approx(2)


def test_a_leap_gives_all_weight_to_its_task_and_no_overflow():
    assert after((1e-3, 1.0), (1e3, 1.0)).weights().tolist() == [2, 0]


def test_resumed_weights_equal_those_never_interrupted():
    losses = torch.rand(6, 2, generator=torch.Generator().manual_seed(0))
    for stop in range(6):
        whole, first, second = (DynamicWeightAverage() for _ in range(3))
        for pair in losses:
            whole.update(pair)
        for pair in losses[:stop]:
            first.update(pair)
        saved = first.state_dict()
        first.update(torch.ones(2))
        second.load_state_dict(saved)
        for pair in losses[stop:]:
            second.update(pair)
        assert torch.equal(second.weights(), whole.weights())


def test_weights_carry_no_gradient_and_do_not_follow_the_callers_tensor():
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    average = DynamicWeightAverage()
    average.update(losses)
    with torch.no_grad():
        losses.fill_(5)
    average.update(losses * 1)
    assert average.rates().tolist() == [5, 2.5]
    assert not average.weights().requires_grad


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"dwa\.temperature: 0 must be above 0"):
        DynamicWeightAverage(0)
    with pytest.raises(ValueError, match=r"losses are \(\), and must be \(2,\)"):
        DynamicWeightAverage().update(torch.tensor(1.0))


@pytest.mark.parametrize("read", [torch.Tensor.item, float, bool, torch.Tensor.nonzero])
def test_the_counter_of_host_waits_counts(read):
    with HostWaits() as waits:
        read(torch.tensor(1.0))
    assert waits.count


def test_a_step_never_waits_for_the_device():
    average = DynamicWeightAverage()
    losses = torch.rand(4, 2, generator=torch.Generator().manual_seed(0)).unbind()
    with HostWaits() as waits:
        for pair in losses:
            weights = average.weights()
            (weights * pair).sum()
            average.rates()
            average.update(average_over_ranks(pair, 1))
    assert waits.count == 0


def test_weights_inside_a_compiled_step_equal_those_outside():
    losses = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    plain, compiled = DynamicWeightAverage(), DynamicWeightAverage()

    def total(average, pair):
        loss = (average.weights() * pair).sum()
        average.update(pair)
        return loss

    # aot_eager: all of compilation but the generated kernels; fullgraph: no way back into Python.
    step = torch.compile(lambda pair: total(compiled, pair), backend="aot_eager", fullgraph=True)
    for pair in losses:
        assert step(pair).item() == pytest.approx(total(plain, pair).item())


def _rank(rank, store, weights):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    average = DynamicWeightAverage()
    for pair in ((1.0, 4.0), (0.5, 1.0), (0.25, 3.0)):
        own = torch.tensor(pair) * (rank + 1)
        average.update(average_over_ranks(own, 2))
        assert torch.equal(own, torch.tensor(pair) * (rank + 1))
    weights[rank] = average.weights()
    torch.distributed.destroy_process_group()


def test_ranks_compute_the_same_weights_from_their_mean_losses(tmp_path):
    weights = torch.zeros(2, 2).share_memory_()
    multiprocessing.spawn(_rank, (str(tmp_path / "store"), weights), nprocs=2)
    # Means 1.5 times (0.5, 1) and (0.25, 3): r = 0.5, 3.
    key = 2 * math.exp(0.5) / (math.exp(0.5) + math.exp(3))
    assert weights[0].tolist() == pytest.approx([key, 2 - key])
    assert torch.equal(weights[0], weights[1])
