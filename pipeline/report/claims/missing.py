"""What a claim lacks where it was not measured, and which parameter names it."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.datasets import DATASETS
from pipeline.report.claims.claim import Claim
from pipeline.report.claims.rules import Verdict
from pipeline.report.results import Group, Results
from pipeline.report.tables import sweeps
from pipeline.report.tables.rows import data_name


def absent(claim: Claim, dataset: str | None = None) -> Claim:
    """Not measured, since the parameters leave out the dataset."""
    name = dataset or claim.dataset
    lists = "radius_sweep" if sweeps(name) else "radius_only"
    return claim.noted(f"Needs {DATASETS[name].TITLE}: add `{name}` to `datasets` and `{lists}`.")


def without_detections(claim: Claim, group: Group) -> Claim:
    note = "Detected boxes are not available: name the detector's file in `evaluate.detections`."
    return _unmeasured(claim, group, note)


def without_sweep(claim: Claim, group: Group) -> Claim:
    note = f"Needs further runs: move `{claim.dataset}` from `radius_only` to `radius_sweep`."
    return _unmeasured(claim, group, note)


def without_ablation(
    results: Results, claim: Claim, group: Group, names: Sequence[str], joined: str = " or "
) -> Claim:
    added = f"add {joined.join(f'`{name}`' for name in names)} to `ablations`"
    if claim.dataset not in results.params.ablation_datasets:
        added += f" and `{claim.dataset}` to `ablation_datasets`"
    return _unmeasured(claim, group, f"Needs a run to compare with: {added}.")


def _unmeasured(claim: Claim, group: Group, note: str) -> Claim:
    # With demo or mirror data the parameter that is missing would not make the claim testable.
    verdict = Verdict.NOT_MEASURED if group.full_size else Verdict.NO_DATA
    return replace(claim, verdict=verdict, data=data_name(group)).noted(note)
