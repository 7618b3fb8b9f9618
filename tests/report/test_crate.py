"""What is delivered says where it came from: from each number to the archives' checksums, for machines."""

import hashlib
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pipeline import files, lock, params
from pipeline.report import crate
from tests.conftest import ROOT
from tests.finished import PACKED, archive, rows_of, trainings, write_lock

PROJECT = "arcp://name,sg-hrnet-reproduction/"


def described(folder: Path) -> dict[str, dict]:
    """The crate of a workspace, its entities by their names."""
    crate.write(folder / "reports", params.load(folder / "params.yaml"), folder)
    graph = json.loads((folder / "reports" / "ro-crate-metadata.json").read_text())["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


@pytest.fixture(scope="module")
def crated(finished, tmp_path_factory):
    return shutil.copytree(finished, tmp_path_factory.mktemp("crate") / "own")


@pytest.fixture(scope="module")
def entities(crated):
    return described(crated)


@pytest.fixture
def own(finished, tmp_path):
    """A workspace that a test may spoil."""
    return shutil.copytree(finished, tmp_path / "own")


def ids(entity: dict, key: str) -> list[str]:
    value = entity.get(key, [])
    return [other["@id"] for other in (value if isinstance(value, list) else [value])]


def sources(entities: dict, start: str) -> set[str]:
    """Everything that something was made of, found by following the entities alone."""
    makers = {out: name for name, entity in entities.items() for out in ids(entity, "result")}
    found, to_do = set(), [start]
    while to_do:
        name = to_do.pop()
        if name in found:
            continue
        found.add(name)
        entity = entities[name]
        to_do += ids(entity, "isBasedOn") + ids(entity, "isPartOf")
        if name in makers and not name.startswith("table"):
            to_do += ids(entities[makers[name]], "object")
    return found


@pytest.mark.parametrize(
    ("table", "row", "column", "dataset", "run"),
    [
        ("table1", "SG-HRNet (small), r = 5", "Mean", "mpii", "sg_hrnet_small-r5-s0"),
        ("table2", "HRNet (small)", "AP", "coco", "hrnet_small-s0"),
        ("table3", "SG-HRNet (small), r = 9", "Ankle", "mpii", "sg_hrnet_small-r9-s0"),
    ],
)
def test_a_measured_number_leads_to_the_archives_checksum(
    finished, entities, table, row, column, dataset, run
):
    lines = rows_of(finished, table)
    number, line = next((n, line) for n, line in enumerate(lines, 2) if line["method"] == row)
    place = list(line).index(column) + 1
    cell, its_row = entities[f"{table}.csv#cell={number},{place}"], entities[f"{table}.csv#row={number}"]
    assert (cell["value"], cell["minValue"], cell["maxValue"]) == (
        line[column], line[f"{column}_low"], line[f"{column}_high"]
    )  # fmt: skip
    assert cell["@id"] in ids(its_row, "variableMeasured")
    found = sources(entities, its_row["@id"])
    for path in (
        f"results/{dataset}/{run}/",
        f"runs/{dataset}/{run}/weights.safetensors",
        f"data/{dataset}/people/",
    ):
        assert PROJECT + path in found
    packed = f"{PROJECT}data/archives/{dataset}/{archive(dataset)}"
    assert packed in {other for name in found for other in ids(entities[name], "mentions")}
    assert entities[packed]["sha256"] == hashlib.sha256(PACKED).hexdigest()
    other = {"mpii": "coco", "coco": "mpii"}[dataset]
    assert not [name for name in found if f"data/{other}" in name]


def test_a_reported_number_leads_to_the_paper(finished, entities):
    lines = rows_of(finished, "table1")
    number, line = next((n, line) for n, line in enumerate(lines, 2) if line["method"] == "Our")
    row = entities[f"table1.csv#row={number}"]
    assert ids(row, "isBasedOn") == ["https://doi.org/10.18280/ts.410522"]
    assert row["description"] == "Table 1, row 7"
    assert entities[f"table1.csv#cell={number},{list(line).index('Mean') + 1}"]["value"] == "90.6"


def test_every_stage_is_an_action_with_all_that_dvc_knows_of_it(finished, entities):
    stages = lock.load(finished)
    actions = {e["name"]: e for e in entities.values() if e["@type"] == "CreateAction"}
    assert actions.keys() == stages.keys()
    assert set(ids(entities["./"], "mentions")) == {action["@id"] for action in actions.values()}
    for name, stage in stages.items():
        if name == "report":
            continue
        action, software = actions[name], entities[ids(actions[name], "instrument")[0]]
        for key, items in (("object", stage.data), ("result", stage.outputs)):
            hashes = {entities[other].get("md5") for other in ids(action, key)}
            assert {item.md5 for item in items if item.path not in ("pipeline", "stages")} <= hashes
        if name != "code":
            assert software["softwareVersion"] == f"md5:{stage.code.md5}"
        assert action["description"].startswith(stage.command)
        given = {entities[other]["name"]: entities[other]["value"] for other in ids(action, "environment")}
        assert given["DVC_STAGE"] == name


def test_a_training_has_its_parameters_machine_and_packages(finished, entities):
    train = next(name for name in trainings(params.load(finished / "params.yaml")) if "sweep" in name)
    action = next(e for e in entities.values() if e.get("name") == train and e["@type"] == "CreateAction")
    used = {
        entities[o]["name"]: entities[o].get("value") for o in ids(action, "object") if o.startswith("#par")
    }
    assert used["train.lr"] == 0.0015 and used["dwa.temperature"] == 1 and used["train.lr_drops"] == "[7]"
    assert used["segmentation.distance"] == "euclidean" and "evaluate.oks_nms" not in used
    environment = {entities[other]["name"]: entities[other]["value"] for other in ids(action, "environment")}
    assert environment["torch"] == "2.13.0" and environment["device"] == "cpu"
    software = entities[ids(action, "instrument")[0]]
    packages = {
        entities[o]["name"]: entities[o]["softwareVersion"] for o in ids(software, "softwareRequirements")
    }
    assert {"torch", "numpy", "opencv-python-headless"} <= packages.keys()


def test_files_of_the_report_have_their_hashes(finished, entities):
    there = {
        path.relative_to(finished / "reports").as_posix() for path in (finished / "reports").rglob("*.*")
    }
    described = {name for name, entity in entities.items() if "sha256" in entity and ":" not in name}
    assert described == there - {"ro-crate-metadata.json", "environment.html"}
    for name in described:
        assert entities[name]["sha256"] == files.sha256(finished / "reports" / name)
    assert set(ids(entities["#report"], "result")) >= described


def test_equal_outputs_give_equal_bytes(own):
    described(own)
    path = own / "reports" / "ro-crate-metadata.json"
    before = path.read_bytes()
    # Stages end in another order where several run at once, and a lock remembers what other parameters named.
    content = yaml.safe_load((own / "dvc.lock").read_text())
    entries = content["stages"]
    stale = entries["train_sweep@mpii-sg_hrnet_small-5-0"] | {
        "outs": [{"path": "runs/x", "md5": "0", "size": 1}]
    }
    reordered = {name: entries[name] for name in reversed(entries)}
    content["stages"] = {"train_sweep@mpii-sg_hrnet_small-7-0": stale} | reordered
    (own / "dvc.lock").write_text(yaml.safe_dump(content, sort_keys=False))
    described(own)
    assert path.read_bytes() == before
    text = before.decode()
    assert str(own) not in text and os.uname().nodename not in text.split()
    assert datetime.now(UTC).strftime("%H:%M") not in text


def test_paths_of_ones_own_are_names(tmp_path, finished):
    folder = shutil.copytree(finished, tmp_path / "own")
    raw = yaml.safe_load((folder / "params.yaml").read_text())
    raw["data"]["source"], raw["model"]["pretrained"] = "/secret/archives", "/secret/w.pth"
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    write_lock(folder)
    described(folder)
    text = (folder / "reports" / "ro-crate-metadata.json").read_text()
    assert "secret" not in text and '"w.pth"' in text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("results", r"results/mpii/hrnet_small-s0 is not what dvc\.lock records of evaluate_baseline@mpii-"),
        ("stage", r"dvc\.lock records no stage prepare@mpii; run `dvc repro`"),
        ("parameter", r"dvc\.lock has another train of train_baseline@mpii-hrnet_small-0; run `dvc repro`"),
        ("lock", r"dvc\.lock is not there; `dvc repro` writes it"),
    ],
)
def test_what_cannot_be_proven_is_not_written(own, spoil, message):
    if spoil == "results":
        path = own / "results" / "mpii" / "hrnet_small-s0" / "metrics.json"
        path.write_text(path.read_text().replace("0", "1", 1))
    elif spoil == "lock":
        (own / "dvc.lock").unlink()
    else:
        content = yaml.safe_load((own / "dvc.lock").read_text())
        if spoil == "stage":
            del content["stages"]["prepare@mpii"]
        else:
            train = content["stages"]["train_baseline@mpii-hrnet_small-0"]["params"]["params.yaml"]["train"]
            train["lr"] = 1
        (own / "dvc.lock").write_text(yaml.safe_dump(content))
    (own / "reports" / "ro-crate-metadata.json").unlink(missing_ok=True)
    with pytest.raises(ValueError, match=message):
        described(own)
    assert not (own / "reports" / "ro-crate-metadata.json").exists()


@pytest.mark.slow
def test_the_validator_finds_a_process_run_crate(crated, entities):
    python = ROOT / ".venv" / "crate" / "bin" / "python"
    if not python.exists():
        pytest.skip("`make crate` sets up roc-validator")
    import rocrate

    terms = Path(rocrate.__file__).parent / "data" / "ro-crate.jsonld"
    command = [python, ROOT / "tests" / "report" / "validator.py", crated / "reports", terms]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 of what is required broken" in result.stdout
