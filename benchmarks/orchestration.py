"""python -m benchmarks.orchestration: what DVC and Parsl cost for each stage, where the stages take no time.

A project of 200 runs, trained and evaluated by shell commands that write a few bytes, as `make repro JOBS=2` runs it;
then once more, with nothing to do; then DVC itself has to find nothing to do. Ends with an error if a stage costs
more than half a second. `dvc_cpu`: what DVC and Parsl compute in the process that is started.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import tables
from pipeline.parallel import engine, machines
from pipeline.parallel.workspace import Workspace

LIMIT = 0.5
# Outputs, inputs and parameters as many as those of the project's own stages.
STAGES = """
stages:
  train:
    matrix:
      run: "${runs}"
    cmd: >-
      true stages.train; mkdir -p runs/${item.run}; cd runs/${item.run};
      for out in weights history run; do echo $out ${item.run} > $out; done
    params: [train, model, loss]
    deps: [people]
    outs: ["runs/${item.run}/weights", "runs/${item.run}/history", "runs/${item.run}/run"]
  evaluate:
    matrix:
      run: "${runs}"
    cmd: "true stages.evaluate; mkdir -p results/${item.run}; echo ${item.run} > results/${item.run}/metrics"
    params: [evaluate]
    deps: [people, "runs/${item.run}/weights", "runs/${item.run}/history", "runs/${item.run}/run"]
    outs: ["results/${item.run}"]
"""
COLUMNS = {
    "what": "{:>16}",
    "stages": "{:6d}",
    "ran": "{:5d}",
    "seconds": "{:8.1f}",
    "s_a_stage": "{:9.3f}",
    "dvc_cpu_s_a_stage": "{:17.3f}",
}


def project(folder: Path, runs: int) -> None:
    """A project of DVC in a fresh folder."""
    names = ", ".join(f"r{number}" for number in range(runs))
    values = "{epochs: 1, lr: 0.1, drops: [1, 2, 3]}"
    keys = "".join(f"{key}: {values}\n" for key in ("train", "model", "loss", "evaluate"))
    folder.joinpath("params.yaml").write_text(f"{keys}runs: [{names}]\n")
    folder.joinpath("dvc.yaml").write_text(STAGES)
    folder.joinpath("people").write_text("people\n")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)


def side_by_side(jobs: int) -> engine.State:
    return engine.run(
        Workspace(), machines.local(jobs, 1, []), Path("build"), lambda state: None, lambda: False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project(folder, options.runs)
        os.chdir(folder)
        for what in ("all stages", "nothing to do"):
            began, computed = time.monotonic(), time.process_time()
            state = side_by_side(options.jobs)
            seconds = time.monotonic() - began
            assert not state.failed and len(state.done) == state.total == 2 * options.runs, state
            rows.append(
                {
                    "what": what,
                    "stages": state.total,
                    "ran": state.ran,
                    "seconds": seconds,
                    "s_a_stage": seconds / state.total,
                    "dvc_cpu_s_a_stage": (time.process_time() - computed) / state.total,
                }
            )
        left = subprocess.run(
            [sys.executable, "-m", "dvc", "repro"], check=True, capture_output=True, text=True
        ).stdout
        assert "Running stage" not in left, left
        os.chdir("/")
    facts = {"runs": options.runs, "jobs": options.jobs}
    print(tables.write(options.results, "orchestration", tables.torch.device("cpu"), facts, rows, COLUMNS))
    if rows[0]["s_a_stage"] > LIMIT:
        sys.exit(f"a stage costs {rows[0]['s_a_stage']:.2f} s, more than {LIMIT}")


if __name__ == "__main__":
    main()
