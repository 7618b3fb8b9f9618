"""The report as a whole: the same bytes every time, one page that needs nothing else, usable in a browser."""

import csv
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml

from pipeline.datasets import DATASETS
from pipeline.report import claims, environment, figures, page, tables
from pipeline.report.results import Results
from tests.conftest import ROOT
from tests.report.browser import Browser
from tests.report.synthetic import NETWORKS, write_results

# Run in the page: what a person with mouse, keyboard or phone would notice.
PROBE = """(() => {
const table = document.querySelector("table.sortable"), button = [...table.tHead.querySelectorAll("button")]
  .find((one) => one.textContent === "Mean");
const column = button.parentElement.cellIndex;
const means = () => [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[column].dataset.value ??
  row.cells[column].textContent));
const before = means();
button.focus(); button.click();
const down = means();
button.click();
const up = means();
button.click();
return {
  width: innerWidth, scroll: document.documentElement.scrollWidth,
  narrowest: Math.min(...[...document.querySelectorAll(".part > :nth-child(3)")].map(each => each.clientWidth)),
  images: [...document.images].map((image) => image.complete && image.naturalWidth),
  before, down, up, after: means(), focused: document.activeElement === button,
  dark: getComputedStyle(document.body).backgroundColor,
  links: [...document.querySelectorAll("a[href^='#']")].filter((a) => !document.querySelector(a.getAttribute("href")))
    .map((a) => a.getAttribute("href")),
  environment: document.querySelector("#environment").innerText,
  conclusions: scrollY + Math.max(...[...document.querySelectorAll(".glance li")]
    .map((line) => line.getBoundingClientRect().bottom)),
};
})()"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium to open the page with")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.ask("Browser.close")
    browser.process.wait(timeout=120)


@pytest.fixture
def browser(chromium):
    """Chromium, of whose console nothing was heard before."""
    chromium.open_blank()
    return chromium


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    """The folder of a report on demo results."""
    outcome = results(seeds=[0, 1], **NETWORKS)
    out = tmp_path_factory.mktemp("workspace") / "reports"
    page.write(outcome, out)
    environment.write(out / "environment.html", outcome.params)
    return out


def _render(outcome) -> str:
    """The page without its figures."""
    return page.render(outcome, tables.make(outcome), claims.judge(outcome), [])


def _contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "environment.html"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(written, tmp_path, results):
    outcome = results(seeds=[0, 1], **NETWORKS)
    # Nothing that was kept from the first time.
    page.write(Results(outcome.params, outcome.root), tmp_path / "reports")
    contents = _contents(tmp_path / "reports")
    assert contents == _contents(written)
    text = b"".join(contents.values())
    assert all(str(folder).encode() not in text for folder in (tmp_path, outcome.root))
    assert b"matplotlib.org" not in contents["index.html"]


def test_every_file_that_dvc_declares_is_there(written):
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    for table in ("table1", "table2", "table3"):
        assert {f"{table}.csv", f"{table}.md", f"{table}.tex", f"figures/tables/{table}.svg"} <= names
    assert {"claims.csv", "summary.json", "index.html", "figures/predictions-mpii.png"} <= names
    dvc = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    assert [one for one in dvc if isinstance(one, str)] == ["reports/figures/tables"]
    drawn = [one["y"] for plot in dvc if isinstance(plot, dict) for one in plot.values()]
    # Those of trainings that go on have a column alone.
    plotted = [file for y in drawn if isinstance(y, dict) for file in y]
    assert {file.removeprefix("reports/") for file in plotted} <= names
    assert {name for name in names if name.startswith("plots/")} == {
        f"plots/{name}.csv" for name in figures.PLOTS
    }


def test_plots_are_of_the_datasets_that_were_run_and_name_their_lines(written):
    for name, columns in figures.PLOTS.items():
        with (written / "plots" / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["dataset", "series", *columns]
        # PCKh is MPII's metric, and only it has several radii.
        both = name not in ("pckh_curves", "accuracy_by_radius")
        assert {row["dataset"] for row in rows} == ({"MPII", "COCO 2017"} if both else {"MPII"})
        lines = {(row["dataset"], row["series"]) for row in rows}
        expected = {"dwa": 4, "map_iou": 8, "losses": 2, "pckh_curves": 2, "accuracy_by_radius": 1}
        assert len(lines) == expected[name], lines
    shown = [
        plot for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] if isinstance(plot, dict)
    ]
    for options in (options for plot in shown for options in plot.values() if isinstance(options["y"], dict)):
        for file, y in options["y"].items():
            assert {options["x"], y} <= {*figures.PLOTS[Path(file).stem]}
        assert (ROOT / ".dvc" / "plots" / f"{options['template']}.json").is_file()


@pytest.mark.slow
def test_dvc_shows_no_table_of_a_dataset_that_was_not_run(results, tmp_path):
    outcome = results(datasets=["mpii"], radius_only=[], **NETWORKS)
    page.write(outcome, tmp_path)
    assert {path.name for path in (tmp_path / "figures" / "tables").iterdir()} == {"table1.svg", "table3.svg"}
    # The page has the paper's own Table 2 as figures and not as a drawing.
    assert (tmp_path / "table2.csv").is_file()
    assert 'id="table2"' in (tmp_path / "index.html").read_text()


def test_a_name_in_the_summary_means_the_same_whatever_the_radius(results):
    at_5, at_7 = (page.summary(results(radius=radius)) for radius in (5, 7))
    assert list(at_5) == list(at_7) == ["mpii", "coco"]
    assert list(at_7["mpii"]) == ["at_radius", "gain_at_radius", "gain_intervals", "runs"]
    sweep = [f"sg_hrnet_small-r{radius}" for radius in (3, 5, 7, 9)]
    assert list(at_7["mpii"]["runs"]) == ["hrnet_small", *sweep]
    assert list(at_5["mpii"]["runs"]) == ["hrnet_small", sweep[0], sweep[1], sweep[3]]
    assert list(at_7["coco"]["runs"]) == ["hrnet_small", "sg_hrnet_small-r7"]
    for summary, name in ((at_5, sweep[1]), (at_7, sweep[2])):
        for values in summary.values():
            assert values["at_radius"] == values["runs"][name]
            gain = values["at_radius"] - values["runs"]["hrnet_small"]
            assert values["gain_at_radius"] == pytest.approx(gain, abs=0.011)


def test_the_summarys_gain_has_both_intervals(results):
    lists = {"datasets": ["mpii"], "radius_only": []}
    values = page.summary(results(**lists, seeds=[0, 1, 2]))["mpii"]
    gain, ends = values["gain_at_radius"], values["gain_intervals"]
    assert ends["low"] < gain < ends["high"] and ends["low_these_images"] < gain < ends["high_these_images"]
    one = page.summary(results(**lists))["mpii"]["gain_intervals"]
    assert one["low"] < one["high"] and one["low_these_images"] is one["high_these_images"] is None


def test_differences_are_drawn_with_both_intervals(results):
    lists = {"datasets": ["mpii"], "radius_only": []}
    bars = {}
    for count in (1, 3):
        (sketch,) = figures.accuracy.differences(results(**lists, seeds=list(range(count))))
        (axis,) = sketch.figure.axes
        bars[count] = [line for line in axis.lines if line.get_linewidth() == 6]
        assert ("on these images (pale bars)" in sketch.caption) == (count > 1)
        assert "on new images" in sketch.caption
        plt.close(sketch.figure)
    # Of one seed nothing is known of others on the same images.
    assert bars[1] == [] and len(bars[3]) == DATASETS["mpii"].KEYPOINTS.count


def test_pictures_of_other_photographs_are_not_said_to_be_the_datasets(results, tmp_path):
    lists = {"datasets": ["lspet"], "radius_sweep": [], "radius_only": ["lspet"]}
    made = results(tmp_path, source="official", full_size=True, **lists)
    for given in (False, True):
        for path in (tmp_path / "results/lspet").glob("*/examples.npz") if given else ():
            with np.load(path) as known:
                arrays = dict(known)
            np.savez(path, **arrays, source=np.array(["https://photographs.example/1 (CC BY)"] * 5))
        (predicted,), (gated,) = figures.pictures.predictions(made), figures.pictures.attention(made)
        heads = [part.get_suptitle() for part in predicted.figure.subfigs]
        assert all(("LSPET, 60 people" in head) != given for head in heads)
        assert all(("trained on LSPET; other photographs" in head) == given for head in heads)
        assert ("LSPET, 60 people" in gated.caption) != given and predicted.caption.startswith(
            "LSPET: "
        ) != given
        plt.close("all")


def test_a_report_leaves_nothing_of_an_earlier_one(tmp_path, results, monkeypatch):
    monkeypatch.setattr(figures, "draw", lambda *_: [])
    lists = {"datasets": ["lspet"], "radius_sweep": ["lspet"], "radius_only": []}
    page.write(results(**lists, **NETWORKS), tmp_path / "reports")
    assert (tmp_path / "reports" / "lspet.csv").is_file()
    page.write(results(**NETWORKS), tmp_path / "reports")
    assert not (tmp_path / "reports" / "lspet.csv").exists()


@pytest.mark.parametrize("like", ["lspet", "coco"])
def test_a_dataset_that_is_added_has_its_table_claims_and_figures(tmp_path, params, monkeypatch, like):
    known = DATASETS[like]
    monkeypatch.setitem(DATASETS, "street", SimpleNamespace(**vars(known) | {"TITLE": "Street"}))
    lists = {"datasets": ["street"], "radius_sweep": ["street"], "radius_only": []}
    # Drawn, and not turned into files, which takes seconds.
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    monkeypatch.setattr(page, "_embedded", lambda figure: "data:,")
    outcome = write_results(tmp_path, params(**NETWORKS).model_copy(update=lists))
    page.write(outcome, tmp_path / "reports")
    rows = list(csv.DictReader((tmp_path / "reports" / "street.csv").read_text().splitlines()))
    assert {row["box"] for row in rows} == {box.replace("_", " ") for box in known.METRIC.boxes}
    # A metric's claims are judged once more for it, and none of another metric.
    numbers = {claim.number for claim in claims.judge(outcome) if claim.dataset == "street"}
    assert numbers == {"lspet": {1, 7, 9, 10, 11, 12, 13, 14}, "coco": {3, 4, 14}}[like]
    assert (tmp_path / "reports" / "plots" / "losses.csv").read_text().count("\nStreet,") > 100
    assert 'id="street">Street: ' in (tmp_path / "reports" / "index.html").read_text()
    assert set(page.summary(outcome)) == {"street"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "demo"}, "Demo data. This is not a reproduction of the paper."),
        ({"source": "folder"}, "A sample of the data. This is not a reproduction of the paper."),
    ],
)
def test_demo_and_mirror_data_cannot_be_taken_for_a_reproduction(results, data, words):
    text = _render(results(**data, **NETWORKS))
    assert words in text
    rows = re.findall(r'<tr class="measured">.*?</tr>', text, re.S)
    assert rows and all("synthetic" in row or "sample" in row for row in rows)


def test_full_data_bear_no_banner(results):
    text = _render(results(source="official", full_size=True, **NETWORKS))
    assert "This is not a reproduction" not in text and "synthetic" not in text


def test_the_page_loads_nothing_from_the_network(written):
    text = (written / "index.html").read_text()
    loaded = re.findall(r'(?:src|srcset)="([^"]{,40})|<link[^>]*href="([^"]{,40})|url\(([^)]{,40})', text)
    sources = {source for matches in loaded for source in matches if source}
    assert all(source.startswith("data:") or source == "environment.html" for source in sources)


def test_the_page_tells_of_nobodys_folders(results):
    outcome = results(
        data__source="/home/somebody/archives",
        evaluate__detections="/home/somebody/boxes.json",
        model__pretrained="/home/somebody/w32.pth",
        checkpoints=[
            {"name": "theirs", "dataset": "coco", "model": "hrnet_w32", "file": "/home/somebody/w.pth"}
        ],
        **NETWORKS,
    )
    text = _render(outcome)
    assert "somebody" not in text
    assert all(words in text for words in ("source: folder", "boxes.json", "w32.pth", "w.pth"))


def test_what_differs_from_run_to_run_is_beside_the_page(params, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    environment.write(tmp_path / "environment.html", params())
    text = (tmp_path / "environment.html").read_text()
    facts = json.loads(html.unescape(re.search("<pre>(.*)</pre>", text, re.S)[1]))
    assert facts["python"].startswith("3.") and facts["packages"]["numpy"] and facts["mlflow"] == []


def test_importing_the_report_needs_neither_torch_nor_mlflow():
    code = (
        "import sys, stages.report; "
        "print(sorted({'torch', 'mlflow', 'dvc', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (820, False), (375, True)])
def test_the_page_in_a_browser(written, browser, width, dark):
    browser.open(written / "index.html", width, dark)
    facts = browser.run(PROBE)

    assert browser.logged() == []
    assert facts["width"] == width and facts["scroll"] <= width
    # On a desk's screen the gains and what became of every claim are there at once.
    assert width < 1280 or facts["conclusions"] <= 900
    # What was measured of a claim has room for its numbers, between two columns that could take it.
    assert facts["narrowest"] >= 190
    assert facts["images"] and all(facts["images"])
    numbers = [value for value in facts["before"] if value is not None]
    assert facts["down"] == sorted(numbers, reverse=True) and facts["up"] == sorted(numbers)
    assert facts["after"] == facts["before"] and facts["focused"]
    assert facts["links"] == []
    assert "Commit" in facts["environment"] and "Python" in facts["environment"]
    red, green, blue = map(int, re.findall(r"\d+", facts["dark"])[:3])
    assert (red + green + blue < 150) == dark


def test_the_page_alone_logs_nothing(written, browser, tmp_path):
    shutil.copy(written / "index.html", tmp_path)
    browser.open(tmp_path / "index.html", 1280, False)
    assert browser.logged() == [] and browser.run("document.querySelector('#environment').hidden")


def test_the_browser_hears_of_a_missing_file(browser, tmp_path):
    (tmp_path / "page.html").write_text('<!doctype html><script src="nothing.js"></script>')
    browser.open(tmp_path / "page.html", 1280, False)
    assert "ERR_FILE_NOT_FOUND" in browser.logged()[0]
