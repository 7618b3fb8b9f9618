"""What a run is called in MLflow, and what stands in its row: from its record, its code and its profile alone."""

from pathlib import Path
from typing import Any

from pipeline import files, params, profiles
from pipeline.params import Group
from pipeline.runs import Record, Run, Settings

# Of a name: what a list shows without widening its column.
SUFFIX = 60


class Facts(Group):
    """What tells one training from all others.

    profile: of the parameters. code: the md5 by which DVC records what code the training can reach; None of what was
    made elsewhere. checkpoint: the name of its checkpoint's file.
    """

    profile: str
    record: Record
    code: str | None
    checkpoint: str | None = None

    @property
    def run(self) -> Run:
        return self.record.run

    @property
    def key(self) -> str:
        """One training, one row: the same for whatever DVC holds to be the same, wherever and however often it ran.

        Of what, with which parameters, from which data and by which code; not on what machine.
        """
        record = self.record.model_dump(mode="json", exclude={"first_weights", "machine"})
        if self.run.checkpoint is not None:
            record["first_weights"] = self.record.first_weights
        return files.hash_json({"record": record, "code": self.code})

    @property
    def experiment(self) -> str:
        """PROFILE-DATASET; drawn people never stand among real ones, whatever the profile is called."""
        source = self.record.data.source
        usual = (source == "demo") == (self.profile == "demo")
        return "-".join([self.profile, *([] if usual else [source]), self.run.dataset])

    @property
    def name(self) -> str:
        """mpii/sg_hrnet_small/r5/s0, and behind it what differs from the profile."""
        run = self.run
        if run.checkpoint is not None:
            return f"{run.dataset}/{run.checkpoint}"
        parts = [run.dataset, run.model]
        parts += [run.ablation] if run.ablation else []
        parts += ["{}x{}".format(*run.input)] if run.input else []
        parts += [f"r{run.radius}"] if run.radius is not None else []
        parts += [f"s{run.seed}"] if run.seed is not None else []
        return " ".join(["/".join(parts), *_short(self._departures())])

    @property
    def params(self) -> dict[str, str]:
        """The parameters that it used, as params.yaml calls them."""
        run = self.run
        own = {
            "dataset": run.dataset,
            "network": run.model,
            "ablation": run.ablation,
            "radius": run.radius,
            "seed": run.seed,
        }
        named = {key: value for key, value in own.items() if value not in (None, "")}
        used = named | (settings(self.record.settings) if self.record.settings else {})
        return {key: str(value) for key, value in used.items()}

    @property
    def tags(self) -> dict[str, str]:
        """Where it comes from."""
        record, run = self.record, self.run
        tags = {
            "training": self.key,
            "run": f"{run.dataset}/{run.name}",
            "profile": self.profile,
            "data.source": record.data.source,
            "data.archives": record.data.archives_sha256,
            "data.people": record.data.people_sha256 or "",
            "code": self.code or "",
            "checkpoint": self.checkpoint or "",
            "first_weights": record.first_weights,
        }
        machine = record.machine.model_dump() if record.machine else {}
        tags |= {f"machine.{key}": str(value) for key, value in machine.items()}
        return {key: value for key, value in tags.items() if value}

    def _departures(self) -> dict[str, object]:
        """What it used and its profile has not."""
        record = self.record
        if record.settings is None or self.profile not in profiles.names():
            return {}
        usual = Settings.of(
            params.parse(profiles.merged(self.profile), self.profile),
            guided=record.settings.guided is not None,
            trained=record.settings.training is not None,
            input_size=record.run.input,
        )
        there = settings(usual)
        return {key: value for key, value in settings(record.settings).items() if there.get(key) != value}


def settings(used: Settings) -> dict[str, object]:
    """The parameters of a record under the keys of params.yaml."""
    tree: dict[str, Any] = {"input": used.input.model_dump(), "model": used.model.model_dump()}
    if used.model.pretrained not in ("none", "imagenet", "imagenet_if_there"):
        # Of a path only the name: the rest tells of a machine.
        tree["model"]["pretrained"] = Path(used.model.pretrained).name
    loss: dict[str, object] = {}
    if training := used.training:
        tree |= {key: getattr(training, key).model_dump() for key in ("heatmap", "augment", "train")}
        loss["reduction"] = training.reduction
    if guided := used.guided:
        tree |= {key: getattr(guided, key).model_dump() for key in ("segmentation", "guidance", "dwa")}
        loss["lambda"] = guided.weight
    return flatten(tree | ({"loss": loss} if loss else {}))


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested parameters under dotted keys."""
    flat: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        value = list(value) if isinstance(value, tuple) else value
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _short(departures: dict[str, object]) -> list[str]:
    """`lr=0.0005`, as many as there is room for; a number where more differ."""
    words = [f"{key.rpartition('.')[2]}={str(value).replace(' ', '')}" for key, value in departures.items()]
    kept: list[str] = []
    for number, word in enumerate(words):
        if sum(len(other) + 1 for other in [*kept, word]) > SUFFIX:
            return [*kept, f"+{len(words) - number}"]
        kept.append(word)
    return kept
