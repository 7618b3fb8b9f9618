"""Rows of the tables: the paper's, and the measured ones in the same terms."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.report import paper
from pipeline.report.alike import differing
from pipeline.report.estimates import SEEDS
from pipeline.report.paper import Line
from pipeline.report.results import Estimate, Group, Results

# Percent: a network with parameters further from the reported ones says so.
APART = 3.0
UNLEARNED = (
    "Not learned: {}. In some training left or right was found less than half as often as the other side, or less than "
    "twice as often as it was taken for it. A joint not learned counts in every mean."
)
PRELIMINARY = f"The difference is preliminary: a side has fewer than {SEEDS} seeds."
WITHOUT_DETECTOR = "Not available: `evaluate.detections` names no detector's file."


@dataclass(frozen=True)
class Row:
    """A row of a table, the paper's or a measured one; what is not known of it is None or empty.

    model: its network, where it is one of ours. box: the kind of person box. input_size: (height, width). params: as
    a whole number. reported: the paper's values, percent; estimates: the measured ones. refused: why there is no gain
    where the runs are unequal; preliminary: whether a side of it has fewer seeds than a verdict needs. unlearned: those
    of the estimates that say nothing (`Results.unlearned`); main: the one that counts them all the same. notes: by
    name. settled: in what a network is not as in its own paper.
    """

    method: str
    measured: bool
    data: str
    model: str
    box: str
    input_size: tuple[int, int] | None
    pretraining: str
    params: int | None
    gflops: float | None
    gmacs: float | None = None
    precision: str = ""
    radius: float | None = None
    seeds: int | None = None
    reported: Mapping[str, float | None] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] | None = None
    gain: Estimate | None = None
    refused: str = ""
    preliminary: bool = False
    unlearned: frozenset[str] = frozenset()
    main: str = ""
    notes: tuple[str, ...] = ()
    settled: str = ""
    source: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes in words, what was settled, and why there are no numbers where there are none."""
        known = paper.notes()
        missing = [WITHOUT_DETECTOR] if self.measured and self.estimates is None else []
        missing += [self.refused] if self.refused else []
        missing += [PRELIMINARY] if self.preliminary else []
        if self.unlearned:
            missing.append(UNLEARNED.format(", ".join(sorted(self.unlearned))))
        return (*missing, *(known[note] for note in self.notes), *([self.settled] if self.settled else []))


def method(group: Group) -> str:
    """How a measured row is called."""
    run = group.run
    name = NETWORKS[run.model].title if run.model else "Predictions"
    if run.input:
        name += ", {} × {}".format(*run.input)
    if group.first.record.settings is None:
        return f"{name} (predictions {run.checkpoint})" if run.model else f"{name} {run.checkpoint}"
    if run.checkpoint:
        return f"{name} (checkpoint {run.checkpoint})"
    if run.ablation:
        return f"{name}: {run.variant.title}"
    return name + (f", r = {run.radius}" if run.radius else "")


def unlearned(results: Results, groups: Iterable[Group], box: str) -> str:
    """What is to be said where means of these groups are compared and some did not learn a joint; else nothing."""
    columns = {method(group): ", ".join(sorted(results.unlearned(group, box))) for group in groups}
    said = "; ".join(f"{its} of {name}" for name, its in columns.items() if its)
    return f"A joint not learned counts in this mean: {said}." if said else ""


def data_name(group: Group) -> str:
    """What the people are that a row was measured on, in words that no one takes for the paper's data."""
    name, people = DATASETS[group.dataset].TITLE, group.first.people
    if group.first.record.data.source == "demo":
        return f"demo: {people} synthetic people, not {name}"
    if not group.full_size:
        return f"sample: {people} people of {name}"
    return f"{name}, {people} people"


def settled(network: str, params: int | None, line: Line | None) -> str:
    """What is to be said of a network's row: whose parameters differ from its line of the paper's table, and what is
    not as in the network's own paper."""
    off = apart(network, params, line)
    said = [] if off is None or abs(off) <= APART else [f"Parameters differ by {off:+.1f}%."]
    return " ".join([*said, NETWORKS[network].settled]).strip()


