"""MLflow, second to the history on disk: a thread of our own carries rows to it, and no failure of it stops a run."""

import fcntl
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from pipeline import paths

if TYPE_CHECKING:
    from mlflow import MlflowClient

Row = dict[str, str | int | float]

# A server that does not answer would otherwise hold the thread for minutes.
_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


class Tracker:
    """One run in MLflow: parameters, losses and DWA weights by step, rates.

    The store is mlflow.db in the main workspace, or what MLFLOW_TRACKING_URI names. Rows are sent in batches
    from a thread; where MLflow is missing or fails, one line says so and the training goes on.
    """

    def __init__(self, experiment: str, name: str, params: dict[str, Any]):
        self.experiment, self.name, self.params = experiment, name, params
        self.run_id: str | None = None
        self._began = int(time.time() * 1000)
        self._rows: queue.Queue[tuple[int, dict[str, Any]] | bool] = queue.Queue()
        self._thread = threading.Thread(target=self._carry, name="mlflow", daemon=True)

    @property
    def _id(self) -> str:
        assert self.run_id is not None, "MLflow has opened the run"
        return self.run_id

    def start(self, run_id: str | None) -> None:
        """Begin a run, or go on with the one whose `run_id` this was."""
        self.run_id = run_id
        self._thread.start()

    def log(self, row: Row, images_per_second: float) -> None:
        """Hand over a row of the history; returns at once."""
        self._rows.put((int(time.time() * 1000), {**row, "images_per_second": images_per_second}))

    def close(self, finished: bool, timeout: float = 30) -> None:
        """Send what is left, for at most `timeout` seconds."""
        if not self._thread.is_alive():
            return
        self._rows.put(finished)
        self._thread.join(timeout)
        if self._thread.is_alive():
            print(f"MLflow did not take everything in {timeout:.0f} s; the history has it", flush=True)

    def _carry(self) -> None:
        try:
            client = self._open()
            finished = None
            while finished is None:
                batch, finished = self._next_batch()
                if batch:
                    self._send(client, batch)
            client.set_terminated(self._id, "FINISHED" if finished else "KILLED")
        except Exception as error:
            print(
                f"MLflow is left out of this run ({type(error).__name__}: {error}); the history has it all",
                flush=True,
            )

    def _open(self) -> "MlflowClient":
        for key, value in _LIMITS.items():
            os.environ.setdefault(key, value)
        from mlflow import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI") or paths.mlflow_store()
        root = paths.project_root()
        # Two processes that create a fresh SQLite store at once crash each other.
        with open(root / "mlflow.db.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if uri == paths.mlflow_store() and not (store := root / "mlflow.db").exists():
                # And one that is killed while it creates it leaves a store that MLflow cannot open.
                fresh = root / "mlflow.db.new"
                fresh.unlink(missing_ok=True)
                MlflowClient(f"sqlite:///{fresh}")
                fresh.rename(store)
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(self.experiment)
            if experiment is None:
                local = uri.startswith("sqlite:")
                where = (root / "mlartifacts" / self.experiment).as_uri() if local else None
                experiment_id = client.create_experiment(self.experiment, artifact_location=where)
            else:
                experiment_id = experiment.experiment_id
        if self.run_id is None:
            tags = {"mlflow.source.name": "stages/train.py", "run": self.name}
            if name := os.environ.get("DVC_EXP_NAME"):
                tags["dvc.experiment"] = name
            run = client.create_run(experiment_id, start_time=self._began, run_name=self.name, tags=tags)
            self.run_id = run.info.run_id
            self._send_params(client)
        else:
            client.update_run(self.run_id, status="RUNNING")
        return client

    def _send_params(self, client: "MlflowClient") -> None:
        from mlflow.entities import Param

        flat = [Param(key, str(value)) for key, value in sorted(flatten(self.params).items())]
        client.log_batch(self._id, params=flat)

    def _next_batch(self) -> tuple[list[tuple[int, dict[str, Any]]], bool | None]:
        batch: list[tuple[int, dict[str, Any]]] = []
        while True:
            try:
                # The first row is waited for; then whatever comes within a second goes along with it.
                item = self._rows.get(timeout=None if not batch else 1.0)
            except queue.Empty:
                return batch, None
            if isinstance(item, bool):
                return batch, item
            batch.append(item)
            if len(batch) >= 100:
                return batch, None

    def _send(self, client: "MlflowClient", batch: list[tuple[int, dict[str, Any]]]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, timestamp, row["step"])
            for timestamp, row in batch
            for key, value in row.items()
            if key not in ("kind", "step") and isinstance(value, int | float)
        ]
        # MLflow takes at most 1,000 metrics at once.
        for at in range(0, len(metrics), 1000):
            client.log_batch(self._id, metrics=metrics[at : at + 1000])


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested parameters under dotted keys."""
    flat: dict[str, object] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


class NoTracker:
    """In a Tracker's place where nobody is to be told: on every rank but the first, and in benchmarks."""

    run_id: str | None = None

    def start(self, run_id: str | None) -> None:
        pass

    def log(self, row: Row, images_per_second: float) -> None:
        pass

    def close(self, finished: bool, timeout: float = 30) -> None:
        pass
