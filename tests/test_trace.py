"""Where a number came from, for people: its way back to the archives, and what of it has changed."""

import re
import shutil
import subprocess
import sys

import pytest

from pipeline import lock, params, trace
from tests.finished import PACKED, archive, rows_of
from tests.project import environment


def traced(folder, table, row, column) -> tuple[list[str], int]:
    cell = trace.find(trace.tables(folder / "reports"), table, row, column)
    made = trace.Trace(cell, params.load(folder / "params.yaml"), folder)
    return list(made.lines()), made.changed


def stages_in(lines: list[str]) -> list[str]:
    return [line.partition(":  ")[0] for line in lines if ":  python -m stages." in line]


@pytest.fixture
def own(finished, tmp_path):
    """A workspace that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "own")


def test_a_measured_cell_leads_through_every_stage_to_the_archives(finished):
    lines, changed = traced(finished, "table1", "SG-HRNet", "Mean")
    row = next(row for row in rows_of(finished, "table1") if row["method"] == "SG-HRNet (small), r = 5")
    assert lines[0] == f"table1, {row['method']}, Mean: {row['Mean']} [{row['Mean_low']}, {row['Mean_high']}]"
    assert stages_in(lines) == [
        "report", "evaluate_sweep@mpii-sg_hrnet_small-5-0", "train_sweep@mpii-sg_hrnet_small-5-0",
        "targets_sweep@mpii-5", "prepare@mpii", "download@mpii", "code",
    ]  # fmt: skip
    assert changed == 0 and lines[-1].endswith("none changed since.")
    text = "\n".join(lines)
    for name in stages_in(lines):
        stage = lock.load(finished)[name]
        assert stage.command in text
        for item in (*stage.outputs, *([stage.code] if stage.code else [])):
            assert re.search(rf"{re.escape(item.md5)} +{item.path}: as recorded", text), item
    assert f"{archive('mpii')}, {len(PACKED)} bytes: as recorded" in text
    assert "train.lr=0.0015" in text and "dwa.temperature=1.0" in text and "torch=2.13.0" in text
    assert re.search(r"metrics\.json: scores\.label\.Mean = \d+\.\d{3}", text)
    assert "coco" not in text.replace("radius_only", "")


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_every_number_of_every_row_has_its_way(finished, table):
    for row in rows_of(finished, table):
        name = row["method"]
        if table == "table2" and row["row"] == "measured":
            name += f", {row['box']} boxes"
        if "ResNet-152" in name:
            name += f", {row['input_height']} × {row['input_width']}"
        numbers = [key for key in row if key not in trace.WORDS and row[key]]
        # Its way is that of its row, so that two of them show it.
        for column in (numbers[0], numbers[-1]):
            lines, changed = traced(finished, table, name, column)
            assert lines[0].startswith(f"{table}, {row['method']}, {column}: {row[column]}") and not changed
            if row["row"] == "reported":
                assert lines[1] == f"reported by the paper: {row['source']}"
                assert "pipeline/report/reported: as recorded" in "\n".join(lines)
            else:
                dataset, _, run = row["source"].partition("/")
                assert f"runs/{dataset}/{run}/weights" in "\n".join(lines)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (
            "results/mpii/sg_hrnet_small-r5-s0/metrics.json",
            "results/mpii/sg_hrnet_small-r5-s0: CHANGED, now ",
        ),
        ("reports/table1.csv", "reports: CHANGED, now "),
        ("data/mpii/people/file", "data/mpii/people: CHANGED, now "),
        ("data/archives/mpii/demo-1/{archive}", "{archive}, 5 bytes: CHANGED, in "),
    ],
)
def test_what_was_changed_by_hand_is_told(own, path, line):
    name = archive("mpii")
    file = own / path.format(archive=name)
    file.write_bytes(file.read_bytes() + b" ")
    lines, changed = traced(own, "table1", "SG-HRNet", "Mean")
    assert changed == 1 and [each for each in lines if line.format(archive=name) in each]
    assert lines[-1].endswith("1 changed since.")


def test_what_is_not_here_is_told_and_is_no_change(own):
    shutil.rmtree(own / "runs")
    shutil.rmtree(own / "data" / "archives")
    lines, changed = traced(own, "table1", "SG-HRNet", "Mean")
    assert changed == 0
    assert len([line for line in lines if line.endswith(": not here")]) == 4


def test_seeds_have_a_way_each(tmp_path):
    from tests.finished import finished

    folder = finished(tmp_path / "seeds", seeds=[0, 1], datasets=["mpii"], radius_only=[])
    lines, _ = traced(folder, "table1", "SG-HRNet", "Mean")
    for seed in (0, 1):
        assert f"train_sweep@mpii-sg_hrnet_small-5-{seed}" in stages_in(lines)
    assert len(stages_in(lines)) == 9


@pytest.mark.parametrize(
    ("table", "row", "column", "message"),
    [
        ("table4", "Our", "Mean", "there is no table table4, but table1, table2, table3"),
        (
            "table1",
            "Our",
            "mAP",
            r"table1 has no column mAP, but radius, .*, Mean, Mean@0\.1; of a metric also",
        ),
        (
            "table1",
            "YOLO",
            "Mean",
            r"table1 has no row 'YOLO', but HRNet-W32 \[4\]; HRNet \(small\); Hourglass",
        ),
        ("table3", "r=", "Mean", r"table3 has 3 rows 'r='; say which: r=3; r=5; r=9$"),
        ("table2", "Hourglass", "AP50", r"AP50 is empty; its row has .*AP$"),
    ],
)
def test_a_name_that_is_not_there_gets_the_choices(finished, table, row, column, message):
    with pytest.raises(ValueError, match=message) as error:
        traced(finished, table, row, column)
    assert "\n" not in str(error.value)


def test_a_whole_name_goes_before_a_part_and_measured_before_reported(finished):
    known = trace.tables(finished / "reports")
    for text, name in (("our", "Our"), ("HRNet", "HRNet (small)"), ("HRNet-W32 [4]", "HRNet-W32 [4]")):
        assert trace.find(known, "table1", text, "mean").row["method"] == name
    # Of the two kinds of box the one that was measured; the other by its name has no number.
    assert trace.find(known, "table2", "SG-HRNet", "AP").row["box"] == "ground truth"
    with pytest.raises(ValueError, match="AP is empty"):
        trace.find(known, "table2", "SG-HRNet (small), r = 5, detected boxes", "AP")


def test_the_command_ends_with_a_sentence_or_its_verdict(own):
    def run(*arguments):
        command = [sys.executable, "-m", "pipeline.trace", *arguments]
        return subprocess.run(command, cwd=own, env=environment(), capture_output=True, text=True)

    assert run("table1", "SG-HRNet", "Mean").returncode == 0
    (own / "reports" / "table1.md").write_text("new")
    assert run("table1", "SG-HRNet", "Mean").returncode == 1
    (own / "dvc.lock").unlink()
    result = run("table1", "SG-HRNet", "Mean")
    assert result.returncode == 2 and result.stderr == "dvc.lock is not there; `dvc repro` writes it\n"
