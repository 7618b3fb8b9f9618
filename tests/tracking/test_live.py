"""Curves that grow while a training goes on."""

from pipeline.tracking.live import CURVES, Live
from tests.conftest import ROOT


def lines(folder, curve):
    return (folder / curve / "mpii-run.csv").read_text().splitlines()


def test_points_come_as_they_are_made_and_go_when_the_run_ends(tmp_path):
    live = Live("mpii", "run", tmp_path)
    live.start(0)
    live.log({"kind": "step", "step": 10, "loss": 0.5})
    live.log({"kind": "epoch", "step": 10, "accuracy": 60.0})
    assert lines(tmp_path, "loss") == ["dataset,series,step,loss", "mpii,run,10,0.5"]
    assert lines(tmp_path, "accuracy") == ["dataset,series,step,accuracy", "mpii,run,10,60.0"]
    live.end()
    assert not [*tmp_path.rglob("*.csv")]


def test_what_is_made_again_after_a_kill_stands_once(tmp_path):
    live = Live("mpii", "run", tmp_path)
    live.start(0)
    for step in (10, 20, 30):
        live.log({"step": step, "loss": 1.0})
    resumed = Live("mpii", "run", tmp_path)
    resumed.start(20)
    resumed.log({"step": 30, "loss": 1.0})
    assert [line.split(",")[2] for line in lines(tmp_path, "loss")] == ["step", "10", "20", "30"]
    Live("mpii", "run", tmp_path).start(0)
    assert len(lines(tmp_path, "loss")) == 1


def test_each_folder_is_there_at_every_commit():
    for curve in CURVES:
        committed = (ROOT / "live" / curve / "none.csv").read_text()
        assert committed == f"dataset,series,step,{curve}\n"
