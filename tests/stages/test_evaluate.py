"""The stage evaluate on a small workspace: its files, the same bytes every time, others' tools and checkpoints."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml

from pipeline import files, params, paths, runs
from pipeline.codec import segmentation
from pipeline.datasets import DATASETS, sources
from pipeline.metrics import oks
from pipeline.people import crop_of_box, table
from stages import evaluate as stage
from tests.conftest import Pictures, write_params, write_run

PEOPLE, SIZE = 6, (128, 96)


def workspace(dataset, detections=None):
    """What the stages before leave of six people, the first two in one image, and two runs of random weights."""
    changes = {"evaluate.detections": detections, "compute.workers": 0, "compute.device": "cpu"}
    p = params.load(write_params(Path("params.yaml"), changes))
    keypoints, rng = DATASETS[dataset].KEYPOINTS, np.random.default_rng(0)
    image_id = np.array([1, 1, 2, 3, 4, 5])
    box = np.column_stack([rng.uniform(0, 30, (PEOPLE, 2)), rng.uniform(50, 100, (PEOPLE, 2))])
    center, scale = crop_of_box(box, SIZE)
    shape = PEOPLE, keypoints.count
    joints = box[:, None, :2] + rng.uniform(0, 1, (*shape, 2)) * box[:, None, 2:]
    people = table(
        dataset, "val", [f"{i}.png" for i in image_id], image_id=image_id,
        person_id=image_id * 1000 + [1, 2, 1, 1, 1, 1], box=box, center=center, scale=scale, joints=joints,
        labelled=np.ones(shape), visible=rng.random(shape) < 0.8,
        head_size=np.where(np.arange(PEOPLE) == 3, np.nan, 12), area=box[:, 2] * box[:, 3],
    )  # fmt: skip
    folder = paths.people(dataset)
    for split in ("train", "val"):
        people.save(folder / f"{split}.npz")
    (folder / "summary.json").write_text('{"full_size": false, "splits": {}}')
    paths.manifest(dataset).write_text('{"source": "demo", "archives": []}')
    files.write_json(folder / "val_annotations.json", labels(people))
    targets = paths.targets(dataset, 5)
    targets.mkdir(parents=True)
    for split in ("train", "val"):
        np.save(targets / f"{split}.npy", segmentation.of_people(people, SIZE, 5))
    (targets / "statistics.json").write_text(
        '{"train": {"foreground_share": 0.3}, "val": {"foreground_share": 0.2}}'
    )
    for name, radius in (("hrnet_small-s0", None), ("sg_hrnet_small-r5-s0", 5)):
        out = write_run(paths.run(dataset, name), dataset, name.split("-")[0], radius, p)
        (out / "history.csv").write_text("kind,epoch\nepoch,0\n")
    return people


def labels(people):
    annotations = [
        {
            "id": n + 1, "image_id": int(people.image_id[n]), "category_id": 1, "iscrowd": 0,
            "area": float(people.area[n]), "bbox": people.box[n].tolist(), "num_keypoints": people.joints.shape[1],
            "keypoints": np.column_stack([people.joints[n], np.full(people.joints.shape[1], 2)]).ravel().tolist(),
        }
        for n in range(len(people))
    ]  # fmt: skip
    images = [{"id": i, "file_name": f"{i:012}.png"} for i in range(1, 6)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sources, "open_images", lambda *_: Pictures((160, 140)))
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_mpii_results_are_complete_and_the_same_every_time(place, capsys):
    people = workspace("mpii")
    stage.evaluate("mpii", "sg_hrnet_small-r5-s0")
    out = place / "results" / "mpii" / "sg_hrnet_small-r5-s0"
    first = contents(out)
    assert set(first) == {
        "metrics.json", "predictions.json", "predictions.mat", "samples.npz", "examples.npz", "history.csv",
    }  # fmt: skip
    evaluation = runs.Evaluation.load(out / "metrics.json")
    assert (
        evaluation.scores.keys() == {"label"} and evaluation.scores["label"]["people_without_head_size"] == 1
    )
    assert (evaluation.people, evaluation.images, evaluation.foreground_share) == (6, 5, 0.2)
    assert evaluation.record.run.radius == 5 and evaluation.record.settings.input.size == (128, 96)
    with np.load(out / "samples.npz") as samples:
        assert samples["label_distance"].shape == (6, 16) and np.isnan(samples["label_distance"][3]).all()
        assert samples["map_iou"].mean(0) == pytest.approx(evaluation.map_iou)
        for name in ("iou_best", "auroc", "inside"):
            assert samples[f"map_{name}"].shape == (6, 4) and np.nanmax(samples[f"map_{name}"]) <= 1
        np.testing.assert_array_equal(samples["map_image_id"], people.image_id)
        both = people.labelled & people.labelled[:, DATASETS["mpii"].KEYPOINTS.flip_order]
        assert not np.isnan(samples["label_mirror_distance"]).all()
        assert np.isnan(samples["label_mirror_distance"][~both]).all()
        keypoints = np.array([p["keypoints"] for p in json.loads(first["predictions.json"])]).reshape(
            6, 16, 3
        )
        expected = np.linalg.norm(keypoints[0, :, :2] - people.joints[0], axis=1) / 12
        np.testing.assert_allclose(samples["label_distance"][0], expected, atol=1e-3)
    mat = scipy.io.loadmat(out / "predictions.mat")
    np.testing.assert_allclose(mat["preds"], keypoints[..., :2] + 1, atol=1e-3)
    with np.load(out / "examples.npz") as examples:
        # One person an image.
        assert len(examples["person_id"]) == 5 and examples["maps_B4hw"].shape == (5, 4, 32, 24)
    stage.evaluate("mpii", "sg_hrnet_small-r5-s0")
    assert contents(out) == first
    assert "Mean@0.1" in capsys.readouterr().out


def test_examples_show_the_same_people_for_every_run(place):
    workspace("mpii")
    shown = []
    for run in ("hrnet_small-s0", "sg_hrnet_small-r5-s0"):
        stage.evaluate("mpii", run)
        with np.load(paths.results("mpii", run) / "examples.npz") as examples:
            shown.append(examples["person_id"].tolist())
            assert ("maps_B4hw" in examples) == (run != "hrnet_small-s0")
    assert shown[0] == shown[1]


def test_coco_is_scored_under_labelled_and_under_detected_boxes(place):
    people = workspace("coco", "detector/boxes.json")
    boxes = [
        {"image_id": int(i), "category_id": 1, "bbox": np.add(box, [1, -1, 2, 2]).tolist(), "score": 0.5}
        for i, box in zip(people.image_id, people.box, strict=True)
    ]
    Path("detector").mkdir()
    files.write_json(Path("detector/boxes.json"), boxes)
    stage.evaluate("coco", "hrnet_small-s0")
    out = paths.results("coco", "hrnet_small-s0")
    evaluation = runs.Evaluation.load(out / "metrics.json")
    assert evaluation.map_iou is None and evaluation.foreground_share is None
    metric = DATASETS["coco"].METRIC
    with np.load(out / "samples.npz") as samples:
        for kind, file in (("ground_truth", "predictions.json"), ("detected", "predictions_detected.json")):
            # Nobody here is large: such metrics are null, and no number.
            values = {k: np.nan if v is None else v for k, v in evaluation.scores[kind].items()}
            own = {name.removeprefix(f"{kind}_"): samples[name] for name in samples if name.startswith(kind)}
            np.testing.assert_equal(metric.summarise(own), values)
            results = json.loads((out / file).read_text())
            annotations = paths.people("coco") / "val_annotations.json"
            again, _ = oks.evaluate(annotations, results, np.array(metric.sigmas))
            np.testing.assert_equal(again, values)
        assert evaluation.scores["detected"]["APL"] is None


def test_without_a_detectors_file_the_detected_boxes_stay_empty(place):
    workspace("coco")
    stage.evaluate("coco", "hrnet_small-s0")
    scores = runs.Evaluation.load(paths.results("coco", "hrnet_small-s0") / "metrics.json").scores
    assert scores["detected"] is None and scores["ground_truth"]["AP"] >= 0


def test_somebody_elses_checkpoint_scores_as_the_run_it_was_copied_from(place):
    workspace("coco")
    stage.evaluate("coco", "hrnet_small-s0")
    shutil.copy(paths.run("coco", "hrnet_small-s0") / "weights.safetensors", "theirs.safetensors")
    stage.evaluate("--weights", "theirs.safetensors", "--model", "hrnet_small", "--dataset", "coco")
    ours, theirs = paths.results("coco", "hrnet_small-s0"), Path("evaluated/coco/theirs")
    assert (ours / "predictions.json").read_bytes() == (theirs / "predictions.json").read_bytes()
    record = runs.Evaluation.load(theirs / "metrics.json").record
    assert record.run.checkpoint == "theirs" and record.run.seed is None and record.machine is None
    assert record.first_weights.startswith("weights of theirs.safetensors, sha256 ")


def test_a_checkpoint_that_the_parameters_list_is_a_row_of_the_results(place):
    workspace("coco")
    shutil.copy(paths.run("coco", "hrnet_small-s0") / "weights.safetensors", "theirs.safetensors")
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["checkpoints"] = [
        {"name": "official", "dataset": "coco", "model": "hrnet_small", "file": "theirs.safetensors"}
    ]
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    arguments = ("--weights", "theirs.safetensors", "--model", "hrnet_small", "--dataset", "coco")
    stage.evaluate(*arguments, "--name", "official")
    record = runs.Evaluation.load(paths.results("coco", "official") / "metrics.json").record
    assert record.run.name == "official" and record.precision is None and not Path("evaluated").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mpii", "elsewhere"), r"runs/mpii/elsewhere/run\.json is not there"),
        (
            ("--weights", "none.pth", "--model", "hrnet_small", "--dataset", "mpii"),
            "there is no file none.pth",
        ),
    ],
)
def test_what_is_missing_is_named(place, arguments, message):
    workspace("mpii")
    with pytest.raises(ValueError, match=message):
        stage.evaluate(*arguments)


@pytest.mark.parametrize("model", ["hrnet_w33", "hrnet_small-50x30", "hrnet_small-64"])
def test_a_model_that_cannot_be_is_named(place, capsys, model):
    workspace("mpii")
    with pytest.raises(SystemExit):
        stage.evaluate("--weights", "params.yaml", "--model", model, "--dataset", "mpii")
    assert f"--model {model} must be one of" in capsys.readouterr().err


def test_a_checkpoint_is_tested_at_the_size_behind_its_networks_name(place):
    workspace("coco")
    shutil.copy(paths.run("coco", "hrnet_small-s0") / "weights.safetensors", "theirs.safetensors")
    stage.evaluate("--weights", "theirs.safetensors", "--model", "hrnet_small-64x64", "--dataset", "coco")
    out = Path("evaluated/coco/theirs")
    record = runs.Evaluation.load(out / "metrics.json").record
    assert record.settings.input.size == record.run.input == (64, 64)
    with np.load(out / "examples.npz") as examples:
        # Boxes are widened to this input's shape, and not to that of the prepared tables.
        crops = examples["true_input_xy"]
        assert examples["input_BHW3"].shape[1:3] == (64, 64) and 0 <= crops.min() and crops.max() <= 64


@pytest.mark.parametrize("name", ["../..", "/tmp", "..", ""])
def test_results_of_a_checkpoint_go_into_a_folder_of_their_own(place, capsys, name):
    workspace("mpii")
    weights = Path(name or "..") / "weights file.pth"
    arguments = ("--weights", str(weights), "--model", "hrnet_small", "--dataset", "mpii", "--name", name)
    with pytest.raises(SystemExit):
        stage.evaluate(*arguments)
    assert "cannot name a folder of results" in capsys.readouterr().err


def test_a_detectors_file_that_is_gone_is_named_before_any_result_goes(place):
    workspace("coco", "detector/boxes.json")
    out = paths.results("coco", "hrnet_small-s0")
    out.mkdir(parents=True)
    (out / "before").write_text("kept")
    with pytest.raises(ValueError, match=r"evaluate\.detections: .*boxes\.json is not there"):
        stage.evaluate("coco", "hrnet_small-s0")
    assert (out / "before").is_file()
