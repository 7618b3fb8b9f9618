"""Like is compared with like: what two networks must share for a difference between them to be guidance's."""

from collections.abc import Sequence

from pipeline.report.results import Group
from pipeline.runs import Record


def differing(groups: Sequence[Group]) -> str:
    """A sentence on the first fact in which runs on one dataset differ, with both values; empty where they are alike.

    Runs on different datasets are not compared with each other, but gains are.
    """
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for group in groups:
        for evaluation in group.evaluations:
            record = evaluation.record
            for fact, value in _facts(record).items():
                name, known = first.setdefault((record.run.dataset, fact), (record.run.name, value))
                if value != known:
                    return f"Not compared: {fact} is {known} in {name} and {value} in {record.run.name}."
    return ""


def _facts(record: Record) -> dict[str, str]:
    """What makes runs comparable, in words; a training's facts are none of weights made elsewhere."""
    facts: dict[str, str] = {}
    if record.settings is not None:
        size, reduced = record.settings.input.size, record.settings.input.reduced_decoding
        facts |= {
            "the input's size": "x".join(map(str, size)),
            "reduced decoding": "on" if reduced else "off",
        }
    if record.machine is not None:
        machine = record.machine
        facts |= {
            "the number of ranks": str(machine.ranks),
            "the device": machine.device,
            "the set of kernels": machine.kernels or "a GPU's",
            "torch": machine.torch,
            "the training step": machine.compiled,
        }
    if record.settings is not None and record.settings.training is not None:
        train = record.settings.training.train
        facts["the precision"] = train.precision
        if record.machine is not None and record.machine.device == "cpu":
            facts["the number of threads"] = str(train.threads)
    return facts
