"""Another run against the committed lock: the same bytes, the same tables to the printed digit, or how far apart."""

import csv
import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from pipeline import lock, params, record, verify
from tests.conftest import ROOT
from tests.finished import trainings, write, write_lock
from tests.project import dvc, environment

RUN = "results/mpii/sg_hrnet_small-r5-s0"


def committed(folder):
    """Make a workspace a repository in which lock and record are committed."""
    record.write(folder, folder)
    write(folder / ".gitignore", (ROOT / ".gitignore").read_text())
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def original(finished, tmp_path_factory):
    return committed(shutil.copytree(finished, tmp_path_factory.mktemp("verify") / "original"))


@pytest.fixture
def own(original, tmp_path):
    """A committed workspace that a test may spoil."""
    return shutil.copytree(original, tmp_path / "own")


def compared(folder) -> verify.Comparison:
    text = subprocess.run(
        ["git", "show", "HEAD:dvc.lock"], cwd=folder, check=True, capture_output=True, text=True
    )
    there = lock.read(text.stdout, "dvc.lock")
    return verify.compare(folder, there, record.Record.load(folder / record.FOLDER))


def command(folder, *arguments):
    parts = [sys.executable, "-m", "pipeline.verify", *arguments]
    return subprocess.run(
        parts, cwd=folder, env=environment() | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


def test_what_was_not_touched_is_the_same_bytes(own):
    result = command(own)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "verdict: the same bytes" and len(lines) == 3
    for line, side in zip(lines, ("committed:", "here:"), strict=False):
        assert line.startswith(side) and "Python 3." in line and "torch 2." in line and "cores" in line


def test_a_value_changed_by_hand_is_named_with_how_far(own):
    metrics = own / RUN / "metrics.json"
    content = json.loads(metrics.read_text())
    there = content["scores"]["label"]["Elbow"]
    content["scores"]["label"]["Elbow"] = there + 1.5
    metrics.write_text(json.dumps(content, indent=1) + "\n")
    found = compared(own)
    assert found.files[0].startswith(f"{RUN}/metrics.json of evaluate_sweep@mpii-sg_hrnet_small-5-0: md5 ")
    first = found.numbers[0]
    assert (first.path, first.place) == (f"{RUN}/metrics.json", "scores.label.Elbow")
    assert first.there == json.dumps(there) and first.apart == pytest.approx(1.5)
    # Nobody made tables of it yet.
    assert found.verdict == "the same tables to the printed digit"


def test_a_cell_changed_by_hand_is_different(own):
    table = own / "reports" / "table1.csv"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    line = next(n for n, row in enumerate(rows) if row[0] == "SG-HRNet (small), r = 5")
    column = rows[0].index("Wrist")
    value = rows[line][column]
    rows[line][column] = f"{float(value) + 3.25:.2f}"
    with table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    result = command(own)
    assert result.returncode == 1
    place = f"reports/table1.csv, line {line + 1}, Wrist: {value} committed, {rows[line][column]} here, 3.25 apart"
    assert f"first value that differs: {place}" in result.stdout
    assert re.search(rf"1 of \d+ cells of the tables differ, the furthest: {re.escape(place)}", result.stdout)
    assert "1 of " in result.stdout and "first: reports/table1.csv of report: md5 " in result.stdout
    assert result.stdout.splitlines()[-1] == "verdict: different"


def test_the_first_that_differs_is_the_first_in_the_order_of_the_stages(own):
    for path in (RUN + "/metrics.json", "reports/table1.csv", "runs/mpii/sg_hrnet_small-r5-s0/run.json"):
        write(own / path, (own / path).read_text() + " ")
    found = compared(own)
    assert [text.split()[0] for text in found.files] == [
        "runs/mpii/sg_hrnet_small-r5-s0/run.json", f"{RUN}/metrics.json", "reports/table1.csv"
    ]  # fmt: skip


def test_a_file_too_few_and_one_too_many_are_differences(own):
    (own / RUN / "samples.npz").unlink()
    write(own / "reports" / "new.csv", "x\n")
    files = compared(own).files
    assert re.fullmatch(rf"{RUN}/samples.npz of \S+: md5 \w+ committed, none here", files[0])
    assert re.fullmatch(r"reports/new.csv of report: none committed, md5 \w+ here", files[1])
    assert len(files) == 2


def test_other_code_and_parameters_are_named(own):
    content = yaml.safe_load((own / "dvc.lock").read_text())
    train = content["stages"]["train_baseline@mpii-hrnet_small-0"]
    for name in trainings(params.load(own / "params.yaml")):
        content["stages"][name]["params"]["params.yaml"]["loss.reduction"] = "sum"
    code = next(dep for dep in train["deps"] if dep["path"].startswith("build/code"))
    code["md5"] = "0" * 32
    del content["stages"]["prepare@coco"]
    (own / "dvc.lock").write_text(yaml.safe_dump(content))
    count = len(content["stages"]) + 1
    assert compared(own).ran == [
        f"1 of {count} stages did not run here, the first: prepare@coco",
        f"1 of {count} stages ran other code here, the first: train_baseline@mpii-hrnet_small-0",
        'loss.reduction: "mean" committed, "sum" here',
    ]


@pytest.mark.parametrize("path", ["docs/demo/reports/table1.csv", "docs/demo/files.csv"])
def test_a_record_changed_by_hand_is_refused(own, path):
    file = own / path
    file.write_text(file.read_text().replace("1", "2"))
    result = command(own)
    assert result.returncode == 2
    assert re.fullmatch(
        r"\S*docs/demo is not of this dvc.lock: \S+ has another hash; "
        r"`make lock` writes both anew\n", result.stderr,
    )  # fmt: skip


def test_a_lock_without_its_record_is_refused(own):
    write(own / RUN / "metrics.json", "{}")
    write_lock(own)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, "commit", "-qam", "lock"], cwd=own, check=True)
    assert f"docs/demo is not of this dvc.lock: {RUN} has another hash" in command(own).stderr
    assert command(own, "--write").returncode == 0
    assert command(own).stdout.splitlines()[-1] == "verdict: the same bytes"


