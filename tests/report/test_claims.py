"""Verdicts: the rules, and when a claim may be judged at all."""

import csv
import io
import json

import pytest
import yaml

from pipeline import paths
from pipeline.report import claims
from tests.conftest import ROOT

# The protocol's part of profiles/paper.yaml, as the fixture takes changes: group__key.
_RAW = yaml.safe_load((ROOT / "profiles" / "paper.yaml").read_text())
_GROUPS = ("input", "heatmap", "segmentation", "augment", "model", "guidance", "loss", "dwa", "train")
PAPER = {f"{group}__{key}": value for group in _GROUPS for key, value in _RAW[group].items()}
PAPER |= {key: _RAW[key] for key in ("guided", "baselines")}


def _by(found: list[claims.Claim], number: int, part: str = "") -> claims.Claim:
    return next(claim for claim in found if claim.number == number and part in claim.part)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.5, "supported"),
        (0.4, 0.5, "supported"),
        (0.1, 0.2, "smaller than claimed"),
        (-0.5, -0.1, "contradicted"),
        (-0.1, 0.2, "contradicted"),
        (-0.1, 0.5, "inconclusive"),
        (0.0, 0.3, "inconclusive"),
    ],
)
def test_verdict_of_a_gain_of_0_3(low, high, verdict):
    assert claims.gain_verdict(0.3, low, high) == verdict


@pytest.mark.parametrize(
    ("leads", "verdict"),
    [
        ([(0.1, 0.5), (0.2, 0.9)], "supported"),
        ([(0.1, 0.5), (-0.2, 0.9)], "inconclusive"),
        ([(0.1, 0.5), (-0.9, -0.2)], "contradicted"),
        ([(-0.3, 0.5), (-0.9, -0.2)], "contradicted"),
    ],
)
def test_verdict_of_a_ranking(leads, verdict):
    assert claims.ranking_verdict(leads) == verdict


@pytest.mark.parametrize(
    "source", [{"source": "demo", "full_size": True}, {"source": "folder", "full_size": False}]
)
def test_no_claim_about_accuracy_is_judged_on_demo_or_mirror_data(results, source):
    found = claims.judge(results(**source, **PAPER))
    needless = {2, 5, 8}
    assert {claim.verdict for claim in found if claim.number not in needless} == {
        "not testable with this data"
    }
    assert {claim.number for claim in found} == set(range(1, 13))


def test_claims_that_need_no_data_are_always_judged(results):
    found = claims.judge(results(**PAPER))
    prab = _by(found, 2)
    assert (prab.difference, prab.verdict) == (pytest.approx(0.1), "supported")
    gains = {claim.part: (claim.difference, claim.verdict) for claim in found if claim.number == 5}
    assert gains == {
        "AP": (pytest.approx(1.7), "smaller than claimed"),
        "AP50": (pytest.approx(2.8), "supported"),
        "AP75": (pytest.approx(1.5), "smaller than claimed"),
        "APM": (pytest.approx(2.5), "supported"),
    }
    parameters, gflops = _by(found, 8, "parameters"), _by(found, 8, "GFLOPs")
    assert parameters.difference == 37_124 and parameters.verdict == "supported"
    assert gflops.measured == "7.23 against 7.12" and gflops.verdict == "contradicted"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.97, 1.05, "supported"), (1.01, 1.051, "inconclusive"), (1.051, 1.2, "contradicted")],
)
def test_verdict_of_a_cost(low, high, verdict):
    assert claims.cost_verdict(low, high) == verdict


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
        "size": [256, 192], "rows": rows,
    }  # fmt: skip
    file = folder / paths.benchmarks() / f"guidance_cost-{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report | facts))
    return file


