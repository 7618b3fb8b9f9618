"""python -m pipeline.trace TABLE ROW COLUMN: where a number of the report's tables came from, back to the archives.

For example `python -m pipeline.trace table1 "SG-HRNet" Mean`. Everything on the way has its hash in dvc.lock, and it is
said whether what lies here now still has it. ROW may be the beginning of a name, or a part of it. Ends with 1 where
something has changed.
"""

import argparse
import csv
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import dvc_stages, files, lock, params, paths
from pipeline.datasets import DATASETS
from pipeline.datasets.archive import Archive
from pipeline.datasets.ledger import Entry, Ledger, packed_entry, unpacked_entry
from pipeline.lock import Item, Stage, Workspace
from pipeline.params import Params
from pipeline.report.tables.rows import words
from pipeline.runs import Evaluation

AS_RECORDED, ABSENT = "as recorded", "not here"
# The columns of a table's CSV by which its rows are told apart, and that hold no number.
WORDS = ("method", "row", "data", "box", "pretraining", "precision", "source", "notes")
COUNTED = ("params", "gflops", "gmacs")


@dataclass(frozen=True)
class Cell:
    """A number of a table. row: the whole row of its CSV, number its line in the file."""

    table: str
    row: Mapping[str, str]
    number: int
    column: str

    @property
    def measured(self) -> bool:
        return self.row["row"] == "measured"

    @property
    def runs(self) -> list[str]:
        """DATASET/RUN of each seed."""
        return self.row["source"].split()

    @property
    def metric(self) -> str:
        """The metric that the column is about, also of its interval's ends and its spread."""
        name, _, kind = self.column.rpartition("_")
        return name if kind in ("low", "high", "sd") else self.column


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The tables that lie in the report's folder, by name."""
    found = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        if rows and {"method", "row", "source"} <= rows[0].keys():
            found[path.stem] = rows
    if not found:
        raise ValueError(f"no table lies in {folder}; `dvc repro` writes them")
    return found


def find(known: Mapping[str, Sequence[Mapping[str, str]]], table: str, row: str, column: str) -> Cell:
    """The cell that somebody means; raises ValueError, one sentence with the choices, if there is none, or several."""
    if table not in known:
        raise ValueError(f"there is no table {table}, but {_listed(known)}")
    rows = known[table]
    columns = [name for name in rows[0] if name not in WORDS]
    exact = [name for name in columns if name.lower() == column.lower()]
    if not exact:
        # An interval's ends and a spread have columns beside that of their metric.
        main = [name for name in columns if not name.endswith(("_low", "_high", "_sd"))]
        raise ValueError(
            f"{table} has no column {column}, but {_listed(main)}; of a metric also with _low, _high or _sd behind it"
        )
    names = [_name(each, rows) for each in rows]
    places = _meant(row, names)
    if not places:
        raise ValueError(f"{table} has no row {row!r}, but {_listed(names, '; ')}")
    for wanted in ("row", exact[0]):
        # Measured rather than reported, and with a number rather than without, where both are meant.
        kept = [n for n in places if (rows[n][wanted] == "measured" if wanted == "row" else rows[n][wanted])]
        places = kept or places
    if len(places) > 1:
        raise ValueError(
            f"{table} has {len(places)} rows {row!r}; say which: {_listed([names[n] for n in places], '; ')}"
        )
    cell = Cell(table, rows[places[0]], places[0] + 2, exact[0])
    if not cell.row[cell.column]:
        raise ValueError(
            f"{table}, {names[places[0]]}, {cell.column} is empty; "
            f"its row has {_listed([name for name in columns if cell.row[name]])}"
        )
    return cell


