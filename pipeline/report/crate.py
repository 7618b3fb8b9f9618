"""reports/ro-crate-metadata.json: how each number under reports/ came about, for machines to follow.

A Process Run Crate (https://w3id.org/ro/wfrun/process/0.5): every stage is an action with what it read, used and wrote.
DVC notes each stage in dvc.lock as it ends, so that the stage `report` finds there all that led to what it reads, and
adds itself. The same outputs give the same bytes: nothing in it is a time, a host, a path of this machine or an order
in which stages ran.
"""

import csv
import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml

from pipeline import dvc_stages, files, lock, paths
from pipeline.datasets import DATASETS
from pipeline.lock import Item, Stage, Workspace
from pipeline.params import Params
from pipeline.report import environment
from pipeline.report.results import printable
from pipeline.runs import Evaluation

if TYPE_CHECKING:
    from rocrate.model.entity import Entity

FILE = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = "https://w3id.org/ro/terms/workflow-run#"
PAPER = "https://doi.org/10.18280/ts.410522"
# What lies outside of reports/ is named by its place in the project, not by one on this machine.
PROJECT = "arcp://name,sg-hrnet-reproduction/"
# A crate must have a date, and no run's own may stand in it: the one since when crates look as they do.
DATE = "2026-11-25"
DESCRIPTION = (
    "The paper's tables beside what was measured, its claims with verdicts, figures, and a page. Each action is a "
    "stage of the pipeline. `sha256` is of a file here; `md5` is of a file or folder of the project, as dvc.lock has "
    "it: of a folder with `.dir` behind it, the md5 of the sorted JSON list of its files' md5 and relpath. The "
    "version of an action's software is the md5 of the list of all definitions that it can reach, each by its syntax "
    "tree."
)


def write(out: Path, params: Params, root: Path = Path(".")) -> None:
    """Write the crate of all that lies in `out`, the report's folder, by then complete.

    Raises ValueError where dvc.lock does not tell where the results that lie here came from.
    """
    files.write_json(out / FILE, _Crate(out, params, root).described())


