"""Parameters: what is wrong is named, and the runs they name are those of dvc.yaml."""

import re
from itertools import pairwise

import pytest
import yaml

from pipeline import params, profiles
from pipeline.networks import NETWORKS
from pipeline.runs import named_by
from pipeline.variants import VARIANTS
from tests.conftest import ROOT, write_params
from tests.project import stages_of

PROFILES = profiles.names(ROOT / "profiles")


@pytest.fixture
def changed(tmp_path):
    """Function of a dotted key and a value -> a file of the demo's parameters with that value."""
    return lambda key, value: write_params(tmp_path / "params.yaml", {key: value})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("radius", 0, "radius: "),
        ("baselines", ["hrnet_small", "hrnet_small-50x30"], r"baselines\.1: .*multiples of 32"),
        ("baselines", ["hrnet_small", "hrnet_w33-64x64"], r"baselines\.1: .*is none of hrnet_w32"),
        ("radius", 5.0, "radius: write 5 and not 5.0"),
        ("radius", "5", "radius: must be a number of heatmap pixels"),
        ("radius", True, "radius: must be a number of heatmap pixels"),
        ("radius", 0.5, "radius: must be a number of heatmap pixels, at least 1"),
        ("radius", float("inf"), "radius: must be a number of heatmap pixels, at least 1"),
        ("radii", [3, 5], "radii.* too|radii.*2"),
        ("radii", [3, 5, 5], r"radii: \[3, 5, 5\] must rise"),
        ("radii", [3, 5.0, 9], r"radii\.1: write 5 and not 5\.0"),
        ("seeds", [], "seeds: "),
        ("seeds", [0, 0], "seeds: .*twice"),
        ("more_seeds", [3, 3], "more_seeds: .*twice"),
        ("more_seeds", [3, 0], r"seeds and more_seeds both name \[0\]"),
        ("ablations_once", ["every_module"], "ablations_once: every_module is sg_hrnet_small itself"),
        ("datasets", ["mpii"], r"datasets: \['mpii'\] must be exactly"),
        ("datasets", ["mpii", "aic"], r"datasets\.1: 'aic' is none of mpii, coco, lspet$"),
        ("radius_only", ["mpii", "coco"], "radius_sweep and radius_only both name"),
        ("radius_only", [], r"datasets: \['mpii', 'coco'\] must be exactly"),
        ("labels_only", ["mpii"], "labels_only: mpii is in datasets too"),
        ("labels_only", ["lspet"], "labels_only: lspet's labels do not come apart .* those of mpii do"),
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
        ("train.lr_drops", [7, 250], r"train\.lr_drops: \[250\] .* train\.epochs is 8;"),
        ("train.epochs", 7, r"train\.lr_drops: \[7\] .* train\.epochs is 7;"),
        ("epochs", 8, r"params\.yaml: epochs is no parameter$"),
        ("5", 8, r"params\.yaml: 5 is no parameter$"),
        ("data", "x" * 1000, r"data: .{,200}$"),
        ("ablations", ["every_module"], "ablations: every_module is sg_hrnet_small itself"),
    ],
)
def test_a_wrong_value_is_an_error_of_one_sentence_that_names_the_key(changed, key, value, message):
    path = changed(key, value)
    with pytest.raises(params.ParamsError, match=message) as error:
        params.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("radius", 10**20), ("radius", 1e20), ("radii", [3, 5, 10**20]), ("seeds", [0, 2**70]),
        ("data.demo.seed", 2**70), ("report.seed", 2**70), ("train.threads", 10**11), ("compute.workers", 10**11),
        ("compute.nproc", 10**11), ("heatmap.sigma", 10**21), ("model.small.width", 10**12),
        ("model.small.stem", 10**12), ("model.small.bottlenecks", 10**12), ("model.small.blocks", 10**12),
        ("model.small.modules", [1, 1, 10**12]), ("input.size", [32 * 10**9, 192]),
        ("data.demo.image_size", [10**9, 480]), ("data.demo.train_people", 10**12), ("train.epochs", 10**20),
        ("train.batch_size", 10**20), ("train.log_every", 10**20), ("report.resamples", 10**20),
        ("baselines", ["hrnet_small", "hrnet_small-99968x99968"]),
    ],
)  # fmt: skip
def test_a_number_beyond_all_use_is_named_before_anything_runs(changed, key, value):
    with pytest.raises(params.ParamsError, match=rf"^\S+params\.yaml: {re.escape(key)}\S*: .{{,250}}$"):
        params.load(changed(key, value))


