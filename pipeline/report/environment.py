"""What differs from run to run, for the page to show: commit, versions, MLflow's ids and times. Not tracked."""

import html
import json
import platform
import sqlite3
import subprocess
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline import paths
from pipeline.params import Params
from pipeline.runs import named_by

# Those that compute what is measured and drawn.
COMPUTING = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "opencv-python-headless",
    "simplejpeg",
    "pycocotools",
    "matplotlib",
)


def write(path: Path, params: Params) -> None:
    """Write environment.html, a page of its own that tells the one which embeds it what it holds.

    Pages opened from disk may read no file; a missing script is an error in the console, a missing page is none.
    """
    facts = {
        "written": _time(datetime.now(UTC).timestamp()),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(*COMPUTING, "dvc", "mlflow"),
        "mlflow": _mlflow({(run.dataset, run.name) for run in named_by(params)}),
    }
    text = html.escape(json.dumps(facts, indent=2), quote=False)
    path.write_text(
        f'<!doctype html><meta charset="utf-8"><title>This copy of the report</title>\n<pre>{text}</pre>\n'
        '<script>parent.postMessage(JSON.parse(document.querySelector("pre").textContent), "*")</script>\n'
    )


def packages(*names: str) -> dict[str, str]:
    """The versions of the packages that are installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _mlflow(runs: set[tuple[str, str]]) -> list[dict[str, str | None]]:
    """The latest MLflow run of each training, read from the store without importing MLflow; none without it."""
    store = Path(paths.mlflow_store().removeprefix("sqlite:///"))
    if not store.is_file():
        return []
    query = """select t.value, r.run_uuid, r.start_time, r.end_time from runs r
               join tags t on t.run_uuid = r.run_uuid and t.key = 'run'
               where r.lifecycle_stage = 'active' order by r.start_time"""
    names = {f"{dataset}/{run}" for dataset, run in runs}
    latest: dict[str, dict[str, str | None]] = {}
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            for full, uuid, start, end in connection.execute(query):
                if full in names:
                    times = [_time(t / 1000) if t else None for t in (start, end)]
                    latest[full] = {"run": full, "id": uuid, "started": times[0], "ended": times[1]}
    except sqlite3.Error as error:
        return [{"run": f"the store cannot be read: {error}", "id": "", "started": None, "ended": None}]
    return [latest[name] for name in sorted(latest)]
