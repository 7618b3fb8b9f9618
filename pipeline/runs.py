"""Runs: which ones the parameters name, and the record that each leaves, written once and read everywhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import ValidationError

from pipeline.engines import Kernels
from pipeline.params import (
    Augment,
    Checkpoint,
    Dwa,
    Group,
    Guidance,
    Heatmap,
    Input,
    Model,
    Params,
    Predictions,
    Radius,
    Segmentation,
    Train,
    sized,
)
from pipeline.variants import Reduction, Variant, variant


class Run(Group):
    """What is trained, on what.

    input: its own (height, width), where it is not the parameters' input.size. checkpoint: for weights or predictions
    made elsewhere, which are evaluated alone, their name. model: of predictions, the network that made them, or ""
    where it is none of ours.
    """

    dataset: str
    model: str
    radius: Radius | None
    seed: int | None
    ablation: str | None
    checkpoint: str | None = None
    input: tuple[int, int] | None = None

    @property
    def configuration(self) -> str:
        """Its name without the seed: runs of one configuration are one row of the tables."""
        if self.checkpoint is not None:
            return self.checkpoint
        if self.radius is not None:
            return f"{self.ablation or self.model}-r{self.radius}"
        return self.model if self.input is None else "{}-{}x{}".format(self.model, *self.input)

    @property
    def name(self) -> str:
        """Its folder under runs/DATASET and results/DATASET."""
        return self.configuration if self.checkpoint is not None else f"{self.configuration}-s{self.seed}"

    @property
    def variant(self) -> Variant:
        return variant(self.ablation)

    @property
    def guided(self) -> bool:
        """Whether its network predicts maps, so that it has a second loss."""
        return self.radius is not None and self.variant.guided


class Training(Group):
    """The parameters that decide a training, for any network. reduction: `loss.reduction`."""

    heatmap: Heatmap
    augment: Augment
    reduction: Reduction
    train: Train


class Guided(Group):
    """Those that decide a guided network and its second loss besides. weight: `loss.lambda`."""

    segmentation: Segmentation
    guidance: Guidance
    weight: float
    dwa: Dwa


class Settings(Group):
    """The parameters that a run used, and no others: a value that it does not use must not change its record.

    training: None of weights made elsewhere. guided: None of a network without guidance.
    """

    input: Input
    model: Model
    training: Training | None
    guided: Guided | None

    @classmethod
    def of(
        cls,
        params: Params,
        *,
        guided: bool,
        trained: bool = True,
        input_size: tuple[int, int] | None = None,
    ) -> Self:
        p = params
        return cls(
            input=p.input.model_copy(update={"size": input_size}) if input_size else p.input,
            model=p.model,
            training=Training(heatmap=p.heatmap, augment=p.augment, reduction=p.loss.reduction, train=p.train)
            if trained
            else None,
            guided=Guided(segmentation=p.segmentation, guidance=p.guidance, weight=p.loss.lambda_, dwa=p.dwa)
            if guided
            else None,
        )


class Data(Group):
    """Where a run's data came from. source: demo, official or folder; people: sha256 of the tables of people (None
    of weights made elsewhere); archives: of the list of archives with their own hashes."""

    source: Literal["demo", "official", "folder"]
    people_sha256: str | None
    archives_sha256: str


class Machine(Group):
    """What of a machine decides a training's bytes. ranks: processes whose batch norm sees a share each; kernels: what
    a CPU computed with, None on a GPU; torch: its version without the build; compiled: how the step was compiled."""

    ranks: int
    device: Literal["cpu", "cuda"]
    kernels: Kernels | None
    torch: str
    compiled: Literal["eager", "compiled", "compiled with CUDA graphs"]


class Record(Group):
    """run.json: what was trained, with which parameters, from what, on what.

    joints: K. first_weights: what the network started from, in words. machine: None of what was made elsewhere.
    settings: None of predictions made elsewhere, of whose making nothing is known.
    """

    run: Run
    joints: int
    settings: Settings | None
    data: Data
    first_weights: str
    machine: Machine | None

    @property
    def precision(self) -> str | None:
        """What it was trained in; None of what was made elsewhere."""
        training = self.settings.training if self.settings else None
        return training.train.precision if training else None

    @property
    def used(self) -> Settings:
        """The settings of a network that is there; raises ValueError for predictions, which have none."""
        if self.settings is None:
            raise ValueError(f"{self.run.name} is a file of predictions, and no network")
        return self.settings

    @classmethod
    def load(cls, path: Path) -> Self:
        return _load(cls, path, "run the stage `train` again")

    def to_json(self) -> str:
        return self.model_dump_json(indent=1, by_alias=True) + "\n"

    def save(self, path: Path) -> None:
        path.write_text(self.to_json())


class Evaluation(Group):
    """metrics.json: a run's record and what was measured of it.

    scores: for each kind of person box the metric's columns in percent, None where nothing counts; None of a kind
    that was not measured. params, gflops, gmacs: see models.complexity; None of predictions. people, images: of the
    validation split. full_size: whether the dataset has all its people, but for a handful; missing_people: how many it
    differs by from the official count, in both splits. map_iou: mean IoU of the four maps with the true one, 0 to 1;
    foreground_share: of their true maps, which is the IoU of a map of ones; both None without maps.
    """

    record: Record
    scores: dict[str, dict[str, float | None] | None]
    params: int | None
    gflops: float | None
    gmacs: float | None
    people: int
    images: int
    full_size: bool
    missing_people: int
    map_iou: list[float] | None
    foreground_share: float | None

    @classmethod
    def load(cls, path: Path) -> Self:
        return _load(cls, path, "run the stage `evaluate` again")

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1, by_alias=True) + "\n")


_Model = TypeVar("_Model", bound=Group)


def _load(model: type[_Model], path: Path, remedy: str) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} is not there; {remedy}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path} is damaged or of another version ({where}: {first['msg']}); {remedy}"
        ) from None


def named_by(params: Params) -> Iterator[Run]:
    """Every run that the parameters name, in the order of the report."""
    for dataset in params.measured:
        for seed in (*params.seeds, *params.more_seeds) if dataset in params.datasets else ():
            for model in params.baselines:
                network, size = sized(model)
                yield Run(dataset=dataset, model=network, radius=None, seed=seed, ablation=None, input=size)
            guided, radius = params.guided, params.radius
            for each in params.radii_on(dataset) if seed in params.seeds else [radius]:
                yield Run(dataset=dataset, model=guided, radius=each, seed=seed, ablation=None)
            for ablation in params.ablations_of(seed) if dataset in params.ablation_datasets else ():
                yield Run(dataset=dataset, model=guided, radius=radius, seed=seed, ablation=ablation)
        elsewhere: list[Checkpoint | Predictions] = [*params.checkpoints, *params.predictions]
        for given in elsewhere:
            if given.dataset == dataset:
                network, size = sized(given.model)
                yield Run(
                    dataset=dataset,
                    model="" if network == "none" else network,
                    radius=None,
                    seed=None,
                    ablation=None,
                    checkpoint=given.name,
                    input=size,
                )
