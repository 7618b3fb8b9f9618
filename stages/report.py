"""The stage `report`: results of the runs that params.yaml names -> tables, claims, figures, page."""

import logging
from pathlib import Path

from pipeline.params import load
from pipeline.report import environment, page
from pipeline.report.results import Results, remove_stale

log = logging.getLogger("report")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    params = load()
    for folder in remove_stale(params):
        log.info("removed %s, which params.yaml does not name (DVC's cache keeps it)", folder)
    out = Path("reports")
    page.write(Results(params), out)
    environment.write(out / "environment.js", params)
    log.info("the report is %s", out / "index.html")


if __name__ == "__main__":
    main()
