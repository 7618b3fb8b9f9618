"""Fingerprints of code: what an edit makes stale, and that nothing which runs is left out."""

import ast
import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from pipeline import code, consumers, definitions, params
from tests.conftest import ROOT, write_params
from tests.project import clone, dvc, stages_of

RUNS = {
    "hrnet": consumers.of_run("train", "mpii", "hrnet_w32"),
    "sg_hrnet": consumers.of_run("train", "mpii", "sg_hrnet_w32"),
    "no_seg_loss": consumers.of_run("train", "mpii", "sg_hrnet_w32", "no_seg_loss"),
    "resnet": consumers.of_run("train", "mpii", "pose_resnet50"),
    "coco": consumers.of_run("train", "coco", "hrnet_w32"),
}
OTHERS = {c.name: c for c in consumers.consumers() if c.stage in ("download", "prepare", "targets", "report")}
EVALUATIONS = {f"evaluate {name}": consumers.of_run("evaluate", *_) for name, _ in (
    ("hrnet", ("mpii", "hrnet_w32")), ("sg_hrnet", ("mpii", "sg_hrnet_w32")),
)}  # fmt: skip
EVERY_RUN, GUIDED = set(RUNS), {"sg_hrnet", "no_seg_loss"}


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """A copy of the project's code."""
    folder = tmp_path_factory.mktemp("tree")
    for package in ("pipeline", "stages"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


class Tree:
    """A copy of the project's code that the fingerprints are made of; what a test writes there is undone."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.texts: dict[Path, str | None] = {}

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        self.texts.setdefault(path, path.read_text() if path.exists() else None)
        path.write_text(text)
        forget()

    def edit(self, file: str, before: str, after: str) -> None:
        self.write(file, edited((self.folder / file).read_text(), file, before, after))

    def undo(self) -> None:
        for path, text in self.texts.items():
            if text is None:
                path.unlink()
            else:
                path.write_text(text)


@pytest.fixture
def tree(copied, monkeypatch):
    monkeypatch.setattr(definitions, "ROOT", copied)
    forget()
    tree = Tree(copied)
    yield tree
    tree.undo()
    monkeypatch.undo()
    forget()


def forget() -> None:
    for remembered in (definitions.read, definitions._file, definitions.split):
        remembered.cache_clear()


def edited(text: str, file: str, before: str, after: str) -> str:
    assert before in text, f"{file} no longer holds {before!r}: this test needs another edit"
    return text.replace(before, after, 1)


def fingerprints(which) -> dict:
    return {name: consumer.reachable() for name, consumer in which.items()}


@pytest.fixture(scope="session")
def unedited():
    """What each consumer reaches in the project as it is."""
    return fingerprints(RUNS | EVALUATIONS | OTHERS)


def changed(which, unedited) -> set[str]:
    """The consumers whose fingerprints an edit changed."""
    return {name for name, reached in fingerprints(which).items() if reached != unedited[name]}


# file, what stands there, what takes its place, and the trainings that this makes stale.
EDITS = {
    "a comment": ("pipeline/models/hrnet.py", "@dataclass(frozen=True)", "# New.\n@dataclass(frozen=True)", set()),
    "a docstring": ("pipeline/training/step.py", '"""Train on a batch', '"""Learn from a batch', set()),
    "an annotation": ("pipeline/training/step.py", "number: int, lr: float) -> Losses", "number, lr)", set()),
    "another layout": (
        "pipeline/models/blocks.py",
        "return nn.Sequential(first, *rest)",
        "return nn.Sequential(\n        first,\n        *rest,\n    )",
        set(),
    ),
    "a network's title": ("pipeline/networks.py", 'title="HRNet-W32"', 'title="HRNet"', set()),
    "a message": ("pipeline/params.py", "names something twice", "has something twice", set()),
    "what MLflow gets": ("pipeline/tracking/rows.py", "SUFFIX = 60", "SUFFIX = 50", set()),
    "the progress bar": ("pipeline/training/progress.py", 'unit=" images"', 'unit=" people"', set()),
    "a parser": ("pipeline/datasets/formats/mpii.py", "SHIFT_DOWN = 15.0", "SHIFT_DOWN = 16.0", set()),
    "a plot's metric": ("pipeline/metrics/pckh.py", '"""The mean PCKh in percent at each', '"""PCKh"""; """', set()),
    "resampling": ("pipeline/metrics/bootstrap.py", "level: float = 0.95", "level: float = 0.9", set()),
    "a function that nobody calls": (
        "pipeline/codec/heatmap.py", "def encode(", "def more():\n    pass\n\n\ndef encode(", set()
    ),
    "an operator in HRNet's blocks": (
        "pipeline/models/blocks.py",
        "self.residual(x_BCHW) + x_BCHW",
        "self.residual(x_BCHW) - x_BCHW",
        {"hrnet", "sg_hrnet", "no_seg_loss", "coco"},
    ),
    "an operator in HRNet": (
        "pipeline/models/hrnet.py",
        "functools.reduce(operator.add, parts)",
        "functools.reduce(operator.mul, parts)",
        {"hrnet", "sg_hrnet", "no_seg_loss", "coco"},
    ),
    "an operator in the guided module": (
        "pipeline/models/guidance.py",
        "self.score(self.conv(x_BCHW))",
        "self.score(-self.conv(x_BCHW))",
        GUIDED,
    ),
    "a network's width": ("pipeline/networks.py", 'options={"width": 32}', 'options={"width": 33}', {"hrnet", "coco"}),
    "an ablation's meaning": (
        "pipeline/variants.py",
        "supervised=False, weighted=False",
        "supervised=False, weighted=True",
        {"no_seg_loss"},
    ),
    "ResNet": ("pipeline/models/resnet.py", "F.max_pool2d(", "F.avg_pool2d(", {"resnet"}),
    "Eq. 5": ("pipeline/training/losses.py", "0.5 * squares_BKHW.mean()", "0.6 * squares_BKHW.mean()", EVERY_RUN),
    "Eq. 3": ("pipeline/codec/heatmap.py", "reach = 3 * sigma", "reach = 4 * sigma", EVERY_RUN),
    "Eq. 7": ("pipeline/training/step.py", "weights[0] * loss_key", "weights[1] * loss_key", EVERY_RUN),
    "a constant": ("pipeline/loader.py", "MEAN = (0.485", "MEAN = (0.486", EVERY_RUN),
    "what a name stands for": (
        "pipeline/models/resnet.py",
        "from torch.nn import functional as F",
        "import torch.nn.quantized.functional as F",
        {"resnet"},
    ),
    "two losses swapped by import": (
        "pipeline/training/step.py",
        "import keypoint_loss, segmentation_loss",
        "import keypoint_loss as segmentation_loss, segmentation_loss as keypoint_loss",
        EVERY_RUN,
    ),
    "which parameters a run uses": (
        "pipeline/runs.py", "weight=p.loss.lambda_", "weight=2 * p.loss.lambda_", EVERY_RUN
    ),
    "a switch of torch, set as a module is read": (
        "pipeline/models/resnet.py", "FILTERS = 256", "F.relu = F.gelu\nFILTERS = 256", {"resnet"}
    ),
    "a dataset's joints": (
        "pipeline/datasets/formats/mpii.py",
        "flip_pairs=((0, 5)",
        "flip_pairs=((0, 4)",
        EVERY_RUN - {"coco"},
    ),
    "AP under resampling": ("pipeline/metrics/oks.py", "_THRESHOLDS = 10", "_THRESHOLDS = 9", set()),
    "rescoring": ("pipeline/metrics/oks.py", "counted = score > threshold", "counted = score >= threshold", {"coco"}),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_makes_stale_what_it_touches(unedited, tree, name):
    file, old, new, stale = EDITS[name]
    tree.edit(file, old, new)
    assert changed(RUNS, unedited) == stale


def test_the_copy_is_the_project(unedited, tree):
    assert changed(RUNS | EVALUATIONS | OTHERS, unedited) == set()


MODELS, ABLATION = (
    "pipeline/models/__init__.py",
    'VARIANTS = {\n    "x": Variant(title="x", attention=False),',
)
METRIC = "class Metric(Protocol):"
ADDITIONS = {
    "a network": [
        (MODELS, '    "hrnet": hrnet.build,', '    "vit": vit.build,\n    "hrnet": hrnet.build,'),
        (MODELS, "from pipeline.networks", "from pipeline.models import vit\nfrom pipeline.networks"),
        ("pipeline/networks.py", "NETWORKS = {", 'NETWORKS = {\n    "vit": Network(title="ViT", family="vit"),'),
    ],
    "an ablation": [("pipeline/variants.py", "VARIANTS = {", ABLATION)],
    "a metric": [("pipeline/metrics/__init__.py", METRIC, f"class PCK:\n    pass\n\n\n{METRIC}")],
    "a dataset": [("pipeline/datasets/__init__.py", '{"mpii": mpii,', '{"aic": coco, "mpii": mpii,')],
    "a field of the catalogue": [
        ("pipeline/networks.py", '    row: str = ""', '    row: str = ""\n    year: int = 2019')
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ADDITIONS)
def test_what_is_added_leaves_every_run_as_it_was(unedited, tree, name):
    tree.write("pipeline/models/vit.py", "def build(network, joints, choices):\n    return None\n")
    for file, old, new in ADDITIONS[name]:
        tree.edit(file, old, new)
    assert changed(RUNS | EVALUATIONS, unedited) == set()


def test_a_parser_concerns_its_own_dataset_and_no_run(unedited, tree):
    tree.edit("pipeline/datasets/formats/mpii.py", "SHIFT_DOWN = 15.0", "SHIFT_DOWN = 16.0")
    assert changed(RUNS | EVALUATIONS, unedited) == set()
    stale = changed(OTHERS, unedited)
    assert "prepare/mpii" in stale and not stale & {"prepare/coco", "targets/mpii"}


def test_python_versions_agree_on_a_fingerprint():
    # Written by Python 3.11; trees differ between versions in fields that say nothing.
    source = "def f(x, *, y=1):\n    return [f'{x!r:>{y}}' for _ in range(3)], lambda: x @ y"
    digest = definitions._define(ast.parse(source).body[0], {}).digest
    assert digest == "5fc8da9c990ce1e6"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("X = 1\nX = 2\n", "line 2: X stands for something already"),
        ("try:\n    import a\nexcept ImportError:\n    pass\n", "line 1: imports stand at the top"),
        ("from pipeline.loader import *\n", "line 1: an import of everything"),
        ("from . import loader\n", "line 1: a relative import"),
    ],
)
def test_what_cannot_be_followed_is_refused(tree, source, message):
    tree.write("pipeline/arrays.py", source)
    with pytest.raises(ValueError, match=message):
        code.reachable("pipeline.arrays", "X", {})


def test_an_unknown_entry_of_a_table_is_an_error():
    with pytest.raises(ValueError, match=r"pipeline\.networks\.NETWORKS has no entry 'hrnet_w33'"):
        code.reachable(
            "pipeline.models", "build", {"NETWORKS": "hrnet_w33", "FAMILIES": "hrnet", "VARIANTS": None}
        )


def seen_only(frame) -> bool:
    """Whether a call is part of what people see of a training as it begins."""
    while frame := frame.f_back:
        if frame.f_code.co_filename == f"{ROOT}/pipeline/training/outlook.py":
            return True
    return False


class Called:
    """Which of the project's functions run, as the fingerprints name them."""

    def __init__(self):
        self.names = defaultdict(set)

    def __enter__(self):
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _see(self, frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(f"{ROOT}/pipeline"):
            qualified = frame.f_code.co_qualname.split(".<locals>")[0]
            if (
                not qualified.startswith("<")
                and frame.f_back.f_code.co_name != "<module>"
                and not seen_only(frame)
            ):
                self.names[Path(file).relative_to(ROOT).with_suffix("").as_posix()].add(qualified)

    def definitions(self) -> set[str]:
        return {
            f"{file.removesuffix('/__init__').replace('/', '.')}:{name}"
            for file, names in self.names.items()
            for name in names
        }


def followed(names: set[str]) -> set[str]:
    without = code.FOLLOWED_OTHERWISE | code.BYTES_AS_THEY_ARE
    return {name for name in names if not {name.partition(":")[0], top(name)} & without.keys()}


def top(name: str) -> str:
    """The class that a method is of."""
    module, _, inner = name.partition(":")
    return f"{module}:{inner.split('.')[0]}"


@pytest.mark.parametrize(
    ("dataset", "model", "radius"),
    [("mpii", "hrnet_small", None), ("coco", "sg_hrnet_small", 5), ("coco", "hrnet_small-64x64", None)],
)
def test_whatever_a_run_calls_is_in_its_fingerprint(tmp_path, monkeypatch, dataset, model, radius):
    from stages import download, evaluate, prepare, targets, train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    small = params.load(ROOT / "params.yaml").model.small.model_copy(update={"width": 4, "stem": 8})
    write_params(
        tmp_path / "params.yaml",
        {
            "baselines": ["hrnet_small", *({model} & {"hrnet_small-64x64"})],
            "datasets": [dataset], "radius_sweep": [], "radius_only": [dataset], "data.demo.train_people": 16,
            "data.demo.val_people": 8, "train.epochs": 2, "train.batch_size": 8, "train.lr_drops": [1],
            "train.log_every": 1, "model.small": small.model_dump(mode="json"), "compute.workers": 0,
            "compute.device": "cpu",
        },
    )  # fmt: skip
    name = f"{model}-s0" if radius is None else f"{model}-r{radius}-s0"
    download.download(dataset)
    ran = {}
    for stage, work in (
        ("prepare", lambda: prepare.prepare(dataset)),
        ("targets", lambda: targets.targets(dataset, "5")),
        ("train", lambda: train.train(dataset, name)),
        ("evaluate", lambda: evaluate.evaluate(dataset, name)),
    ):
        with Called() as called:
            work()
        ran[stage] = followed(called.definitions())
    for stage, names in ran.items():
        if stage in ("train", "evaluate"):
            consumer = consumers.of_run(stage, dataset, params.sized(model)[0])
        else:
            consumer = next(c for c in consumers.consumers() if c.name == f"{stage}/{dataset}")
        reached = {key.replace(f"[{dataset}]", "") for key in consumer.reachable()}
        assert len(names) > 5 and names - reached == set(), stage


# file, what stands there, what takes its place, and the stages that DVC then calls changed, without their items.
STALE = {
    "the README": ("README.md", "\n", "\nMore.\n", set()),
    "a test": ("tests/conftest.py", "\n", "\n# More.\n", set()),
    "a benchmark's script": ("benchmarks/tables.py", "\n", "\n# More.\n", set()),
    "a comment and a docstring": ("pipeline/training/loop.py", '"""A training', '"""One training', set()),
    "a plot": ("pipeline/report/figures/style.py", "WIDTH = 7.4", "WIDTH = 7.5", {"report"}),
    "an operator in HRNet's blocks": (
        "pipeline/models/blocks.py",
        "self.residual(x_BCHW) + x_BCHW",
        "self.residual(x_BCHW) - x_BCHW",
        {"train_baseline hrnet_small", "train_radius", "train_ablation", "train_sweep",
         "evaluate_baseline hrnet_small", "evaluate_radius", "evaluate_ablation", "evaluate_sweep",
         "complexity", "report"},
    ),
    "the guided module": (
        "pipeline/models/guidance.py",
        "self.score(self.conv(x_BCHW))",
        "self.score(-self.conv(x_BCHW))",
        {"train_radius", "train_ablation", "train_sweep",
         "evaluate_radius", "evaluate_ablation", "evaluate_sweep", "complexity", "report"},
    ),
    "an ablation": (
        "pipeline/variants.py", "VARIANTS = {", ABLATION, {"report"}
    ),
    "how MPII's labels are read": (
        "pipeline/datasets/formats/mpii.py",
        "SHIFT_DOWN = 15.0",
        "SHIFT_DOWN = 16.0",
        # Complexity counts each dataset's networks: of the whole table it is told no entry.
        {"download mpii", "prepare mpii", "complexity", "report"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A clone in which every stage counts as run: its outputs are there, if empty, and DVC has recorded them."""
    folder = clone(tmp_path_factory.mktemp("dvc") / "clone")
    lists = {"baselines": ["hrnet_small", "pose_resnet50"], "ablations": ["no_seg_loss"]}
    write_params(folder / "params.yaml", lists)
    dvc(folder, "repro", "code")
    for output in [out.def_path for stage in stages_of(folder) for out in stage.outs]:
        path = folder / output
        if path.suffix in (".json", ".safetensors", ".csv"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        elif not path.exists():
            path.mkdir(parents=True)
            for name in ("train.npy", "val.npy") if "targets" in output else ("x",):
                (path / name).write_text("")
    dvc(folder, "commit", "--force")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", STALE)
def test_dvc_calls_stale_what_an_edit_touches(recorded, name):
    file, old, new, stale = STALE[name]
    text = (recorded / file).read_text()
    assert json.loads(dvc(recorded, "status", "--json").stdout) == {}
    try:
        (recorded / file).write_text(edited(text, file, old, new))
        dvc(recorded, "repro", "code")
        status = json.loads(dvc(recorded, "status", "--json").stdout)
    finally:
        (recorded / file).write_text(text)
        dvc(recorded, "repro", "code")
    short = set()
    for stage in status:
        kind, _, item = stage.partition("@")
        if "baseline" in kind:
            short.add(f"{kind} {item.split('-')[1]}")
        elif kind in ("download", "prepare"):
            short.add(f"{kind} {item}")
        else:
            short.add(kind)
    assert short - {"code"} == stale
