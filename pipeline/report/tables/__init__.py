"""The paper's tables, each reported row with the measured one under it, and the tables of our own."""

from dataclasses import dataclass

from pipeline.datasets import DATASETS
from pipeline.report import paper
from pipeline.report.paper import Sheet
from pipeline.report.results import Group, Results
from pipeline.report.tables.rows import Row, measured, reported, under, words
from pipeline.variants import VARIANTS


@dataclass(frozen=True)
class Table:
    """A table. metrics: its columns; boxes: the kinds of person box of its rows; gain: what `Row.gain` is, if any."""

    name: str
    heading: str
    title: str
    metrics: tuple[str, ...]
    boxes: tuple[str, ...]
    rows: tuple[Row, ...]
    gain: str | None = None

    @property
    def measured(self) -> bool:
        return any(row.measured for row in self.rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """Names of the notes at its rows, in their order."""
        return tuple(dict.fromkeys(note for row in self.rows for note in row.notes))


def make(results: Results) -> list[Table]:
    """Every table of the report, in its order; those of our own only where they have rows."""
    papers = [_papers(results, sheet) for sheet in paper.sheets().values()]
    own = [_own(results, dataset) for dataset in DATASETS if dataset not in paper.datasets()]
    return papers + [table for table in (*own, _ablations(results)) if table.rows]


def _papers(results: Results, sheet: Sheet) -> Table:
    metric = DATASETS[sheet.dataset].METRIC
    groups = [group for group in results.of(sheet.dataset) if not group.run.ablation]
    if sheet.rows == "radii":
        rows = [reported(line, sheet.name) for line in sheet.lines]
        rows += [row for group in groups if group.run.radius for row in measured(group, results)]
        ordered = tuple(sorted(rows, key=lambda row: (row.radius or 0, row.measured)))
    else:
        plain = [group for group in groups if group.run.radius in (None, results.params.radius)]
        ordered = under(sheet.name, sheet.lines, plain, results)
    return Table(sheet.name, sheet.heading, sheet.title, metric.columns, metric.boxes, ordered)


def _own(results: Results, dataset: str) -> Table:
    title, metric = DATASETS[dataset].TITLE, DATASETS[dataset].METRIC
    groups = [group for group in results.of(dataset) if not group.run.ablation]
    rows = tuple(row for group in groups for row in measured(group, results))
    what = f"{metric.title[0].upper()}{metric.title[1:]} on {title}, a set the paper does not use"
    return Table(dataset, title, what, metric.columns, metric.boxes, rows)


def _ablations(results: Results) -> Table:
    rows: list[Row] = []
    groups: list[Group] = []
    for dataset in results.params.measured:
        ablations = [group for group in results.of(dataset) if group.run.ablation]
        guided, baseline = results.guided(dataset), results.baseline(dataset)
        if not ablations or guided is None:
            continue
        for group in (*([baseline] if baseline else []), guided, *ablations):
            groups.append(group)
            rows += measured(group, results, against=guided)
    metrics = {group.dataset: group.metric for group in groups}.values()
    titles = dict.fromkeys(metric.title for metric in metrics)
    return Table(
        "ablations",
        "Ablations",
        f"The change of {' or '.join(titles)} against the guided network at r = {results.params.radius}",
        tuple(dict.fromkeys(column for metric in metrics for column in metric.columns)),
        tuple(dict.fromkeys(box for metric in metrics for box in metric.boxes)),
        tuple(rows),
        gain="Change",
    )


def sweeps(dataset: str) -> bool:
    """Whether the report has something to say of several radii on a dataset: the paper has, or does not use it."""
    return paper.of_radii(dataset) is not None or dataset not in paper.datasets()


def left_out(results: Results) -> list[str]:
    """What these parameters leave out of the report, each with the parameter that adds it."""
    params, missing = results.params, []
    for name, dataset in DATASETS.items():
        if name in params.labels_only:
            missing.append(
                f"{dataset.TITLE}: trained on, where `{name}` is in `datasets`, not in `labels_only`."
            )
        elif name not in params.datasets:
            lists = "`radius_sweep`" if sweeps(name) else "`radius_only`"
            missing.append(f"{dataset.TITLE}: add `{name}` to `datasets` and to {lists}.")
        elif sweeps(name) and name not in params.radius_sweep:
            missing.append(
                f"The radii of {dataset.TITLE}: move `{name}` from `radius_only` to `radius_sweep`."
            )
    for name in params.measured:
        groups = results.of(name)
        missing += [
            f"{DATASETS[name].TITLE} with {words(box)} boxes: name the detector's file in `evaluate.detections`."
            for box in DATASETS[name].METRIC.boxes
            if groups and all(results.values(group, box) is None for group in groups)
        ]
    ablations = [*params.ablations, *params.ablations_once]
    absent = [name for name in VARIANTS if name not in ablations]
    if absent:
        missing.append(f"Ablations: add {', '.join(f'`{name}`' for name in absent)} to `ablations`.")
    missing += [
        f"Ablations on {DATASETS[name].TITLE}: add `{name}` to `ablation_datasets`."
        for name in params.datasets
        if ablations and name not in params.ablation_datasets
    ]
    if len(params.seeds) + len(params.more_seeds) == 1:
        missing.append("Spread over seeds: name more than one in `seeds`.")
    return missing
