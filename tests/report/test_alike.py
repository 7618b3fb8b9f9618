"""Unequal runs: no difference of theirs is shown anywhere, and what is there instead names both values."""

import csv
import io
import json

import pytest

from pipeline.report import claims, course, figures, page, resolution, split, tables
from pipeline.report.results import Results
from pipeline.report.tables import forms
from tests.report.synthetic import PAPER

OTHER = "2.14.0"
# One run of the backbone was trained with another torch than all others.
SAID = "Not compared: torch is 2.13.0 in sg_hrnet_w32-r5-s0 and 2.14.0 in hrnet_w32-s1."


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def retrained(made: Results, folder, name: str) -> Results:
    """The same results, one run of which says another torch."""
    path = folder / "results" / "mpii" / name / "metrics.json"
    content = json.loads(path.read_text())
    content["record"]["machine"]["torch"] = OTHER
    path.write_text(json.dumps(content))
    return Results(made.params, folder)


@pytest.fixture(scope="module")
def unequal(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unequal")
    lists = {"datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"], "seeds": [0, 1, 2]}
    ablations = ["bilinear_hrnet", "no_seg_loss"]
    made = results(folder, source="official", full_size=True, **PAPER | lists, ablations=ablations)
    return retrained(made, folder, "hrnet_w32-s1")


@pytest.fixture
def ablations(unequal):
    return next(table for table in tables.make(unequal) if table.name == "ablations")


def test_a_tables_change_is_refused_in_all_its_forms(unequal, ablations):
    backbone, guided, bilinear, unsupervised = ablations.rows
    assert backbone.gain is None and backbone.refused == SAID
    assert guided.gain is None and guided.refused == ""
    assert bilinear.gain is not None and unsupervised.gain is not None
    row = rows_of(forms.to_csv(ablations))[0]
    assert row["difference"] == row["difference_low"] == row["difference_low_these_images"] == ""
    assert SAID in row["notes"] and row["Mean"] != ""
    markdown, latex = forms.to_markdown(ablations), forms.to_latex(ablations)
    assert f"1. {SAID}" in markdown and markdown.count(forms.NOT_COMPARABLE) == 1
    assert latex.count(forms.NOT_COMPARABLE) == 1 and SAID.replace("_", r"\_") in latex


def test_figures_leave_out_what_is_not_compared_and_say_why(unequal, tmp_path):
    drawn = {one.name: one for one in figures.draw(unequal, tables.make(unequal), [], tmp_path)}
    # Of one dataset, nothing is left to draw: the page's first card says why.
    assert "joint_differences" not in drawn
    assert SAID in drawn["ablations"].caption


def test_a_test_sets_resolution_has_no_pair_of_unequal_runs(unequal):
    (of_mpii,) = resolution.make(unequal)
    lines = [line for line in rows_of(resolution.to_csv([of_mpii])) if line["other"]]
    refused = [line for line in lines if line["note"]]
    assert len(lines) == 6 and {line["row"] for line in refused} == {"HRNet-W32"} and len(refused) == 3
    for line in refused:
        assert line["value"] == line["low"] == line["low_these_images"] == line["half_width"] == ""
        assert line["note"].startswith("Not compared: torch is 2.13.0 in hrnet_w32-s0 and 2.14.0 in")
    assert all(float(line["low_these_images"]) < float(line["value"]) for line in lines if not line["note"])
    assert "that of the difference of two rows" in of_mpii.sentence


def test_the_summary_has_a_sentence_for_a_gain(unequal):
    values = page.summary(unequal)["mpii"]
    assert values["gain_at_radius"] is None and values["not_compared"] == SAID
    assert "gain_intervals" not in values and values["at_radius"] > 0


def test_a_step_of_unequal_runs_is_refused_and_the_others_stand(unequal):
    first, *others = split.steps(unequal)
    assert first.gain is None and first.refused.startswith("Not compared: torch is 2.13.0")
    assert all(step.gain is not None and not step.refused for step in others)
    row = rows_of(split.to_csv([first, *others]))[0]
    assert row["difference"] == row["low"] == "" and row["note"] == first.refused


def test_in_the_course_of_training_each_side_keeps_its_number(unequal):
    points = course.points(unequal)
    assert len(points) == 3 and all(point.refused == SAID for point in points)
    for row in rows_of(course.to_csv(points)):
        assert row["difference"] == row["low_these_images"] == row["low"] == ""
        assert float(row["validation"]) > 0 and row["note"] == SAID


def test_the_page_names_both_values_wherever_a_difference_would_stand(unequal):
    text = page.render(unequal, tables.make(unequal), claims.judge(unequal), [])
    for section in ("answer", "split", "course", "tables"):
        inside = text.split(f'<section aria-labelledby="{section}">')[1].split("</section>")[0]
        assert "Not compared: torch is 2.13.0 in" in inside, section


def test_rows_of_another_input_are_no_pair_on_the_same_people(results, tmp_path):
    lists = {"datasets": ["mpii"], "radius_sweep": [], "radius_only": ["mpii"]}
    made = results(tmp_path, source="official", full_size=True, **PAPER | lists)
    path = tmp_path / "results/mpii/hrnet_w32-s0/metrics.json"
    content = json.loads(path.read_text())
    content["record"]["settings"]["input"]["size"] = [384, 288]
    path.write_text(json.dumps(content))
    (of_mpii,) = resolution.make(Results(made.params, tmp_path))
    said = "Not compared: the input's size is 384x288 in hrnet_w32-s0 and 256x192 in sg_hrnet_w32-r5-s0."
    assert [pair.refused for pair in of_mpii.pairs] == [said] and said in of_mpii.sentence
    assert "No two rows are comparable" in of_mpii.sentence