def test_costs_are_those_that_were_measured_with_the_machine_they_were_measured_on(results):
    found = results(**PAPER)
    _benchmark(found.root, "CPU, 2 threads")
    _benchmark(found.root, "GPU", precision="bfloat16", batch=32)
    _benchmark(found.root, "other", width="w48")
    costs = [claim for claim in claims.judge(found) if claim.number == 8 and claim.reported == "almost free"]
    assert [(claim.part, claim.verdict) for claim in costs] == [
        ("step time, CPU, 2 threads", "supported"),
        ("memory, CPU, 2 threads", "contradicted"),
        ("step time, GPU", "supported"),
        ("memory, GPU", "contradicted"),
    ]
    assert costs[0].measured.startswith("1.021 (quartiles 1.0100 to 1.0400): 1020 against 1000 ms")
    assert costs[1].measured == "1.060: 1060 against 1000 MiB"
    assert costs[2].data == "GPU (torch 2.13, bfloat16, batches of 32)"
    assert "at most 1.05" in costs[0].note and "gives no number" in costs[0].note


def test_costs_that_nobody_measured_say_how_to_measure_them(results):
    costs = [claim for claim in claims.judge(results(**PAPER)) if claim.reported == "almost free"]
    assert [claim.part for claim in costs] == ["step time", "memory"]
    assert all(
        claim.verdict == "not measured" and "`python -m benchmarks.guidance_cost`" in claim.note
        for claim in costs
    )


def test_a_difference_in_parameters_is_a_whole_number(results):
    rows = list(csv.DictReader(io.StringIO(claims.to_csv(claims.judge(results(**PAPER))))))
    assert [row["difference"] for row in rows if row["part"] == "parameters"] == ["37124"]


def test_the_committed_costs_can_be_read(results):
    found = results(**PAPER)
    found.root = ROOT
    costs = [claim for claim in claims.judge(found) if claim.reported == "almost free"]
    assert costs and all(claim.measured for claim in costs)


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_file_of_costs_that_is_none_is_named(results, content):
    found = results(**PAPER)
    _benchmark(found.root, "CPU").write_text(content)
    with pytest.raises(ValueError, match=r"guidance_cost-CPU\.json is not what"):
        claims.judge(found)


def test_counts_are_the_papers_networks_where_smaller_ones_are_trained(results):
    pytest.importorskip("torch")
    found = claims.judge(results(datasets=["mpii"], radius_only=[]))
    assert _by(found, 8, "parameters").measured == "28,573,237 against 28,536,113"
    assert _by(found, 8, "GFLOPs").measured == "7.23 against 7.12"


def test_gains_are_judged_on_full_data_with_the_papers_protocol(results):
    found = claims.judge(results(source="official", full_size=True, detections=True, **PAPER))
    mpii = _by(found, 1)
    assert mpii.low > 0.3 and mpii.verdict == "supported"
    # The paper names no precision: any is judged, and said.
    assert "Trained in bfloat16" in mpii.note
    assert mpii.runs == "mpii/sg_hrnet_w32-r5-s0 mpii/hrnet_w32-s0"
    assert _by(found, 3, "AP, detected").verdict == "supported"
    # The fake networks gain in every metric, so that APL and AR are ahead as well.
    assert _by(found, 4, "ground truth").verdict == "contradicted"
    assert _by(found, 7).verdict == "supported"
    assert _by(found, 9).verdict == "not measured" and "`no_seg_loss`" in _by(found, 9).note


def test_a_guided_network_that_is_no_better_contradicts_the_gain(results):
    errors = {"baseline": 0.2, 3: 0.2, 5: 0.25, 9: 0.2}
    found = claims.judge(results(source="official", full_size=True, errors=errors, **PAPER))
    assert _by(found, 1).verdict == "contradicted" and _by(found, 7).verdict == "contradicted"


def test_another_protocol_is_named_and_not_judged(results):
    changed = PAPER | {"train__epochs": 20}
    claim = _by(claims.judge(results(source="official", full_size=True, **changed)), 1)
    assert claim.verdict == "not testable with these parameters" and "train.epochs = 20" in claim.note


