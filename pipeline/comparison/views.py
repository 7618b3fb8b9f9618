"""Saved views of an experiment: which columns the list shows, and which charts lie side by side.

MLflow keeps a saved view as a tag of its experiment, and shows it under its name; this is the form of MLflow 3.17.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from pipeline import files
from pipeline.comparison.bring import final_name
from pipeline.datasets import DATASETS

TAG = "mlflow.sharedViewState."
_NAME = "tags.`mlflow.runName`"
# Without it, the user interface starts among tools for language models.
MODE = {"workflowType": "machine_learning"}


@dataclass(frozen=True)
class View:
    """A name and what MLflow stores under it. charts: whether it opens on the charts, and not on the list."""

    name: str
    state: dict[str, object]
    charts: bool

    @property
    def key(self) -> str:
        return files.hash_json(self.name)

    @property
    def tag(self) -> tuple[str, str]:
        saved = {"name": self.name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(self.state)}
        return f"{TAG}{self.key}", json.dumps(saved)

    def url(self, address: str, experiment: str) -> str:
        query = {"viewStateShareKey": self.key, **MODE} | (
            {"compareRunsMode": "CHART"} if self.charts else {}
        )
        return f"{address}/#/experiments/{experiment}/runs?{urlencode(query)}"


def weights(dataset: str) -> View:
    """w_key and w_seg of the guided runs in one chart, with what explains them below."""
    charts = [
        _line("w_key and w_seg (Eqs. 8 to 10)", ["w_key", "w_seg"]),
        _line("rates r_key and r_seg", ["r_key", "r_seg"]),
        _line("segmentation loss", ["loss_seg"]),
        _line("keypoint loss", ["loss_key"]),
    ]
    guided = "params.`radius` LIKE '%' AND params.`seed` LIKE '%'"
    return View("DWA weights by radius", _state(dataset, charts, guided), True)


def comparison(dataset: str) -> View:
    """HRNet against SG-HRNet: how they learn, and where they end."""
    charts = [
        _bar(f"final {DATASETS[dataset].METRIC.title}", main(dataset)),
        _line(f"{DATASETS[dataset].METRIC.title} in training", ["accuracy"]),
        _line("keypoint loss", ["loss_key"]),
        _line("keypoint loss in validation", ["val_loss_key"]),
    ]
    return View("HRNet and SG-HRNet", _state(dataset, charts), True)


def glance(dataset: str) -> View:
    """The list: radius, seed, final metric with its interval, rate and state.

    In the order of names, in which seeds follow the row above them; in that of time MLflow folds them away.
    """
    return View("At a glance", _state(dataset, []), False)


def views(dataset: str) -> tuple[View, ...]:
    return glance(dataset), weights(dataset), comparison(dataset)


def main(dataset: str) -> str:
    metric = DATASETS[dataset].METRIC
    return final_name(dataset, metric.main, metric.boxes[0])


def compare_url(address: str, experiment: str, rows: Iterable[str]) -> str:
    """MLflow's own page that compares runs."""
    query = {"runs": json.dumps([*rows]), "experiments": json.dumps([experiment]), **MODE}
    return f"{address}/#/compare-runs?{urlencode(query)}"


def start_url(address: str) -> str:
    """All experiments."""
    return f"{address}/#/experiments?{urlencode(MODE)}"


def run_url(address: str, experiment: str, row: str) -> str:
    return f"{address}/#/experiments/{experiment}/runs/{row}?{urlencode(MODE)}"


def _state(dataset: str, charts: Sequence[dict[str, object]], search: str = "") -> dict[str, object]:
    final = main(dataset)
    columns = [
        *(f"params.`{key}`" for key in ("radius", "seed")),
        *(f"metrics.`{key}`" for key in (final, "images_per_second", f"{final}.low", f"{final}.high")),
    ]
    state: dict[str, object] = {
        "searchFilter": search,
        "orderByKey": _NAME,
        "orderByAsc": True,
        "selectedColumns": columns,
        "columnOrder": [_NAME, *columns],
        "columnWidths": {_NAME: 280},
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    if charts:
        section = {
            "uuid": "charts",
            "name": "Side by side",
            "display": True,
            "isReordered": True,
            "deleted": False,
        }
        state |= {
            "compareRunCharts": [chart | {"metricSectionId": section["uuid"]} for chart in charts],
            "compareRunSections": [section | {"columns": 2, "cardHeight": 400}],
            "isAccordionReordered": True,
        }
    return state


def _line(title: str, keys: list[str]) -> dict[str, object]:
    return _chart("LINE", title, keys) | {"xAxisKey": "step", "lineSmoothness": 0, "useGlobalXaxisKey": True}


def _bar(title: str, key: str) -> dict[str, object]:
    return _chart("BAR", title, [key])


def _chart(kind: str, title: str, keys: list[str]) -> dict[str, object]:
    return {
        "type": kind,
        "uuid": files.hash_json([kind, title]),
        "displayName": title,
        "metricKey": keys[0],
        "selectedMetricKeys": keys,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }
