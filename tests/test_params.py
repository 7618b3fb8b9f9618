"""Parameters: what is wrong is named, and the runs they name are those of dvc.yaml."""

import subprocess
import sys

import pytest
import yaml

from pipeline import params
from tests.conftest import ROOT, write_params

PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def changed(tmp_path):
    """Function of a dotted key and a value -> a file of the demo's parameters with that value."""

    return lambda key, value: write_params(tmp_path / "params.yaml", {key: value})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("radius", 0, "radius: "),
        ("radius", 5.0, "radius: .*integer"),
        ("radius", "5", "radius: .*integer"),
        ("seeds", [], "seeds: "),
        ("seeds", [0, 0], "seeds: .*twice"),
        ("datasets", ["mpii"], r"datasets: \['mpii'\] must be exactly"),
        ("datasets", ["mpii", "aic"], r"datasets\.1: .*'aic'"),
        ("radius_only", ["mpii", "coco"], "radius_sweep and radius_only both name"),
        ("baselines", ["hrnet_w32"], "baselines: must name hrnet_small"),
        ("ablations", ["no_sgm"], r"ablations\.0: "),
        ("train.epochs", -1, r"train\.epochs: "),
        ("train.learning_rate", 0.1, r"train\.learning_rate is no parameter"),
        ("train.lr", float("inf"), r"train\.lr: .*finite"),
        ("input.size", [250, 192], r"input\.size: \[250, 192\] must be multiples of 32"),
        ("loss.lambda", "small", r"loss\.lambda: "),
        ("compute.device", "tpu", r"compute\.device: "),
        ("data", None, "data: "),
        ("train.lr", "1e-3", r"train\.lr: .*reads as text: write 0\.001$"),
        ("train.lr", "1e-5", r"train\.lr: .*reads as text: write 1\.0e-05$"),
        ("loss.lambda", "some", r"loss\.lambda: .*\(got 'some'\)$"),
        ("evaluate.detections", "", r"evaluate\.detections: "),
        ("ablations", ["every_module"], "ablations: every_module is sg_hrnet_small itself"),
    ],
)
def test_a_wrong_value_is_an_error_of_one_sentence_that_names_the_key(changed, key, value, message):
    path = changed(key, value)
    with pytest.raises(params.ParamsError, match=message) as error:
        params.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_an_ablation_without_a_dataset_to_run_on_or_that_changes_nothing_is_an_error(tmp_path):
    lists = {"radius_sweep": [], "radius_only": ["mpii", "coco"], "ablations": ["no_seg_loss"]}
    with pytest.raises(params.ParamsError, match=r"ablations: .* datasets of radius_sweep, which names none"):
        params.load(write_params(tmp_path / "params.yaml", lists))
    same = {"guidance.apply": "stage_input", "ablations": ["stage_input"]}
    with pytest.raises(params.ParamsError, match="ablations: stage_input is sg_hrnet_small itself"):
        params.load(write_params(tmp_path / "params.yaml", same))
    other = {"model.small.modules": [1, 1, 2], "ablations": ["every_module"]}
    assert params.load(write_params(tmp_path / "params.yaml", other)).ablations == ["every_module"]


def test_a_key_that_stands_twice_is_named(tmp_path):
    text = (ROOT / "profiles" / "demo.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("radius: 5\n", "radius: 5\nradius: 9\n"))
    with pytest.raises(params.ParamsError, match=r"params\.yaml.*the key 'radius' stands twice"):
        params.load(tmp_path / "params.yaml")


def test_a_missing_key_is_named(changed):
    path = changed("radius", 5)
    raw = yaml.safe_load(path.read_text())
    del raw["train"]["lr"]
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(params.ParamsError, match=r"train\.lr is missing"):
        params.load(path)


def test_of_a_misspelt_key_the_misspelling_is_named(changed):
    path = changed("radius", 5)
    raw = yaml.safe_load(path.read_text())
    raw["train"]["epoch"] = raw["train"].pop("epochs")
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(params.ParamsError, match=r"train\.epoch is no parameter"):
        params.load(path)


def test_a_missing_or_broken_file_says_what_to_do(tmp_path):
    with pytest.raises(params.ParamsError, match="make profile NAME=demo"):
        params.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("radius: [5\n")
    with pytest.raises(params.ParamsError, match="is not YAML"):
        params.load(tmp_path / "params.yaml")


def test_the_sweep_is_3_5_9_and_radius_each_once(changed):
    assert params.load(changed("radius", 5)).radii("mpii") == [3, 5, 9]
    assert params.load(changed("radius", 7)).radii("mpii") == [3, 5, 7, 9]
    assert params.load(changed("radius", 7)).radii("coco") == [7]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_profiles_are_complete_and_explain_the_same_keys(profile):
    assert params.load(profile).profile == profile.stem

    def keys(path):
        raw = yaml.safe_load(path.read_text())
        return [(group, list(value) if isinstance(value, dict) else None) for group, value in raw.items()]

    assert keys(profile) == keys(ROOT / "profiles" / "demo.yaml")


def test_the_paper_profile_is_the_papers_protocol():
    p = params.load(ROOT / "profiles" / "paper.yaml")
    assert (p.input.size, p.heatmap.sigma, p.loss.lambda_) == ((256, 192), 2, 0.002)
    assert (p.train.epochs, p.train.batch_size, p.train.lr, p.train.lr_drops) == (210, 32, 0.001, [170, 200])
    assert (p.augment.rotation_std, p.augment.scale_std, p.augment.rotation) == (45, 0.35, 0.6)
    assert (p.dwa.per, p.dwa.temperature, p.segmentation.distance) == ("step", 1.0, "euclidean")
    assert (p.baselines, p.guided, p.radius) == (["hrnet_w32"], "sg_hrnet_w32", 5)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("radius", [5, 7])
def test_dvc_trains_and_evaluates_exactly_the_runs_that_the_parameters_name(tmp_path, profile, radius):
    text = (
        profile.read_text()
        .replace("radius: 5\n", f"radius: {radius}\n")
        .replace("seeds: [0]", "seeds: [0, 1]")
    )
    text = text.replace("ablations: []", "ablations: [no_seg_loss, no_attention]")
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        [*dvc, "stage", "list"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    named = {f"{run.dataset}/{run.name}" for run in params.load(tmp_path / "params.yaml").runs()}
    outputs = [word for line in listed.splitlines() for word in line.split()]
    assert {word.removeprefix("results/") for word in outputs if word.startswith("results/")} == named
    stages = [line.split()[0] for line in listed.splitlines()]
    assert sum(stage.startswith("train") for stage in stages) == len(named)
    assert sum(stage.startswith("evaluate") for stage in stages) == len(named)
