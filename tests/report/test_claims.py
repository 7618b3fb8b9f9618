"""Verdicts: when a claim may be judged at all, and what it then says."""

import csv
import io
import json
import re

import pytest
import yaml

from pipeline.params import load
from pipeline.report import claims, page, paper, split, tables
from pipeline.report.claims.claim import Claim
from pipeline.report.claims.protocol import departures
from pipeline.report.results import Results
from tests.conftest import ROOT
from tests.report.synthetic import JUDGED, PAPER

# The study's: half the paper's heatmaps, and small networks.
SMALL = {
    "guided": "sg_hrnet_small", "baselines": ["hrnet_small"], "input__size": [128, 96], "heatmap__sigma": 1,
    "radius": 2.5, "radii": [1.5, 2.5, 4.5], "train__epochs": 50, "train__lr_drops": [40, 47],
    "model__pretrained": "none",
}  # fmt: skip


def _by(found: list[Claim], number: int, part: str = "") -> Claim:
    return next(claim for claim in found if claim.number == number and part in claim.part)


@pytest.mark.parametrize(
    "source", [{"source": "demo", "full_size": True}, {"source": "folder", "full_size": False}]
)
def test_no_claim_about_accuracy_is_judged_on_demo_or_mirror_data(results, source):
    found = claims.judge(results(**source, **PAPER))
    needless = {2, 5, 8}
    assert {claim.verdict for claim in found if claim.number not in needless} == {
        "not testable with this data"
    }
    assert {claim.number for claim in found} == set(range(1, 15))


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
    assert gflops.measured_text == "7.23 against 7.12" and gflops.verdict == "contradicted"


def test_gains_are_judged_on_full_data_with_the_papers_protocol(results):
    found = claims.judge(
        results(source="official", full_size=True, detections=True, train__precision="bfloat16", **JUDGED)
    )
    mpii = _by(found, 1)
    assert mpii.low > 0.3 and mpii.verdict == "supported"
    # The paper names no precision: any is judged, and said.
    assert "Trained in bfloat16" in mpii.note
    assert mpii.runs.split()[::3] == ["mpii/sg_hrnet_w32-r5-s0", "mpii/hrnet_w32-s0"] and mpii.seeds == 3
    assert _by(found, 3, "AP, detected").verdict == "supported"
    # The fake networks gain in every metric, so that APL and AR are ahead as well.
    assert _by(found, 4, "ground truth").verdict == "contradicted"
    assert _by(found, 7).verdict == "supported"
    assert _by(found, 9).verdict == "not measured" and "`no_seg_loss`" in _by(found, 9).note


def test_a_guided_network_that_is_no_better_contradicts_the_gain(results):
    errors = {"baseline": 0.2, 3: 0.2, 5: 0.25, 9: 0.2}
    found = claims.judge(results(source="official", full_size=True, errors=errors, **JUDGED))
    assert _by(found, 1).verdict == "contradicted" and _by(found, 7).verdict == "contradicted"


def test_another_protocol_is_named_and_not_judged(results):
    changed = PAPER | {"train__epochs": 230}
    claim = _by(claims.judge(results(source="official", full_size=True, **changed)), 1)
    assert claim.verdict == "not testable with these parameters" and "train.epochs = 230" in claim.note


def test_of_a_file_only_its_name_is_told(results):
    changed = PAPER | {"model__pretrained": "/home/somebody/weights.pth"}
    claim = _by(claims.judge(results(source="official", full_size=True, **changed)), 1)
    assert "model.pretrained = weights.pth" in claim.note and "somebody" not in claim.note


def test_a_dataset_without_the_sweep_names_the_list_that_trains_it(results):
    lists = {"datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"]}
    found = claims.judge(results(source="official", full_size=True, **JUDGED | lists))
    claim = _by(found, 7)
    assert claim.verdict == "not measured" and "from `radius_only` to `radius_sweep`" in claim.note
    assert _by(found, 1).verdict == "supported"


