"""What was measured: the results of exactly the runs that the parameters name, with 95% intervals."""

import json
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.metrics import bootstrap, oks, pckh
from pipeline.params import Params, Run

if TYPE_CHECKING:
    import pandas as pd

BOXES = ("ground_truth", "detected")


class MissingResult(ValueError):
    """A run that the parameters name has no results; the message names the file."""


@dataclass(frozen=True)
class Estimate:
    """A metric or a difference of two, percent: its value, 95% interval, and standard deviation over seeds."""

    value: float
    low: float
    high: float
    spread: float | None
    replicates: bootstrap.Replicates = field(repr=False)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference; paired where both come from the same images."""
        replicates = self.replicates - other.replicates
        return Estimate(self.value - other.value, *bootstrap.interval(replicates), None, replicates)


@dataclass(frozen=True)
class Group:
    """One row of the tables: the same training from each seed. `metrics` and `folders` are by seed."""

    runs: tuple[Run, ...]
    metrics: tuple[dict, ...]
    folders: tuple[Path, ...]

    @property
    def dataset(self) -> str:
        return self.runs[0].dataset

    @property
    def model(self) -> str:
        return self.metrics[0]["model"]

    @property
    def radius(self) -> int | None:
        return self.metrics[0].get("radius")

    @property
    def ablation(self) -> str | None:
        return self.metrics[0].get("ablation")

    @property
    def checkpoint(self) -> str | None:
        return self.metrics[0].get("checkpoint")

    @property
    def name(self) -> str:
        """The runs' name without the seed."""
        name, seed = self.runs[0].name, f"-s{self.runs[0].seed}"
        return name.removesuffix(seed)

    @property
    def data(self) -> dict:
        return self.metrics[0]["data"]

    @property
    def full_size(self) -> bool:
        """Whether these are all the people of the real dataset, so that claims about it can be judged."""
        return self.data["source"] != "demo" and all(metrics["data"]["full_size"] for metrics in self.metrics)

    @property
    def people(self) -> int:
        return self.metrics[0]["people"]

    @property
    def precision(self) -> str | None:
        """What it was trained in: float32 or bfloat16; unknown of somebody else's weights."""
        return self.metrics[0]["train_params"]["train"].get("precision")

    def history(self, seed: int = 0) -> "pd.DataFrame":
        """history.csv of one of the runs, blanks as nan."""
        import pandas as pd

        path = self.folders[seed] / "history.csv"
        try:
            return pd.read_csv(path)
        except FileNotFoundError:
            raise MissingResult(f"{path} is missing; run the stage `evaluate` again") from None

    def samples(self, seed: int = 0) -> dict[str, np.ndarray]:
        return _arrays(self.folders[seed] / "samples.npz")

    def examples(self, seed: int = 0) -> dict[str, np.ndarray] | None:
        path = self.folders[seed] / "examples.npz"
        return _arrays(path) if path.is_file() else None


def remove_stale(params: Params, root: Path = Path("results")) -> list[Path]:
    """Remove result folders that the parameters do not name, and return them.

    DVC's stage `report` depends on the whole folder, so that a radius tried before would change its hash.
    The folders stay in DVC's cache: naming them again brings them back without training.
    """
    named = {root / run.dataset / run.name for run in params.runs()}
    stale = [
        folder
        for dataset in sorted(root.iterdir() if root.is_dir() else [])
        for folder in (sorted(dataset.iterdir()) if dataset.is_dir() else [])
        if folder.is_dir() and folder not in named
    ]
    for folder in stale:
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    return stale


