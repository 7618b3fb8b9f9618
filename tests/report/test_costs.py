"""Claim 8: what guidance costs, counted and measured."""

import csv
import io
import json
import shutil

import pytest

from pipeline import paths
from pipeline.report import claims
from tests.conftest import ROOT
from tests.report.synthetic import PAPER


def _costs(outcome):
    return [claim for claim in claims.judge(outcome) if claim.reported_text == "almost free"]


def _by_part(outcome, part):
    return next(claim for claim in claims.judge(outcome) if claim.number == 8 and claim.part == part)


def _benchmark(folder, name, width="w32", **facts):
    rows = [
        {"network": "HRNet", "train_ms": 1000.0, "train_peak_mb": 1000.0},
        {
            "network": "SG-HRNet", "train_ms": 1020.0, "train_ratio": 1.021, "train_low": 1.01,
            "train_high": 1.04, "train_peak_mb": 1060.0, "infer_ratio": 1.012,
        },
    ]  # fmt: skip
    report = {
        "machine": name, "torch": "2.13", "precision": "float32", "batch": 4, "width": width,
        "size": [256, 192], "interval": 0.95, "compiled": False, "rows": rows,
    }  # fmt: skip
    file = folder / paths.benchmarks() / f"guidance_cost-{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report | facts))
    return file


def test_costs_are_those_that_were_measured_with_the_machine_they_were_measured_on(results, tmp_path):
    outcome = results(own=tmp_path, **PAPER)
    _benchmark(outcome.root, "CPU, 2 threads")
    _benchmark(outcome.root, "GPU", precision="bfloat16", batch=32, compiled=True)
    _benchmark(outcome.root, "other", width="w48")
    costs = _costs(outcome)
    assert [(claim.part, claim.verdict) for claim in costs] == [
        ("step time, CPU, 2 threads", "supported"),
        ("step time, GPU", "supported"),
        ("memory, CPU, 2 threads", "contradicted"),
        ("memory, GPU", "contradicted"),
    ]
    time, on_gpu, memory, _ = costs
    assert time.measured_text.startswith(
        "1.021 [1.0100, 1.0400], the median over paired rounds: 1020 against 1000 ms"
    )
    assert (time.measured, time.against, time.unit) == (1020, 1000, "percent")
    assert (time.difference, time.low, time.high) == pytest.approx((2.1, 1, 4))
    assert memory.measured_text == "1.060: 1060 against 1000 MiB"
    assert memory.difference == pytest.approx(6) and memory.low is None
    assert on_gpu.data == "GPU (torch 2.13, bfloat16, compiled, batches of 32)"
    assert "at most 1.05" in time.note and "gives no number" in time.note


def test_costs_that_nobody_measured_say_how_to_measure_them(results):
    costs = _costs(results(**PAPER))
    assert [claim.part for claim in costs] == ["step time", "memory"]
    assert all(
        claim.verdict == "not measured" and "`python -m benchmarks.guidance_cost`" in claim.note
        for claim in costs
    )


def test_a_difference_in_parameters_is_a_whole_number(results):
    rows = list(csv.DictReader(io.StringIO(claims.to_csv(claims.judge(results(**PAPER))))))
    assert [row["difference"] for row in rows if row["part"] == "parameters"] == ["37124"]


def test_the_committed_costs_can_be_read(results, tmp_path):
    files = sorted((ROOT / paths.benchmarks()).glob("guidance_cost-*.json"))
    if not files:
        pytest.skip("no costs are committed; `python -m benchmarks.guidance_cost` measures them")
    outcome = results(own=tmp_path, **PAPER)
    shutil.copytree(ROOT / paths.benchmarks(), tmp_path / paths.benchmarks())
    assert all(claim.measured_text for claim in _costs(outcome))


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_file_of_costs_that_is_none_is_named(results, content, tmp_path):
    outcome = results(own=tmp_path, **PAPER)
    _benchmark(outcome.root, "CPU").write_text(content)
    with pytest.raises(
        ValueError, match=r"guidance_cost-CPU\.json is not what .*; measure again, or delete it$"
    ):
        claims.judge(outcome)


def test_quartiles_are_not_taken_for_an_interval(results, tmp_path):
    outcome = results(own=tmp_path, **PAPER)
    file = _benchmark(outcome.root, "CPU")
    facts = json.loads(file.read_text())
    del facts["interval"]
    file.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"interval.*; measure again, or delete it$"):
        claims.judge(outcome)


@pytest.mark.slow
def test_counts_are_the_papers_networks_where_smaller_ones_are_trained(results):
    pytest.importorskip("torch")
    outcome = results(datasets=["mpii"], radius_only=[])
    assert _by_part(outcome, "parameters").measured_text == "28,573,237 against 28,536,113"
    assert _by_part(outcome, "GFLOPs").measured_text == "7.23 against 7.12"