def test_detected_boxes_that_are_not_there_are_no_verdict(results):
    claim = _by(claims.judge(results(source="official", full_size=True, **PAPER)), 3, "AP, detected")
    assert claim.verdict == "not measured" and "`evaluate.detections`" in claim.note
    assert claim.difference is None and claim.measured_text == ""


def test_lspet_judges_the_same_claim_and_says_so(results):
    lists = {"datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": []}
    found = claims.judge(results(source="official", full_size=True, **JUDGED | lists))
    mpii, lspet = (claim for claim in found if claim.number == 1)
    assert mpii.verdict == "not measured" and "`radius_sweep`" in mpii.note
    assert lspet.statement.startswith("The same claim on LSPET") and lspet.verdict == "supported"
    assert "not use LSPET" in lspet.note
    conclusions = claims.conclude(found)
    assert [(c.dataset, c.verdict, c.words) for c in conclusions if c.number == 1] == [
        ("", "not measured", "not measured"),
        ("lspet", "supported", "on LSPET: supported"),
    ]
    # What holds on LSPET is no verdict on the paper's claim.
    counted = claims.counts(conclusions)
    assert counted == claims.counts([c for c in conclusions if not c.dataset])
    assert sum(counted.values()) == len(paper.titles()) - 2


def test_a_claim_with_parts_has_one_conclusion_and_the_papers_own_figures_support_nothing(results):
    found = claims.judge(results(source="official", full_size=True, detections=True, **JUDGED))
    conclusions = claims.conclude(found)
    assert [c.number for c in conclusions] == list(paper.titles())
    by_number = {c.number: c for c in conclusions}
    # As many parameters as printed, but more GFLOPs.
    assert (by_number[8].verdict, by_number[8].basis) == ("contradicted", "networks as they are and machines")
    assert "GFLOPs" in by_number[8].words
    assert by_number[5].words == "by its own figures: smaller than claimed (AP and AP75)"
    assert by_number[4].words == "contradicted"
    assert {c.number for c in conclusions if c.basis == "the paper's own figures"} == {2, 5}
    assert by_number[2].verdict == "supported"
    counted = claims.counts(conclusions)
    others = [c for c in conclusions if c.number not in (2, 5)]
    assert counted["supported"] == sum(c.verdict == "supported" for c in others)
    rows = csv.DictReader(io.StringIO(claims.to_csv(found)))
    assert {(row["claim"], row["conclusion"], row["basis"]) for row in rows} == {
        (str(c.number), c.verdict, c.basis) for c in conclusions
    }


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"train__epochs": 60, "train__lr_drops": [48, 57], "model__pretrained": "none"}, "supported"),
        (SMALL, "supported"),
        (SMALL | {"radius": 5}, "not testable with these parameters"),
        (SMALL | {"heatmap__sigma": 2}, "not testable with these parameters"),
        ({"loss__lambda": 0.1}, "not testable with these parameters"),
    ],
)
def test_on_lspet_the_method_binds_and_not_how_large_and_how_long(results, changes, verdict):
    lists = {"datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": []}
    found = claims.judge(results(source="official", full_size=True, **JUDGED | lists | changes))
    claim = next(claim for claim in found if claim.dataset == "lspet")
    assert claim.verdict == verdict
    free = {key.replace("__", "."): value for key, value in changes.items() if key != "baselines"}
    for key in free.keys() & {"guided", "input.size", "train.epochs", "model.pretrained"}:
        assert f"{key} = {free[key]}" in claim.note


