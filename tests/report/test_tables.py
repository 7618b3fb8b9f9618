"""The tables: the paper's rows verbatim, the measured ones under them, and never a mix of boxes."""

import csv
import io
import re

import numpy as np
import pytest

from pipeline.datasets import DATASETS
from pipeline.report import claims, page, paper, tables
from pipeline.report.results import Results
from pipeline.report.tables import forms
from tests.report.synthetic import NETWORKS


def _table(results, name: str) -> tables.Table:
    return {table.name: table for table in tables.make(results)}[name]


def _rows(results, name: str) -> list[dict[str, str]]:
    """A table's CSV, every cell as text."""
    return list(csv.DictReader(io.StringIO(forms.to_csv(_table(results, name)))))


@pytest.fixture(scope="module")
def paper_lines(shared) -> list[str]:
    return (shared / "paper" / "sg-hrnet.txt").read_text().splitlines()


@pytest.mark.parametrize(("name", "count"), [("table1", 7), ("table2", 12), ("table3", 3)])
def test_reported_rows_are_the_papers_to_the_letter(paper_lines, name, count):
    lines = paper.sheets()[name].lines
    assert len(lines) == count
    spaceless = [re.sub(r"\s", "", line) for line in paper_lines]
    for line in lines:
        cells = [line.method]
        if name == "table1":
            cells += [f"{line.params / 1e6:g}M", f"{line.gflops:g}"]
        if name == "table2":
            pretrained = {"ImageNet": "Y", "none": "N"}[line.pretraining]
            size = "{}×{}".format(*line.input_size)
            cells += [line.backbone, pretrained, size, f"{line.params / 1e6:g}", f"{line.gflops:g}"]
        cells += ["-" if value is None else f"{value:g}" for value in line.values.values()]
        assert re.sub(r"\s", "", "".join(cells)) in spaceless


def test_measured_rows_stand_under_the_row_they_belong_to(results):
    rows = _rows(results(), "table1")
    names = [(row["method"], row["row"]) for row in rows]
    assert names[:2] == [("HRNet-W32 [4]", "reported"), ("HRNet (small)", "measured")]
    assert names[-2:] == [("Our", "reported"), ("SG-HRNet (small), r = 5", "measured")]
    assert len(names) == 7 + 2


def test_table3_has_a_row_for_each_radius_and_for_a_radius_the_paper_did_not_try(results):
    rows = _rows(results(radius=7), "table3")
    assert [(row["row"], row["radius"]) for row in rows] == [
        ("reported", "3"), ("measured", "3"), ("reported", "5"), ("measured", "5"),
        ("measured", "7"), ("reported", "9"), ("measured", "9"),
    ]  # fmt: skip


def test_each_network_stands_under_its_own_row_or_after_its_family(results):
    networks = ["hrnet_w32", "hrnet_w48", "pose_resnet50", "pose_resnet101", "pose_resnet152"]
    outcome = results(
        baselines=networks, guided="sg_hrnet_w32", input__size=[256, 192], model__pretrained="imagenet"
    )
    rows = {name: _rows(outcome, name) for name in ("table1", "table2")}
    assert [row["method"].split(" [")[0] for row in rows["table1"]] == [
        "HRNet-W32", "HRNet-W32", "HRNet-W48", "Hourglass", "PRM", "DLCM", "Simple Baseline",
        "SimpleBaseline ResNet-50", "SimpleBaseline ResNet-101", "SimpleBaseline ResNet-152", "PRAB",
        "Our", "SG-HRNet-W32, r = 5",
    ]  # fmt: skip
    # Kinds of box apart.
    assert [row["method"].split(" [")[0] for row in rows["table2"] if row["box"] != "detected"] == [
        "SimpleBaseline ResNet-50", "SimpleBaseline ResNet-101", "SimpleBaseline ResNet-152", "HRNet-W32",
        "HRNet-W48", "SG-HRNet-W32, r = 5",
    ]  # fmt: skip
    methods = [row["method"] for row in rows["table2"]]
    for reported, measured in (
        ("Simple Baseline [23], ResNet-50", "SimpleBaseline ResNet-50"),
        ("Simple Baseline [23], ResNet-101", "SimpleBaseline ResNet-101"),
        ("Simple Baseline [23], ResNet-152", "SimpleBaseline ResNet-152"),
        ("HRNet-W32 [4], HRNet-W32", "HRNet-W32"),
    ):
        at = methods.index(measured)
        assert methods[at - 1] == reported and rows["table2"][at - 1]["input_height"] == "256"
    # W48 has no row: after HRNet-W32's last one, which is that without pretraining.
    at = methods.index("HRNet-W48")
    assert rows["table2"][at - 1]["pretraining"] == "none" and methods[at - 1].startswith("HRNet-W32")


