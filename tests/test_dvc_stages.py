"""No value of params.yaml reaches a shell: commands carry none, and stages find theirs by name."""

import json
import subprocess
import sys

import pytest
import yaml
from pydantic import ValidationError

from pipeline import dvc_stages, params, profiles
from tests.conftest import ROOT, write_params
from tests.project import attempt, copy, dvc, environment, stages_of

HOSTILE = (
    "0; touch x;", ";touch x", "; touch x #", "0 ; touch x ;", "a && touch x", "a || touch x", "| touch x",
    "|& touch x", "& touch x &", "$(touch x)", "`touch x`", "${IFS}touch${IFS}x", "$(touch${IFS}x)",
    "$((1)); touch x", "\"; touch x; \"", "'; touch x #", "'$(touch x)'", "\\$(touch x)", "> x", ">> x", "2> x",
    "< /dev/null > x", "<(touch x)", ">(touch x)", "\ntouch x", "\ntouch x\n", "\r\ntouch x\r\n", "\ttouch x",
    "--help; touch x", "-c 'touch x'", "{touch,x}", "!touch x", "#\ntouch x", "x=1 touch x", "eval touch x",
    "exec touch x", "../../x", "~/x", "*", "é; touch x",
)  # fmt: skip
CHECKPOINT = {"name": "w", "dataset": "mpii", "model": "hrnet_small", "file": "w.pth"}
PREDICTIONS = {"name": "p", "dataset": "mpii", "box": "label", "model": "none", "file": "p.mat"}
# Whatever dvc.yaml interpolates, with a text in its place.
PLACES = {
    "radius": lambda text: {"radius": text},
    "seeds": lambda text: {"seeds": [text]},
    "more_seeds": lambda text: {"more_seeds": [text]},
    "radii": lambda text: {"radii": [3, 5, text]},
    "datasets": lambda text: {"datasets": ["mpii", text]},
    "labels_only": lambda text: {"labels_only": [text]},
    "radius_sweep": lambda text: {"radius_sweep": [text]},
    "radius_only": lambda text: {"radius_only": [text]},
    "ablation_datasets": lambda text: {"ablation_datasets": [text]},
    "baselines": lambda text: {"baselines": ["hrnet_small", text]},
    "guided": lambda text: {"guided": text},
    "ablations": lambda text: {"ablations": [text]},
    "ablations_once": lambda text: {"ablations_once": [text]},
    "checkpoints": lambda text: {"checkpoints": [CHECKPOINT | {"name": text}]},
    "checkpoints.0.dataset": lambda text: {"checkpoints": [CHECKPOINT | {"dataset": text}]},
    "checkpoints.0.model": lambda text: {"checkpoints": [CHECKPOINT | {"model": text}]},
    "predictions": lambda text: {"predictions": [PREDICTIONS | {"name": text}]},
    "predictions.0.dataset": lambda text: {"predictions": [PREDICTIONS | {"dataset": text}]},
}


@pytest.fixture(scope="module")
def demo():
    return yaml.safe_load((ROOT / "profiles" / "demo.yaml").read_text())


def test_no_command_carries_a_value():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert stage["cmd"].split()[:2] == ["python", "-m"] and len(stage["cmd"].split()) == 3, name


@pytest.mark.parametrize("key", PLACES)
def test_40_hostile_values_are_refused(demo, key):
    assert len(set(HOSTILE)) == 40
    for text in HOSTILE:
        with pytest.raises(ValidationError) as refused:
            params.Params.model_validate_json(json.dumps(demo | PLACES[key](text)))
        places = [".".join(map(str, error["loc"])) for error in refused.value.errors()]
        assert any(place.startswith(key) for place in places), places


@pytest.mark.parametrize("key", PLACES)
def test_a_hostile_value_is_refused_in_a_sentence(tmp_path, key):
    with pytest.raises(params.ParamsError, match=rf"params\.yaml: {key}") as refused:
        params.load(write_params(tmp_path / "params.yaml", PLACES[key](HOSTILE[0])))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["seeds", "baselines", "ablations"])
def test_40_hostile_values_change_no_command_that_dvc_would_run(tmp_path, demo, key):
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    plain = {stage["cmd"] for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()}
    texts = list(HOSTILE)
    values = demo | {"radius": texts[0], "guided": texts[1], "datasets": ["mpii"], "radius_only": texts[2:3]}
    values |= {"ablations": ["no_seg_loss"], "ablation_datasets": ["mpii"], key: texts}
    if key == "seeds":
        values["checkpoints"] = [CHECKPOINT | {"file": text} for text in texts]
        values["predictions"] = [PREDICTIONS | {"name": text, "file": text} for text in texts]
    (tmp_path / "params.yaml").write_text(json.dumps(values))
    stages = list(stages_of(tmp_path))
    assert {stage.cmd for stage in stages} <= plain
    assert len(stages) > 40
    assert not (tmp_path / "x").exists()


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
    raw |= {"more_seeds": [4], "ablations_once": ["stage_input", "summed_losses"]}
    raw["baselines"] = [*raw["baselines"], "hrnet_w48-256x256"]
    file = "weights/my w.pth"
    raw["checkpoints"] = [{"name": "w", "dataset": raw["datasets"][0], "model": "hrnet_w32", "file": file}]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    known = dvc_stages.arguments(params.load(tmp_path / "params.yaml"))
    assert {stage.name for stage in stages_of(tmp_path) if "@" in stage.name} == known.keys()
    assert f"--weights={file}" in known["evaluate_checkpoint@checkpoint0"]


def test_labels_alone_need_two_stages_and_no_image(tmp_path):
    theirs = {"name": "theirs", "dataset": "mpii", "box": "label", "model": "none", "file": "theirs.h5"}
    nothing = {"datasets": [], "radius_sweep": [], "radius_only": []}
    changes = nothing | {"labels_only": ["mpii"], "predictions": [theirs]}
    p = params.load(write_params(tmp_path / "params.yaml", changes))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    known = dvc_stages.arguments(p)
    assert {stage.name for stage in stages_of(tmp_path) if "@" in stage.name} == known.keys()
    names = {"download_labels@mpii", "prepare_labels@mpii", "evaluate_predictions@predictions0"}
    assert known.keys() == names
