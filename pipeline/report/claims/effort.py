"""What further seeds for a claim cost: trainings, images, and hours at a measured rate."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.report.claims.claim import Claim
from pipeline.report.claims.power import MOST_SEEDS, POWER, Need
from pipeline.report.results import Results


@dataclass(frozen=True)
class Effort:
    """For one claim: what it needs, the further trainings of that on new images (on these where no number of seeds
    suffices), and their hours by machine; unmeasured: the command that measures a rate, where none is known."""

    need: Need
    trainings: int | None
    hours: Mapping[str, float]
    unmeasured: str = ""

    @property
    def words(self) -> str:
        """A sentence for people."""
        new, these = self.need.new_images, self.need.these_images
        true = "as large as measured" if self.need.measured else "true as claimed"
        if new is None and these is None:
            return f"Even if {true}, {MOST_SEEDS} seeds a side do not decide it."
        if new is None:
            said = f"Even if {true}, on new images {MOST_SEEDS} seeds a side do not decide it (power with "
            said += f"any number: {self.need.reach:.0%}); on these images {these} do at {POWER:.0%} power"
        else:
            said = f"If {true}, {new} seeds a side decide it at {POWER:.0%} power "
            said += f"({these or 'more'} on these images)"
        if self.trainings:
            hours = ", ".join(f"{value:,.1f} hours on {machine}" for machine, value in self.hours.items())
            if self.unmeasured:
                hours = f"no rate measured: `{self.unmeasured}` measures it"
            said += f", {self.trainings} further trainings" + (f" ({hours})" if hours else "")
        return said + ("; the spread over seeds is assumed." if self.need.assumed else ".")


def of(results: Results, claim: Claim, rates: Mapping[str, float]) -> Effort | None:
    """None where a claim is decided, or nothing is known of its spread."""
    need = claim.need if claim.undecided else None
    if need is None:
        return None
    seeds = need.new_images or need.these_images
    now = {f"{group.dataset}/{group.run.configuration}": len(group.runs) for group in results.groups}
    further = {name: max((seeds or 0) - now[name], 0) for name in claim.configurations}
    people = sum(_people(results, name.partition("/")[0]) * count for name, count in further.items())
    images = results.params.train.epochs * people
    return Effort(
        need,
        None if seeds is None else sum(further.values()),
        {machine: images / rate / 3600 for machine, rate in rates.items()},
        "" if rates else command(results),
    )


def measured_rates(results: Results) -> dict[str, float]:
    """Images a second in training the guided network at its input's size on the device of these trainings, by machine:
    of the whole loop where benchmarks/loop.py measured it, else of the fastest step of benchmarks/training.py that is
    carried out as these trainings are."""
    train, rates = results.params.train, dict[str, float]()
    for path, content in _measured(results, "training"):
        for row in content["rows"]:
            step = row.get("precision"), row.get("deterministic"), row.get("batch")
            own = step == (train.precision, train.deterministic, train.batch_size)
            if _fits(results, content, row, content.get("device")) and own:
                rate = _rate(path, row, "images_per_second")
                rates[content["machine"]] = max(rates.get(content["machine"], 0.0), rate)
    # A CPU's rate hardly depends on the batch.
    for path, content in _measured(results, "loop"):
        for row in content["rows"]:
            if _fits(results, content, row, "cpu") and content.get("precision", "float32") == train.precision:
                rates[content["machine"]] = _rate(path, row, "loop")
    return rates


def command(results: Results) -> str:
    """What measures a rate that `measured_rates` takes."""
    (height, width), batch = results.params.input.size, results.params.train.batch_size
    return (
        f"python -m benchmarks.training --device {_device(results)} --networks {results.params.guided} "
        f"--size {height} {width} --batch {batch}"
    )


def _people(results: Results, dataset: str) -> int:
    """Training people of a dataset, an image each in an epoch."""
    data = results.params.data
    return data.demo.train_people if data.source == "demo" else DATASETS[dataset].PEOPLE[0]


def _device(results: Results) -> str:
    """What the networks here were trained on."""
    machines = [evaluation.record.machine for group in results.groups for evaluation in group.evaluations]
    return next((machine.device for machine in machines if machine is not None), "cpu")


def _measured(results: Results, benchmark: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((results.root / paths.benchmarks()).glob(f"{benchmark}-*.json")):
        try:
            content = json.loads(path.read_text())
            if not all("network" in row for row in content["rows"]) or not content["machine"]:
                raise KeyError("network")
        except (KeyError, TypeError, ValueError) as error:
            raise _not_written(path, error) from None
        yield path, content


def _fits(results: Results, content: Mapping[str, Any], row: Mapping[str, Any], device: object) -> bool:
    size = list(results.params.input.size)
    measured = row["network"], content.get("input_size"), device
    return measured == (results.params.guided, size, _device(results))


def _rate(path: Path, row: Mapping[str, Any], name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError) as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: Exception) -> ValueError:
    name = path.name.partition("-")[0]
    return ValueError(f"{path} is not what benchmarks.{name} writes ({error!r}); measure again, or delete it")