def test_a_number_that_python_writes_in_no_digits_names_the_file(tmp_path):
    text = (ROOT / "profiles" / "demo.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("radius: 5\n", f"radius: 0x{'f' * 6000}\n"))
    with pytest.raises(params.ParamsError, match=r"^\S+params\.yaml: .*digits.{,100}$"):
        params.load(tmp_path / "params.yaml")


def test_an_ablation_without_a_dataset_to_run_on_or_that_changes_nothing_is_an_error(tmp_path):
    lists = {"radius_sweep": [], "radius_only": ["mpii", "coco"], "ablations": ["no_seg_loss"]}
    with pytest.raises(params.ParamsError, match=r"ablations: .* of ablation_datasets, which names none"):
        params.load(write_params(tmp_path / "params.yaml", lists | {"ablation_datasets": []}))
    elsewhere = {"ablation_datasets": ["mpii", "lspet"], "ablations": ["no_seg_loss"]}
    with pytest.raises(
        params.ParamsError, match=r"ablation_datasets: \['lspet'\] must stand in datasets too"
    ):
        params.load(write_params(tmp_path / "params.yaml", elsewhere))
    summed = {"loss.reduction": "sum", "ablations": ["summed_losses"]}
    with pytest.raises(params.ParamsError, match="ablations: summed_losses is sg_hrnet_small itself"):
        params.load(write_params(tmp_path / "params.yaml", summed))
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


def test_a_missing_block_is_named(changed):
    path = changed("radius", 5)
    raw = yaml.safe_load(path.read_text())
    del raw["train"]
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(params.ParamsError, match=r"params\.yaml: train is missing$"):
        params.load(path)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in pairwise("abcdefghijklmnop")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing; `make profile NAME=demo`"),
        ("", "must hold keys and values; `make profile NAME=demo`"),
        ("# all of it is a comment\n", "must hold keys and values"),
        ("- radius\n- 5\n", "must hold keys and values"),
        ("radius: [5\n", "is not YAML: .*, in line 2$"),
        ("radius: 5\n5: 5\n", "is not YAML: the key 5 is no text, in line 2$"),
        ("? [radius, 5]\n: 5\n", "is not YAML: the key .* is no text"),
        ("2024-01-01: 5\n", "is not YAML: the key .* is no text"),
        ("!!map [radius]: 5\n", "is not YAML"),
        ("radius: !!python/object/apply:os.getcwd []\n", "is not YAML: could not determine a constructor"),
        ("radius: 2024-13-45\n", "is not YAML: month must be"),
        ("radius: " + "1" * 5000, "is not YAML: "),
        ("radius: " + "[" * 100_000, "is not YAML: "),
        ("train: &train {epochs: 8}\ndata: *train\n", r"is not YAML: an alias \(\*\) .*, in line 2$"),
        (ALIASES, "is not YAML: an alias"),
        ("radius: \0", "is not YAML"),
        ("radius: \ud800".encode("utf-8", "surrogatepass"), "is no text"),
    ],
)
def test_a_missing_or_broken_file_says_what_to_do(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(params.ParamsError, match=message) as error:
        params.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_baseline_can_have_an_input_of_its_own(changed):
    p = params.load(changed("baselines", ["hrnet_small", "hrnet_small-64x96"]))
    names = [(run.model, run.input, run.name) for run in named_by(p) if run.radius is None][:2]
    assert names == [
        ("hrnet_small", None, "hrnet_small-s0"), ("hrnet_small", (64, 96), "hrnet_small-64x96-s0")
    ]  # fmt: skip


def test_the_sweep_is_the_three_radii_and_radius_each_once(changed, tmp_path):
    assert params.load(changed("radius", 5)).radii_on("mpii") == [3, 5, 9]
    assert params.load(changed("radius", 7)).radii_on("mpii") == [3, 5, 7, 9]
    assert params.load(changed("radius", 7)).radii_on("coco") == [7]
    small = {"radius": 3.5, "radii": [1.5, 2.5, 4.5]}
    p = params.load(write_params(tmp_path / "params.yaml", small))
    assert p.radii_on("mpii") == [1.5, 2.5, 3.5, 4.5]
    names = [run.name for run in named_by(p) if run.radius]
    assert names == [f"sg_hrnet_small-r{r}-s0" for r in ("1.5", "2.5", "3.5", "4.5", "3.5")]


NOTHING_TRAINS = {"datasets": [], "radius_sweep": [], "radius_only": []}


def test_of_labels_alone_predictions_are_the_only_runs(tmp_path):
    path = tmp_path / "params.yaml"
    file = {"name": "theirs", "dataset": "mpii", "box": "label", "model": "none", "file": "a.h5"}
    p = params.load(write_params(path, NOTHING_TRAINS | {"labels_only": ["mpii"], "predictions": [file]}))
    assert [run.name for run in named_by(p)] == ["theirs"] and p.measured == ["mpii"]
    weights = {"name": "w", "dataset": "mpii", "model": "hrnet_w32", "file": "w.pth"}
    with pytest.raises(params.ParamsError, match="checkpoints: w needs mpii in datasets"):
        params.load(write_params(path, NOTHING_TRAINS | {"labels_only": ["mpii"], "checkpoints": [weights]}))
    with pytest.raises(params.ParamsError, match="datasets: names none, and neither does labels_only"):
        params.load(write_params(path, NOTHING_TRAINS))


def test_ablations_run_on_the_datasets_that_are_named(tmp_path):
    changes = {"ablations": ["bilinear_hrnet"], "ablation_datasets": ["coco"]}
    p = params.load(write_params(tmp_path / "params.yaml", changes))
    assert [(run.dataset, run.name) for run in named_by(p) if run.ablation] == [
        ("coco", "bilinear_hrnet-r5-s0")
    ]


def test_more_seeds_are_the_first_questions_alone_and_some_ablations_have_one(tmp_path):
    """Paper's first question: the guided network at `radius` against networks without guidance."""
    lists = {"ablations": ["no_seg_loss"], "ablations_once": ["no_attention"], "more_seeds": [3]}
    p = params.load(write_params(tmp_path / "params.yaml", lists | {"seeds": [1, 2]}))
    named = [run for run in named_by(p) if run.dataset == "mpii"]
    seeds = {}
    for run in named:
        seeds.setdefault(run.configuration, []).append(run.seed)
    guided = "sg_hrnet_small-r{}".format
    assert seeds == {
        "hrnet_small": [1, 2, 3], guided(3): [1, 2], guided(5): [1, 2, 3], guided(9): [1, 2],
        "no_seg_loss-r5": [1, 2], "no_attention-r5": [1],
    }  # fmt: skip
    both = lists | {"ablations_once": ["no_attention", "no_seg_loss"]}
    with pytest.raises(params.ParamsError, match=r"ablations and ablations_once both name \['no_seg_loss'\]"):
        params.load(write_params(tmp_path / "params.yaml", both))


def test_comments_name_every_network_and_ablation():
    lines = (ROOT / "profiles" / "demo.yaml").read_text().splitlines()
    words = {word for line in lines if line.startswith("#") for word in line.split()}
    assert {*NETWORKS, *VARIANTS} <= words


def test_the_paper_profile_is_the_papers_protocol():
    p = params.parse(profiles.merged("paper", ROOT / "profiles"), "paper")
    assert (p.input.size, p.heatmap.sigma, p.loss.lambda_) == ((256, 192), 2, 0.002)
    assert (p.train.epochs, p.train.batch_size, p.train.lr, p.train.lr_drops) == (210, 32, 0.001, [170, 200])
    assert (p.augment.rotation_std, p.augment.scale_std, p.augment.rotation) == (45, 0.35, 0.6)
    assert (p.dwa.per, p.dwa.temperature, p.segmentation.distance) == ("step", 1.0, "euclidean")
    assert (p.baselines, p.guided, p.radius) == (["hrnet_w32"], "sg_hrnet_w32", 5)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("radius", [5, 7, 3.5])
def test_dvc_trains_and_evaluates_exactly_the_runs_that_the_parameters_name(tmp_path, profile, radius):
    text = (
        profiles.merged(profile, ROOT / "profiles")
        .replace("radius: 5\n", f"radius: {radius}\n")
        .replace("\nseeds: [0]", "\nseeds: [0, 1]")
    )
    text = text.replace("ablations: []", "ablations: [no_seg_loss, no_attention]")
    text = text.replace("more_seeds: []", "more_seeds: [7, 8]")
    text = text.replace("ablations_once: []", "ablations_once: [summed_losses]")
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    stages = list(stages_of(tmp_path))
    named = {f"{run.dataset}/{run.name}" for run in named_by(params.load(tmp_path / "params.yaml"))}
    outputs = [out.def_path for stage in stages for out in stage.outs]
    assert {path.removeprefix("results/") for path in outputs if path.startswith("results/")} == named
    assert sum(stage.name.startswith("train") for stage in stages) == len(named)
    assert sum(stage.name.startswith("evaluate") for stage in stages) == len(named)
