"""python -m pipeline.parallel (--jobs N | --cluster NAME): all stages of DVC, as many at once as may be."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from dvc.exceptions import DvcException

from pipeline import dvc_stages, params
from pipeline.parallel import engine, machines
from pipeline.parallel.table import Progress
from pipeline.parallel.workspace import Workspace

FOLDER = Path("build") / "parallel"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.parallel", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--jobs", type=int, metavar="N", help="runs at once on this machine, a GPU each")
    where.add_argument(
        "--cluster", metavar="NAME", help="jobs of Slurm, as profiles/cluster/NAME.yaml has them"
    )
    options = parser.parse_args()
    if options.jobs is not None and options.jobs < 1:
        sys.exit(f"JOBS={options.jobs} must be at least 1")

    stop = threading.Event()
    # A flag and no exception, which could end DVC in the middle of writing its lock.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        p = params.load()
        adapted: Callable[[str], str] = str
        if options.cluster:
            cluster = machines.Cluster.read(options.cluster)
            executors, adapted = cluster.executors(), cluster.over_nodes
        else:
            gpus = [] if p.compute.device == "cpu" else machines.gpus()
            executors = machines.local(options.jobs, p.compute.nproc, gpus)
        with Progress(dvc_stages.arguments(p)) as progress:
            state = engine.run(Workspace(), executors, FOLDER, progress, stop.is_set, adapted)
    except (ValueError, OSError, DvcException) as error:
        sys.exit(f"pipeline.parallel: {error}")
    if stop.is_set():
        sys.exit("Stopped; the same command goes on, trainings from their checkpoints")
    for name, log in state.failed.items():
        print(f"{name} failed; its log is {log}", file=sys.stderr)
    if state.failed:
        sys.exit(f"{state.ran} stages ran, {len(state.failed)} failed, {len(state.kept)} wait for those")
    print(f"{state.ran} of {state.total} stages ran, the others were up to date", file=sys.stderr)


if __name__ == "__main__":
    main()
