"""params.yaml as frozen, typed models: a wrong, unknown or missing value is an error that names the key.

python -m pipeline.params checks params.yaml: `make repro` does so first, since DVC reads some of it before any stage.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from pipeline import strict_yaml
from pipeline.datasets import DATASETS
from pipeline.networks import BASELINES, GUIDED, NETWORKS
from pipeline.variants import VARIANTS, Apply, Reduction

# Ends that no use comes near: beyond them a training would fail at its first step, and name no key.
LONGEST = 4096
"""Of an image's or an input's sides, in pixels."""
WIDEST = 10_000
"""Of radii, in heatmap pixels."""


def _one_of(table: Iterable[str]) -> AfterValidator:
    names = tuple(table)

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"{name!r} is none of {', '.join(names)}")
        return name

    return AfterValidator(check)


DatasetName = Annotated[str, _one_of(DATASETS)]


def sized(name: str) -> tuple[str, tuple[int, int] | None]:
    """A baseline's network and, where its name ends in one, its own input's (height, width): hrnet_w32-256x256."""
    network, _, size = name.partition("-")
    if match := re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", size):
        return network, (int(match[1]), int(match[2]))
    return name, None


def _sized_one_of(names: Iterable[str]) -> AfterValidator:
    def check(name: str) -> str:
        network, size = sized(name)
        if network not in names:
            raise ValueError(
                f"{name!r} is none of {', '.join(names)}, nor one with an input's size behind it"
            )
        if size and any(side % 32 or side > LONGEST for side in size):
            raise ValueError(
                f"{name!r}: height and width must be multiples of 32, the coarsest stride, at most {LONGEST}"
            )
        return name

    return AfterValidator(check)


BaselineName = Annotated[str, _sized_one_of(BASELINES)]
GuidedName = Annotated[str, _one_of(GUIDED)]
NetworkName = Annotated[str, _sized_one_of(NETWORKS)]
AblationName = Annotated[str, _one_of(VARIANTS)]
Positive = Annotated[int, Field(ge=1, le=10**9)]
# Processes, threads, or a small network's blocks; a side in pixels.
Few = Annotated[int, Field(ge=1, le=1000)]
Side = Annotated[int, Field(ge=1, le=LONGEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]


def _radius(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= WIDEST:
        raise ValueError(
            f"must be a number of heatmap pixels, at least 1 and at most {WIDEST} (got {strict_yaml.short(value)})"
        )
    if isinstance(value, float) and value.is_integer():
        # DVC names stages and folders by the number as it is written.
        raise ValueError(f"write {value:.0f} and not {value}, which would be another stage")
    return value


Radius = Annotated[int | float, PlainValidator(_radius)]
"""Of the segmentation map, heatmap pixels. A whole number is an int, so that it has one spelling."""
# How trained runs are called.
_TRAINED = re.compile(rf"({'|'.join([*NETWORKS, *VARIANTS])})(-\d+x\d+|-r\d+(\.\d+)?)?-s\d+")
# Of a folder under results/ or evaluated/.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class ParamsError(ValueError):
    """A value in params.yaml that cannot be; the message names the key."""


class Group(BaseModel):
    # strict: YAML's own types must fit, so that `radius: "5"` is an error and not a second stage.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class Demo(Group):
    seed: Seed
    train_people: Positive
    val_people: Positive
    image_size: tuple[Side, Side]


class Data(Group):
    source: Annotated[str, StringConstraints(min_length=1)]
    on_bad_image: Literal["fail", "skip"]
    demo: Demo


class Input(Group):
    size: tuple[Side, Side]
    reduced_decoding: bool

    @field_validator("size")
    @classmethod
    def _fits_the_network(cls, size: tuple[int, int]) -> tuple[int, int]:
        if any(side % 32 for side in size):
            raise ValueError(f"{list(size)} must be multiples of 32, the network's coarsest stride")
        return size


class Heatmap(Group):
    sigma: Annotated[int, Field(ge=1, le=100)]


class Segmentation(Group):
    distance: Literal["euclidean", "squared"]


class Augment(Group):
    flip: Share
    rotation: Share
    rotation_std: Annotated[float, Field(ge=0)]
    scale_std: Annotated[float, Field(ge=0, lt=1)]


class Small(Group):
    width: Few
    stem: Few
    bottlenecks: Few
    modules: tuple[Few, Few, Few]
    blocks: Few


class Model(Group):
    pretrained: Annotated[str, StringConstraints(min_length=1)]
    fuse_upsample: Literal["nearest", "bilinear"]
    small: Small


class Guidance(Group):
    apply: Apply
    gate_bias: float
    fuse_upsample: Literal["nearest", "bilinear"]


class Loss(Group):
    # `lambda` is Python's keyword, and the paper's name.
    lambda_: Annotated[float, Field(ge=0, alias="lambda")]
    reduction: Reduction


class Dwa(Group):
    per: Literal["step", "epoch"]
    temperature: Annotated[float, Field(gt=0)]


class Train(Group):
    epochs: Positive
    batch_size: Positive
    lr: Annotated[float, Field(gt=0)]
    lr_drops: list[Positive]
    lr_factor: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    precision: Literal["float32", "bfloat16"]
    compile: bool
    deterministic: bool
    threads: Few
    log_every: Positive
    validate_every: Positive
    # Writing one keeps a GPU waiting.
    checkpoint_minutes: Annotated[float, Field(ge=1)]


class Evaluate(Group):
    flip_test: bool
    detections: Annotated[str, StringConstraints(min_length=1)] | None
    oks_nms: Share
    keypoint_score: Share


class Report(Group):
    # With fewer, the ends of a 95% interval are not to be told.
    resamples: Annotated[int, Field(ge=40, le=10**6)]
    seed: Seed
    margin: Annotated[float, Field(gt=0)]


class Compute(Group):
    device: Literal["auto", "cpu", "cuda"]
    nproc: Few
    workers: Annotated[int, Field(ge=0, le=1000)]


class Checkpoint(Group):
    name: Annotated[str, StringConstraints(pattern=NAME)]
    dataset: DatasetName
    model: NetworkName
    file: Annotated[str, StringConstraints(min_length=1)]


class Predictions(Group):
    # box: the kind of person box they were made in. model: the network that made them, where it is one of ours.
    name: Annotated[str, StringConstraints(pattern=NAME)]
    dataset: DatasetName
    box: str
    model: Annotated[str, _one_of([*NETWORKS, "none"])]
    file: Annotated[str, StringConstraints(min_length=1)]

    @model_validator(mode="after")
    def _has_such_boxes(self) -> Self:
        boxes = DATASETS[self.dataset].METRIC.boxes
        if self.box not in boxes:
            raise ValueError(f"box: {self.box!r} is none of {self.dataset}'s: {', '.join(boxes)}")
        return self


class Params(Group):
    """All of params.yaml; what each key means stands beside it in the file."""

    profile: Literal["demo", "mirror", "lspet", "lspet-small", "paper"]
    radius: Radius
    radii: tuple[Radius, Radius, Radius]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    more_seeds: list[Seed]
    datasets: list[DatasetName]
    labels_only: list[DatasetName]
    radius_sweep: list[DatasetName]
    radius_only: list[DatasetName]
    baselines: Annotated[list[BaselineName], Field(min_length=1)]
    guided: GuidedName
    ablations: list[AblationName]
    ablations_once: list[AblationName]
    ablation_datasets: list[DatasetName]
    checkpoints: list[Checkpoint]
    predictions: list[Predictions]
    data: Data
    input: Input
    heatmap: Heatmap
    segmentation: Segmentation
    augment: Augment
    model: Model
    guidance: Guidance
    loss: Loss
    dwa: Dwa
    train: Train
    evaluate: Evaluate
    report: Report
    compute: Compute

    @model_validator(mode="after")
    def _lists_agree(self) -> Self:
        lists = "seeds more_seeds datasets labels_only radius_sweep radius_only baselines ablations ablations_once "
        for key in (lists + "ablation_datasets").split():
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: {values} names something twice")
        apart = ("radius_sweep", "radius_only"), ("seeds", "more_seeds"), ("ablations", "ablations_once")
        for one, other in apart:
            if both := set(getattr(self, one)) & set(getattr(self, other)):
                raise ValueError(f"{one} and {other} both name {sorted(both)}; keep each in one list")
        if set(self.datasets) != set(self.radius_sweep) | set(self.radius_only):
            raise ValueError(
                f"datasets: {self.datasets} must be exactly what radius_sweep {self.radius_sweep} and "
                f"radius_only {self.radius_only} name together"
            )
        if not self.measured:
            raise ValueError("datasets: names none, and neither does labels_only; name at least one")
        for name in self.labels_only:
            if name in self.datasets:
                raise ValueError(
                    f"labels_only: {name} is in datasets too, whose images are there; name it once"
                )
            if DATASETS[name].PREDICTIONS is None:
                known = ", ".join(known for known, each in DATASETS.items() if each.PREDICTIONS)
                raise ValueError(
                    f"labels_only: {name}'s labels do not come apart from its images, only those of {known} do"
                )
        names: list[tuple[str, str]] = []
        given: list[tuple[str, list[Checkpoint] | list[Predictions]]]
        given = [("checkpoints", self.checkpoints), ("predictions", self.predictions)]
        for key, files in given:
            there = self.datasets if key == "checkpoints" else self.measured
            for file in files:
                if file.dataset not in there:
                    raise ValueError(f"{key}: {file.name} needs {file.dataset} in datasets")
            names += [(file.dataset, file.name) for file in files]
            if len(set(names)) != len(names) or any(_TRAINED.fullmatch(name) for _, name in names):
                raise ValueError(f"{key}: two runs have one name; give each file another")
        for key in ("ablations", "ablations_once"):
            ablations = getattr(self, key)
            if ablations and not self.ablation_datasets:
                raise ValueError(
                    f"{key}: {ablations} run on the datasets of ablation_datasets, which names none"
                )
            if ablations and (left_out := set(self.ablation_datasets) - set(self.datasets)):
                raise ValueError(f"ablation_datasets: {sorted(left_out)} must stand in datasets too")
            for ablation in ablations:
                if self.is_guided_itself(ablation):
                    keys = "guidance.apply, loss.reduction and model.small.modules"
                    raise ValueError(f"{key}: {ablation} is {self.guided} itself: see {keys}")
        backbone = NETWORKS[self.guided].backbone
        if backbone not in self.baselines:
            raise ValueError(f"baselines: must name {backbone}, against which {self.guided} is measured")
        return self

    @field_validator("radii")
    @classmethod
    def _rise(cls, radii: tuple[int | float, ...]) -> tuple[int | float, ...]:
        if not radii[0] < radii[1] < radii[2]:
            raise ValueError(f"{list(radii)} must rise, as Table 3's rows do")
        return radii

    @model_validator(mode="after")
    def _rates_drop_in_time(self) -> Self:
        late = [drop for drop in self.train.lr_drops if drop >= self.train.epochs]
        if late:
            raise ValueError(
                f"train.lr_drops: {late} would never come, since train.epochs is {self.train.epochs}; "
                f"name numbers of finished epochs below it, or []"
            )
        return self

    @property
    def measured(self) -> list[str]:
        """The datasets that something may be measured on: those trained on, and those of labels alone."""
        return [*self.datasets, *self.labels_only]

    def is_guided_itself(self, ablation: str) -> bool:
        """Whether an ablation changes nothing: where stages have one module, the last is every one."""
        # The real networks' stages have several modules; a small one's are parameters.
        one = "width" not in NETWORKS[self.guided].options and set(self.model.small.modules) == {1}
        applied, changed = self.guidance.apply, VARIANTS[ablation]
        if changed.reduction == self.loss.reduction or changed.apply == applied:
            return True
        return one and (applied, changed.apply) == ("last_module", "every_module")

    def ablations_of(self, seed: int) -> list[str]:
        """The ablations that are trained from a seed."""
        if seed not in self.seeds:
            return []
        return [*self.ablations, *(self.ablations_once if seed == self.seeds[0] else ())]

    def radii_on(self, dataset: str) -> list[int | float]:
        """The radii at which the guided network is trained on a dataset."""
        return sorted({*self.radii, self.radius}) if dataset in self.radius_sweep else [self.radius]


def load(path: Path | str = "params.yaml") -> Params:
    """Read and check a parameter file; raises ParamsError, one sentence that names file and key."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing; `make profile NAME=demo` writes one") from None
    except UnicodeDecodeError:
        raise ParamsError(f"{path} is no text; `make profile NAME=demo` writes one") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Params:
    """Parameters from a file's text; raises ParamsError, which names source, as the file is called."""
    try:
        values = strict_yaml.read(text, source)
    except ValueError as error:  # no YAML
        raise ParamsError(str(error)) from None
    try:
        # As JSON, because strict models take YAML's lists for tuples only from there; YAML's dates are texts here.
        return Params.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ParamsError(f"{source}: {_problem(error)}") from None
    except ValueError as error:
        # A number of more digits than Python writes, as YAML may write it to another base.
        raise ParamsError(f"{source}: {error}") from None


def _problem(error: ValidationError) -> str:
    """The first of what is wrong, with its key."""
    errors = error.errors(include_url=False)
    # A misspelt key is both missing and unknown; the unknown one is what the user wrote.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{key} is no parameter"
    if first["type"] == "missing":
        return f"{key} is missing"
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] != "value_error":
        problem += f" (got {strict_yaml.short(first['input'])})"
    if first["type"] == "float_type" and (number := strict_yaml.as_number(first["input"])):
        problem += f", which YAML reads as text: write {number}"
    return f"{key}: {problem}" if key else problem


if __name__ == "__main__":
    try:
        load()
    except ParamsError as error:
        sys.exit(str(error))
