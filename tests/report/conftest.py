"""The fixtures of the report's tests."""

from pathlib import Path

import pytest

from pipeline.report.results import Results
from tests.report.synthetic import make_params, make_results


@pytest.fixture(scope="session")
def params(tmp_path_factory):
    """Function of changed keys (report__resamples=90) -> Params, read from a file as every stage does."""
    folder = tmp_path_factory.mktemp("params")
    return lambda **changes: make_params(folder, **changes)


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Function of changed keys -> Results over runs written for them; `source` and `full_size` tell the data.

    The same changes give the same Results, which no test may write into; `own` gives a folder of one's own.
    """
    made = {}

    def make(own: Path | None = None, **changes) -> Results:
        if own is not None:
            return make_results(own, **changes)
        key = repr(sorted(changes.items()))
        if key not in made:
            made[key] = make_results(tmp_path_factory.mktemp("workspace"), **changes)
        return made[key]

    return make