class _Crate:
    """The crate as it grows; entities are made once, and then known by their @id."""

    def __init__(self, out: Path, params: Params, root: Path):
        # Half a second, and few stages need it.
        from rocrate.rocrate import ROCrate

        self.out, self.params, self.root = out, params, root
        self.workspace = Workspace(root)
        self.arguments = dvc_stages.arguments(params)
        known = lock.load(root)
        missing = [name for name in ("code", *self.arguments, "complexity") if name not in known]
        if missing:
            raise ValueError(f"dvc.lock records no stage {missing[0]}; run `dvc repro`")
        # What parameters of earlier days named is there too, and DVC's order is that in which stages ended.
        self.stages = {name: known[name] for name in ("code", *self.arguments, "complexity")}
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_terms |= {name: TERMS + name for name in ("md5", "sha256", "environment")}

    def described(self) -> dict[str, Any]:
        root = self.crate.root_dataset
        self.crate.name = f"Does segmentation guidance make HRNet better? The report ({self.params.profile})"
        self.crate.description, self.crate.datePublished = DESCRIPTION, DATE
        self.crate.license = self._thing("https://spdx.org/licenses/MIT", "CreativeWork", name="MIT License")
        authors = self._thing("#authors", "Organization", name="The sg-hrnet-reproduction authors")
        root["author"] = root["publisher"] = authors
        profile = self._thing(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
        root["conformsTo"] = [profile]
        actions = [self._action(stage) for stage in self.stages.values()] + [self._report()]
        root["mentions"] = actions
        content: dict[str, Any] = self.crate.metadata.generate()
        content["@graph"] = sorted((_ordered(entity) for entity in content["@graph"]), key=_place)
        return content

    def _action(self, stage: Stage) -> "Entity":
        """A stage that DVC has recorded."""
        read = [self._item(item) for item in stage.data]
        wrote = [self._item(item) for item in stage.outputs]
        if stage.name.partition("@")[0] in ("download", "download_labels"):
            (read, wrote)[self.params.data.source == "demo"].extend(self._archives(stage))
        arguments = " ".join(_named(argument) for argument in self.arguments.get(stage.name, ()))
        command = f"{stage.command} {arguments}".strip()
        return self._act(stage, command, read + self._parameters(stage), wrote, self._machine(stage))

    def _report(self) -> "Entity":
        """The stage that writes this, of which DVC has recorded nothing yet."""
        declared = yaml.safe_load((self.root / "dvc.yaml").read_text())["stages"]["report"]
        inputs = tuple(self._inputs(declared["deps"]))
        values = self.params.model_dump(mode="json", by_alias=True)
        params = {key: _at(values, key) for key in declared["params"]}
        stage = Stage("report", declared["cmd"], inputs, (), params)
        read = [self._item(item) for item in stage.data]
        for item in stage.inputs:
            self._check(item.path)
        names = self.workspace.listing(self.out.relative_to(self.root).as_posix())
        written = [self._written(name) for name in names if name != FILE]
        rows = [row for name in names if name.endswith(".csv") for row in self._rows(name)]
        return self._act(stage, stage.command, read + self._parameters(stage), written + rows, {})

    def _inputs(self, deps: Sequence[str]) -> Iterator[Item]:
        """The report's inputs as they are now; of a folder that several stages wrote, what each wrote."""
        for path in deps:
            inner = [item for _, item in lock.makers(self.stages, path) if item.path.startswith(f"{path}/")]
            for place in [item.path for item in inner] or [path]:
                digest = self.workspace.digest(place)
                if digest is None:
                    raise ValueError(f"{place} is not there; run `dvc repro`")
                yield Item(place, digest, 0)

    def _check(self, path: str) -> None:
        """Raise ValueError unless what lies at a path is what dvc.lock says that a stage wrote there."""
        for stage, item in lock.makers(self.stages, path):
            if self.workspace.digest(item.path) != item.md5:
                raise ValueError(f"{item.path} is not what dvc.lock records of {stage.name}; run `dvc repro`")

    def _act(
        self,
        stage: Stage,
        command: str,
        read: "list[Entity]",
        wrote: "list[Entity]",
        machine: Mapping[str, Any],
    ) -> "Entity":
        code = stage.code
        place = code.path.removeprefix(f"{lock.CODE}/").removesuffix(".json") if code else stage.name
        software = {"name": stage.command, "softwareRequirements": self._packages()}
        if code:
            software |= {"softwareVersion": f"md5:{code.md5}", "isPartOf": self._item(self._code)}
        facts = {"DVC_STAGE": stage.name, **machine}
        return self._thing(
            f"#{quote(stage.name)}",
            "CreateAction",
            name=stage.name,
            description=command,
            actionStatus="http://schema.org/CompletedActionStatus",
            instrument=self._thing(f"#code/{place}", "SoftwareApplication", **software),
            object=read,
            result=wrote,
            environment=[self._value(f"#environment/{key}={facts[key]}", key, facts[key]) for key in facts],
        )

    @property
    def _code(self) -> Item:
        """The folder of all fingerprints."""
        return self.stages["code"].outputs[0]

    def _packages(self) -> "list[Entity]":
        """The packages that compute, as they are installed where the report is made, whatever their build."""
        installed = environment.packages(*environment.COMPUTING).items()
        versions = {name: version.partition("+")[0] for name, version in installed}
        return [
            self._thing(
                f"https://pypi.org/project/{name}/{version}/",
                "SoftwareApplication",
                name=name,
                softwareVersion=version,
            )
            for name, version in versions.items()
        ]

    def _parameters(self, stage: Stage) -> "list[Entity]":
        """The values that a stage used, and that dvc.lock has too."""
        now, shown = self.params.model_dump(mode="json", by_alias=True), printable(self.params)
        values: dict[str, Any] = {}
        for key, recorded in stage.params.items():
            if _at(now, key) != recorded:
                raise ValueError(f"dvc.lock has another {key} of {stage.name}; run `dvc repro`")
            values |= _leaves(key, _at(shown, key))
        return [self._value(f"#parameter/{key}", key, value) for key, value in values.items()]

    def _machine(self, stage: Stage) -> dict[str, Any]:
        """What of the machine decided a training's bytes, as its run's record has it."""
        if not stage.name.startswith("train_"):
            return {}
        folder = self.root / paths.results(*self.arguments[stage.name])
        machine = Evaluation.load(folder / "metrics.json").record.machine
        return machine.model_dump(mode="json") if machine else {}

    def _item(self, item: Item) -> "Entity":
        """A file or folder of the project. One in a folder that a stage wrote is part of that."""
        # A file of somebody's own: of its place only the name, which tells of no machine.
        path = Path(item.path).name if item.path.startswith(("/", "..")) else item.path
        identity = PROJECT + quote(path) + ("/" if item.is_folder else "")
        if (known := self.crate.get(identity)) is not None:
            return known
        # The sources count by what they mean, which the fingerprints hold, and not by their bytes.
        facts = {"name": path} | ({} if path in ("pipeline", "stages") else {"md5": item.md5})
        if item.size:
            facts["contentSize"] = str(item.size)
        add = self.crate.add_dataset if item.is_folder else self.crate.add_file
        entity = add(identity, properties=facts)
        for _, whole in lock.makers(self.stages, item.path):
            if whole.path != item.path:
                entity["isPartOf"] = self._item(whole)
        # The files that a measured number is in, or is drawn from.
        if item.path.startswith("results/"):
            parts = self.workspace.listing(item.path)
            entity["hasPart"] = [self._item(Item(f"{item.path}/{part}", parts[part], 0)) for part in parts]
        return entity

    def _archives(self, stage: Stage) -> "list[Entity]":
        """The archives of a manifest, which names them."""
        manifest = next(item for item in stage.outputs if Path(item.path).name == "archives.json")
        self._check(manifest.path)
        (dataset,) = self.arguments[stage.name]
        known = {archive.name: archive.url for archive in DATASETS[dataset].ARCHIVES}
        entities = []
        for entry in files.read_json(self.root / manifest.path)["archives"]:
            # What is hashed is what is in it, where packings of the same files differ.
            kind, facts = f"sha256 of {entry['of']}" if "of" in entry else "sha256", {"name": entry["name"]}
            identity = f"{PROJECT}data/archives/{dataset}/{quote(entry['name'])}"
            if "of" in entry:
                facts["identifier"] = self._value(f"#{kind}={entry['sha256']}", kind, entry["sha256"])
            else:
                facts["sha256"] = entry["sha256"]
            if self.params.data.source == "official":
                facts["url"] = known[entry["name"]]
            facts["contentSize"] = str(entry["bytes"])
            entities.append(self.crate.add_file(identity, properties=facts))
        self._item(manifest)["mentions"] = entities
        return entities

    def _written(self, name: str) -> "Entity":
        path = self.out / name
        kind = {".md": "text/markdown", ".tex": "application/x-tex"}.get(path.suffix)
        facts = {
            "name": name,
            "contentSize": str(path.stat().st_size),
            "sha256": files.sha256(path),
            "encodingFormat": kind
            or mimetypes.guess_type(name, strict=False)[0]
            or "application/octet-stream",
        }
        return self.crate.add_file(dest_path=name, properties=facts)

    def _rows(self, name: str) -> "Iterator[Entity]":
        """A table's rows and numbers, by their place in its CSV (RFC 7111), with what they are based on."""
        with (self.out / name).open(newline="") as file:
            lines = list(csv.DictReader(file))
        if not lines or not {"method", "row", "source"} <= lines[0].keys():
            return
        columns = list(lines[0])
        scored = {key for key in columns if f"{key}_low" in columns}
        numbers = [key for key in columns if key in scored or key in ("params", "gflops", "gmacs")]
        paper = self._thing(PAPER, "ScholarlyArticle", name="Segmentation Guided Attention Networks (2024)")
        for number, line in enumerate(lines, 2):
            measured = line["row"] == "measured"
            based = [self._results(run) for run in line["source"].split()] if measured else [paper]
            cells = [
                self._value(
                    f"{name}#cell={number},{columns.index(key) + 1}",
                    key,
                    line[key],
                    **(
                        {"minValue": line[f"{key}_low"], "maxValue": line[f"{key}_high"]}
                        if measured and key in scored
                        else {}
                    ),
                )
                for key in numbers
                if line[key]
            ]
            yield self._thing(
                f"{name}#row={number}",
                "CreativeWork",
                name=f"{line['method']}, {line['row']}, {line['box']} boxes",
                description=line["data"] if measured else line["source"],
                isPartOf=self.crate.get(name),
                isBasedOn=based,
                variableMeasured=cells,
            )

    def _results(self, run: str) -> "Entity":
        """The folder of results of a run, named as in the tables' column `source`."""
        return self._item(next(item for _, item in lock.makers(self.stages, f"results/{run}")))

    def _value(self, identity: str, name: str, value: object, **more: Any) -> "Entity":
        plain = value if isinstance(value, str | int | float) else json.dumps(value)
        return self._thing(identity, "PropertyValue", name=name, value=plain, **more)

    def _thing(self, identity: str, kind: str, **facts: Any) -> "Entity":
        from rocrate.model.contextentity import ContextEntity

        identity = quote(identity, safe=":/#=,@%.")
        known = self.crate.get(identity)
        if known is not None:
            return known
        return self.crate.add(ContextEntity(self.crate, identity, properties={"@type": kind} | facts))


def _at(tree: Any, key: str) -> Any:
    """A value at a dotted key."""
    for name in key.split("."):
        tree = tree[name]
    return tree


def _leaves(key: str, value: Any) -> dict[str, Any]:
    """The values in a tree by their dotted keys."""
    if not isinstance(value, dict):
        return {key: value}
    return {name: leaf for inner in value for name, leaf in _leaves(f"{key}.{inner}", value[inner]).items()}


def _named(argument: str) -> str:
    """An argument of a stage, of a path only the name."""
    option, equals, value = argument.partition("=")
    return f"{option}={Path(value).name}" if equals else argument


def _ordered(entity: Mapping[str, Any]) -> dict[str, Any]:
    """An entity with its lists of others in the order of their names."""
    return {
        key: sorted(value, key=lambda other: str(other["@id"]))
        if isinstance(value, list) and all(isinstance(other, dict) for other in value)
        else value
        for key, value in entity.items()
    }


def _place(entity: Mapping[str, Any]) -> tuple[bool, bool, str]:
    """The crate's own description first, then the crate, then all else by name."""
    return entity["@id"] != FILE, entity["@id"] != "./", entity["@id"]
