"""python -m pipeline.comparison: bring into MLflow what DVC tracks, once, and show it in a browser.

--port N       where MLflow listens on this machine, unless MLFLOW_TRACKING_URI names a server (5000)
--only DATASET RUN   bring one run of the workspace, and end
--no-server    bring, and end
--weights      log the weights too, as models with a signature
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser
from collections import defaultdict
from typing import TYPE_CHECKING

from pipeline import paths
from pipeline.comparison import bring, pages, views
from pipeline.comparison.tracked import Source, Tracked, Untracked, experiments, tracked, workspace
from pipeline.runs import named_by
from pipeline.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Seconds that one run takes at most, its pictures drawn.
ONLY = 120.0


def rebuild(client: "MlflowClient", weights: bool = False) -> dict[str, str]:
    """Bring everything, the weights if asked, and return the experiments' ids by dataset, the workspace's own."""
    here = workspace()
    # What lies in the workspace stands for the same training in an experiment.
    runs: dict[str, Tracked] = {}
    for source in (*experiments(), here):
        for one in tracked(source):
            if isinstance(one, Tracked):
                runs[one.facts.key] = one
            elif source is here:
                print(one, flush=True)
    claims, sent = pages.verdicts(here), 0
    configurations: dict[str, list[Tracked]] = defaultdict(list)
    for one in runs.values():
        try:
            sent += bring.bring(client, one, claims if one.source is here else None, weights)
        except Untracked as error:
            print(error, flush=True)
            continue
        if one.results and one.run.seed is not None:
            configurations[one.configuration].append(one)
    for seeds in configurations.values():
        if len(seeds) > 1:
            sent += bring.bring_parent(client, seeds)
    print(f"MLflow: {len(runs)} runs are what DVC tracks, {sent} of them changed", flush=True)
    bring.remove_dead(client, {*runs})
    ids = {}
    for one in runs.values():
        if one.source is here:
            ids[one.run.dataset] = dress(client, here, one)
    return ids


def dress(client: "MlflowClient", source: Source, one: Tracked) -> str:
    """Give an experiment its views, its main metric and what the report says of it."""
    dataset = one.run.dataset
    experiment = client.get_experiment(store.experiment_id(client, one.facts.experiment))
    tags = dict(view.tag for view in views.views(dataset))
    tags["mlflow.experiment.primaryMetric.name"] = views.main(dataset)
    tags["mlflow.note.content"] = pages.description(dataset, pages.claims_of(source))
    for key, value in tags.items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return str(experiment.experiment_id)


def only(client: "MlflowClient", dataset: str, name: str) -> None:
    # A stage that started this has gone on after seconds; a server that takes this long takes it the next time.
    limit = threading.Timer(ONLY, os._exit, (1,))
    limit.daemon = True
    limit.start()
    here = workspace()
    run = next((run for run in named_by(here.params) if (run.dataset, run.name) == (dataset, name)), None)
    if run is None:
        raise ValueError(f"params.yaml names no run {dataset}/{name}")
    for one in tracked(here, run):
        if isinstance(one, Untracked):
            raise one
        bring.bring(client, one)


def serve(port: int, ids: dict[str, str]) -> int:
    """Show it: on the server that MLFLOW_TRACKING_URI names, else on one started here until Ctrl-C."""
    where = store.uri()
    if where.startswith(("http://", "https://")):
        show(store.redacted(where).rstrip("/"), ids)
        return 0
    address = f"http://127.0.0.1:{port}"
    # A password stays out of the list of processes.
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    # One is enough for one person; four take their time to start, and on a busy machine give up.
    command += ["--workers", "1"]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": where,
        # It would start processes for tools of language models.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": str(paths.project_root() / "mlartifacts"),
    }
    # However this ends, the server ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with subprocess.Popen(command, env=environment) as server:
        try:
            while not _answers(f"{address}/health"):
                if server.poll() is not None:
                    return server.returncode
                time.sleep(0.3)
            show(address, ids)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True


def show(address: str, ids: dict[str, str]) -> None:
    """Print where each dataset's views are, and open the weights of the first where there is a screen."""
    for dataset, experiment in ids.items():
        for view in views.views(dataset):
            print(f"{dataset}, {view.name}: {view.url(address, experiment)}", flush=True)
    # Without the mode MLflow opens among tools for language models.
    print(f"Open {views.start_url(address)}", flush=True)
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if ids and screen:
        dataset, experiment = next(iter(ids.items()))
        webbrowser.open(views.weights(dataset).url(address, experiment))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.comparison", description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--only", nargs=2, metavar=("DATASET", "RUN"))
    parser.add_argument("--no-server", action="store_true")
    parser.add_argument("--weights", action="store_true")
    a = parser.parse_args()
    try:
        client = store.connect()
        if a.only:
            only(client, *a.only)
            return
        ids = rebuild(client, a.weights)
    except Exception as error:
        sys.exit(f"pipeline.comparison: {store.redacted(f'{type(error).__name__}: {error}')[:500]}")
    if not a.no_server:
        sys.exit(serve(a.port, ids))


if __name__ == "__main__":
    main()