def _name(row: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> str:
    """A row's method, with its kind of box and its input's size where rows of one method differ in them."""
    facts = [(f"{other['box']} boxes", f"{other['input_height']} × {other['input_width']}") for other in rows]
    methods = [(other["method"], other["row"]) for other in rows]
    own = rows.index(row)
    alike = [n for n, method in enumerate(methods) if method == methods[own]]
    more = [fact for place, fact in enumerate(facts[own]) if len({facts[n][place] for n in alike}) > 1]
    return ", ".join([row["method"], *more])


def _meant(text: str, names: Sequence[str]) -> list[int]:
    """The places of the names that are a text, else that begin with it, else that have it in them."""
    text, lower = text.lower(), [name.lower() for name in names]
    ways = (str.__eq__, str.startswith, str.__contains__)
    found = ([n for n, name in enumerate(lower) if way(name, text)] for way in ways)
    return next((places for places in found if places), [])


def _listed(names: Sequence[str] | Mapping[str, object], between: str = ", ") -> str:
    return between.join(dict.fromkeys(names))


class Trace:
    """The way back from a cell, as lines for people. changed: how much of it is not as recorded."""

    def __init__(self, cell: Cell, p: Params, root: Path = Path(".")):
        self.cell, self.params, self.root = cell, p, root
        self.workspace, self.arguments = Workspace(root), dvc_stages.arguments(p)
        # The lock remembers what earlier parameters named, too.
        named = ("code", *self.arguments, "complexity", "report")
        self.stages = {name: stage for name, stage in lock.load(root).items() if name in named}
        self.changed, self.checked = 0, 0

    def lines(self) -> Iterator[str]:
        cell, row = self.cell, self.cell.row
        low, high = (row.get(f"{cell.metric}_{end}") for end in ("low", "high"))
        interval = f" [{low}, {high}]" if cell.column == cell.metric and low else ""
        yield f"{cell.table}, {row['method']}, {cell.column}: {row[cell.column]}{interval}"
        if not cell.measured:
            yield f"reported by the paper: {row['source']}"
        else:
            yield f"measured on {row['data']}, {row['box']} boxes, seeds {row['seeds'] or '-'}"
        yield f"written in reports/{cell.table}.csv, line {cell.number}"
        if "report" not in self.stages:
            raise ValueError("dvc.lock records no stage report; run `dvc repro`")
        report = self.stages["report"]
        read = [f"results/{run}" for run in cell.runs] if cell.measured else ["pipeline/report/reported"]
        known = {item.path: item for item in report.inputs}
        inputs = [item for path in read for item in self._made(path) or [known[path]]]
        yield from self._stage(replace(report, inputs=(*filter(None, [report.code]), *inputs)))
        if cell.measured:
            follows = replace(report, inputs=tuple(inputs))
            for stage in reversed(lock.before(self.stages, follows)):
                yield from self._stage(stage)
        yield ""
        verdict = f"{self.changed} changed since" if self.changed else "none changed since"
        yield f"{self.checked} files and folders on the way are here, {verdict}."

    def _made(self, path: str) -> list[Item]:
        made = [item for _, item in lock.makers(self.stages, path)]
        if path.startswith("results/") and not made:
            raise ValueError(
                f"{path} is of no run that params.yaml names and dvc.lock records; run `dvc repro`"
            )
        return made

    def _stage(self, stage: Stage) -> Iterator[str]:
        arguments = " ".join(self.arguments.get(stage.name, ()))
        yield ""
        yield f"{stage.name}:  {stage.command} {arguments}".rstrip()
        if stage.code:
            yield self._item("code", stage.code)
        # The page prints every parameter; those of the report's own decide what its tables hold.
        used = {key: stage.params[key] for key in stage.params if stage.name != "report" or key == "report"}
        yield from _wrapped("used", [f"{key}={_plain(value)}" for key, value in _leaves("", used).items()])
        made = {item.path for item in stage.data if any(lock.makers(self.stages, item.path))}
        yield from _wrapped("read", sorted(made))
        for item in stage.data:
            if item.path not in made:
                yield self._item("read", item)
        for item in stage.outputs:
            yield self._item("wrote", item)
        yield from self._within(stage)

    def _within(self, stage: Stage) -> Iterator[str]:
        """What is in the files that a stage wrote, as far as it concerns the cell."""
        kind, arguments = stage.name.partition("@")[0], self.arguments.get(stage.name, ())
        if kind in ("download", "download_labels"):
            yield from self._archives(*arguments)
        elif kind.startswith("evaluate_"):
            folder = next(item.path for item in stage.outputs)
            yield from self._values(folder)
        elif kind.startswith("train_"):
            path = paths.run(*arguments) / "run.json"
            if (self.root / path).is_file():
                record = files.read_json(self.root / path)
                machine = "  ".join(f"{key}={value}" for key, value in (record["machine"] or {}).items())
                yield f"  with   {machine}  started from: {record['first_weights'] or '-'}"

    def _values(self, folder: str) -> Iterator[str]:
        path = self.root / folder / "metrics.json"
        if not path.is_file():
            return
        evaluation, cell = Evaluation.load(path), self.cell
        if cell.metric in COUNTED:
            yield f"  there  metrics.json: {cell.metric} = {getattr(evaluation, cell.metric)}"
            return
        box = next((box for box in evaluation.scores if words(box) == cell.row["box"]), "")
        values = evaluation.scores.get(box) or {}
        if cell.metric in values:
            yield f"  there  metrics.json: scores.{box}.{cell.metric} = {values[cell.metric]}"
            yield f"  there  samples.npz: what {self.params.report.resamples} resamples draw its interval from"

    def _archives(self, dataset: str) -> Iterator[str]:
        manifest = self.root / paths.manifest(dataset)
        if not manifest.is_file():
            return
        for entry in files.read_json(manifest)["archives"]:
            kind = f" (of {entry['of']})" if "of" in entry else ""
            state = self._archive(dataset, entry)
            yield f"  from   sha256 {entry['sha256']}{kind}"
            yield f"         {entry['name']}, {entry['bytes']} bytes: {state}"

    def _archive(self, dataset: str, entry: Entry) -> str:
        """Whether an archive lies where the parameters say, as it is recorded."""
        archive = next(each for each in DATASETS[dataset].ARCHIVES if each.name == entry["name"])
        home = self.root / paths.archives(dataset).relative_to(paths.project_root())
        base = self.root / Path(self.params.data.source).expanduser()
        folders = [home] if self.params.data.source in ("demo", "official") else [base / dataset, base]
        folders += [inner for folder in folders if folder.is_dir() for inner in _folders(folder)]
        found = dict(_places(archive, folders, Ledger(home / "verified.json")))
        same = [path for path, made in found.items() if made == entry]
        self.checked += bool(found)
        self.changed += bool(found) and not same
        if not found:
            return ABSENT
        return f"{AS_RECORDED}, in {same[0].parent}" if same else f"CHANGED, in {next(iter(found)).parent}"

    def _item(self, what: str, item: Item) -> str:
        now = self.workspace.digest(item.path)
        self.checked += now is not None
        self.changed += now not in (item.md5, None)
        state = AS_RECORDED if now == item.md5 else ABSENT if now is None else f"CHANGED, now {now}"
        return f"  {what:6} {item.md5:36}  {item.path}: {state}"


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _places(archive: Archive, folders: Sequence[Path], ledger: Ledger) -> Iterator[tuple[Path, Entry]]:
    """Where an archive may lie, packed or unpacked, with the row of the manifest that it would have."""
    for folder in folders:
        for name in (archive.name, *archive.aliases):
            if (folder / name).is_file():
                yield folder / name, packed_entry(archive, folder / name, ledger)
        if archive.kind != "file" and archive.folder and (folder / archive.folder).is_dir():
            yield folder, unpacked_entry(archive, folder, ledger)


def _wrapped(what: str, words: Sequence[str]) -> list[str]:
    """Lines of words of which none is broken."""
    text = "  ".join(word.replace(" ", "\0") for word in words)
    lines = textwrap.wrap(
        text, 118, initial_indent=f"  {what:6} ", subsequent_indent=" " * 9, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _leaves(key: str, value: Any) -> dict[str, Any]:
    """The values in a tree by their dotted keys."""
    if not isinstance(value, Mapping):
        return {key.lstrip("."): value}
    return {name: leaf for inner in value for name, leaf in _leaves(f"{key}.{inner}", value[inner]).items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.trace", description=__doc__)
    parser.add_argument("table", help="table1, table2, table3, or another of the report's")
    parser.add_argument("row", help="a method, or the beginning or a part of its name")
    parser.add_argument("column", help="Mean, AP, Mean_low, params, and so on")
    a = parser.parse_args()
    try:
        trace = Trace(find(tables(Path("reports")), a.table, a.row, a.column), params.load())
        for line in trace.lines():
            print(line)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")
    parser.exit(int(trace.changed > 0))


if __name__ == "__main__":
    main()
