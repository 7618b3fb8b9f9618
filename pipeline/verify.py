"""python -m pipeline.verify: whether outputs are those of the committed dvc.lock, and how far apart they are.

They are this workspace's, as `dvc repro` left it, or with --from-nothing those of a run in a folder of its own with a
cache of its own, in which nothing is reused. With --write they become what is to be committed: dvc.lock and docs/demo.

The verdict is "the same bytes"; "the same tables to the printed digit", if files differ and no cell of the report's
tables does, in the digits in which the paper's are printed and these are read; or "different". No other distance is
allowed, and none is needed: in deterministic mode processors with AVX2 compute the same bytes, and where another
version or processor rounds otherwise, training makes any distance of it.

Ends with 0 for the first two verdicts, with 1 for "different", with 2 where nothing could be compared.
"""

import argparse
import csv
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import lock, params
from pipeline.lock import LOCK, Stage, Workspace
from pipeline.record import FOLDER, Record, in_words, leaves, machine, numbers, outputs, write


@dataclass(frozen=True)
class Number:
    """A value that differs. place: where it stands in its file."""

    path: str
    place: str
    there: str
    here: str

    @property
    def apart(self) -> float:
        """How far; endless where one of them is no number."""
        try:
            return abs(float(self.here) - float(self.there))
        except ValueError:
            return math.inf

    def __str__(self) -> str:
        far = "" if math.isinf(self.apart) else f", {self.apart:.3g} apart"
        return f"{self.path}, {self.place}: {self.there or 'nothing'} committed, {self.here or 'nothing'} here{far}"


@dataclass
class Comparison:
    """What differs, in the order of the stages.

    ran: in which code and parameters, in words; files: of the `outputs` that were compared; numbers: in those of them
    that have a copy; tables: of the `cells` in the report's tables.
    """

    outputs: int = 0
    cells: int = 0
    ran: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    tables: list[Number] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if not self.files:
            return "the same bytes"
        return "different" if self.tables else "the same tables to the printed digit"

    def lines(self) -> Iterator[str]:
        yield from self.ran
        if self.files:
            yield f"{len(self.files)} of {self.outputs} files differ, the first: {self.files[0]}"
        if self.numbers:
            yield f"first value that differs: {self.numbers[0]}"
        if self.tables:
            furthest = max(self.tables, key=lambda number: number.apart)
            yield f"{len(self.tables)} of {self.cells} cells of the tables differ, the furthest: {furthest}"
        yield f"verdict: {self.verdict}"


def compare(root: Path, committed: Mapping[str, Stage], record: Record) -> Comparison:
    """Compare what lies in a workspace with what was committed; raises ValueError if that does not agree in itself."""
    record.check(committed)
    workspace, here, found = Workspace(root), lock.load(root), Comparison()
    ordered = _in_order(committed)
    found.ran += _ran_otherwise(ordered, here)
    for stage in ordered:
        for item in outputs({stage.name: stage}):
            known, place = record.within(item), root / item.path
            now = workspace.listing(item.path) if place.is_dir() else {}
            if place.is_file():
                now = {"": lock.md5(place)}
            found.outputs += len(known | now)
            for name in sorted(known | now):
                if known.get(name) == now.get(name):
                    continue
                path = f"{item.path}/{name}" if name else item.path
                there, md5 = (f"md5 {side[name]}" if name in side else "none" for side in (known, now))
                found.files.append(f"{path} of {stage.name}: {there} committed, {md5} here")
                if (copy := record.copy(path)) is not None:
                    found.numbers += _differing(path, copy, root / path)
    for path in _tables(record):
        found.cells += len(numbers(record.folder / path))
        found.tables += [number for number in found.numbers if number.path == path]
    return found


def _in_order(stages: Mapping[str, Stage]) -> list[Stage]:
    """Each stage after those that it follows from."""
    ordered = {s.name: s for last in stages.values() for s in (*lock.before(stages, last), last)}
    return list(ordered.values())


