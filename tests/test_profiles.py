"""Profiles: what each changes, that comments stay, and that nothing of the user's is lost."""

import subprocess
import sys

import pytest
import yaml

from pipeline import params, profiles, runs
from tests.conftest import ROOT

FOLDER = ROOT / "profiles"
NAMES = profiles.names(FOLDER)
LARGE = {
    "input.size": [256, 192],
    "heatmap.sigma": 2,
}
REAL = LARGE | {
    "baselines": ["hrnet_w32"],
    "guided": "sg_hrnet_w32",
    "data.source": "official",
    "augment.rotation_std": 45,
    "augment.scale_std": 0.35,
    "train.batch_size": 32,
    "train.lr": 0.001,
    "train.precision": "bfloat16",
    "train.compile": True,
    "train.deterministic": False,
    "train.log_every": 50,
    "compute.device": "cuda",
    "compute.workers": 8,
}
CHANGES = {
    "demo": {},
    "mirror": LARGE
    | {
        "profile": "mirror",
        "data.source": "../shared/mirror",
        "train.epochs": 20,
        "train.batch_size": 16,
        "train.lr_drops": [14, 18],
        "train.validate_every": 5,
        "compute.workers": 2,
    },
    "lspet": REAL
    | {
        "profile": "lspet",
        "datasets": ["lspet"],
        "radius_sweep": ["lspet"],
        "radius_only": [],
        "ablation_datasets": ["lspet"],
        "model.pretrained": "imagenet_if_there",
        "train.epochs": 60,
        "train.lr_drops": [48, 57],
        "train.validate_every": 5,
    },
    "lspet-small": {
        "profile": "lspet-small",
        "radius": 2.5,
        "radii": [1.5, 2.5, 4.5],
        "seeds": [0, 1, 2],
        "datasets": ["lspet"],
        "radius_sweep": ["lspet"],
        "radius_only": [],
        "ablations": ["bilinear_hrnet", "no_seg_loss"],
        "ablations_once": ["no_attention", "fixed_weights", "stage_input", "stage_output", "summed_losses"],
        "more_seeds": [3, 4],
        "ablation_datasets": ["lspet"],
        "data.source": "official",
        "augment.rotation_std": 45,
        "augment.scale_std": 0.35,
        "train.epochs": 30,
        "train.batch_size": 32,
        "train.lr": 0.001,
        "train.lr_drops": [24, 28],
        "train.log_every": 50,
        "train.validate_every": 2,
        "compute.workers": 2,
    },
    "paper": REAL
    | {
        "profile": "paper",
        "model.pretrained": "imagenet",
        "train.epochs": 210,
        "train.lr_drops": [170, 200],
        "train.validate_every": 10,
    },
}


def flat(values, group=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{group}{key}.")
        else:
            yield f"{group}{key}", value


def values_of(text):
    return dict(flat(yaml.safe_load(text)))


@pytest.fixture
def folder(tmp_path):
    """A copy of the profiles to spoil."""
    copy = tmp_path / "profiles"
    copy.mkdir()
    for file in FOLDER.glob("*.yaml"):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_the_committed_parameters_are_the_demo():
    committed = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=ROOT, capture_output=True)
    if committed.returncode:
        pytest.skip("no git history here")
    demo = subprocess.run(["git", "show", "HEAD:profiles/demo.yaml"], cwd=ROOT, capture_output=True)
    assert committed.stdout == demo.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_has_the_demos_values_but_for_those_it_names(name):
    demo, values = values_of((FOLDER / "demo.yaml").read_text()), values_of(profiles.merged(name, FOLDER))
    assert list(values) == list(demo)
    assert {key: value for key, value in values.items() if value != demo[key]} == CHANGES[name]
    own = values_of((FOLDER / f"{name}.yaml").read_text())
    assert name == "demo" or own == CHANGES[name]


