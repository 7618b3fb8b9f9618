"""No value of params.yaml reaches a shell: commands carry none, and stages find theirs by name."""

import subprocess
import sys

import pytest
import yaml

from pipeline import dvc_stages, params, profiles
from tests.conftest import ROOT, write_params
from tests.project import attempt, copy, dvc, environment, stages_of

HOSTILE = (
    "0; touch x;",
    "$(touch x)",
    "`touch x`",
    "a && touch x",
    "| touch x",
    "> x",
    "\ntouch x",
    "'; touch x #",
)
PLACES = {
    "radius": lambda text: text,
    "seeds": lambda text: [text],
    "datasets": lambda text: ["mpii", text],
    "baselines": lambda text: ["hrnet_small", text],
    "guided": lambda text: text,
    "ablations": lambda text: [text],
}


def test_no_command_carries_a_value():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert stage["cmd"].split()[:2] == ["python", "-m"] and len(stage["cmd"].split()) == 3, name


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_value_is_refused_by_name(tmp_path, key, text):
    with pytest.raises(params.ParamsError, match=rf"params\.yaml: {key}"):
        params.load(write_params(tmp_path / "params.yaml", {key: PLACES[key](text)}))


def test_dvc_runs_no_hostile_value(tmp_path):
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    for name in ("pipeline", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    file = "weights/$(touch x) my w.pth"
    given = {"name": "w", "dataset": "mpii", "model": "hrnet_small", "file": file}
    changes = {"seeds": ["0; touch x;"], "ablations": ["$(touch x)"], "checkpoints": [given]}
    write_params(tmp_path / "params.yaml", changes)
    dvc(tmp_path, "init", "--no-scm", "-q")
    result = attempt(tmp_path, "repro")
    assert result.returncode != 0 and "stages.code: params.yaml: seeds.0" in result.stderr + result.stdout
    assert not (tmp_path / "x").exists() and not (tmp_path / "data").exists()


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A project whose first stage, which checks params.yaml, has run."""
    folder = copy(tmp_path_factory.mktemp("checked") / "project")
    write_params(folder / "params.yaml", {})
    dvc(folder, "init", "--no-scm", "-q")
    dvc(folder, "repro", "code")
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 8}, "epochs is no parameter"),
        ({"train.lr_drops": [8]}, "train.lr_drops: [8] would never come"),
        ({"datasets": ["mpii", "aic"]}, "datasets.1: 'aic' is none of mpii"),
        ({"radius_only": []}, "datasets: ['mpii', 'coco'] must be exactly what"),
        ({"compute.device": "tpu"}, "compute.device: Input should be"),
    ],
)
def test_dvc_itself_stops_before_the_first_stage_and_no_output_is_gone(checked, changes, message):
    before = sorted(checked.glob("build/code/**/*.json"))
    write_params(checked / "params.yaml", changes)
    result = attempt(checked, "repro")
    assert result.returncode != 0 and f"stages.code: params.yaml: {message}" in result.stderr + result.stdout
    assert before and sorted(checked.glob("build/code/**/*.json")) == before
    assert not (checked / "data").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "params.yaml must hold keys and values; `make profile NAME=demo` writes a whole one"),
        ("radius: 5\n", "params.yaml: profile is missing"),
        (None, "params.yaml: radius_sweep and radius_only both name ['mpii']; keep each in one list"),
    ],
)
def test_what_dvc_reads_before_any_stage_is_checked_before_dvc(tmp_path, text, message):
    write_params(tmp_path / "params.yaml", {"radius_only": ["coco", "mpii"]})
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    recipe = (ROOT / "Makefile").read_text().partition("\nrepro:")[2].splitlines()
    assert recipe[1].strip() == "@python -m pipeline.params"
    command = [sys.executable, "-m", "pipeline.params"]
    where = environment() | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr == f"{message}\n"


@pytest.mark.parametrize("profile", profiles.names(ROOT / "profiles"))
@pytest.mark.parametrize("radius", [5, 7, 3.5])
def test_every_stage_of_a_matrix_has_its_arguments(tmp_path, profile, radius):
    text = profiles.merged(profile, ROOT / "profiles").replace("radius: 5\n", f"radius: {radius}\n")
    raw = yaml.safe_load(text) | {"seeds": [0, 3], "ablations": ["no_seg_loss", "no_attention"]}
    raw["baselines"] = [*raw["baselines"], "hrnet_w48-256x256"]
    file = "weights/my w.pth"
    raw["checkpoints"] = [{"name": "w", "dataset": raw["datasets"][0], "model": "hrnet_w32", "file": file}]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    known = dvc_stages.arguments(params.load(tmp_path / "params.yaml"))
    assert {stage.name for stage in stages_of(tmp_path) if "@" in stage.name} == known.keys()
    assert f"--weights={file}" in known["evaluate_checkpoint@checkpoint0"]
