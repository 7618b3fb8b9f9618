"""What was measured: the results of exactly the runs that the parameters name, with 95% intervals."""

import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.metrics import Array, Metric, Samples, bootstrap
from pipeline.networks import NETWORKS
from pipeline.params import Params
from pipeline.report.estimates import Clustering
from pipeline.report.estimates import Estimate as Estimate
from pipeline.runs import Evaluation, Run, named_by

if TYPE_CHECKING:
    import pandas as pd

Summary = Callable[[Samples, Array], Mapping[str, Array]]


@dataclass(frozen=True)
class Group:
    """One row of the tables: the same training from each seed. `evaluations` and `folders` are by seed."""

    evaluations: tuple[Evaluation, ...]
    folders: tuple[Path, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        return tuple(evaluation.record.run for evaluation in self.evaluations)

    @property
    def first(self) -> Evaluation:
        """The first seed's, for what all of them share."""
        return self.evaluations[0]

    @property
    def run(self) -> Run:
        return self.first.record.run

    @property
    def dataset(self) -> str:
        return self.run.dataset

    def shared_with(self, other: "Group") -> "Group":
        """The same row from those seeds alone that another has too."""
        rows = zip(self.evaluations, self.folders, strict=True)
        seeds = {run.seed for run in other.runs}
        return Group(*zip(*(row for row in rows if row[0].record.run.seed in seeds), strict=True))

    @property
    def metric(self) -> Metric:
        return DATASETS[self.dataset].METRIC

    @property
    def full_size(self) -> bool:
        """Whether these are all the people of the real dataset, so that claims about it can be judged."""
        return all(e.full_size and e.record.data.source != "demo" for e in self.evaluations)

    def history(self, seed: int = 0) -> "pd.DataFrame":
        """history.csv of one of the runs, blanks as nan."""
        import pandas as pd

        path = self.folders[seed] / "history.csv"
        try:
            return pd.read_csv(path)
        except FileNotFoundError:
            raise ValueError(f"{path} is not there; run the stage `evaluate` again") from None

    def histories(self) -> "list[pd.DataFrame]":
        return [self.history(seed) for seed in range(len(self.runs))]

    def samples(self, box: str, seed: int = 0) -> dict[str, Array]:
        """One of the runs' samples under a kind of person box, as the metric takes them."""
        return _arrays(self.folders[seed] / "samples.npz", f"{box}_")

    @property
    def clusters(self) -> dict[str, Array] | None:
        """Which images are resampled together, as bootstrap.clustered takes them; None where each is apart."""
        return _arrays(self.folders[0] / "samples.npz", "clusters_") or None

    def maps(self, seed: int = 0) -> dict[str, Array]:
        """What was measured of one of the runs' maps, person by person (evaluation.score.of_maps)."""
        return _arrays(self.folders[seed] / "samples.npz", "map_")

    def examples(self, seed: int = 0) -> dict[str, Array] | None:
        path = self.folders[seed] / "examples.npz"
        return _arrays(path) if path.is_file() else None


def remove_stale(params: Params, root: Path = Path("results")) -> list[Path]:
    """Remove result folders that the parameters do not name, and return them.

    DVC's stage `report` depends on the whole folder, so that a radius tried before would change its hash.
    The folders stay in DVC's cache: naming them again brings them back without training.
    """
    named = {root / run.dataset / run.name for run in named_by(params)}
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
    """All results that the parameters name, or those of some `runs`; estimates are made once and kept."""

    def __init__(self, params: Params, root: Path = Path("."), runs: Iterable[Run] | None = None):
        self.params, self.root = params, root
        self.groups = self._read(named_by(params) if runs is None else runs)
        self._estimates: dict[tuple[str, str, str], dict[str, Estimate] | None] = {}
        self._weights: dict[tuple[str, int, bool], Array] = {}

    def _read(self, runs: Iterable[Run]) -> list[Group]:
        rows: dict[tuple[str, str], list[tuple[Evaluation, Path]]] = {}
        for run in runs:
            folder = self.root / paths.results(run.dataset, run.name)
            path = folder / "metrics.json"
            evaluation = Evaluation.load(path)
            if evaluation.record.run != run:
                raise ValueError(
                    f"{path} is of {evaluation.record.run}, and not of {run}; run `dvc repro` again"
                )
            rows.setdefault((run.dataset, run.configuration), []).append((evaluation, folder))
        return [Group(*zip(*row, strict=True)) for row in rows.values()]

    def of(self, dataset: str) -> list[Group]:
        return [group for group in self.groups if group.dataset == dataset]

    def baseline(self, dataset: str) -> Group | None:
        """The guided network's own backbone, without guidance."""
        return self._find(dataset, NETWORKS[self.params.guided].backbone, None, None)

    def guided(self, dataset: str, radius: float | None = None) -> Group | None:
        """The guided network, at `radius` of the parameters unless told."""
        return self._find(dataset, self.params.guided, radius or self.params.radius, None)

    def pair(self, dataset: str) -> tuple[Group, Group] | None:
        """The guided network and its backbone, where both were measured."""
        guided, baseline = self.guided(dataset), self.baseline(dataset)
        return None if guided is None or baseline is None else (guided, baseline)

    def ablation(self, dataset: str, ablation: str) -> Group | None:
        groups = [group for group in self.of(dataset) if group.run.ablation == ablation]
        return groups[0] if groups else None

    def _find(
        self, dataset: str, model: str | None, radius: float | None, ablation: str | None
    ) -> Group | None:
        for group in self.of(dataset):
            run = group.run
            own = run.checkpoint is None and run.input is None
            if own and (run.model, run.radius, run.ablation) == (model, radius, ablation):
                return group
        return None

    def values(self, group: Group, box: str) -> dict[str, float] | None:
        """Each metric's mean over seeds, percent; None for a kind of box that was not measured."""
        by_seed = self._by_seed(group, box)
        if by_seed is None:
            return None
        return {name: float(np.mean([v[name] for v in by_seed])) for name in group.metric.columns}

    def estimates(self, group: Group, box: str) -> dict[str, Estimate] | None:
        """Each metric with its interval: images resampled (the same for each run of a dataset), and seeds."""
        key = (group.dataset, group.run.configuration, box)
        if key not in self._estimates:
            by_seed = self._by_seed(group, box)
            self._estimates[key] = (
                None if by_seed is None else self.intervals(group, box, by_seed, group.metric.summarise)
            )
        return self._estimates[key]

    def clustering(self, dataset: str) -> Clustering | None:
        """What drawing clusters does to the guided network's gain; None where there is none, or no cluster."""
        pair = self.pair(dataset)
        if pair is None or pair[0].clusters is None:
            return None
        metric = pair[0].metric
        box, estimates = metric.boxes[0], []
        for group in pair:
            by_seed = self._by_seed(group, box) or []
            estimates.append(self.intervals(group, box, by_seed, metric.summarise, together=False))
        apart = estimates[0][metric.main] - estimates[1][metric.main]
        both = [self.estimates(group, box) for group in pair]
        if both[0] is None or both[1] is None:
            return None
        gain = both[0][metric.main] - both[1][metric.main]
        images = metric.images(pair[0].samples(box))
        return Clustering(
            len(images),
            int(bootstrap.clustered(images, pair[0].clusters).max()) + 1,
            gain.high - gain.low,
            apart.high - apart.low,
        )

    def parts(self, group: Group, box: str) -> dict[str, Estimate] | None:
        """As `estimates`, taken apart as finely as the metric allows."""
        if self._by_seed(group, box) is None:
            return None
        by_seed = [group.metric.summarise_finely(group.samples(box, seed)) for seed in range(len(group.runs))]
        if tuple(by_seed[0]) == group.metric.columns:
            return self.estimates(group, box)
        return self.intervals(group, box, by_seed, group.metric.summarise_finely)

    def unlearned(self, group: Group, box: str) -> frozenset[str]:
        """Columns of which some training did not learn a joint's left and right: what they say of the network is
        luck."""
        if self._by_seed(group, box) is None:
            return frozenset()
        by_seed = (group.metric.unlearned(group.samples(box, seed)) for seed in range(len(group.runs)))
        return frozenset().union(*by_seed)

    def _by_seed(self, group: Group, box: str) -> list[dict[str, float]] | None:
        scores = [evaluation.scores.get(box) for evaluation in group.evaluations]
        known = [values for values in scores if values is not None]
        if len(known) < len(scores):
            return None
        return [{name: _nan(values[name]) for name in group.metric.columns} for values in known]

    def intervals(
        self,
        group: Group,
        box: str,
        by_seed: Sequence[Mapping[str, float]],
        summarise: Summary,
        samples: Sequence[Samples] | None = None,
        together: bool = True,
        limits: tuple[float, float] = (0.0, 100.0),
    ) -> dict[str, Estimate]:
        """What `summarise` makes of each seed's samples, with intervals. by_seed: its values without resampling;
        together: whether the images of a cluster are drawn together; limits: of what a value can be."""
        draws = []
        for each in samples or [group.samples(box, seed) for seed in range(len(group.runs))]:
            drawn = summarise(each, self._weights_of(group, group.metric.images(each), together))
            draws.append({name: drawn[name] for name in by_seed[0]})
        replicates = bootstrap.over_seeds(by_seed, draws, f"{group.dataset}/{group.run.configuration}")
        estimates = {}
        for name in by_seed[0]:
            values = [one[name] for one in by_seed]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            # With two or three seeds Student's interval may reach beyond what a percentage can be.
            low, high = np.clip(bootstrap.interval(replicates[name]), *limits).tolist()
            estimates[name] = Estimate(float(np.mean(values)), low, high, spread, replicates[name])
        return estimates

    def _weights_of(self, group: Group, image_id: Array, together: bool) -> Array:
        """The same for all runs of a dataset; together: whether the images of a cluster are drawn together."""
        key = group.dataset, len(image_id), together
        if key not in self._weights:
            report = self.params.report
            cluster = bootstrap.clustered(image_id, group.clusters if together else None)
            drawn = bootstrap.weights(int(cluster.max()) + 1, report.resamples, report.seed)
            self._weights[key] = drawn[:, cluster]
        return self._weights[key]


def printable(params: Params) -> dict[str, Any]:
    """All parameters but `compute`, on which no stage depends. Of paths only the name: they tell of a machine."""
    tree = params.model_dump(mode="json", by_alias=True, exclude={"compute"})
    if tree["data"]["source"] not in ("demo", "official"):
        tree["data"]["source"] = "folder"
    for group, key in (
        (tree["model"], "pretrained"),
        (tree["evaluate"], "detections"),
        *((given, "file") for given in tree["checkpoints"] + tree["predictions"]),
    ):
        group[key] = group[key] and Path(group[key]).name
    return tree


def _nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _arrays(path: Path, prefix: str = "") -> dict[str, Array]:
    """The arrays whose names begin with a prefix, without it."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name.removeprefix(prefix): archive[name] for name in archive if name.startswith(prefix)}
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; run the stage `evaluate` again") from None
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); run the stage `evaluate` again") from None
