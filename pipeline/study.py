"""python -m pipeline.study NAME: a published study's report, made again from what was published, and compared with it.

studies/NAME holds what the stage `report` reads: parameters, and of each run metrics, history, predictions and what the
bootstrap draws from. Neither data nor a trained network is needed. A dataset's images are left out, since most may not
be passed on: pictures show people on studies/photographs. Tables, claims, plots and page have to be the same, byte for
byte. Beside them lie two trained networks of each dataset, HRNet and the guided one, none above 2 MB, as runs/ has them
but for their numbers, which are of half precision.

--publish: take all of that from this workspace first, as `dvc repro` left it, with its dvc.lock. --write: make the
report anew instead of comparing, where the code that makes it has changed.
Ends with 0 for the same bytes, with 1 for others, with 2 where nothing could be compared.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeline import files, lock, params, paths, record, runs
from pipeline.lock import LOCK, Workspace
from pipeline.networks import NETWORKS
from pipeline.report import crate

FOLDER = Path("studies")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
PHOTOGRAPHS = FOLDER / "photographs"
# Crops of a dataset's images; and predictions that are there in COCO's format too.
LEFT_OUT = ("examples.npz", "predictions.mat")
LARGEST = 2_000_000
"""Bytes of a network's published weights."""
# Of the copy, not of the study: who made it when; and where the files of a whole workspace came from.
NOT_COMPARED = ("environment.html", crate.FILE)


def publish(root: Path, folder: Path) -> None:
    """Write what a finished workspace's report is made of to a new folder.

    Raises ValueError where the workspace is not as its lock says.
    """
    p, stages, workspace = params.load(root / "params.yaml"), lock.load(root), Workspace(root)
    published = [paths.results(run.dataset, run.name).as_posix() for run in runs.named_by(p)]
    trained = [paths.run(run.dataset, run.name) for run in _pairs(p)]
    networks = [(folder / name).as_posix() for folder in trained for name in (paths.WEIGHTS, "run.json")]
    for path in (*published, *networks, paths.complexity().as_posix(), "reports"):
        recorded = {item.path: item.md5 for _, item in lock.makers(stages, path)}
        if recorded.get(path) != workspace.digest(path):
            raise ValueError(f"{path} is not what dvc.lock records; run `dvc repro` first")
    for path in published:
        shutil.copytree(root / path, folder / path, ignore=shutil.ignore_patterns(*LEFT_OUT))
    if (root / PHOTOGRAPHS).is_dir():
        # Not at the top: a report is made without torch.
        from pipeline import photographs

        for one in _pairs(p):
            trained_in, place = paths.run(one.dataset, one.name), paths.results(one.dataset, one.name)
            shown = photographs.examples(root / PHOTOGRAPHS, root / trained_in, p.evaluate.flip_test)
            np.savez_compressed(folder / place / "examples.npz", **shown)  # type: ignore[arg-type]
    for run in trained:
        weights = _halved(root / run / paths.WEIGHTS)
        if len(weights) > LARGEST:
            print(
                f"{run}: {len(weights) / 1e6:.0f} MB of weights stay here, a repository is not the place for them"
            )
            continue
        (folder / run).mkdir(parents=True)
        shutil.copyfile(root / run / "run.json", folder / run / "run.json")
        (folder / run / paths.WEIGHTS).write_bytes(weights)
    measured = [place.relative_to(root) for place in (root / paths.benchmarks()).glob("*.json")]
    for name in (Path("params.yaml"), Path(LOCK), paths.complexity(), *measured):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)
    files.write_json(folder / "machine.json", record.machine())


def _pairs(p: params.Params) -> list[runs.Run]:
    """The guided network at `radius` and its backbone, of the first seed, on each dataset."""
    wanted = {(NETWORKS[p.guided].backbone, None), (p.guided, p.radius)}
    return [
        run
        for run in runs.named_by(p)
        if (run.model, run.radius) in wanted
        and run.seed == p.seeds[0]
        and (run.ablation, run.checkpoint, run.input) == (None, None, None)
    ]


