"""What a run is called in MLflow, and what makes it the same run."""

import pytest


def test_a_name_says_what_it_is_and_what_differs_from_the_profile(project, make_facts):
    assert make_facts().name == "mpii/sg_hrnet_small/r5/s0"
    assert make_facts(model="hrnet_small", radius=None, seed=2).name == "mpii/hrnet_small/s2"
    assert make_facts(ablation="no_seg_loss").name == "mpii/sg_hrnet_small/no_seg_loss/r5/s0"
    sized = make_facts(model="hrnet_small", radius=None, input=(64, 64))
    assert sized.name.split()[0] == "mpii/hrnet_small/64x64/s0"
    changed = make_facts({"train.lr": 0.0005, "train.lr_drops": [2, 3], "dwa.per": "epoch"})
    assert changed.name == "mpii/sg_hrnet_small/r5/s0 lr=0.0005 lr_drops=[2,3] per=epoch"
    # What a baseline does not use is no part of it.
    assert make_facts({"dwa.per": "epoch"}, model="hrnet_small", radius=None).name == "mpii/hrnet_small/s0"


def test_many_departures_from_the_profile_are_counted(project, make_facts):
    keys = ("flip", "rotation", "rotation_std", "scale_std")
    name = make_facts({f"augment.{key}": 0.25 for key in keys} | {"train.epochs": 9, "train.lr": 0.1}).name
    assert name.endswith(" +2") and len(name) < 100


@pytest.mark.parametrize(
    ("profile", "source", "experiment"),
    [
        ("demo", "demo", "demo-mpii"),
        ("paper", "official", "paper-mpii"),
        ("mirror", "folder", "mirror-mpii"),
        ("demo", "folder", "demo-folder-mpii"),
        ("paper", "demo", "paper-demo-mpii"),
    ],
)
def test_drawn_people_are_never_in_one_experiment_with_real_ones(make_facts, profile, source, experiment):
    assert make_facts(profile=profile, source=source).experiment == experiment


def test_parameters_are_called_as_in_params_yaml(make_facts):
    params = make_facts({"train.epochs": 9}).params
    assert params["train.epochs"] == "9" and params["loss.lambda"] == "0.002"
    assert params["radius"] == "5" and params["seed"] == "0" and params["network"] == "sg_hrnet_small"
    assert params["model.small.width"] == "16" and params["dwa.per"] == "step"
    assert not [key for key in params if key.startswith(("params.", "settings", "record"))]
    baseline = make_facts(model="hrnet_small", radius=None).params
    assert "radius" not in baseline and "dwa.per" not in baseline and "loss.lambda" not in baseline


def test_a_training_is_the_same_on_every_machine_and_another_by_other_code_data_or_parameters(make_facts):
    key = make_facts().key
    assert make_facts(torch="2.12.1").key == key
    assert make_facts(profile="mirror").key == key
    others = [
        make_facts(code="d" * 32),
        make_facts(seed=1),
        make_facts(radius=7),
        make_facts({"train.lr": 0.1}),
        make_facts(source="folder"),
    ]
    assert len({key, *(other.key for other in others)}) == 6
