"""What the parts of a claim say together, and which claims were measured here at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.datasets import DATASETS
from pipeline.report import paper
from pipeline.report.claims import rules
from pipeline.report.claims.claim import Claim
from pipeline.report.claims.rules import Verdict
from pipeline.report.paper import Part

# What part of a claim decides is named, unless they are more.
_NAMED = 2


class Basis(StrEnum):
    """What a claim is judged on."""

    TRAINED = "networks trained here"
    NETWORKS = "networks as they are and machines"
    FIGURES = "the paper's own figures"


# By rule, where it is not what was trained.
_BASES = {"count": Basis.NETWORKS, "cost": Basis.NETWORKS, "reported_gain": Basis.FIGURES}


@dataclass(frozen=True)
class Conclusion:
    """The verdict on a whole claim, on the paper's datasets (dataset: "") or on another; words: the verdict, and the
    parts that it comes from where others say otherwise."""

    number: int
    dataset: str
    verdict: Verdict
    words: str
    basis: Basis

    @classmethod
    def of(cls, claims: Sequence[Claim]) -> "Conclusion":
        """Of all parts of one claim on the paper's datasets, or on one other."""
        first, verdict = claims[0], rules.together([claim.verdict for claim in claims])
        words = verdict.value
        if verdict == Verdict.PRELIMINARY:
            words = f"{verdict}: {rules.together([claim.would_be or claim.verdict for claim in claims])}"
        deciding = [claim.part for claim in claims if claim.verdict == verdict]
        if len(deciding) < len(claims):
            named = " and ".join(deciding)
            words += (
                f" ({named if 0 < len(deciding) <= _NAMED else f'{len(deciding)} of {len(claims)} parts'})"
            )
        if basis(first.number) == Basis.FIGURES:
            words = f"by its own figures: {words}"
        if not first.papers:
            words = f"on {DATASETS[first.dataset].TITLE}: {words}"
        return cls(first.number, _place(first), verdict, words, basis(first.number))


def basis_of(part: Part) -> Basis:
    """What a part of a claim is judged on."""
    return _BASES.get(part.rule, Basis.TRAINED)


def basis(number: int) -> Basis:
    """What a claim is judged on; where its parts differ, what was trained."""
    found = {basis_of(part) for part in paper.parts() if part.claim == number}
    return next(each for each in Basis if each in found)


def conclude(claims: Sequence[Claim]) -> list[Conclusion]:
    """One conclusion for each claim, in the paper's order, and behind it those on datasets of our own."""
    parts: dict[tuple[int, str], list[Claim]] = {}
    for claim in claims:
        parts.setdefault((claim.number, _place(claim)), []).append(claim)
    return [Conclusion.of(parts[key]) for key in sorted(parts)]


def counts(conclusions: Sequence[Conclusion]) -> dict[Verdict, int]:
    """How many of the paper's claims got each verdict, in the order of the verdicts. What only subtracts the paper's
    own figures is neither measured nor counted."""
    verdicts = [c.verdict for c in conclusions if not c.dataset and c.basis != Basis.FIGURES]
    return {verdict: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


def _place(claim: Claim) -> str:
    return "" if claim.papers else claim.dataset