def test_lspet_small_has_five_seeds_of_the_first_question_and_one_of_further_ablations(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(profiles.merged("lspet-small", FOLDER))
    named = [run.configuration for run in runs.named_by(params.load(path))]
    assert {name: named.count(name) for name in named} == {
        "hrnet_small": 5, "sg_hrnet_small-r2.5": 5, "sg_hrnet_small-r1.5": 3, "sg_hrnet_small-r4.5": 3,
        "bilinear_hrnet-r2.5": 3, "no_seg_loss-r2.5": 3, "no_attention-r2.5": 1, "fixed_weights-r2.5": 1,
        "stage_input-r2.5": 1, "stage_output-r2.5": 1, "summed_losses-r2.5": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_comments_stay_below_a_heading_of_the_profiles_own(name):
    demo, text = (FOLDER / "demo.yaml").read_text(), profiles.merged(name, FOLDER)
    heading, _, body = text.partition("\n\n")
    assert heading == (FOLDER / f"{name}.yaml").read_text().partition("\n\n")[0]
    different = [
        (one, other)
        for one, other in zip(demo.partition("\n\n")[2].splitlines(), body.splitlines(), strict=True)
        if one != other
    ]
    assert len(different) == len(CHANGES[name])
    assert not any("#" in line for pair in different for line in pair)


def test_from_profile_to_profile_and_back_is_the_same_byte_for_byte(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    for name in ("demo", *NAMES, "demo"):
        profiles.write(name, path, FOLDER)
        assert params.load(path).profile == name
    assert path.read_bytes() == (FOLDER / "demo.yaml").read_bytes()
    assert list(tmp_path.iterdir()) == [path] and "changes" not in capsys.readouterr().out


def test_changed_values_are_told_and_the_changed_file_is_kept(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    profiles.write("lspet", path, FOLDER)
    changed = path.read_text().replace("radius: 5\n", "radius: 9\n").replace("lr: 0.001", "lr: 0.002")
    path.write_text(changed)
    profiles.write("paper", path, FOLDER)
    assert "radius: 9 (lspet: 5); train.lr: 0.002 (lspet: 0.001)" in capsys.readouterr().out
    assert (tmp_path / "params.yaml.orig").read_text() == changed
    path.write_text("radius: [")
    profiles.write("demo", path, FOLDER)
    # A second one does not push out the first.
    assert (tmp_path / "params.yaml.orig").read_text() == changed
    assert (tmp_path / "params.yaml.orig2").read_text() == "radius: ["
    assert params.load(path).profile == "demo"


def test_comments_of_the_users_own_are_kept_too(tmp_path, capsys):
    path = tmp_path / "params.yaml"
    path.write_text((FOLDER / "demo.yaml").read_text() + "# mine\n")
    profiles.write("demo", path, FOLDER)
    assert (tmp_path / "params.yaml.orig").read_text().endswith("# mine\n")
    assert "no other values" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 210", "epoch: 210"), r"paper\.yaml: train\.epoch is no parameter"),
        (("guided:", "guide:"), r"paper\.yaml: guide is no parameter"),
        (("epochs: 210", "epochs: many"), r"paper\.yaml: train\.epochs: .*'many'"),
        (("  sigma: 2\n", "  sigma: 2\n  sigma: 3\n"), r"paper\.yaml is not YAML: .*'sigma' stands twice"),
        (("train:\n", "train: fast\ntrained:\n"), r"paper\.yaml: trained is no parameter"),
        (("profile: paper", "profile: demo"), r"paper\.yaml: profile must be paper"),
        (("# The paper", "paper: 1\n# The paper"), r"paper\.yaml must begin with comments"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named_and_nothing_is_written(tmp_path, folder, change, message):
    paper = folder / "paper.yaml"
    paper.write_text(paper.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        profiles.write("paper", tmp_path / "params.yaml", folder)
    assert not (tmp_path / "params.yaml").exists()


@pytest.mark.parametrize("arguments", [[], ["papr"], ["demo", "paper"], ["../profiles/paper"]])
def test_an_unknown_profile_is_answered_with_those_there_are(arguments):
    command = [sys.executable, "-m", "pipeline.profiles", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "NAME is one of demo, lspet, lspet-small, mirror, paper" in done.stderr
    assert len(done.stderr.splitlines()) == 1
