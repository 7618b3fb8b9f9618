"""A published study: its report can be made again without data, networks or pictures, byte for byte."""

import base64
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline import loader, params, photographs, study, tensors
from pipeline.runs import Record
from tests.conftest import ROOT, write_run
from tests.finished import finished, write, write_lock
from tests.project import environment

PAIR = ("hrnet_small-s0", "sg_hrnet_small-r5-s0")
WEIGHTS = {"a.weight": torch.linspace(-3, 3, 50).reshape(5, 10), "a.seen": torch.tensor(70000)}
PUBLISHED = sorted(path.parent.name for path in (ROOT / study.FOLDER).glob("*/params.yaml"))


def command(folder, *arguments, module="pipeline.study"):
    parts = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        parts, cwd=folder, env=environment() | {"PYTHONPATH": str(folder)}, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    small = {"datasets": ["mpii"], "radius_only": [], "report__resamples": 50}
    folder = finished(tmp_path_factory.mktemp("study") / "workspace", **small)
    for name in PAIR:
        (folder / "runs" / "mpii" / name / "weights.safetensors").write_bytes(tensors.pack(WEIGHTS))
    assert command(folder, module="stages.report").returncode == 0
    write_lock(folder)
    result = command(folder, "small", "--publish")
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"studies/small: \d\.\d MB, the report in reports/index.html\n", result.stdout)
    return folder


@pytest.fixture
def own(original, tmp_path):
    """A workspace with a study that a test may spoil."""
    return shutil.copytree(original, tmp_path / "own")


@pytest.mark.slow
def test_what_is_published_makes_the_same_report_without_the_workspace(own):
    for folder in ("results", "data", "runs", "reports", "benchmarks"):
        shutil.rmtree(own / folder)
    (own / "dvc.lock").unlink()
    (own / "params.yaml").unlink()
    result = command(own, "small")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["published", "here", "verdict"]
    assert re.fullmatch(r"verdict: the same bytes, \d\d files", lines[-1])


@pytest.mark.slow
def test_tables_are_those_of_the_workspace(original):
    for name in ("table1.csv", "table2.csv", "table3.csv"):
        published = original / "studies" / "small" / "reports" / name
        assert published.read_bytes() == (original / "reports" / name).read_bytes()


@pytest.mark.slow
def test_two_networks_are_published_in_half_precision(original):
    folder = original / "studies" / "small" / "runs" / "mpii"
    assert sorted(path.name for path in folder.iterdir()) == sorted(PAIR)
    for name in PAIR:
        weights = tensors.read(folder / name / "weights.safetensors")
        assert weights["a.weight"].dtype == torch.float16 and weights["a.seen"] == 70000
        assert torch.allclose(weights["a.weight"].float(), WEIGHTS["a.weight"], rtol=2**-11, atol=0)
        assert (folder / name / "run.json").read_bytes() == (
            original / "runs" / "mpii" / name / "run.json"
        ).read_bytes()


def test_a_number_too_large_for_half_precision_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(tensors.pack({"a.weight": torch.tensor([1.0, 70000.0])}))
    with pytest.raises(ValueError, match=r"a\.weight holds numbers beyond half precision's"):
        study._halved(path)


@pytest.mark.slow
def test_large_networks_are_left_out(own, capsys, monkeypatch):
    monkeypatch.setattr(study, "LARGEST", 100)
    study.publish(own, own / "studies" / "other")
    assert "runs/mpii/hrnet_small-s0: 0 MB of weights stay here" in capsys.readouterr().out
    assert not (own / "studies" / "other" / "runs").exists()
    assert (own / "studies" / "other" / "results").is_dir()


@pytest.mark.slow
def test_no_picture_and_no_place_are_published(original):
    paths = [path for path in (original / "studies" / "small").rglob("*") if path.is_file()]
    assert {path.suffix for path in paths} <= {
        ".yaml", ".lock", ".json", ".csv", ".md", ".tex", ".svg", ".html", ".npz", ".safetensors"
    }  # fmt: skip
    assert {path.name for path in paths if path.suffix == ".npz"} == {"samples.npz"}
    names = {path.name for path in paths}
    assert {"metrics.json", "history.csv", "dvc.lock", "index.html", "claims.csv", "dwa.svg"} <= names
    assert "environment.html" not in names
    page = (original / "studies" / "small" / "reports" / "index.html").read_text()
    assert "data:image/svg" in page and "data:image/png" not in page
    assert not [path for path in paths if str(original).encode() in path.read_bytes()]


@pytest.mark.slow
def test_the_page_shows_photographs_that_may_be_published(own, tmp_path):
    shutil.copytree(ROOT / study.PHOTOGRAPHS, own / study.PHOTOGRAPHS)
    for name, model, radius in zip(PAIR, ("hrnet_small", "sg_hrnet_small"), (None, 5), strict=True):
        made = write_run(tmp_path / name, "mpii", model, radius, params.load(own / "params.yaml"))
        shutil.copyfile(made / "weights.safetensors", own / "runs" / "mpii" / name / "weights.safetensors")
    write_lock(own)
    assert command(own, "small", "--publish").returncode == 0
    shutil.rmtree(own / study.PHOTOGRAPHS)
    assert command(own, "small").returncode == 0
    page = (own / "studies" / "small" / "reports" / "index.html").read_text()
    assert page.count("data:image/png") == 2 and page.count("staticflickr.com/4141/5438252538") == 2
    assert "the dataset&#39;s own images may not be passed on" in page