def test_claim_7_is_judged_at_the_radii_as_they_are_in_the_heatmaps(results):
    lists = {"datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": []}
    errors = {"baseline": 0.30, 1.5: 0.24, 2.5: 0.20, 4.5: 0.27}
    made = results(source="official", full_size=True, errors=errors, **JUDGED | lists | SMALL)
    claim = next(c for c in claims.judge(made) if (c.number, c.dataset) == (7, "lspet"))
    assert claim.verdict == "supported" and claim.measured_text.startswith("r = 1.5: ")
    assert "Table 3's r = 3 is 1.5, 5 is 2.5, 9 is 4.5" in claim.note
    others = SMALL | {"radii": [1.5, 2.5, 5]}
    errors |= {5: 0.27}
    made = results(source="official", full_size=True, errors=errors, **JUDGED | lists | others)
    claim = next(c for c in claims.judge(made) if (c.number, c.dataset) == (7, "lspet"))
    assert claim.verdict == "not testable with these parameters" and "radii = [1.5, 2.5, 5]" in claim.note


def test_ablations_feed_their_claims(results):
    ablations = ["no_seg_loss", "fixed_weights", "stage_input"]
    changed = PAPER | {"ablations": ablations, "seeds": [0, 1, 2], "datasets": ["mpii"], "radius_only": []}
    found = claims.judge(results(source="official", full_size=True, **changed))
    # Their errors are a tenth larger here.
    assert _by(found, 9).difference > 0 and _by(found, 9).low < _by(found, 9).high
    assert "`no_attention` and `every_module`" in _by(found, 10).note
    speed, magnitude = _by(found, 11, "similar speed"), _by(found, 11, "one magnitude")
    # Histories are alike with and without dynamic weights, so that no gap is closed.
    assert speed.difference == pytest.approx(0, abs=1e-9) and speed.verdict == "inconclusive"
    assert magnitude.verdict == "supported"
    assert _by(found, 12, "faster").verdict == "inconclusive"
    # The final maps are 10 points worse without supervision.
    accuracy = _by(found, 12, "IoU")
    assert accuracy.difference == pytest.approx(10) and accuracy.verdict == "supported"
    assert "(cut at a half: " in accuracy.measured_text
    assert _by(found, 12, "AUROC").verdict == _by(found, 14, "on the person").verdict == "supported"


def test_what_is_told_seed_by_seed_takes_the_seeds_that_both_sides_have(results):
    once = ["no_seg_loss", "fixed_weights"]
    lists = {"seeds": [0, 1, 2], "more_seeds": [3, 4], "ablations": ["stage_input"], "ablations_once": once}
    made = results(
        source="official", full_size=True, **PAPER | lists | {"datasets": ["mpii"], "radius_only": []}
    )
    found = claims.judge(made)
    assert _by(found, 1).seeds == 5 and len(_by(found, 1).runs.split()) == 10
    # The sweep has the first seeds alone, but for the radius that everything has.
    assert _by(found, 7).seeds == 3 and len(_by(found, 7).runs.split()) == 11
    for claim in (_by(found, 11, "similar speed"), _by(found, 12, "faster")):
        assert claim.verdict == "preliminary" and claim.runs.split()[0] == "mpii/sg_hrnet_w32-r5-s0"
        assert len(claim.runs.split()) == 2 and claim.difference is not None
        assert claim.difference == pytest.approx((claim.against or 0) - (claim.measured or 0))
        moved = "no_seg_loss" if claim.number == 12 else "fixed_weights"
        assert f"of each side: move `{moved}` from `ablations_once` to `ablations`." in claim.note
    accuracy = _by(found, 12, "IoU")
    assert accuracy.verdict == "preliminary" and len(accuracy.runs.split()) == 6


def test_on_another_dataset_no_part_is_named_after_the_papers(results):
    lists = {"datasets": ["mpii", "lspet"], "radius_sweep": ["mpii", "lspet"], "radius_only": []}
    found = claims.judge(results(**PAPER | lists))
    assert "attention on the person" in {claim.part for claim in found if claim.dataset == "mpii"}
    elsewhere = [claim for claim in found if claim.dataset == "lspet"]
    assert "the same on LSPET, attention on the person" in {claim.part for claim in elsewhere}
    assert not any("MPII" in claim.part for claim in elsewhere)


