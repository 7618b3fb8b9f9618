"""python -m pipeline.tracking.follower: carry one training, as it comes in lines of JSON, into MLflow.

It ends with the training, however that ends, and soon after it whatever the server does.
"""

import json
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.tracking import PATIENCE, store
from pipeline.tracking.rows import Facts

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Seconds: that rows wait for others to go along, until a server that failed is tried again, and that are left for
# sending at the end.
TOGETHER = 1.0
AGAIN = 30.0
LAST = PATIENCE - 1.5

Line = dict[str, Any]


class Follower:
    """Sends what comes; what a server does not take stays here until it does."""

    def __init__(self, facts: Facts, steps: int):
        self.facts, self.steps = facts, steps
        self._began = int(time.time() * 1000)
        self._client: MlflowClient | None = None
        self._row = ""
        self._last = -1
        self._points: list[tuple[str, float, int, int]] = []
        self._complained = False

    def take(self, row: dict[str, Any]) -> None:
        """A row of the history, and its rate."""
        now = int(time.time() * 1000)
        self._points += [(key, value, now, row["step"]) for key, value in points(row).items()]

    def send(self) -> bool:
        """Send what waits; says once why it cannot."""
        try:
            if self._client is None:
                self._open()
            assert self._client is not None
            store.log_points(self._client, self._row, [p for p in self._points if p[3] > self._last])
            self._points.clear()
        except Exception as error:
            if not self._complained:
                why = store.redacted(f"{type(error).__name__}: {error}")[:300]
                print(f"MLflow does not take this run for now ({why}); `make mlflow` brings it", flush=True)
            self._complained = True
            return False
        return True

    def end(self, status: str) -> None:
        if self.send() and self._client is not None:
            self._client.set_terminated(self._row, status)

    def _open(self) -> None:
        client = store.connect()
        facts = self.facts
        with store.locked():
            experiment = store.experiment_id(client, facts.experiment)
            rows = store.rows(client, experiment, facts.key)
            kept = rows[0] if rows and self.steps else None
            # A training that starts anew takes the place of what was there.
            for row in rows[1:] if kept else rows:
                client.delete_run(row.info.run_id)
            if kept is None:
                tags = facts.tags | here()
                self._row = store.new_row(
                    client, experiment, facts.name, facts.params, tags, start_time=self._began
                )
            else:
                self._row = kept.info.run_id
                client.update_run(self._row, status="RUNNING")
                # It was killed after its checkpoint: what it had told since then comes a second time.
                told = client.get_metric_history(self._row, "loss")
                self._last = max((metric.step for metric in told), default=-1)
        if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() in ("true", "1"):
            watch_the_machine(self._row, resumed=kept is not None)
        self._client = client


def watch_the_machine(row: str, resumed: bool) -> None:
    """Log processor, memory, disk and GPU of the machine beside the losses, as MLflow's own variable asks for it."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(row, resume_logging=resumed, tracking_uri=store.uri())  # type: ignore[no-untyped-call]
    monitor.start()  # type: ignore[no-untyped-call]


def points(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a history's row as history.csv has them, so that a row rebuilt from it is the same."""
    return {
        key: float(f"{value:.7g}")
        for key, value in row.items()
        if key not in ("kind", "step") and isinstance(value, int | float)
    }


def here() -> dict[str, str]:
    """Where this training runs in DVC and git."""
    import subprocess

    tags = {"mlflow.source.name": "stages/train.py", "mlflow.source.type": "PROJECT"}
    for tag, key in (("dvc.experiment", "DVC_EXP_NAME"), ("dvc.stage", "DVC_STAGE")):
        if value := os.environ.get(key):
            tags[tag] = value
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    if asked.returncode == 0:
        tags["mlflow.source.git.commit"] = asked.stdout.strip()
    return tags


def read(lines: TextIO, into: "queue.Queue[Line]") -> None:
    """Take lines as they come, so that the training never waits; the end of them is the end of the training."""
    for line in lines:
        if line.endswith("\n"):
            into.put(json.loads(line))
    into.put({"status": "KILLED"})


def follow(lines: TextIO) -> None:
    waiting: queue.Queue[Line] = queue.Queue()
    threading.Thread(target=read, args=(lines, waiting), daemon=True).start()
    first = waiting.get()
    if "facts" not in first:
        return
    follower = Follower(Facts.model_validate_json(json.dumps(first["facts"])), first["steps"])
    follower.send()
    next_try, status = 0.0, ""
    while not status:
        came = [waiting.get()]
        # Whatever comes within a second goes along.
        end = time.monotonic() + TOGETHER
        while "status" not in came[-1] and (left := end - time.monotonic()) > 0:
            try:
                came.append(waiting.get(timeout=left))
            except queue.Empty:
                break
        for line in came:
            if "row" in line:
                follower.take(line["row"])
            status = str(line.get("status", status))
        if status:
            limit = threading.Timer(LAST, os._exit, (1,))
            limit.daemon = True
            limit.start()
            follower.end(status)
            limit.cancel()
        elif time.monotonic() >= next_try and not follower.send():
            next_try = time.monotonic() + AGAIN


def main() -> None:
    # The training goes first.
    os.nice(10)
    follow(sys.stdin)
    # Threads of MLflow's that wait for a server must not hold the end up.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