def test_only_what_dvc_lock_says_is_recorded(own):
    write(own / RUN / "metrics.json", "{}")
    result = command(own, "--write")
    assert result.returncode == 2
    assert result.stderr == f"{RUN} is not what dvc.lock records; run `dvc repro` first\n"


def test_the_record_holds_every_number_and_no_place(original):
    kept = {
        path.relative_to(original / "docs" / "demo").as_posix() for path in original.glob("docs/demo/**/*.*")
    }
    assert {"reports/table1.csv", f"{RUN}/metrics.json", "machine.json", "files.csv"} <= kept
    for name in kept:
        assert str(original) not in (original / "docs" / "demo" / name).read_text()


def test_nothing_committed_is_one_sentence(own):
    shutil.rmtree(own / "docs")
    assert command(own).stderr.endswith("docs/demo holds no record of dvc.lock; `make lock` writes both\n")
    shutil.rmtree(own / ".git")
    result = command(own)
    assert result.returncode == 2 and result.stderr.startswith("git tells nothing of what was committed: ")


def test_the_committed_record_is_of_the_committed_lock():
    if not (ROOT / record.FOLDER).is_dir():
        pytest.skip("no record is committed yet")
    record.Record.load(ROOT / record.FOLDER).check(lock.load(ROOT))


TINY = {
    "draw": {"cmd": "mkdir -p results/mpii/a && cp value.json results/mpii/a/metrics.json", "deps": ["value.json"],
             "outs": ["results/mpii/a"]},
    "report": {"cmd": "python report.py", "deps": ["results/mpii/a", "report.py"], "outs": ["reports"]},
}  # fmt: skip
REPORT = """
import json, pathlib
out = pathlib.Path("reports")
out.mkdir(exist_ok=True)
value = json.load(open("results/mpii/a/metrics.json"))["Mean"]
(out / "table1.csv").write_text(f"method,row,source,seeds,Mean,Mean_low\\nA,measured,mpii/a,1,{value:.2f},1\\n")
"""


def test_a_run_from_nothing_finds_a_value_changed_by_hand(tmp_path):
    own = tmp_path / "tiny"
    own.mkdir()
    (own / "params.yaml").write_text((ROOT / "profiles" / "demo.yaml").read_text())
    write(own / "dvc.yaml", yaml.safe_dump({"stages": TINY}))
    write(own / "report.py", REPORT)
    write(own / "value.json", '{"Mean": 61.2}\n')
    subprocess.run(["git", "init", "-q"], cwd=own, check=True)
    dvc(own, "init", "-q")
    dvc(own, "repro")
    committed(own)
    cached = [path for path in (own / ".dvc" / "cache").rglob("*") if path.is_file()]

    result = command(own, "--from-nothing")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Running stage 'draw'" in result.stdout and "Running stage 'report'" in result.stdout
    assert result.stdout.splitlines()[-1] == "verdict: the same bytes"

    write(own / "value.json", '{"Mean": 61.203}\n')
    result = command(own, "--from-nothing")
    assert result.returncode == 0 and "verdict: the same tables to the printed digit" in result.stdout
    assert "results/mpii/a/metrics.json, Mean: 61.2 committed, 61.203 here, 0.003 apart" in result.stdout

    write(own / "value.json", '{"Mean": 63.2}\n')
    result = command(own, "--from-nothing")
    assert result.returncode == 1 and "the first: results/mpii/a/metrics.json of draw" in result.stdout
    assert (
        "the furthest: reports/table1.csv, line 2, Mean: 61.20 committed, 63.20 here, 2 apart"
        in result.stdout
    )
    assert "verdict: different" in result.stdout
    # The workspace itself was left alone, until what ran is taken for what is to be committed.
    assert [path for path in (own / ".dvc" / "cache").rglob("*") if path.is_file()] == cached
    assert (own / "reports" / "table1.csv").read_text().count("61.20") == 1
    kept = re.search(r"what ran here lies in (\S+)", result.stdout)[1]
    assert (lock.Workspace(own).root / kept / "dvc.lock").is_file()
    shutil.rmtree(kept)

    assert command(own, "--from-nothing", "--write").returncode == 0
    assert "63.20" in (own / "docs" / "demo" / "reports" / "table1.csv").read_text()
    record.Record.load(own / record.FOLDER).check(lock.load(own))


def test_what_is_not_drawn_is_not_run_from_nothing(own):
    text = (own / "params.yaml").read_text()
    (own / "params.yaml").write_text(text.replace("source: demo", "source: official"))
    result = command(own, "--from-nothing")
    assert result.returncode == 2 and "make profile NAME=demo" in result.stderr