def test_claims_csv_has_a_line_for_each_part(results):
    found = claims.judge(results(**PAPER))
    rows = list(csv.DictReader(io.StringIO(claims.to_csv(found))))
    assert len(rows) == len(found)
    assert [(row["claim"], row["part"]) for row in rows] == [
        (str(claim.number), claim.part) for claim in found
    ]
    assert {"statement", "place", "reported", "measured", "difference", "low", "high", "verdict"} <= set(
        rows[0]
    )


def test_what_is_claimed_is_what_the_papers_tables_say():
    for part in paper.parts():
        if part.rule == "gain":
            sheet = paper.sheets()[part.table]
            assert part.claimed == sheet.gain(part.row, part.other, part.metric)
            assert part.reported_text == f"+{part.claimed}" and str(part.claimed) in part.statement
    assert {part.claim for part in paper.parts()} == set(paper.titles()) == set(range(1, 15))
    assert {part.rule for part in paper.parts()} == set(claims.RULES)


def test_the_papers_profile_follows_its_protocol(tmp_path):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in yaml.safe_load((ROOT / "profiles" / "paper.yaml").read_text()).items():
        raw[key] = raw[key] | value if isinstance(value, dict) else value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert departures(load(path), "mpii") == departures(load(path), "coco") == {}


def test_from_fewer_than_three_seeds_a_verdict_is_preliminary(results):
    changed = PAPER | {"seeds": [0, 1], "ablations": ["no_seg_loss", "fixed_weights", "stage_input"]}
    found = claims.judge(results(source="official", full_size=True, **changed))
    by_seed = [claim for claim in found if claim.number not in (2, 5, 8) and claim.seeds is not None]
    assert {claim.number for claim in by_seed} == {1, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14}
    assert {claim.verdict for claim in by_seed} == {"preliminary"}
    assert all(claim.would_be is not None and claim.preliminary and claim.p is None for claim in by_seed)
    gain = _by(found, 1)
    assert gain.words == f"preliminary: {gain.would_be}" and "needs 3 seeds" in gain.note
    conclusions = {c.number: c for c in claims.conclude(found)}
    assert conclusions[1].words == gain.words
    # Its parts with detected boxes are not there.
    assert conclusions[3].words == "not measured (4 of 8 parts)"
    assert gain.low_these_images < gain.difference < gain.high_these_images


def test_what_is_not_testable_says_what_its_numbers_would_be(results):
    gain = _by(claims.judge(results(**PAPER)), 1)
    assert (gain.verdict, gain.would_be, gain.preliminary) == (
        "not testable with this data",
        "supported",
        True,
    )
    # One seed says nothing of a spread over seeds.
    assert gain.low < gain.high and gain.low_these_images != gain.low_these_images