def test_of_a_file_only_its_name_is_told(results):
    changed = PAPER | {"model__pretrained": "/home/somebody/weights.pth"}
    claim = _by(claims.judge(results(source="official", full_size=True, **changed)), 1)
    assert "model.pretrained = weights.pth" in claim.note and "somebody" not in claim.note


def test_a_dataset_without_the_sweep_names_the_list_that_trains_it(results):
    lists = {"datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"]}
    found = claims.judge(results(source="official", full_size=True, **PAPER | lists))
    for number in (7, 9, 10, 12):
        claim = _by(found, number)
        assert claim.verdict == "not measured" and "from `radius_only` to `radius_sweep`" in claim.note
    assert _by(found, 1).verdict == "supported"


def test_detected_boxes_that_are_not_there_are_no_verdict(results):
    claim = _by(claims.judge(results(source="official", full_size=True, **PAPER)), 3, "AP, detected")
    assert claim.verdict == "not measured" and "`evaluate.detections`" in claim.note
    assert claim.difference is None and claim.measured == ""


def test_lspet_judges_the_same_claim_and_says_so(results):
    lists = {"datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": []}
    found = claims.judge(results(source="official", full_size=True, **PAPER | lists))
    mpii, lspet = (claim for claim in found if claim.number == 1)
    assert mpii.verdict == "not measured" and "`radius_sweep`" in mpii.note
    assert lspet.statement.startswith("The same claim on LSPET") and lspet.verdict == "supported"
    assert "not use LSPET" in lspet.note
    assert claims.at_a_glance(found)[1] == [
        ("not measured", "not measured"),
        ("supported", "on LSPET: supported"),
    ]
    # What holds on LSPET is no verdict on the paper's claim.
    paper = [claim for claim in found if claim.dataset != "lspet"]
    assert claims.counts(found) == claims.counts(paper) and sum(claims.counts(found).values()) == len(paper)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"train__epochs": 60, "train__lr_drops": [48, 57], "model__pretrained": "none"}, "supported"),
        ({"loss__lambda": 0.1}, "not testable with these parameters"),
    ],
)
def test_on_lspet_only_the_length_of_training_and_its_start_are_free(results, changes, verdict):
    lists = {"datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": []}
    found = claims.judge(results(source="official", full_size=True, **PAPER | lists | changes))
    assert next(claim for claim in found if claim.dataset == "lspet").verdict == verdict


def test_ablations_feed_their_claims(results):
    ablations = ["no_seg_loss", "fixed_weights", "stage_input"]
    changed = PAPER | {"ablations": ablations, "seeds": [0, 1, 2], "datasets": ["mpii"], "radius_only": []}
    found = claims.judge(results(source="official", full_size=True, **changed))
    # Their errors are a tenth larger here.
    assert _by(found, 9).difference > 0 and _by(found, 9).low < _by(found, 9).high
    assert "no_attention, every_module" in _by(found, 10).note
    speed, magnitude = _by(found, 11, "similar speed"), _by(found, 11, "one magnitude")
    # Histories are alike with and without dynamic weights, so that no gap is closed.
    assert speed.difference == pytest.approx(0, abs=1e-9) and speed.verdict == "inconclusive"
    assert magnitude.verdict == "supported"
    assert _by(found, 12, "faster").verdict == "inconclusive"
    # The final maps are 10 points worse without supervision.
    accuracy = _by(found, 12, "more accurately")
    assert accuracy.difference == pytest.approx(10) and accuracy.verdict == "supported"


def test_claims_csv_has_a_line_for_each_part(results):
    found = claims.judge(results(**PAPER))
    rows = list(csv.DictReader(io.StringIO(claims.to_csv(found))))
    assert len(rows) == len(found)
    assert {
        "claim",
        "statement",
        "place",
        "reported",
        "measured",
        "difference",
        "low",
        "high",
        "verdict",
    } <= set(rows[0])
    assert sum(claims.counts(found).values()) == len(found)