def _ran_otherwise(committed: Sequence[Stage], here: Mapping[str, Stage]) -> list[str]:
    """In which code and parameters stages differ, in words; a parameter once."""
    gone = [stage.name for stage in committed if stage.name not in here]
    both = [(stage, here[stage.name]) for stage in committed if stage.name in here]
    other = [there.name for there, now in both if there.code != now.code]
    said = [
        f"{len(names)} of {len(committed)} stages {what}, the first: {names[0]}"
        for names, what in ((gone, "did not run here"), (other, "ran other code here"))
        if names
    ]
    values: dict[str, None] = {}
    for stages in both:
        then, now = (leaves("", dict(stage.params)) for stage in stages)
        for key in sorted(then.keys() | now.keys()):
            if then.get(key) != now.get(key):
                values[f"{key}: {then.get(key, 'nothing')} committed, {now.get(key, 'nothing')} here"] = None
    return [*said, *values]


def _differing(path: str, copy: Path, now: Path) -> list[Number]:
    """The values of two files that differ, in their order."""
    there, here = numbers(copy), numbers(now) if now.is_file() else {}
    return [
        Number(path, place, there.get(place, ""), here.get(place, ""))
        for place in there | here
        if there.get(place) != here.get(place)
    ]


def _tables(record: Record) -> Iterator[str]:
    """Those of the report's files that are tables of results, by their columns."""
    for copy in sorted((record.folder / "reports").glob("*.csv")):
        with copy.open(newline="") as file:
            if {"method", "row", "source"} <= set(next(csv.reader(file), [])):
                yield f"reports/{copy.name}"


def from_nothing(root: Path, folder: Path) -> None:
    """Run the pipeline of a workspace's files, as they are now and but for ignored ones, in an empty folder."""
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.strip("\0").split("\0"):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)
    (folder / LOCK).unlink(missing_ok=True)
    if params.load(folder / "params.yaml").data.source != "demo":
        raise ValueError("only what is drawn can be run from nothing; `make profile NAME=demo` chooses it")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    environment = inherited | {"PATH": path, "MPLBACKEND": "Agg"}
    for command in (
        ["config", "--local", "core.no_scm", "true"],
        ["config", "--local", "cache.dir", str(folder / ".dvc" / "cache")],
        ["repro"],
    ):
        if subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, env=environment).returncode:
            raise ValueError(f"`dvc {' '.join(command)}` failed in {folder}, see above")


def _git(root: Path, *command: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", root, *command], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        problem = " ".join(str(getattr(error, "stderr", "") or error).split())
        raise ValueError(f"git tells nothing of what was committed: {problem}") from None


def verify(root: Path, folder: Path) -> Comparison:
    """Compare what lies in a folder with what is committed in a workspace; prints both sides and what differs."""
    committed = lock.read(_git(root, "show", f"HEAD:{LOCK}"), f"the committed {LOCK}")
    record = Record.load(root / FOLDER)
    found = compare(folder, committed, record)
    print(f"committed: {in_words(record.machine)}")
    print(f"here:      {in_words(machine())}")
    for line in found.lines():
        print(line)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from-nothing", action="store_true", help="run the pipeline first, reusing nothing")
    parser.add_argument(
        "--write", action="store_true", help=f"write {LOCK} and {FOLDER} instead of comparing"
    )
    a, root = parser.parse_args(), Path(".").resolve()
    try:
        folder = Path(tempfile.mkdtemp(prefix="verify-")) if a.from_nothing else root
        if a.from_nothing:
            from_nothing(root, folder)
        if a.write:
            write(folder, root)
            print(f"{LOCK} and {FOLDER} are of one run; commit both")
        found = None if a.write else verify(root, folder)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")
    if a.from_nothing and found and found.files:
        print(f"what ran here lies in {folder}")
    elif a.from_nothing:
        shutil.rmtree(folder)
    parser.exit(int(found is not None and found.verdict == "different"))


if __name__ == "__main__":
    main()
