"""Who depends on code: a file of fingerprints for each, on which the stages of dvc.yaml depend."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import code
from pipeline.datasets import DATASETS
from pipeline.networks import NETWORKS
from pipeline.params import sized
from pipeline.variants import VARIANTS

FOLDER = Path("build") / "code"


@dataclass(frozen=True)
class Consumer:
    """A stage, or what a stage does for one dataset, network and ablation. name: its file's below FOLDER.

    start: the module and the function where it begins, if that is not the stage's own.
    """

    name: str
    stage: str
    selection: Mapping[str, str | None]
    start: tuple[str, str] | None = None

    def reachable(self) -> dict[str, str]:
        """Each definition that it can reach, with its digest."""
        # A training reads the people, maps and images that the stages before it made; those read the archives.
        makes = self.stage in ("download", "prepare")
        without = code.FOLLOWED_OTHERWISE | ({} if makes else code.BYTES_AS_THEY_ARE)
        if self.start is None:
            # A run's predictions are its own; files of others have a consumer for themselves.
            without |= {"pipeline.predicted.measuring": "it reads predictions made elsewhere"}
        module, function = self.start or (f"stages.{self.stage}", self.stage)
        return code.reachable(module, function, self.selection, without)


def of_run(stage: str, dataset: str, network: str, ablation: str | None = None) -> Consumer:
    """The consumer that is a run's `train` or `evaluate`."""
    selection = {
        "DATASETS": dataset,
        "NETWORKS": network,
        "FAMILIES": NETWORKS[network].family,
        "VARIANTS": ablation,
    }
    return Consumer(f"{stage}/{dataset}/{network}/{ablation or network}", stage, selection)


def consumers(named: Iterable[str] = ()) -> Iterator[Consumer]:
    """All of them, whatever the parameters name; and networks named with an input of their own, in files so named."""
    for name in sorted({*named}):
        plain, size = sized(name)
        for dataset in DATASETS if size else ():
            for stage in ("train", "evaluate"):
                yield replace(of_run(stage, dataset, plain), name=f"{stage}/{dataset}/{name}/{name}")
    for dataset in DATASETS:
        for stage in ("download", "prepare", "targets"):
            yield Consumer(f"{stage}/{dataset}", stage, {"DATASETS": dataset})
        yield Consumer(
            f"evaluate/{dataset}/predictions",
            "evaluate",
            {"DATASETS": dataset},
            ("pipeline.predicted.measuring", "measure"),
        )
        for stage in ("train", "evaluate"):
            for name, network in NETWORKS.items():
                yield of_run(stage, dataset, name)
                for ablation in VARIANTS if network.backbone else ():
                    yield of_run(stage, dataset, name, ablation)
    yield Consumer("complexity", "complexity", {"VARIANTS": None})
    yield Consumer("report", "report", {})
