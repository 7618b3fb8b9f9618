"""`make mlflow`: what is brought, where it is shown, and what is said where that fails."""

import json
import os
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from pipeline.comparison import __main__ as comparison
from pipeline.comparison import views
from pipeline.tracking import store
from tests.comparison.conftest import all_rows
from tests.conftest import ROOT

pytest.importorskip("mlflow")
# In mlflow's place: it says what it was given, and answers as long as it lives.
SERVER = """#!{python}
import http.server, json, os, pathlib, sys
given = {{key: value for key, value in os.environ.items() if key.startswith("MLFLOW_")}}
pathlib.Path("started.json").write_text(json.dumps([sys.argv[1:], given, os.getpid()]))
if pathlib.Path("broken").exists():
    sys.exit(3)
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
with http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answers) as server:
    server.serve_forever()
"""


@pytest.fixture
def command(monkeypatch):
    """Function of the arguments -> the exit status of the command, 0 where it just ends."""
    # The limit of `--only` would end the process of the tests.
    monkeypatch.setattr(comparison, "threading", SimpleNamespace(Timer=lambda *_: threading.Thread()))

    def run(*arguments: str) -> int | str:
        monkeypatch.setattr(sys, "argv", ["comparison", *arguments])
        try:
            comparison.main()
        except SystemExit as ended:
            return ended.code or 0
        return 0

    return run


@pytest.fixture
def port(project, monkeypatch):
    """A free port, and a server in mlflow's place that would take it."""
    (project / "server").write_text(SERVER.format(python=sys.executable))
    (project / "server").chmod(0o755)
    monkeypatch.setattr(
        comparison, "sys", SimpleNamespace(executable=str(project / "server"), platform="linux")
    )
    monkeypatch.setattr(comparison, "signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=15))
    for screen in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(screen, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_one_run_of_the_workspace_comes_alone(made, command):
    made()
    assert command("--only", "mpii", "hrnet_small-s0") == 0
    assert set(all_rows()) == {"mpii/hrnet_small/s0"}
    assert command("--only", "mpii", "hrnet_small-s7") == (
        "pipeline.comparison: ValueError: params.yaml names no run mpii/hrnet_small-s7"
    )


def test_one_run_that_dvc_does_not_track_says_why(made, command, project):
    made()
    (project / "runs/mpii/hrnet_small-s0/history.csv").write_text("step\n")
    said = command("--only", "mpii", "hrnet_small-s0")
    assert "history.csv is not what dvc.lock records: `dvc repro`, or `dvc commit`" in said
    assert all_rows() == {}


def test_a_failure_is_a_line_without_the_password(made, command, monkeypatch):
    made()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")
    said = command("--no-server")
    assert said.startswith("pipeline.comparison: MlflowException: ") and "\n" not in said and len(said) < 560
    assert "127.0.0.1" in said and "s3cret" not in said


def test_a_server_of_ones_own_gets_the_rows_and_shows_the_views(made, command, monkeypatch, capsys):
    made()
    shown = []
    monkeypatch.setattr(comparison, "serve", lambda port, ids: shown.append((port, ids)) or 0)
    assert command("--port", "5050") == 0
    experiment = store.connect().get_experiment_by_name("demo-mpii")
    assert shown == [(5050, {"mpii": experiment.experiment_id})]
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "pckh.mean"
    assert command("--no-server") == 0 and len(shown) == 1


def test_views_are_named_with_their_addresses_once_the_server_answers(project, port, monkeypatch, capsys):
    class Interrupted(subprocess.Popen):
        """Ctrl-C comes once all is shown."""

        pressed = False

        def wait(self, *arguments, **options):
            if not self.pressed:
                self.pressed = True
                raise KeyboardInterrupt
            return super().wait(*arguments, **options)

    monkeypatch.setattr(comparison, "subprocess", SimpleNamespace(Popen=Interrupted))
    assert comparison.serve(port, {"mpii": "7"}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "mpii, At a glance", "mpii, DWA weights by radius", "mpii, HRNet and SG-HRNet",
        f"Open http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning",
    ]  # fmt: skip
    views_of = f"http://127.0.0.1:{port}/#/experiments/7/runs?viewStateShareKey="
    assert all(views_of in line for line in lines[:-1])
    arguments, given, _ = json.loads((project / "started.json").read_text())
    assert arguments == [
        "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"
    ]  # fmt: skip
    assert given["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{project}/mlflow.db"
    assert given["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == f"{project}/mlartifacts"


def test_at_a_glance_the_metric_and_the_rate_stand_before_the_interval():
    columns = views.glance("mpii").state["selectedColumns"]
    assert [column.split("`")[1] for column in columns] == [
        "radius", "seed", "pckh.mean", "images_per_second", "pckh.mean.low", "pckh.mean.high"
    ]  # fmt: skip


def test_a_server_that_does_not_start_ends_it_with_its_status(project, port, capsys):
    (project / "broken").touch()
    assert comparison.serve(port, {"mpii": "7"}) == 3
    assert capsys.readouterr().out == ""


def test_where_there_is_a_server_none_is_started_and_its_password_is_not_shown(
    project, port, monkeypatch, capsys
):
    opened = []
    monkeypatch.setattr(comparison.webbrowser, "open", opened.append)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@mlflow.example.org/")
    monkeypatch.setenv("DISPLAY", ":0")
    assert comparison.serve(port, {"coco": "3", "mpii": "4"}) == 0
    said = capsys.readouterr().out
    assert "coco, At a glance: https://***@mlflow.example.org/#/experiments/3/runs?" in said
    assert "s3cret" not in said and said.count("\n") == 7 and not (project / "started.json").exists()
    # On a screen the weights of the first dataset come up.
    assert opened == [views.weights("coco").url("https://***@mlflow.example.org", "3")]
    monkeypatch.delenv("DISPLAY")
    comparison.serve(port, {"coco": "3"})
    assert len(opened) == 1


def test_a_server_ends_with_the_command_that_is_asked_to_end(project, port):
    code = (
        "import sys; from pipeline.comparison import __main__ as comparison\n"
        f"sys.executable = {str(project / 'server')!r}; comparison.show = lambda *_: print(1, flush=True)\n"
        f"sys.exit(comparison.serve({port}, {{}}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "1\n"
        process.terminate()
        assert process.wait(30) == 1
    number = json.loads((project / "started.json").read_text())[2]
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
