"""python -m pipeline.plan [--images-per-second RATE]: how many seeds would decide each claim, and their hours."""

import argparse

from pipeline import params
from pipeline.report import claims
from pipeline.report.claims import effort
from pipeline.report.claims.power import MOST_SEEDS, POWER
from pipeline.report.results import Results

HEADER = ("claim", "part", "dataset", "verdict", "seeds now", "new images", "these images", "trainings")


def table(results: Results, rates: dict[str, float]) -> str:
    """A line for each claim that further seeds may decide, columns apart by two spaces."""
    rows = [[*HEADER, *(f"hours, {machine}" for machine in rates)]]
    for claim in claims.judge(results):
        plan = effort.of(results, claim, rates)
        if plan is None:
            continue
        need = plan.need
        new = (
            f"never ({need.reach:.0%})" if need.new_images is None and need.reach < POWER else need.new_images
        )
        cells = [claim.number, claim.part, claim.dataset, claim.words, claim.seeds, new, need.these_images]
        hours = ["-" if plan.trainings is None else f"{value:,.1f}" for value in plan.hours.values()]
        row = [*cells, plan.trainings, *hours]
        assumed = " *" if need.assumed else ""
        rows.append([f"more than {MOST_SEEDS}" if cell is None else str(cell) for cell in row])
        rows[-1][5] += assumed
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.plan", description=__doc__)
    parser.add_argument(
        "--images-per-second",
        type=float,
        help="as the training prints it; else what benchmarks.loop or benchmarks.training measured of the guided "
        "network at its input's size on the device of the trainings",
    )
    options = parser.parse_args()
    if options.images_per_second is not None and not options.images_per_second > 0:
        parser.error("--images-per-second must be above 0")
    try:
        results = Results(params.load())
        rates = effort.measured_rates(results)
        if options.images_per_second:
            rates = {"at the rate given": options.images_per_second}
        print(table(results, rates))
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(f"\nSeeds of each side for {POWER:.0%} power; in brackets the power with any number of seeds.")
    print("* spread over seeds assumed, since one seed of a side tells of none.")
    if not rates:
        print(f"No rate measured: give --images-per-second, or run `{effort.command(results)}`.")


if __name__ == "__main__":
    main()