def test_a_trained_row_says_where_its_network_is_not_as_reported(results):
    rows = _rows(results(guided="sg_hrnet_w32", baselines=["hrnet_w32", "hourglass"]), "table1")
    notes = {row["method"]: row["notes"] for row in rows if row["row"] == "measured"}
    # The runs here have 28,536,113 parameters, whatever their network; Table 1 has 25.1M and 28.5M.
    assert "Parameters differ by +13.7%." in notes["Hourglass, 8 stacks"]
    assert "Parameters" not in notes["HRNet-W32"]


def test_kinds_of_box_have_rows_of_their_own(results):
    rows = _rows(results(), "table2")
    measured = [row for row in rows if row["row"] == "measured"]
    assert [row["box"] for row in measured] == ["ground truth", "detected"] * 2
    assert [row["AP"] == "" for row in measured] == [False, True] * 2
    assert ["`evaluate.detections`" in row["notes"] for row in measured] == [False, True] * 2


def test_a_network_from_scratch_stands_under_the_row_without_pretraining(results):
    rows = _rows(results(), "table2")
    at = [row["method"] for row in rows].index("HRNet (small)")
    assert (rows[at - 1]["pretraining"], rows[at]["pretraining"]) == ("none", "none")


def test_measured_values_carry_intervals_and_what_they_were_measured_on(results):
    outcome = results(seeds=[0, 1])
    rows = _rows(outcome, "table1")
    row = rows[-1]
    assert float(row["Mean_low"]) <= float(row["Mean"]) <= float(row["Mean_high"])
    assert float(row["Mean_sd"]) >= 0
    assert row["data"] == "demo: 60 synthetic people, not MPII"
    assert row["source"] == "mpii/sg_hrnet_small-r5-s0 mpii/sg_hrnet_small-r5-s1" and row["seeds"] == "2"
    assert (row["params"], row["gflops"], row["gmacs"]) == ("28573237", "7.23", "7.763")
    assert (row["input_height"], row["input_width"], row["pretraining"]) == ("128", "96", "none")
    assert row["precision"] == "float32" and rows[0]["precision"] == ""


def test_tables_of_our_own_appear_only_with_rows(results):
    assert [table.name for table in tables.make(results())] == ["table1", "table2", "table3"]
    lists = {
        "datasets": ["lspet"],
        "radius_sweep": ["lspet"],
        "radius_only": [],
        "ablation_datasets": ["lspet"],
    }
    outcome = results(**lists, ablations=["no_seg_loss"])
    assert [table.name for table in tables.make(outcome)] == [
        "table1",
        "table2",
        "table3",
        "lspet",
        "ablations",
    ]
    assert not _table(outcome, "table1").measured
    ablation = _rows(outcome, "ablations")[-1]
    assert "no segmentation loss" in ablation["method"]
    assert (
        float(ablation["difference_low"])
        <= float(ablation["difference"])
        <= float(ablation["difference_high"])
    )
    assert float(ablation["difference"]) < 0
    # Of one seed, nothing is known of other seeds on these images.
    assert ablation["difference_low_these_images"] == ""


def test_an_ablations_change_has_an_interval_on_these_images_too(results):
    outcome = results(datasets=["mpii"], radius_only=[], ablations=["no_seg_loss"], seeds=[0, 1, 2])
    ablation = _rows(outcome, "ablations")[-1]
    low, high = (float(ablation[f"difference_{end}_these_images"]) for end in ("low", "high"))
    assert low < float(ablation["difference"]) < high
    table = next(table for table in tables.make(outcome) if table.name == "ablations")
    assert f", on these images [{low:+.2f}, {high:+.2f}]" in forms.to_markdown(table)


