"""MLflow rebuilt from what DVC tracks: every run once, with the numbers of the tables."""

import csv
import io
import json

import numpy as np
import pytest
import torch

from pipeline import paths, runs, tensors
from pipeline.comparison import __main__ as comparison
from pipeline.comparison import bring, pages
from pipeline.comparison.tracked import Tracked, tracked, workspace
from pipeline.evaluation import inference
from pipeline.report import paper, tables
from pipeline.report.claims import RULES, Claim
from pipeline.report.claims import to_csv as claims_csv
from pipeline.report.tables import forms
from pipeline.runs import named_by
from pipeline.tracking import follower, store
from tests.comparison.conftest import ONE, all_rows, rebuild, record
from tests.report.synthetic import make_params

mlflow = pytest.importorskip("mlflow")


def test_each_run_comes_once_with_the_numbers_of_the_tables(made, capsys):
    results = made()
    rows = rebuild()
    assert set(rows) == {"mpii/hrnet_small/s0", "mpii/sg_hrnet_small/r5/s0"}
    assert "2 runs are what DVC tracks, 2 of them changed" in capsys.readouterr().out
    table = list(csv.DictReader(io.StringIO(forms.to_csv(tables.make(results)[0]))))
    measured = {row["radius"]: row for row in table if row["row"] == "measured"}
    for name, radius in (("mpii/hrnet_small/s0", ""), ("mpii/sg_hrnet_small/r5/s0", "5")):
        row, cells = rows[name], measured[radius]
        for key, column in (("mean", "Mean"), ("head", "Head"), ("mean_at_0.1", "Mean@0.1")):
            for end in ("", "_low", "_high"):
                assert row.data.metrics[f"pckh.{key}{end.replace('_', '.')}"] == float(cells[column + end])
        assert row.info.status == "FINISHED"
        assert row.inputs.dataset_inputs[0].dataset.name == "mpii"
        assert row.data.tags["code"] == "c0de" * 8 and row.data.tags["data.md5"].startswith("da7a")
        assert json.loads(row.data.tags["dvc.lock"])["outs"] and row.data.tags["dvc.stage"][:6] == "train_"
    before = {name: row.to_dictionary() for name, row in rows.items()}
    assert {name: row.to_dictionary() for name, row in rebuild().items()} == before
    assert "2 runs are what DVC tracks, 0 of them changed" in capsys.readouterr().out


def test_its_files_are_the_history_and_its_own_pictures_and_plots(made):
    made()
    for name, row in rebuild().items():
        files = {
            path.relative_to(store.artifacts_of(row)).as_posix()
            for path in store.artifacts_of(row).rglob("*.*")
        }
        own = {"history.csv", "metrics.json", "pictures/predictions-mpii.png"}
        guided = {f"plots/{plot}.svg" for plot in ("dwa", "losses", "map_iou")} | {
            "pictures/attention-mpii.png"
        }
        assert files == own | (guided if "sg_" in name else set())