def _halved(path: Path) -> bytes:
    """A file of weights with its real numbers in half precision; raises ValueError for one too large for that."""
    import torch

    from pipeline import tensors

    halved = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.read(path).items()
    }
    for name, tensor in halved.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} holds numbers beyond half precision's")
    return tensors.pack(halved)


def remake(root: Path, folder: Path, workspace: Path) -> Path:
    """The report of a published study, made by the stage `report` in a folder of its own."""
    if not (folder / "params.yaml").is_file():
        known = sorted(path.parent.name for path in folder.parent.glob("*/params.yaml"))
        raise ValueError(f"{folder} holds no study; there are: {', '.join(known) or 'none'}")
    # Without the lock: it speaks of a whole workspace.
    shutil.copytree(folder, workspace, ignore=shutil.ignore_patterns("reports", LOCK), dirs_exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(root), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "stages.report"]
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"the report of {folder.name} cannot be made: {done.stderr.strip()}")
    for name in NOT_COMPARED:
        (workspace / "reports" / name).unlink(missing_ok=True)
    return workspace / "reports"


def compare(published: Path, made: Path) -> list[str]:
    """What differs between two folders of a report, a line for each file."""
    sides = [
        {place.relative_to(side).as_posix(): place for place in side.rglob("*") if place.is_file()}
        for side in (published, made)
    ]
    there, now = sides
    return [
        f"{name}: {_how(there.get(name), now.get(name))}"
        for name in sorted(there | now)
        if name not in there or name not in now or there[name].read_bytes() != now[name].read_bytes()
    ]


def _how(there: Path | None, now: Path | None) -> str:
    if there is None or now is None:
        return "not published" if there is None else "not made here"
    if there.suffix in (".csv", ".json"):
        values = record.numbers(there), record.numbers(now)
        for place in values[0] | values[1]:
            old, new = (side.get(place, "nothing") for side in values)
            if old != new:
                return f"{place}: {old} published, {new} here"
    return f"md5 {lock.md5(there)} published, {lock.md5(now)} here"


def study(root: Path, name: str, *, publishes: bool, writes: bool) -> bool:
    """Do what the command says, and say it; whether the report is the published one."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a study: lower-case letters, digits, dots and hyphens can")
    folder = root / FOLDER / name
    with tempfile.TemporaryDirectory(prefix="study-") as temporary:
        fresh = Path(temporary) / "published" / name
        if publishes:
            publish(root, fresh)
        made = remake(root, fresh if publishes else folder, Path(temporary) / "workspace")
        if publishes:
            # What differs from the workspace's own are its pictures, and what they are in.
            tables = [path.name for path in made.glob("*.csv")]
            other = [line for line in compare(root / "reports", made) if line.partition(":")[0] in tables]
            if other:
                raise ValueError(f"the workspace's reports are not made of its results: {other[0]}")
            # Text beside them is the authors'.
            for old in ("results", "runs", "data", "benchmarks"):
                shutil.rmtree(folder / old, ignore_errors=True)
            shutil.copytree(fresh, folder, dirs_exist_ok=True)
        if publishes or writes:
            shutil.rmtree(folder / "reports", ignore_errors=True)
            shutil.copytree(made, folder / "reports")
            size = sum(place.stat().st_size for place in folder.rglob("*") if place.is_file())
            print(f"{FOLDER / name}: {size / 1e6:.1f} MB, the report in reports/index.html")
            return True
        differing = compare(folder / "reports", made)
        count = sum(place.is_file() for place in made.rglob("*"))
    print(f"published: {record.in_words(files.read_json(folder / 'machine.json'))}")
    print(f"here:      {record.in_words(record.machine())}")
    if differing:
        print(f"{len(differing)} of {count} files differ, the first: {differing[0]}")
    print(f"verdict: {'different' if differing else f'the same bytes, {count} files'}")
    return not differing


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--publish", action="store_true", help="take it from this workspace")
    either.add_argument("--write", action="store_true", help="make its report anew")
    a = parser.parse_args()
    try:
        same = study(Path(".").resolve(), a.name, publishes=a.publish, writes=a.write)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")
    parser.exit(int(not same))


if __name__ == "__main__":
    main()