def test_markdown_and_latex_hold_each_row(results):
    table = _table(results(), "table2")
    markdown, latex = forms.to_markdown(table), forms.to_latex(table)
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table.rows) and len({line.count("|") for line in lines}) == 1
    row = next(index for index, row in enumerate(table.rows) if row.reported.get("AP") == 76.3)
    said = dict(re.findall(r"^(\d+)\. (.+)$", markdown, re.MULTILINE))
    marks = re.search(r"<sup>([\d, ]+)</sup>", lines[2 + row])[1].split(", ")
    assert {said[mark] for mark in marks} == set(table.rows[row].remarks) and table.rows[row].notes
    assert set(said.values()) == {text for each in table.rows for text in each.remarks}
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.count(r"\\") == len(table.rows)
    assert not re.search(r"(?<!\\)[%#_]", body)
    assert "76.3" in body and "not available" in body


def test_a_joint_of_which_one_side_was_never_found_is_no_number_for_people(results, tmp_path):
    made = results(tmp_path)
    file = tmp_path / "results/mpii/hrnet_small-s0/samples.npz"
    samples = dict(np.load(file))
    left_knee = DATASETS["mpii"].KEYPOINTS.names.index("left_knee")
    samples["label_distance"][:, left_knee] = 9.0
    np.savez(file, **samples)
    table = _table(Results(made.params, tmp_path), "table1")
    small, guided = (row for row in table.rows if row.measured)
    assert small.unlearned == {"Knee"} and guided.unlearned == set()
    lines = [line for line in forms.to_markdown(table).splitlines() if "| not learned |" in line]
    assert len(lines) == 1 and "HRNet (small)" in lines[0] and "SG" not in lines[0]
    assert "Not learned: Knee." in forms.to_markdown(table)
    row = next(
        row for row in csv.DictReader(io.StringIO(forms.to_csv(table))) if row["method"] == small.method
    )
    assert float(row["Knee"]) > 0 and "Not learned: Knee." in row["notes"]


def test_a_mean_that_counts_a_joint_not_learned_says_so(results, tmp_path):
    made = results(tmp_path, **NETWORKS)
    file = tmp_path / "results/mpii/sg_hrnet_w32-r5-s0/samples.npz"
    samples = dict(np.load(file))
    ankles = [DATASETS["mpii"].KEYPOINTS.names.index(f"{side}_ankle") for side in ("left", "right")]
    samples["label_distance"][:, ankles] = np.where(np.arange(60) % 2, 0.1, 5)[:, None]
    samples["label_mirror_distance"] = np.full_like(samples["label_distance"], np.nan)
    samples["label_mirror_distance"][:, ankles] = np.where(np.arange(60) % 2, 5, 0.1)[:, None]
    np.savez(file, **samples)
    outcome = Results(made.params, tmp_path)
    made = tables.make(outcome)
    backbone, guided = (row for row in made[0].rows if row.measured)
    assert guided.unlearned == {"Ankle"} and backbone.unlearned == set()
    assert "Not learned: Ankle." in " ".join(guided.remarks) and "counts in every mean" in " ".join(
        guided.remarks
    )
    text = page.render(outcome, made, claims.judge(outcome), [])
    assert "A joint not learned counts in this mean: Ankle of SG-HRNet-W32, r = 5." in text
    assert text.count("with Ankle</small>") == 2  # In Tables 1 and 3.


def test_notes_stand_at_the_rows_they_concern():
    assert paper.notes_of("table2:sg_hrnet") == ("boxes", "detector", "digits", "cost")
    assert set(paper.notes_of("3")) == {"boxes"}
    keys = {f"{sheet.name}:{line.key}" for sheet in paper.sheets().values() for line in sheet.lines}
    with (paper.FOLDER / "notes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert set(row["rows"].split()) <= keys


def test_what_is_left_out_is_named_with_the_parameter_that_adds_it(results):
    outcome = results(datasets=["mpii"], radius_only=[])
    lines = tables.left_out(outcome)
    assert any(line.startswith("COCO 2017") and "`radius_only`" in line for line in lines)
    assert any(line.startswith("LSPET") and "`radius_sweep`" in line for line in lines)
    assert any("`ablations`" in line for line in lines) and any("`seeds`" in line for line in lines)
