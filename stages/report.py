"""python -m stages.report: what was measured, beside what the paper reports, as tables, claims and a page."""

from pathlib import Path

from pipeline import params
from pipeline.report import crate, environment, page
from pipeline.report.results import Results, remove_stale
from stages import main


def report() -> None:
    p = params.load()
    for folder in remove_stale(p):
        print(f"report: removed {folder}, which params.yaml does not name; DVC's cache keeps it", flush=True)
    out = Path("reports")
    page.write(Results(p), out)
    try:
        crate.write(out, p)
    except ValueError as error:
        # By hand it may read what no stage of DVC wrote.
        print(f"report: nothing written on where it came from: {error}", flush=True)
    environment.write(out / "environment.html", p)
    print(f"report: {out / 'index.html'}", flush=True)


if __name__ == "__main__":
    main(report)