@pytest.mark.slow
def test_a_report_changed_by_hand_is_named_and_made_anew(own):
    table = own / "studies" / "small" / "reports" / "table1.csv"
    text = table.read_text()
    table.write_text(text.replace(",measured,", ",reported,"))
    result = command(own, "small")
    assert result.returncode == 1 and result.stdout.splitlines()[-1] == "verdict: different"
    first = r"1 of \d\d files differ, the first: table1.csv: line \d+, row: reported published, measured here"
    assert re.fullmatch(first, result.stdout.splitlines()[-2])
    assert command(own, "small", "--write").returncode == 0 and table.read_text() == text


def test_files_that_differ_are_named_with_their_first_value(tmp_path):
    sides = published, made = tmp_path / "published", tmp_path / "made"
    for side in sides:
        write(side / "table1.csv", "method,Mean,Wrist\nA,1.00,2.00\nB,3.00,4.00\n")
        write(side / "summary.json", '{"mpii": {"gain": 1.5}}')
        write(side / "figures" / "dwa.svg", "<svg/>")
    assert study.compare(*sides) == []
    write(published / "table1.csv", "method,Mean,Wrist\nA,1.00,2.00\nB,3.00,4.25\n")
    write(made / "summary.json", '{"mpii": {"gain": 1.4}}')
    write(made / "figures" / "dwa.svg", "<svg></svg>")
    write(made / "new.md", "")
    write(published / "old.md", "")
    dwa, *rest = study.compare(*sides)
    assert re.fullmatch(r"figures/dwa.svg: md5 [0-9a-f]{32} published, [0-9a-f]{32} here", dwa)
    assert rest == [
        "new.md: not published",
        "old.md: not made here",
        "summary.json: mpii.gain: 1.5 published, 1.4 here",
        "table1.csv: line 3, Wrist: 4.25 published, 4.00 here",
    ]


@pytest.mark.slow
def test_what_dvc_has_not_recorded_is_not_published(own):
    folder = next((own / "results" / "mpii").iterdir())
    (folder / "metrics.json").write_text("{}")
    result = command(own, "other", "--publish")
    assert result.returncode == 2 and not (own / "studies" / "other").exists()
    assert (
        result.stderr == f"results/mpii/{folder.name} is not what dvc.lock records; run `dvc repro` first\n"
    )


@pytest.mark.slow
def test_tables_that_the_results_do_not_give_are_not_published(own):
    table = own / "reports" / "table1.csv"
    table.write_text(table.read_text().replace("measured", "reported", 1))
    write_lock(own)
    before = (own / "studies" / "small" / "params.yaml").stat().st_mtime_ns
    result = command(own, "small", "--publish")
    assert result.returncode == 2 and (own / "studies" / "small" / "runs").is_dir()
    assert (own / "studies" / "small" / "params.yaml").stat().st_mtime_ns == before
    assert "the workspace's reports are not made of its results: table1.csv: line " in result.stderr


def test_a_study_that_cannot_be_is_one_sentence(tmp_path):
    write(tmp_path / "studies" / "small" / "params.yaml", "")
    for name, message in (
        ("none", "holds no study; there are: small$"),
        ("../x", "'../x' cannot name a study"),
    ):
        with pytest.raises(ValueError, match=message):
            study.study(tmp_path, name, publishes=False, writes=False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_a_card_that_names_them(name):
    folder = ROOT / study.FOLDER / name
    for weights in folder.glob("runs/*/*/weights.safetensors"):
        assert weights.parent.name in (folder / "MODEL_CARD.md").read_text()
        assert weights.stat().st_size <= study.LARGEST


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_pixels_are_those_of_photographs_that_may_be_published(name):
    folder, images = ROOT / study.FOLDER / name, ROOT / study.PHOTOGRAPHS
    committed = list(folder.glob("results/*/*/examples.npz"))
    assert committed and not [*folder.rglob("*.jpg")]
    for path in committed:
        record = Record.load(folder / "runs" / path.parent.relative_to(folder / "results") / "run.json")
        people, source = photographs.photographed(images, record)
        crops = loader.Crops(people, photographs.Folder(images), record.used.input.size)
        expected = np.stack([crops[0, row]["input"] for row in range(len(people))])
        with np.load(path) as arrays:
            np.testing.assert_array_equal(arrays["input_BHW3"], expected)
            assert arrays["source"].tolist() == source.tolist()
        assert all("creativecommons.org/licenses/by/2.0" in each for each in source)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_a_published_page_embeds_lies_beside_it_and_holds_pixels_alone(name):
    reports = ROOT / study.FOLDER / name / "reports"
    embedded = re.findall(r"data:image/(\w+);base64,([\w+/=]+)", (reports / "index.html").read_text())
    pictures = [base64.b64decode(text) for kind, text in embedded if kind != "svg"]
    assert {kind for kind, _ in embedded} <= {"png"}
    assert sorted(pictures) == sorted(path.read_bytes() for path in reports.rglob("*.png"))
    for picture in pictures:
        kinds, place = set(), 8
        while place < len(picture):
            kinds.add(picture[place + 4 : place + 8])
            place += 12 + int.from_bytes(picture[place : place + 4], "big")
        assert kinds == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_studies_give_their_reports(name):
    result = command(ROOT, name)
    assert result.returncode == 0, result.stdout + result.stderr
