"""MLflow's store: opened within bounded time, and one row for one training found or made in it."""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from pipeline import paths

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# A server that does not answer would otherwise hold a call for minutes. Nothing is told to MLflow's makers.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Progress bars of artifacts, and a line for each row.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# How MLflow is told that an experiment's runs are trainings.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def uri() -> str:
    """Where rows go: MLFLOW_TRACKING_URI, or mlflow.db in the main workspace."""
    return os.environ.get("MLFLOW_TRACKING_URI") or paths.mlflow_store()


def redacted(text: object) -> str:
    """A text in one line, without the passwords that the environment holds for MLflow, nor who calls at an address."""
    secrets = [os.environ.get(key, "") for key in _SECRETS]
    try:
        # Not by urlsplit's password, which ends at the first #, / or ?, and then is none.
        there = urlsplit(uri()).netloc
    except ValueError:
        return "an address that is none"
    if there:
        caller = uri().partition("://")[2].rpartition("@")[0]
        password = caller.partition(":")[2]
        # Where an address is cut there, an error may tell one piece.
        secrets += [password, *re.split("[#/?@]", password)]
    forms = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""))}
    line = " ".join(str(text).split())
    for form in sorted(forms - {""}, key=len, reverse=True):
        line = line.replace(form, "***")
    return re.sub(r"://(?!/)\S*@", "://***@", line)


@contextmanager
def locked() -> Iterator[None]:
    """Alone among this project's processes: two that look for a row, or create a store, at once make two, or crash."""
    with (paths.project_root() / "mlflow.db.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def connect() -> "MlflowClient":
    """A client whose calls end within seconds."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    where = uri()
    if where == paths.mlflow_store() and not (store := paths.project_root() / "mlflow.db").exists():
        with locked():
            # One that is killed while it creates its store leaves one that MLflow cannot open.
            fresh = store.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            if not store.exists():
                MlflowClient(f"sqlite:///{fresh}").search_experiments(max_results=1)
                fresh.rename(store)
    return MlflowClient(where)


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The experiment of a name, made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    local = uri().startswith("sqlite:")
    where = (paths.project_root() / "mlartifacts" / name).as_uri() if local else None
    return str(client.create_experiment(name, artifact_location=where, tags=_KIND))


def experiments(client: "MlflowClient") -> list[str]:
    """The ids of all experiments that are of trainings, as those made here."""
    ((key, value),) = _KIND.items()
    return [
        str(one.experiment_id) for one in client.search_experiments(filter_string=f"tags.`{key}` = '{value}'")
    ]


def rows(client: "MlflowClient", experiment: str, key: str) -> "list[Run]":
    """A training's rows, the oldest first."""
    found = client.search_runs([experiment], f"tags.training = '{key}'", order_by=["start_time ASC"])
    return list(found)


def new_row(
    client: "MlflowClient",
    experiment: str,
    name: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    start_time: int,
) -> str:
    """Make a row, and return its id."""
    from mlflow.entities import Param

    run = client.create_run(experiment, start_time=start_time, run_name=name, tags=dict(tags))
    made = [Param(key, value) for key, value in params.items()]
    # MLflow takes at most 100 at once.
    for at in range(0, len(made), 100):
        client.log_batch(run.info.run_id, params=made[at : at + 100])
    return str(run.info.run_id)


def log_points(client: "MlflowClient", row: str, points: list[tuple[str, float, int, int]]) -> None:
    """Log (key, value, time in ms, step)."""
    from mlflow.entities import Metric

    metrics = [Metric(*point) for point in points]
    # MLflow takes at most 1,000 at once.
    for at in range(0, len(metrics), 1000):
        client.log_batch(row, metrics=metrics[at : at + 1000])


def set_tags(client: "MlflowClient", row: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    made = [RunTag(key, value) for key, value in tags.items()]
    for at in range(0, len(made), 100):
        client.log_batch(row, tags=made[at : at + 100])


def artifacts_of(row: "Run") -> Path | None:
    """The folder of a row's files, where they lie on this machine."""
    parts = urlsplit(row.info.artifact_uri or "")
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
