"""MLflow's store: made whole or not at all, found again, and never asked for more at once than it takes."""

import shutil
import threading
from types import SimpleNamespace

import pytest

from pipeline.tracking import store

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def empty(project):
    """A project whose store nobody has made yet."""
    (project / "mlflow.db").unlink()
    return project


@pytest.fixture
def creation(monkeypatch, empty_store):
    """Making a store takes a moment instead of seconds; what it raises halfway is taken from here."""
    failures, real = [], mlflow.MlflowClient

    def client(uri):
        file = uri.removeprefix("sqlite:///")
        if not file.endswith(".new"):
            return real(uri)
        with open(file, "x") as half:
            half.write("half of a store")
        if failures:
            raise failures.pop()
        return SimpleNamespace(search_experiments=lambda **_: shutil.copyfile(empty_store, file))

    monkeypatch.setattr(mlflow, "MlflowClient", client)
    return failures


def test_a_store_whose_creation_was_killed_is_made_anew(empty, creation):
    creation.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        store.connect()
    # Half of a store is never found under its name, and not in the way of the next one.
    assert not (empty / "mlflow.db").exists() and (empty / "mlflow.new").exists()
    client = store.connect()
    assert [each.name for each in client.search_experiments()] == ["Default"]
    assert not (empty / "mlflow.new").exists()


def test_who_waits_for_anothers_store_takes_it(empty, creation, empty_store, monkeypatch):
    locked = store.locked

    def made_by_another():
        shutil.copyfile(empty_store, empty / "mlflow.db")
        return locked()

    monkeypatch.setattr(store, "locked", made_by_another)
    creation.append(AssertionError("made a second time"))
    assert [each.name for each in store.connect().search_experiments()] == ["Default"]


def test_two_are_never_in_the_store_together(project):
    order = []

    def second():
        with store.locked():
            order.append("second")

    waiting = threading.Thread(target=second)
    with store.locked():
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_more_than_mlflow_takes_at_once_comes_whole(project):
    client = store.connect()
    experiment = store.experiment_id(client, "paper-mpii")
    assert store.experiment_id(client, "paper-mpii") == experiment
    params = {f"param.{n}": str(n) for n in range(130)}
    row = store.new_row(client, experiment, "mpii/hrnet/s0", params, {"training": "key"}, start_time=7)
    store.set_tags(client, row, {f"tag.{n}": str(n) for n in range(130)})
    store.log_points(client, row, [("loss", 1 / (n + 1), n, n) for n in range(1300)])
    (found,) = store.rows(client, experiment, "key")
    assert (found.info.run_id, found.info.start_time, found.info.run_name) == (row, 7, "mpii/hrnet/s0")
    assert found.data.params == params
    assert {key: value for key, value in found.data.tags.items() if key.startswith("tag.")} == {
        f"tag.{n}": str(n) for n in range(130)
    }
    told = client.get_metric_history(row, "loss")
    assert [(point.step, point.value) for point in told] == [(n, 1 / (n + 1)) for n in range(1300)]


def test_files_of_a_row_lie_beside_the_store_and_on_a_server_with_it(project, monkeypatch):
    client = store.connect()
    experiment = store.experiment_id(client, "demo-mpii")
    row = client.get_run(store.new_row(client, experiment, "run", {}, {}, start_time=0))
    assert store.artifacts_of(row) == project / "mlartifacts" / "demo-mpii" / row.info.run_id / "artifacts"
    # A server says itself where files go, and they are none of this machine's.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    asked = {}
    server = SimpleNamespace(
        get_experiment_by_name=lambda name: None,
        create_experiment=lambda name, artifact_location, tags: asked.setdefault(name, artifact_location),
    )
    store.experiment_id(server, "demo-coco")
    assert asked == {"demo-coco": None}
    away = SimpleNamespace(info=SimpleNamespace(artifact_uri="mlflow-artifacts:/3/abc/artifacts"))
    assert store.artifacts_of(away) is None


def test_an_address_that_is_none_is_not_repeated(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@[host")
    assert store.redacted("no host in http://me:s3cret@[host") == "an address that is none"
