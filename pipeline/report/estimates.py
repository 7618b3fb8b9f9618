"""Numbers with their intervals, as the report takes them from the bootstrap."""

from dataclasses import dataclass, field

from pipeline.metrics import bootstrap

# Of each side: with fewer, one training's luck decides.
SEEDS = 3


@dataclass(frozen=True)
class Estimate:
    """A metric or a difference of two, percent: its value, its 95% interval on new images, and its standard deviation
    over seeds."""

    value: float
    low: float
    high: float
    spread: float | None
    replicates: bootstrap.Replicates = field(repr=False)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference; paired where both come from the same images."""
        replicates = self.replicates - other.replicates
        return Estimate(self.value - other.value, *bootstrap.interval(replicates), None, replicates)

    @property
    def on_these_images(self) -> tuple[float, float]:
        """Its 95% interval from new seeds on the same images; nan of one seed each."""
        return bootstrap.on_these_images(self.value, self.replicates)

    @property
    def in_words(self) -> str:
        """A difference with its intervals: on new images, and on these where there are seeds."""
        low, high = self.on_these_images
        these = "" if low != low else f"; on these {low:+.2f}, {high:+.2f}"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}{these}]"

    def p_above(self, bound: float = 0.0) -> float:
        """The one-sided p-value of its lying above a bound on new images."""
        return bootstrap.p_above(self.replicates, bound)


@dataclass(frozen=True)
class Clustering:
    """How many validation images lie in how many clusters; how wide the interval of a gain is, points, with the images
    of a cluster drawn together, and with each drawn apart."""

    images: int
    clusters: int
    together: float
    apart: float