class Results:
    """All results that the parameters name; estimates are made once and kept."""

    def __init__(self, params: Params, root: Path = Path(".")):
        self.params, self.root = params, root
        self.groups = self._read()
        self._estimates: dict[tuple, dict[str, Estimate]] = {}

    def _read(self) -> list[Group]:
        rows: dict[tuple, list] = {}
        for run in self.params.runs():
            folder = self.root / paths.results(run.dataset, run.name)
            path = folder / "metrics.json"
            try:
                metrics = json.loads(path.read_text())
            except FileNotFoundError:
                raise MissingResult(
                    f"{path} is missing; `dvc repro` trains and evaluates {run.name}"
                ) from None
            except json.JSONDecodeError:
                raise MissingResult(
                    f"{path} is not JSON; run the stage `evaluate` of {run.name} again"
                ) from None
            seedless = run.name.removesuffix(f"-s{run.seed}")
            rows.setdefault((run.dataset, seedless), []).append((run, metrics, folder))
        return [Group(*(tuple(column) for column in zip(*row, strict=True))) for row in rows.values()]

    def of(self, dataset: str) -> list[Group]:
        return [group for group in self.groups if group.dataset == dataset]

    def baseline(self, dataset: str) -> Group | None:
        """The guided network's own backbone, without guidance."""
        return self._find(dataset, self.params.guided.removeprefix("sg_"), None, None)

    def guided(self, dataset: str, radius: int | None = None) -> Group | None:
        """The guided network, at `radius` of the parameters unless told."""
        return self._find(dataset, self.params.guided, radius or self.params.radius, None)

    def ablation(self, dataset: str, ablation: str) -> Group | None:
        found = [group for group in self.of(dataset) if group.ablation == ablation]
        return found[0] if found else None

    def _find(self, dataset: str, model: str, radius: int | None, ablation: str | None) -> Group | None:
        for group in self.of(dataset):
            run = group.runs[0]
            if group.checkpoint is None and (run.model, run.radius, run.ablation) == (
                model,
                radius,
                ablation,
            ):
                return group
        return None

    def values(self, group: Group, box: str | None = None) -> dict[str, float] | None:
        """Each metric's mean over seeds, percent; None for detected boxes without a detector's file."""
        by_seed = [_metrics(metrics, box) for metrics in group.metrics]
        if any(metrics is None for metrics in by_seed):
            return None
        return {
            name: _mean([metrics.get(name) for metrics in by_seed]) for name in metric_names(group.dataset)
        }

    def estimates(self, group: Group, box: str | None = None) -> dict[str, Estimate] | None:
        """Each metric with its interval: images resampled (the same for each run of a dataset), and seeds."""
        key = (group.dataset, group.name, box)
        if key not in self._estimates:
            values = self.values(group, box)
            self._estimates[key] = None if values is None else self._estimate(group, box, values)
        return self._estimates[key]

    def joints(self, group: Group) -> dict[str, Estimate]:
        """PCKh@0.5 of each joint of a PCKh dataset, as `estimates`."""
        names = DATASETS[group.dataset].KEYPOINTS.names

        def per_joint(samples, weights):
            return dict(zip(names, np.moveaxis(pckh.per_joint(samples, 0.5, weights), -1, 0), strict=True))

        by_seed = [per_joint(group.samples(seed), None) for seed in range(len(group.runs))]
        return self._intervals(group, by_seed, pckh.images, per_joint)

    def map_iou(self, group: Group) -> Estimate | None:
        """Mean IoU of a PCKh dataset's four maps with the target, percent; None where there are no maps."""
        if any(metrics.get("map_iou") is None for metrics in group.metrics):
            return None

        def summarise(samples, weights):
            # A person counts as often as the image it is in.
            person = weights[:, np.searchsorted(pckh.images(samples), samples["image_id"])].astype(float)
            return {"IoU": 100 * person @ samples["map_iou"].mean(1) / person.sum(1)}

        by_seed = [{"IoU": 100 * float(np.mean(metrics["map_iou"]))} for metrics in group.metrics]
        return self._intervals(group, by_seed, pckh.images, summarise)["IoU"]

    def _estimate(self, group: Group, box: str | None, values: dict[str, float]) -> dict[str, Estimate]:
        by_seed = [
            {name: _nan(_metrics(metrics, box).get(name)) for name in values} for metrics in group.metrics
        ]
        if box is not None:
            return self._intervals(
                group,
                by_seed,
                lambda samples: oks.images(samples, box),
                lambda samples, weights: oks.summarise(samples, box, weights),
            )
        keypoints = DATASETS[group.dataset].KEYPOINTS
        return self._intervals(
            group, by_seed, pckh.images, lambda samples, weights: pckh.summarise(samples, keypoints, weights)
        )

    def _intervals(self, group: Group, by_seed: list[dict], images, summarise) -> dict[str, Estimate]:
        report, draws = self.params.report, []
        for seed in range(len(group.runs)):
            samples = group.samples(seed)
            weights = bootstrap.weights(len(images(samples)), report.resamples, report.seed)
            found = summarise(samples, weights)
            draws.append({name: found[name] for name in by_seed[0]})
        replicates = bootstrap.over_seeds(by_seed, draws, f"{group.dataset}/{group.name}")
        estimates = {}
        for name in by_seed[0]:
            values = [one[name] for one in by_seed]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            # With two or three seeds Student's interval may reach beyond what a percentage can be.
            interval = np.clip(bootstrap.interval(replicates[name]), 0, 100).tolist()
            estimates[name] = Estimate(float(np.mean(values)), *interval, spread, replicates[name])
        return estimates

    def foreground(self, group: Group) -> float | None:
        """The share of heatmap pixels that the maps of the training people mark at the group's radius."""
        statistics = group.metrics[0].get("foreground")
        return statistics["train"]["foreground_share"] if statistics else None


def printable(params: Params) -> dict:
    """All parameters but `compute`, on which no stage depends. Of paths only the name: they tell of a machine."""
    found = params.model_dump(mode="json", by_alias=True, exclude={"compute"})
    if found["data"]["source"] not in ("demo", "official"):
        found["data"]["source"] = "folder"
    for group, key in (
        (found["model"], "pretrained"),
        (found["evaluate"], "detections"),
        *((checkpoint, "file") for checkpoint in found["checkpoints"]),
    ):
        group[key] = group[key] and Path(group[key]).name
    return found


def metric_names(dataset: str) -> tuple[str, ...]:
    return oks.METRICS if dataset == "coco" else pckh.METRICS


def main_metric(dataset: str) -> str:
    return "AP" if dataset == "coco" else "Mean"


def boxes(dataset: str) -> tuple[str | None, ...]:
    """The kinds of person box that a dataset is evaluated with; None where there is only the label's."""
    return BOXES if dataset == "coco" else (None,)


def _metrics(metrics: dict, box: str | None) -> dict | None:
    return metrics["pckh"] if box is None else metrics["coco"][box]


def _nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _mean(values: list[float | None]) -> float:
    return float(np.mean([_nan(value) for value in values]))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        raise MissingResult(f"{path} is missing; run the stage `evaluate` again") from None
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise MissingResult(f"{path} is damaged ({error}); run the stage `evaluate` again") from None