def test_p_values_are_corrected_within_each_dataset(results):
    found = claims.judge(results(source="official", full_size=True, **JUDGED))
    for dataset in ("mpii", "coco"):
        family = [claim for claim in found if claim.dataset == dataset and claim.p is not None]
        assert len(family) > 1 and all(claim.p <= claim.p_holm <= 1 for claim in family)
        least = min(family, key=lambda claim: claim.p)
        assert least.p_holm == pytest.approx(min(1, len(family) * least.p))
    gains = [claim for claim in found if claim.number in (1, 3) and claim.p is not None]
    # The interval lies above zero just where the p-value is below 2.5%.
    assert all((claim.low > 0) == (claim.p < 0.025) for claim in gains)


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("machine", "torch", "2.14.0", "torch is 2.14.0 in sg_hrnet_w32-r5-s1 and 2.13.0"),
        ("machine", "device", "cuda", "the device is cuda in sg_hrnet_w32-r5-s1 and cpu"),
        ("machine", "ranks", 2, "the number of ranks is 2 in sg_hrnet_w32-r5-s1 and 1"),
        ("machine", "compiled", "compiled", "the training step is compiled in sg_hrnet_w32-r5-s1 and eager"),
        ("input", "size", [384, 288], "the input's size is 384x288 in sg_hrnet_w32-r5-s1 and 256x192"),
        ("input", "reduced_decoding", True, "reduced decoding is on in sg_hrnet_w32-r5-s1 and off"),
        ("machine", "kernels", "own", "the set of kernels is own in sg_hrnet_w32-r5-s1 and avx2"),
        ("train", "threads", 2, "the number of threads is 2 in sg_hrnet_w32-r5-s1 and 1"),
        ("train", "precision", "bfloat16", "the precision is bfloat16 in sg_hrnet_w32-r5-s1 and float32"),
    ],
)
def test_unequal_runs_are_not_compared(tmp_path, results, part, key, value, words):
    made = results(tmp_path, source="official", full_size=True, **JUDGED | {"seeds": [1, 2, 3]})
    path = tmp_path / "results" / "mpii" / "sg_hrnet_w32-r5-s1" / "metrics.json"
    content = json.loads(path.read_text())
    record = content["record"]
    settings = record["settings"]
    place = {"machine": record["machine"], "input": settings["input"], "train": settings["training"]["train"]}
    place[part][key] = value
    path.write_text(json.dumps(content))
    found = claims.judge(Results(made.params, tmp_path))
    gain = _by(found, 1)
    assert gain.verdict == "not comparable" and words in gain.note
    assert gain.difference is None and gain.low is None and gain.would_be is None and gain.p is None
    assert _by(found, 3).verdict != "not comparable" and _by(found, 6).verdict == "not comparable"
    # Numbers of each side's own stay, differences do not.
    assert gain.measured_text and gain.measured > gain.against
    for refused in (_by(found, 6), _by(found, 14, "others near, mean")):
        assert refused.verdict == "not comparable" and words in refused.note
        assert (refused.measured_text, refused.measured, refused.against) == ("", None, None)


# A gain, on new images, and on these; from one seed nothing is known of these.
GAIN = r"[+-]\d+\.\d\d \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]"
BOTH = GAIN[:-2] + r"; on these [+-]\d+\.\d\d, [+-]\d+\.\d\d\]"


def test_gains_that_are_listed_have_both_their_intervals(results):
    found = claims.judge(results(source="official", full_size=True, **JUDGED))
    listed = _by(found, 4, "ground truth").measured_text
    names = ("AP", "AP50", "AP75", "APM", "APL", "AR")
    assert re.fullmatch(", ".join(f"{name} {BOTH}" for name in names), listed)
    ap, apm = _by(found, 3, "AP, ground truth"), _by(found, 3, "APM, ground truth")
    for gain in (ap, apm):
        said = f"{gain.difference:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}; on these "
        assert said + f"{gain.low_these_images:+.2f}, {gain.high_these_images:+.2f}]" in listed
    for part in ("others near, mean", "clutter, AP"):
        assert re.fullmatch(
            f"{BOTH} on \\d+ images against {BOTH} on \\d+", _by(found, 14, part).measured_text
        )
    assert re.fullmatch(f"{BOTH} against {BOTH}", _by(found, 6).measured_text)
    one = claims.judge(results(source="official", full_size=True, **PAPER))
    assert re.fullmatch(f"{GAIN} against {GAIN}", _by(one, 6).measured_text)


def test_a_handful_of_missing_people_is_a_note(tmp_path, results):
    made = results(tmp_path, source="official", full_size=True, **JUDGED)
    for path in (tmp_path / "results").glob("mpii/*/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"missing_people": 12}))
    gain = _by(claims.judge(Results(made.params, tmp_path)), 1)
    assert (
        gain.verdict == "supported"
        and "MPII has 25,204 people, and here it differs from that by 12" in gain.note
    )


def test_designs_that_were_not_trained_leave_the_claim_of_the_best_open(results):
    designs = ["no_attention", "every_module", "stage_input"]
    lists = JUDGED | {"datasets": ["mpii"], "radius_only": []}
    some = claims.judge(results(source="official", full_size=True, **lists | {"ablations": designs[:2]}))
    assert _by(some, 10).verdict == "not measured" and "add `stage_input`" in _by(some, 10).note
    assert _by(some, 10).would_be is not None and _by(some, 10).difference is not None
    every = claims.judge(results(source="official", full_size=True, **lists | {"ablations": designs}))
    assert _by(every, 10).would_be is None and _by(every, 10).verdict in ("supported", "inconclusive")


def test_from_too_few_seeds_not_even_the_would_be_verdict_goes_without_a_design(results):
    lists = PAPER | {"datasets": ["mpii"], "radius_only": [], "seeds": [0, 1], "ablations": ["no_attention"]}
    best = _by(claims.judge(results(source="official", full_size=True, **lists)), 10)
    assert best.words == "preliminary: not measured" and best.difference is not None
    assert "add `every_module` and `stage_input` to `ablations`" in best.note


def test_a_design_that_the_guided_network_itself_has_cannot_be_beaten(results):
    small = {
        "guided": "sg_hrnet_small", "baselines": ["hrnet_small"], "input__size": [128, 96], "heatmap__sigma": 1,
        "radius": 2.5, "radii": [1.5, 2.5, 4.5], "model__pretrained": "none",
        "datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": [], "ablation_datasets": ["lspet"],
    }  # fmt: skip
    for ablations in (["no_attention", "stage_input"], ["no_seg_loss"]):
        lists = JUDGED | small | {"ablations": ablations}
        found = claims.judge(results(source="official", full_size=True, **lists))
        best = next(claim for claim in found if (claim.number, claim.dataset) == (10, "lspet"))
        assert best.verdict == "not measured", ablations
        assert "`every_module` is the guided network itself with these parameters" in best.note


def test_the_gain_is_split_into_its_steps(results):
    assert split.steps(results(**PAPER)) == []
    lists = PAPER | {"datasets": ["mpii"], "radius_only": [], "seeds": [0, 1, 2]}
    made = results(**lists | {"ablations": ["bilinear_hrnet", "no_seg_loss"]})
    steps = split.steps(made)
    assert len(steps) == 3 and [s.after for s in steps[:-1]] == [s.before for s in steps[1:]]
    whole = next(claim for claim in claims.judge(made) if claim.number == 1)
    assert sum(step.gain.value for step in steps) == pytest.approx(whole.difference)
    rows = list(csv.DictReader(io.StringIO(split.to_csv(steps))))
    assert float(rows[0]["low"]) < float(rows[0]["difference"]) < float(rows[0]["high"])
    assert [step.changes for step in steps] == [
        ("the fusion",), ("guidance that nothing supervises",), ("supervision",),
    ]  # fmt: skip
    assert len(split.to_csv([]).splitlines()) == 1


def test_a_step_over_a_network_that_was_not_trained_says_all_that_changes(results):
    lists = PAPER | {"datasets": ["mpii"], "radius_only": [], "ablations": ["no_seg_loss"]}
    made = results(**lists)
    first, second = split.steps(made)
    assert first.changes == ("the fusion", "guidance that nothing supervises")
    assert second.changes == ("supervision",)
    rows = list(csv.DictReader(io.StringIO(split.to_csv([first, second]))))
    assert rows[0]["changes"] == "the fusion and guidance that nothing supervises"
    for changes, sentence in ((["no_seg_loss"], False), (["no_seg_loss", "bilinear_hrnet"], True)):
        some = results(**lists | {"ablations": changes})
        text = page.render(some, tables.make(some), claims.judge(some), [])
        assert ("each a training that differs in one thing" in text) == sentence
        assert ("a step changes several things at once" in text) != sentence
