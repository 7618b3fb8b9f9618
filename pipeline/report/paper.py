"""What the paper reports: its tables, claims, notes and protocol, read from `reported/`. Code names none of them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "reported"


@dataclass(frozen=True)
class Line:
    """A row of one of the paper's tables; what the table does not tell is None or empty.

    kind: the networks that stand under it, `row` in pipeline.networks; model: the very network, where it is known.
    input_size: (height, width); params: as a whole number; values: by column, percent.
    """

    key: str
    method: str
    kind: str
    model: str
    backbone: str
    pretraining: str
    radius: int | None
    box: str
    input_size: tuple[int, int] | None
    params: int | None
    gflops: float | None
    values: Mapping[str, float | None]
    source: str


@dataclass(frozen=True)
class Sheet:
    """A table of the paper. rows: networks, or radii. row, other: keys of the rows whose difference is its gain."""

    name: str
    heading: str
    dataset: str
    rows: str
    row: str
    other: str
    title: str
    lines: tuple[Line, ...]

    def line(self, key: str) -> Line:
        return next(line for line in self.lines if line.key == key)

    def pair(self, row: str, other: str, metric: str) -> tuple[float, float]:
        """What the paper reports in two rows; raises ValueError where one of them holds no such number."""
        ours, theirs = (self.line(key).values.get(metric) for key in (row, other))
        if ours is None or theirs is None:
            raise ValueError(f"reported/{self.name}.csv has no {metric} in both rows {row} and {other}")
        return ours, theirs

    def gain(self, row: str, other: str, metric: str) -> float:
        """The paper's own difference between two rows, to its one decimal."""
        ours, theirs = self.pair(row, other, metric)
        return round(ours - theirs, 1)


@dataclass(frozen=True)
class Part:
    """A part of one of the paper's claims, which gets one verdict.

    rule: what judges it, see pipeline.report.claims. dataset, box, metric: what it is about. table, row, other: where
    its numbers stand, row against other; than: the table of the gain that it is compared with. claimed: the size of
    the claim, in `unit`. ablations: the runs that it is judged against.
    """

    claim: int
    rule: str
    part: str
    statement: str
    place: str
    dataset: str
    box: str
    metric: str
    table: str
    row: str
    other: str
    than: str
    claimed: float | None
    unit: str
    ablations: tuple[str, ...]
    reported_text: str


@cache
def sheets() -> dict[str, Sheet]:
    """The paper's tables by name, in its order."""
    return {
        row["table"]: Sheet(
            name=row["table"],
            heading=row["heading"],
            dataset=row["dataset"],
            rows=row["rows"],
            row=row["row"],
            other=row["other"],
            title=row["title"],
            lines=tuple(_line(line) for line in _rows(row["table"])),
        )
        for row in _rows("tables")
    }


def datasets() -> tuple[str, ...]:
    """The datasets that the paper uses."""
    return tuple(dict.fromkeys(sheet.dataset for sheet in sheets().values()))


def of_radii(dataset: str) -> Sheet | None:
    """The paper's table of radii on a dataset."""
    tables = [sheet for sheet in sheets().values() if sheet.rows == "radii" and sheet.dataset == dataset]
    return tables[0] if tables else None


@cache
def titles() -> dict[int, str]:
    """The paper's claims, each in a sentence, by number."""
    return {int(row["claim"]): row["title"] for row in _rows("titles")}


@cache
def parts() -> tuple[Part, ...]:
    """The claims' parts, in the paper's order."""
    return tuple(
        Part(
            claim=int(row["claim"]),
            rule=row["rule"],
            part=row["part"],
            statement=row["statement"],
            place=row["place"],
            dataset=row["dataset"],
            box=row["box"],
            metric=row["metric"],
            table=row["table"],
            row=row["row"],
            other=row["other"],
            than=row["than"],
            claimed=_number(row["claimed"]),
            unit=row["unit"],
            ablations=tuple(row["ablations"].split()),
            reported_text=row["reported_text"],
        )
        for row in _rows("claims")
    )


@cache
def notes() -> dict[str, str]:
    """What decides how the tables are to be read, a sentence or more by the note's name."""
    return {row["note"]: row["text"] for row in _rows("notes")}


def notes_of(place: str) -> tuple[str, ...]:
    """The notes of a reported row ("table2:prab") or of a claim ("3")."""
    return tuple(
        row["note"] for row in _rows("notes") if place in row["rows"].split() + row["claims"].split()
    )


@cache
def protocol() -> dict[str, Any]:
    """What the paper states of networks, training and tests, by the parameters' dotted keys."""
    stated: dict[str, Any] = _protocol()["stated"]
    return stated


@cache
def in_heatmap_pixels() -> tuple[str, ...]:
    """The keys of the protocol that are lengths in pixels of the heatmaps."""
    return tuple(_protocol()["in_heatmap_pixels"])


@cache
def free_elsewhere() -> tuple[str, ...]:
    """The keys of the protocol that bind on the paper's own datasets alone."""
    return tuple(_protocol()["free_elsewhere"])


@cache
def _protocol() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / "protocol.yaml").read_text())
    return content


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return tuple(csv.DictReader(file))


def _line(row: Mapping[str, str]) -> Line:
    height, width, radius, params = (
        int(row[key]) if row[key] else None for key in ("input_height", "input_width", "radius", "params")
    )
    # Metrics stand between the network's cost and the row's place in the paper.
    columns = list(row)
    metrics = columns[columns.index("gflops") + 1 : columns.index("source")]
    return Line(
        key=row["key"],
        method=row["method"],
        kind=row["kind"],
        model=row["model"],
        backbone=row["backbone"],
        pretraining=row["pretraining"],
        radius=radius,
        box=row["box"],
        input_size=None if height is None or width is None else (height, width),
        params=params,
        gflops=_number(row["gflops"]),
        values={metric: _number(row[metric]) for metric in metrics},
        source=row["source"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