@pytest.mark.slow
def test_weights_come_if_asked_as_a_graph_with_the_shapes_that_it_takes_and_gives(made, project):
    results = made()
    nets = {}
    for run in [run for run in named_by(results.params) if run.guided]:
        folder = project / paths.run(run.dataset, run.name)
        nets[run.name] = inference.build(runs.Record.load(folder / "run.json")).eval()
        (folder / paths.WEIGHTS).write_bytes(tensors.pack(nets[run.name].state_dict()))
    record(project, results.params)
    comparison.rebuild(store.connect(), weights=True)
    height, width = results.params.input.size
    image = np.random.default_rng(0).normal(size=(2, 3, height, width)).astype(np.float32)
    for row in [row for row in all_rows().values() if row.outputs.model_outputs]:
        logged = row.outputs.model_outputs[0].model_id
        place = store.connect().get_logged_model(logged).artifact_location
        assert place.startswith((project / "mlartifacts").as_uri())
        model = mlflow.pyfunc.load_model(f"models:/{logged}")
        assert model.metadata.signature.inputs.inputs[0].shape == (-1, 3, height, width)
        assert model.metadata.signature.outputs.inputs[0].shape == (-1, 16, height // 4, width // 4)
        with torch.inference_mode():
            expected = nets[row.data.tags["run"].split("/")[1]](torch.from_numpy(image)).heatmaps
        np.testing.assert_allclose(model.predict(image), expected, atol=1e-5)
        nets.pop(row.data.tags["run"].split("/")[1])
    assert not nets
    before = all_rows()
    comparison.rebuild(store.connect(), weights=True)
    assert {n: r.to_dictionary() for n, r in all_rows().items()} == {
        n: r.to_dictionary() for n, r in before.items()
    }


def test_seeds_are_children_of_a_row_with_their_mean_and_spread(made):
    results = made(seeds=[0, 1, 2])
    rows = rebuild()
    parents = {"mpii/hrnet_small", "mpii/sg_hrnet_small/r5"}
    assert len(rows) == 8 and parents < set(rows)
    table = list(csv.DictReader(io.StringIO(forms.to_csv(tables.make(results)[0]))))
    cells = next(row for row in table if row["row"] == "measured" and row["radius"] == "5")
    parent = rows["mpii/sg_hrnet_small/r5"]
    ends = {"": "", ".low": "_low", ".high": "_high", ".spread": "_sd"}
    for end, column in ends.items():
        assert parent.data.metrics[f"pckh.mean{end}"] == float(cells[f"Mean{column}"])
    for seed in range(3):
        tags = rows[f"mpii/sg_hrnet_small/r5/s{seed}"].data.tags
        assert tags["mlflow.parentRunId"] == parent.info.run_id
    values = [rows[f"mpii/sg_hrnet_small/r5/s{seed}"].data.metrics["pckh.mean"] for seed in range(3)]
    assert abs(sum(values) / 3 - parent.data.metrics["pckh.mean"]) < 0.011
    assert set(rebuild()) == set(rows)


@pytest.fixture
def one(made) -> Tracked:
    made()
    return next(one for one in tracked(workspace()) if isinstance(one, Tracked) and one.run.radius == 5)


def told(one: Tracked, rows: list[dict], status: str | None) -> None:
    """What the follower of its training told before it ended."""
    facts = one.facts.model_copy(update={"checkpoint": "mpii-run-key"})
    lines = [
        {"facts": facts.model_dump(mode="json", by_alias=True), "steps": 0},
        *({"row": row} for row in rows),
    ]
    lines += [{"status": status}] if status else []
    follower.follow(io.StringIO("".join(json.dumps(line) + "\n" for line in lines)))


def history(one: Tracked) -> list[dict]:
    text = one.source.read(paths.run(one.run.dataset, one.run.name) / "history.csv").decode()
    return [
        {key: value if key == "kind" else int(value) if key in ("epoch", "step") else float(value)
         for key, value in row.items() if value}
        for row in csv.DictReader(io.StringIO(text))
    ]  # fmt: skip


def points(row, key: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in store.connect().get_metric_history(row.info.run_id, key))


@pytest.mark.parametrize("missed", [slice(0, 3), slice(5, 9), slice(-2, None), slice(0, 0)])
def test_what_a_server_missed_comes_with_the_next_rebuild_and_nothing_twice(one, missed):
    rows = history(one)
    kept = [row for n, row in enumerate(rows) if n not in range(len(rows))[missed]]
    told(one, [row | {"images_per_second": 50.0} for row in kept], "FINISHED")
    (before,) = all_rows().values()
    row = rebuild()["mpii/sg_hrnet_small/r5/s0"]
    assert row.info.run_id == before.info.run_id and row.info.status == "FINISHED"
    for key in ("loss", "w_key", "accuracy"):
        assert points(row, key) == [(each["step"], each[key]) for each in rows if key in each]
    assert row.data.metrics["images_per_second"] == 50.0 and "pckh.mean.low" in row.data.metrics


def test_a_row_of_other_numbers_gives_way(one):
    rows = history(one)
    told(one, [row | {"loss": 9.0} for row in rows], "FINISHED")
    (before,) = all_rows().values()
    row = rebuild()["mpii/sg_hrnet_small/r5/s0"]
    assert row.info.run_id != before.info.run_id
    assert points(row, "loss") == [(each["step"], each["loss"]) for each in rows if "loss" in each]


def test_a_training_that_cannot_go_on_leaves_no_row(one):
    gone = one.facts.record.run.model_copy(update={"seed": 7})
    dead = one.facts.model_copy(update={"record": one.facts.record.model_copy(update={"run": gone})})
    told(Tracked(one.source, dead, None), [{"step": 1, "loss": 1.0}], None)
    folder = paths.checkpoints()
    folder.mkdir()
    name = "mpii/sg_hrnet_small/r5/s7"
    # Of another machine, for all that is known here.
    assert rebuild()[name].info.status == "KILLED"
    (folder / "mpii-run-key.lock").touch()
    (folder / "mpii-run-key.safetensors").touch()
    assert rebuild()[name].info.status == "KILLED"
    (folder / "mpii-run-key.safetensors").unlink()
    assert name not in rebuild()


def test_a_dead_training_of_another_profile_leaves_no_row_either(one):
    gone = one.facts.record.run.model_copy(update={"seed": 7})
    record = one.facts.record.model_copy(update={"run": gone})
    dead = one.facts.model_copy(update={"record": record, "profile": "paper"})
    told(Tracked(one.source, dead, None), [{"step": 1, "loss": 1.0}], None)
    paths.checkpoints().mkdir()
    (paths.checkpoints() / "mpii-run-key.lock").touch()
    (name,) = all_rows()
    assert store.connect().get_experiment_by_name("paper-demo-mpii") is not None
    assert name not in rebuild()


def test_a_training_at_work_is_left_alone(one):
    folder = paths.checkpoints()
    folder.mkdir()
    told(one, history(one)[:2], "KILLED")
    (row,) = all_rows().values()
    store.connect().update_run(row.info.run_id, status="RUNNING")
    with (folder / "mpii-run-key.lock").open("w") as file:
        bring.fcntl.flock(file, bring.fcntl.LOCK_EX)
        assert "pckh.mean" not in rebuild()["mpii/sg_hrnet_small/r5/s0"].data.metrics
    assert rebuild()["mpii/sg_hrnet_small/r5/s0"].info.status == "FINISHED"


def test_another_evaluation_comes_into_the_same_row(one, project):
    row = rebuild()["mpii/sg_hrnet_small/r5/s0"]
    params = make_params(project, **ONE, report__resamples=90)
    assert params.report.resamples == 90
    again = rebuild()["mpii/sg_hrnet_small/r5/s0"]
    assert again.info.run_id == row.info.run_id
    assert again.data.metrics["pckh.mean"] == row.data.metrics["pckh.mean"]
    assert again.data.metrics["pckh.mean.low"] != row.data.metrics["pckh.mean.low"]


def test_what_dvc_does_not_track_is_left_out_and_said(one, project, capsys):
    (project / "runs/mpii/hrnet_small-s0/history.csv").write_text("step\n")
    (project / "runs/mpii/sg_hrnet_small-r5-s0/run.json").write_text("{}")
    assert set(rebuild()) == set()
    said = capsys.readouterr().out
    assert "history.csv is not what dvc.lock records" in said and "run.json is not what dvc.lock" in said


def test_a_gain_is_said_with_both_intervals():
    claim = dict.fromkeys(
        ("preliminary", "would_be", "low", "high", "low_these_images", "high_these_images"), ""
    )
    claim |= {"verdict": "supported", "difference": "1.5", "unit": "points"}
    assert pages.verdict(claim) == "supported (+1.50 points)"
    claim |= {"low": "0.5", "high": "2.5"}
    assert pages.verdict(claim) == "supported (+1.50 points, 0.5 to 2.5 on new images)"
    claim |= {"low_these_images": "0.9", "high_these_images": "2.1"}
    assert pages.verdict(claim) == "supported (+1.50 points, 0.5 to 2.5 on new images, 0.9 to 2.1 on these)"
    # Of runs that have one number each.
    claim |= {"low_these_images": "0.5", "high_these_images": "2.5"}
    assert pages.verdict(claim) == "supported (+1.50 points, 0.5 to 2.5 over seeds)"


def test_a_preliminary_verdict_is_there_with_what_it_would_be(made, project):
    results = made()
    (project / "reports").mkdir()
    part = paper.parts()[0]
    claims = RULES[part.rule](results, part, Claim.of(part, part.dataset))
    (project / "reports" / "claims.csv").write_text(claims_csv(claims))
    tags = rebuild()["mpii/sg_hrnet_small/r5/s0"].data.tags
    said = tags["claim.1"]
    assert said.startswith("mean PCKh@0.5: not testable with this data, and preliminary; would be ")
    assert "points" in said and " to " in said
    assert said.endswith(" on new images)")
    experiment = store.connect().get_experiment_by_name("demo-mpii")
    assert "| 1 | mean PCKh@0.5 | not testable" in experiment.tags["mlflow.note.content"]
