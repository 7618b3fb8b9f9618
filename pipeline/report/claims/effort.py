"""What further seeds for a claim cost: trainings, images, and hours at a measured rate."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from pipeline import paths
from pipeline.datasets import DATASETS
from pipeline.report.claims.claim import Claim
from pipeline.report.claims.power import MOST_SEEDS, POWER, Need
from pipeline.report.results import Results


@dataclass(frozen=True)
class Effort:
    """For one claim: what it needs, the further trainings of that on new images (on these where no number of seeds
    suffices), and their hours by machine."""

    need: Need
    trainings: int | None
    hours: Mapping[str, float]

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
            said += f", {self.trainings} further trainings" + (f" ({hours})" if hours else "")
        return said + ("; the spread over seeds is assumed." if self.need.assumed else ".")


def of(results: Results, claim: Claim, rates: Mapping[str, float]) -> Effort | None:
    """None where a claim is decided, or nothing is known of its spread."""
    need = claim.need if claim.undecided else None
    if need is None:
        return None
    seeds = need.new_images or need.these_images
    trainings = None if seeds is None else max(seeds - (claim.seeds or 0), 0) * claim.trainings
    # A claim may compare datasets.
    datasets = [run.partition("/")[0] for run in claim.runs.split()] or [claim.dataset]
    people = mean(_people(results, dataset) for dataset in datasets)
    images = (trainings or 0) * results.params.train.epochs * people
    return Effort(need, trainings, {machine: images / rate / 3600 for machine, rate in rates.items()})


def measured_rates(results: Results) -> dict[str, float]:
    """Images a second in training the guided network at `input.size`, by machine: the fastest that benchmarks/loop.py
    or benchmarks/training.py saw there."""
    rates: dict[str, float] = {}
    for benchmark, column in (("loop", "loop"), ("training", "images_per_second")):
        for path in sorted((results.root / paths.benchmarks()).glob(f"{benchmark}-*.json")):
            try:
                content = json.loads(path.read_text())
                alike = tuple(content["input_size"]) == results.params.input.size
                for row in content["rows"] if alike else ():
                    if row["network"] == results.params.guided:
                        machine = content["machine"]
                        rates[machine] = max(rates.get(machine, 0.0), float(row[column]))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path} is not what benchmarks.{benchmark} writes ({error!r}); measure again, or delete it"
                ) from None
    return rates


def _people(results: Results, dataset: str) -> int:
    """Training people of a dataset, an image each in an epoch."""
    data = results.params.data
    return data.demo.train_people if data.source == "demo" else DATASETS[dataset].PEOPLE[0]
