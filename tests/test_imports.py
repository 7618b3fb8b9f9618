"""The rooms and their order: no import climbs, none is made at run time, and DVC knows what each stage runs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import consumers
from tests.conftest import ROOT

# From what knows nothing to what knows all; rooms of one line do not know each other's inside.
ROOMS = """
engines
arrays keypoints variants networks paths
people
metrics
files lock
datasets.archive datasets.elsewhere datasets.matlab datasets.transfer datasets.store
datasets.formats
datasets
strict_yaml
params
profiles runs
dvc_stages
syntax
definitions
code
consumers
images
datasets.demo datasets.ledger datasets.pins datasets.places datasets.tar datasets.official
datasets.sources
datasets.prepare
predicted
codec
ranks
loader drawing
tensors
weights
models
tracking
training
evaluation
report
comparison
plan dag committed
export photographs
predict trace record doctor
parallel
verify study
stages
""".split("\n")
ORDER = {room: number for number, line in enumerate(ROOMS) for room in line.split()}
FILES = sorted(
    [
        *(ROOT / "pipeline").rglob("*/*.py"),
        *(ROOT / "pipeline").glob("[a-z]*.py"),
        *(ROOT / "stages").glob("*.py"),
    ]
)


def module_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return name.removeprefix("pipeline.").removesuffix(".__init__")


def room_of(module: str) -> str:
    """The longest room that a module, without `pipeline.`, lies in."""
    parts = module.split(".")
    rooms = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next(room for room in rooms if room in ORDER)


def imported(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pipeline":
            for name in node.names:
                inner = ROOT.joinpath(*node.module.split("."), name.name)
                whole = f"{node.module}.{name.name}"
                is_module = inner.with_suffix(".py").is_file() or inner.is_dir()
                yield (whole if is_module else node.module).removeprefix("pipeline").removeprefix(".")


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_no_import_climbs(file):
    here = room_of(module_of(file))
    for module in filter(None, imported(ast.parse(file.read_text()))):
        there = room_of(module)
        assert ORDER[there] <= ORDER[here], f"{module_of(file)} imports {module}"


def test_none_is_dynamic():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"importlib", "importlib.util", "runpy", "pkgutil"} & {*names}, file
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("__import__", "exec", "eval"), file


def test_stages_of_datasets_do_not_wait_for_torch():
    stages = "stages.code, stages.download, stages.prepare, stages.report"
    code = f"import sys, {stages}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_stage_depends_on_the_fingerprint_of_its_code():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    kinds = {consumer.stage for consumer in consumers.consumers()}
    for name, stage in stages.items():
        if name == "code":
            assert set(stage["deps"]) == {"pipeline", "stages"}
            continue
        # As its command names it: `python -m stages.train ...`.
        kind = stage["cmd"].split()[2].removeprefix("stages.")
        assert kind in kinds
        assert [dep for dep in stage["deps"] if dep.startswith(f"build/code/{kind}")], name
        assert not [dep for dep in stage["deps"] if dep.endswith(".py")], name
