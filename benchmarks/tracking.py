"""What MLflow costs a training: servers that are well, slow, silent, away or broken, against no MLflow at all.

    python -m benchmarks.tracking
    python -m benchmarks.tracking --servers slow --rounds 9

After `dvc repro` of a profile: it takes people and images from data/. For each kind of server trainings with it and
without it follow each other, in turns that change their order, so that a machine's other work falls on both. `ratio`
is the median over the pairs of the seconds of the loop, with its quartiles; `of_its_cpu` that of the training process's
own processor time; `start` the seconds that it takes once to start the process that tells MLflow; `telling` what
handing rows over takes, in percent of the loop; `end` the longest wait after it, in seconds. `well` is a store on this
machine, as by default; `slow` answers after SLOW seconds, and that it cannot.
"""

import argparse
import dataclasses
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median, quantiles

import torch

from pipeline import engines

engines.pin_torch(deterministic=True)

from benchmarks import tables, tasks  # noqa: E402
from pipeline import params, runs  # noqa: E402
from pipeline.datasets import DATASETS  # noqa: E402
from pipeline.ranks import Ranks  # noqa: E402
from pipeline.tracking import NoTracker, Tracker  # noqa: E402
from pipeline.training import loop  # noqa: E402
from pipeline.training.checkpoint import Checkpoint  # noqa: E402
from pipeline.training.history import Row  # noqa: E402

COLUMNS = {
    "server": "{:>8}",
    "seconds": "{:7.1f}",
    "ratio": "{:6.3f}",
    "quartiles": "{:>14}",
    "of_its_cpu": "{:10.3f}",
    "start": "{:6.3f}",
    "telling": "{:8.4f}",
    "end": "{:5.1f}",
}
SLOW = 3.0


class Timed:
    """Hands everything on, and notes how long that took and how long the loop."""

    def __init__(self, tracker: Tracker | NoTracker):
        self._tracker = tracker
        self.telling = 0.0

    def start(self, steps: int) -> None:
        self._began = time.perf_counter(), time.process_time()
        self._tracker.start(steps)
        self.starting = time.perf_counter() - self._began[0]

    def log(self, row: Row, images_per_second: float) -> None:
        began = time.perf_counter()
        self._tracker.log(row, images_per_second)
        self.telling += time.perf_counter() - began

    def close(self, status: str) -> None:
        ended = time.perf_counter()
        self.seconds, self.cpu = ended - self._began[0], time.process_time() - self._began[1]
        self._tracker.close(status)
        self.end = time.perf_counter() - ended


class _Answers(BaseHTTPRequestHandler):
    """A server that is broken: it answers every call, after a while, that it cannot."""

    after = 0.0

    def do_GET(self) -> None:
        time.sleep(self.after)
        self.send_error(500)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


class _AnswersLate(_Answers):
    after = SLOW


@contextmanager
def server(kind: str, folder: Path) -> Iterator[str]:
    """The address of a server of a kind; `well` is a store on this machine, as by default."""
    if kind == "well":
        yield f"sqlite:///{folder}/mlflow.db"
    elif kind in ("slow", "broken"):
        with ThreadingHTTPServer(("127.0.0.1", 0), _AnswersLate if kind == "slow" else _Answers) as answers:
            answers.daemon_threads = True
            threading.Thread(target=answers.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{answers.server_port}"
            answers.shutdown()
    else:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if kind == "silent":
                silent.listen()
            yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def measure(kind: str, options: argparse.Namespace, p: params.Params, root: Path) -> dict[str, object]:
    ranks = Ranks.join("cpu")
    task = tasks.task(options.dataset, "sg_hrnet_small", p, root, ranks)
    record = runs.Record(
        run=task.run,
        joints=DATASETS[options.dataset].KEYPOINTS.count,
        settings=task.settings,
        data=runs.Data(source=p.data.source, people_sha256="", archives_sha256=""),
        first_weights="",
        machine=None,
    )

    def trained(tracker: Tracker | NoTracker) -> Timed:
        timed = Timed(tracker)
        with tempfile.TemporaryDirectory() as kept, Checkpoint(Path(kept), "tracking") as checkpoint:
            loop.train(dataclasses.replace(task, tracker=timed), checkpoint, ranks)
        timed.close("FINISHED")
        return timed

    pairs = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        # Locks and stores of the project itself stay as they are.
        os.environ["DVC_ROOT"] = name
        os.environ["MLFLOW_TRACKING_URI"] = stack.enter_context(server(kind, Path(name)))
        for number in range(options.rounds):
            both = {}
            for tracked in (True, False) if number % 2 else (False, True):
                both[tracked] = trained(
                    Tracker(p.profile, record, {}, "tracking") if tracked else NoTracker()
                )
            pairs.append((both[True], both[False]))
    ratios = [one.seconds / other.seconds for one, other in pairs]
    low, _, high = quantiles(ratios, n=4)
    return {
        "server": kind,
        "seconds": median(other.seconds for _, other in pairs),
        "ratio": median(ratios),
        "quartiles": f"{low:.3f} to {high:.3f}",
        "of_its_cpu": median(one.cpu / other.cpu for one, other in pairs),
        "start": median(one.starting for one, _ in pairs),
        "telling": median(100 * one.telling / one.seconds for one, _ in pairs),
        "end": max(one.end for one, _ in pairs),
    }


def main() -> None:
    kinds = ("well", "slow", "silent", "away", "broken")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="mpii", choices=sorted(DATASETS))
    parser.add_argument("--servers", nargs="+", default=kinds, choices=kinds, metavar="KIND")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=tables.FOLDER)
    options = parser.parse_args()
    p = params.load()
    p = p.model_copy(update={"train": p.train.model_copy(update={"epochs": options.epochs, "lr_drops": []})})
    rows = [measure(kind, options, p, Path.cwd()) for kind in options.servers]
    print(tables.table(rows, COLUMNS), end="")
    facts = {
        "dataset": options.dataset,
        "epochs": options.epochs,
        "rounds": options.rounds,
        "log_every": p.train.log_every,
        "seconds_until_a_slow_server_answers": SLOW,
        "processors": os.cpu_count(),
    }
    print(tables.write(options.out, "tracking", torch.device("cpu"), facts, rows, COLUMNS))


if __name__ == "__main__":
    main()
