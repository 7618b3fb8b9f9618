"""A training's facts, and a store of its own for each test."""

import pytest

from pipeline import runs
from pipeline.params import Params, load
from pipeline.tracking.rows import Facts
from tests.conftest import write_params


@pytest.fixture
def make_facts(tmp_path):
    """Function of the run's own values and of changed keys of the parameters -> Facts."""

    def make(
        changes: dict | None = None, source="demo", profile="demo", torch="2.13.0", code="c" * 32, **run
    ) -> Facts:
        p: Params = load(write_params(tmp_path / "params.yaml", changes or {}))
        run = {"dataset": "mpii", "model": "sg_hrnet_small", "radius": 5, "seed": 0, "ablation": None} | run
        record = runs.Record(
            run=runs.Run(**run),
            joints=16,
            settings=runs.Settings.of(p, guided=run["radius"] is not None),
            data=runs.Data(source=source, people_sha256="0" * 64, archives_sha256="0" * 24),
            first_weights="none",
            machine=runs.Machine(ranks=1, device="cpu", kernels="avx2", torch=torch, compiled="eager"),
        )
        return Facts(profile=profile, record=record, code=code, checkpoint="mpii-run-key")

    return make