def apart(network: str, params: int | None, line: Line | None) -> float | None:
    """Percent by which a network's parameters differ from those of its own line."""
    known = line.params if line and network == network_of(line) else None
    return None if params is None or known is None else 100 * (params / known - 1)


def network_of(line: Line) -> str | None:
    """The network that a row of the paper's is of: the one that it names, or the one whose own row it is."""
    first = next((name for name, network in NETWORKS.items() if network.row == line.kind), None)
    return line.model or (line.key if line.key in NETWORKS else first)


def words(box: str) -> str:
    """A kind of person box in words."""
    return box.replace("_", " ")


def pretraining(group: Group) -> str:
    """What a network started from, in a word or two; the rest of the record says how many tensors were taken.

    Nothing of predictions made elsewhere, of which it is not known.
    """
    if group.first.record.settings is None:
        return ""
    return group.first.record.first_weights.partition(":")[0]


def reported(line: Line, table: str) -> Row:
    name = line.method
    if line.backbone:
        name += f", {line.backbone}"
    if line.pretraining == "none":
        name += ", no pretraining"
    return Row(
        method=name,
        measured=False,
        data="as reported",
        model=line.model,
        box=line.box,
        input_size=line.input_size,
        pretraining=line.pretraining,
        params=line.params,
        gflops=line.gflops,
        radius=line.radius,
        reported=line.values,
        notes=paper.notes_of(f"{table}:{line.key}"),
        source=line.source,
    )


def measured(
    group: Group, results: Results, against: Group | None = None, line: Line | None = None
) -> list[Row]:
    """A group's rows: one for each kind of box, which are never mixed. against: whom `gain` compares it with; line:
    the paper's row under which they stand.

    Predictions made elsewhere have a row under their own kind alone.
    """
    facts, rows = group.first, []
    for box in group.metric.boxes:
        if facts.record.settings is None and facts.scores.get(box) is None:
            continue
        estimates = results.estimates(group, box)
        others = results.estimates(against, box) if against is not None and against is not group else None
        main, gain, refused = group.metric.main, None, ""
        if against is not None and estimates is not None and others is not None:
            refused = differing((against, group))
            gain = None if refused else estimates[main] - others[main]
        rows.append(
            Row(
                method=method(group),
                measured=True,
                data=data_name(group),
                model=group.run.model,
                box=box,
                input_size=facts.record.settings.input.size if facts.record.settings else None,
                pretraining=pretraining(group),
                params=facts.params,
                gflops=facts.gflops,
                gmacs=facts.gmacs,
                precision=facts.record.precision or "",
                radius=group.run.radius,
                seeds=len(group.runs) if facts.record.settings else None,
                estimates=estimates,
                gain=gain,
                refused=refused,
                preliminary=gain is not None
                and min(len(each.runs) for each in (group, against) if each is not None) < SEEDS,
                unlearned=results.unlearned(group, box),
                main=main,
                settled=settled(group.run.model, facts.params, line) if facts.params else "",
                source=" ".join(f"{run.dataset}/{run.name}" for run in group.runs),
            )
        )
    return rows


def under(name: str, lines: tuple[Line, ...], groups: list[Group], results: Results) -> tuple[Row, ...]:
    """The paper's rows, under each the measured ones that belong to it."""
    places = [_place(group, lines) for group in groups]
    rows = []
    for place, line in enumerate(lines):
        rows.append(reported(line, name))
        for group, its in zip(groups, places, strict=True):
            rows += measured(group, results, line=line) if its == place else []
    return tuple(rows)


def _place(group: Group, lines: tuple[Line, ...]) -> int:
    """The row of the same network, pretraining and input size, else the last one of its kind, else the last."""
    settings, started = group.first.record.settings, pretraining(group)
    # Tables may name neither pretraining nor input size.
    own = [
        place
        for place, line in enumerate(lines)
        if group.run.model
        and line.model == group.run.model
        and (settings is None or line.input_size in (None, settings.input.size))
        and (settings is None or line.pretraining in ("", "none" if started == "none" else "ImageNet"))
    ]
    kind = NETWORKS[group.run.model].row if group.run.model else None
    alike = [place for place, line in enumerate(lines) if line.kind == kind]
    return (own or alike or [len(lines) - 1])[-1]
