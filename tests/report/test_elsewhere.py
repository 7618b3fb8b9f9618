"""Predictions made elsewhere in the report, what a test set can resolve, and what networks cost."""

import csv
import io

import pytest

from pipeline import files, paths
from pipeline.report import claims, complexity, page, resolution, tables
from pipeline.report.tables import forms
from tests.report.synthetic import NETWORKS

THEIRS = {"name": "theirs", "dataset": "mpii", "box": "label", "model": "hourglass", "file": "x/theirs.h5"}
OTHERS = {"name": "others", "dataset": "mpii", "box": "label", "model": "none", "file": "others.mat"}
COCO = {"name": "a_file", "dataset": "coco", "box": "detected", "model": "none", "file": "a.json"}


@pytest.fixture
def counted(results, tmp_path):
    """Results with three files of predictions, and counts of two networks."""
    made = results(
        own=tmp_path, predictions=[THEIRS, OTHERS, COCO], source="official", full_size=True, **NETWORKS
    )
    path = tmp_path / paths.complexity()
    path.parent.mkdir(exist_ok=True)
    rows = [
        {"network": name, "dataset": dataset, "size": size, "params": count, "gflops": gflops, "gmacs": 1.1}
        for name, count, gflops in (("hrnet_w32", 28_536_080, 7.12), ("hourglass", 23_717_888, 14.29))
        for dataset in ("mpii", "coco")
        for size, gflops in (([256, 192], gflops), ([256, 256], gflops * 4 / 3))
    ]
    files.write_json(path, rows)
    bench = tmp_path / paths.benchmarks()
    bench.mkdir(parents=True)
    times = [{"network": "hrnet_w32", "size": "256x192", "ms": 80.5}]
    files.write_json(bench / "complexity-a.json", {"machine": "a machine", "batch": 1, "rows": times})
    return made


def test_files_of_predictions_are_rows_without_a_network(counted):
    made = {table.name: table for table in tables.make(counted)}
    rows = list(csv.DictReader(io.StringIO(forms.to_csv(made["table1"]))))
    methods = [row["method"] for row in rows]
    at = methods.index("Hourglass, 8 stacks (predictions theirs)")
    assert (
        methods[at - 1].startswith("Hourglass [20]")
        and "Predictions others" in methods[methods.index("Our") :]
    )
    assert (rows[at]["params"], rows[at]["gflops"], rows[at]["input_height"], rows[at]["seeds"]) == ("",) * 4
    assert float(rows[at]["Mean_low"]) < float(rows[at]["Mean"]) < float(rows[at]["Mean_high"])
    rows = list(csv.DictReader(io.StringIO(forms.to_csv(made["table2"]))))
    assert [row["box"] for row in rows if row["method"] == "Predictions a_file"] == ["detected"]


def test_claims_take_no_notice_of_them(counted, results, tmp_path_factory):
    without = results(own=tmp_path_factory.mktemp("without"), source="official", full_size=True, **NETWORKS)
    assert claims.to_csv(claims.judge(counted)) == claims.to_csv(claims.judge(without))


def test_resolution_has_each_row_and_each_pair_on_real_people_in_full(counted, results):
    of_mpii = resolution.make(counted)[0]
    # The backbone, four radii less one that is `radius` itself, and two files.
    rows, pairs = len(of_mpii.rows), len(of_mpii.pairs)
    assert rows == 6 and pairs == 15
    lines = list(csv.DictReader(io.StringIO(resolution.to_csv([of_mpii]))))
    assert len(lines) == rows + pairs and lines[0]["people"] == "60" and lines[0]["other"] == ""
    for line in lines:
        width = (float(line["high"]) - float(line["low"])) / 2
        assert float(line["half_width"]) == pytest.approx(width, abs=0.011)
    assert "points to either side" in of_mpii.sentence and "MPII, 60 people" in of_mpii.sentence
    assert resolution.make(results()) == [] and resolution.to_csv([]).count("\n") == 1


def test_costs_stand_beside_the_papers_columns(counted):
    costs = complexity.make(counted)
    rows = list(csv.DictReader(io.StringIO(complexity.to_csv(costs))))
    mpii = {row["network"]: row for row in rows if row["dataset"] == "mpii"}
    # Table 1 names no sizes: 7.1 and 19.1 GFLOPs speak for these.
    assert [mpii[name]["input_width"] for name in ("hrnet_w32", "hourglass")] == ["192", "256"]
    assert (
        mpii["hrnet_w32"]["reported_params"] == "28500000" and mpii["hrnet_w32"]["reported_gflops"] == "7.1"
    )
    assert mpii["hrnet_w32"]["ms, a machine, batch of 1"] == "80.5" and mpii["hrnet_w32"]["remark"] == ""
    assert "Parameters differ by -5.5%." in mpii["hourglass"]["remark"]
    assert complexity.to_markdown(costs).count("\n") == 4 + len(costs)
    assert complexity.to_latex(costs).count(r"\\") >= len(costs)


def test_the_page_holds_them(counted, tmp_path):
    out = tmp_path / "reports"
    page.write(counted, out)
    text = (out / "index.html").read_text()
    assert "What these people can show at all" in text and 'id="complexity"' in text
    assert 'id="run-mpii-theirs"' in text and "x/theirs.h5" not in text
    for name in (
        "resolution.csv",
        "complexity.csv",
        "complexity.md",
        "complexity.tex",
        "figures/complexity.svg",
    ):
        assert (out / name).stat().st_size > 0
