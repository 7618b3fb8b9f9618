"""The rules of verdicts, as functions of numbers."""

import pytest

from pipeline.report.claims import rules


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.5, "supported"),
        (0.4, 0.5, "supported"),
        (0.1, 0.2, "smaller than claimed"),
        (-0.5, -0.1, "contradicted"),
        (-0.1, -0.05, "contradicted"),
        (-0.25, 0.2, "contradicted"),
        (-0.1, 0.15, "no gain"),
        (-0.1, 0.5, "inconclusive"),
        (0.0, 0.3, "inconclusive"),
    ],
)
def test_verdict_of_a_gain_of_0_3(low, high, verdict):
    assert rules.of_gain(0.3, (low, high), margin=0.2) == verdict


def test_a_margin_wider_than_the_claim_calls_no_gain_none_that_may_be_as_claimed():
    assert rules.of_gain(0.1, (-0.1, 0.2), margin=0.3) == "inconclusive"
    assert rules.of_gain(0.1, (-0.1, 0.05), margin=0.3) == "no gain"


@pytest.mark.parametrize(
    ("leads", "verdict"),
    [
        ([(0.1, 0.5), (0.2, 0.9)], "supported"),
        ([(0.1, 0.5), (-0.2, 0.9)], "inconclusive"),
        ([(0.1, 0.5), (-0.9, -0.2)], "contradicted"),
        ([(-0.3, 0.5), (-0.9, -0.2)], "contradicted"),
        ([(0.1, 0.5), (-0.1, 0.1)], "no gain"),
        ([(-0.1, 0.5), (-0.1, 0.1)], "inconclusive"),
    ],
)
def test_verdict_of_a_ranking(leads, verdict):
    assert rules.of_ranking(leads, margin=0.2) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.97, 1.05, "supported"), (1.01, 1.051, "inconclusive"), (1.051, 1.2, "contradicted")],
)
def test_verdict_of_a_cost(low, high, verdict):
    assert rules.of_cost((low, high)) == verdict


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({"AP": (0.1, 0.5), "AP50": (0.2, 0.9), "AR": (-0.4, 0.2)}, "supported"),
        ({"AP": (0.1, 0.5), "AP50": (0.2, 0.9), "AR": (-0.4, 0.4)}, "inconclusive"),
        ({"AP": (0.1, 0.5), "AP50": (-0.2, 0.9), "AR": (-0.4, 0.2)}, "inconclusive"),
        ({"AP": (0.1, 0.5), "AP50": (0.2, 0.9), "AR": (0.1, 0.2)}, "contradicted"),
        ({"AP": (0.1, 0.5), "AP50": (-0.2, -0.1), "AR": (-0.4, 0.2)}, "contradicted"),
    ],
)
def test_verdict_of_the_only_metrics_that_are_not_ahead(gains, verdict):
    assert rules.of_only_not_ahead(gains, ["AR"], margin=0.3) == verdict


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ("supported, supported", "supported"),
        ("supported, smaller than claimed", "smaller than claimed"),
        ("supported, contradicted, not measured", "contradicted"),
        ("supported, no gain", "contradicted"),
        ("no gain, no gain", "no gain"),
        ("supported, inconclusive", "inconclusive"),
        ("inconclusive, preliminary, smaller than claimed", "preliminary"),
        ("preliminary, not measured", "not measured"),
        ("not testable with this data, not measured", "not testable with this data"),
    ],
)
def test_of_a_claim_with_parts_all_must_hold(parts, verdict):
    verdicts = [rules.Verdict(part) for part in parts.split(", ")]
    assert rules.together(verdicts) == rules.together(verdicts[::-1]) == verdict


def test_equal_means_equal_as_the_paper_prints_it():
    assert (
        rules.of_equality(28.573, 28.536) == "supported" and rules.of_equality(7.23, 7.12) == "contradicted"
    )
    assert rules.as_printed(8.99) == 8.9


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.7, "supported"), (0.1, "contradicted"), (9.9, "supported"), (20, "contradicted")],
)
def test_verdict_of_one_magnitude(ratio, verdict):
    assert rules.of_magnitude(ratio) == verdict


def test_holms_p_values_are_those_of_a_worked_example():
    # Holm 1979, as in R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm"): 0.03 0.06 0.06 0.02.
    assert rules.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert rules.holm([0.9, 0.6]) == [1.0, 1.0] and rules.holm([]) == []


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        (["no gain", "no gain"], "no gain"),
        (["no gain", "supported"], "contradicted"),
        (["no gain", "smaller than claimed", "inconclusive"], "contradicted"),
        (["no gain", "inconclusive"], "inconclusive"),
        (["no gain", "not measured"], "not measured"),
        (["contradicted", "inconclusive", "not measured"], "contradicted"),
        (["supported", "smaller than claimed"], "smaller than claimed"),
        (["supported", "inconclusive", "preliminary"], "preliminary"),
    ],
)
def test_a_part_without_a_gain_fails_only_beside_one_that_has_one(parts, verdict):
    assert rules.together([rules.Verdict(part) for part in parts]) == verdict
