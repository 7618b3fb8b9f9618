"""Files of predictions through the stage: from labels alone, as rows, and refused in a sentence."""

import json
import sys

import numpy as np
import pytest

from pipeline import params, runs
from pipeline.datasets import DATASETS, matlab
from pipeline.datasets.formats import mpii_predictions
from pipeline.metrics import pckh
from pipeline.predicted import labels, measuring
from tests.conftest import write_params
from tests.predicted.conftest import PEOPLE, detections_mat, write_h5

METRIC, KEYPOINTS = DATASETS["mpii"].METRIC, DATASETS["mpii"].KEYPOINTS


@pytest.fixture
def place(tmp_path, monkeypatch, validation):
    """A project with nothing but MPII's label file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_params(tmp_path / "params.yaml", {"report.resamples": 40})
    folder = tmp_path / "data" / "archives" / "mpii"
    folder.mkdir(parents=True)
    (folder / "detections.mat").write_bytes(detections_mat(validation[0]))
    return tmp_path


def _measure(path, dataset="mpii", box="label"):
    return measuring.measure(measuring.File(path, "theirs", dataset, box, "none"), params.load().data)


def test_labels_alone_are_enough(place, validation, predictions, capsys):
    from stages import evaluate as stage

    write_h5(place / "theirs.h5", predictions + 1)
    stage.evaluate("--predictions", "theirs.h5", "--dataset", "mpii", "--model", "hourglass")
    evaluation = runs.Evaluation.load(place / "evaluated" / "mpii" / "theirs" / "metrics.json")
    people, _ = validation
    expected = METRIC.summarise(pckh.samples(predictions, people))
    assert evaluation.scores["label"]["Mean"] == pytest.approx(expected["Mean"], abs=0.02)
    assert (evaluation.people, evaluation.full_size, evaluation.params) == (PEOPLE, False, None)
    assert evaluation.record.run.model == "hourglass" and evaluation.record.settings is None
    assert "95% interval on 400 people in 400 images" in capsys.readouterr().out


def test_labels_alone_go_through_the_stages(place, validation, predictions):
    from stages import download, evaluate, prepare

    entry = {"name": "theirs", "dataset": "mpii", "box": "label", "model": "none", "file": "a.h5"}
    nothing = {"datasets": [], "radius_sweep": [], "radius_only": [], "data.source": "archives"}
    changes = nothing | {"labels_only": ["mpii"], "predictions": [entry], "report.resamples": 40}
    expected = _measure(write_h5(place / "a.h5", predictions + 1))[0].scores
    write_params(place / "params.yaml", changes)
    (place / "archives").mkdir()
    label_file = place / "archives" / "detections.mat"
    label_file.write_bytes((place / "data" / "archives" / "mpii" / "detections.mat").read_bytes())
    download.download("mpii")
    prepare.prepare("mpii")
    summary = json.loads((place / "data" / "mpii" / "people" / "summary.json").read_text())
    assert (summary["splits"]["val"]["people"], summary["full_size"]) == (PEOPLE, False)
    arguments = ("--box", "label", "--model", "none", "--name", "theirs")
    evaluate.evaluate("--predictions", "a.h5", "--dataset", "mpii", *arguments)
    evaluation = runs.Evaluation.load(place / "results" / "mpii" / "theirs" / "metrics.json")
    assert evaluation.scores == expected and evaluation.people == len(validation[0])
    # Another file than the recorded one is not read, and the stage to run again is named.
    label_file.write_bytes(detections_mat(validation[0].select(np.arange(5))))
    with pytest.raises(ValueError, match="--force download_labels@mpii"):
        _measure(place / "a.h5")
    write_params(place / "params.yaml", changes | {"data.source": "demo"})
    with pytest.raises(
        ValueError, match=r"labels_only: the demo draws mpii.s people .* set data\.source: official"
    ):
        prepare.prepare("mpii")


def test_a_mat_file_is_measured_alike_and_says_whose_its_rows_are(place, validation, predictions):
    people, _ = validation
    expected = _measure(write_h5(place / "a.h5", predictions + 1))[0].scores
    (place / "hrnet.mat").write_bytes(matlab.save({"preds": predictions + 1}))
    assert _measure(place / "hrnet.mat")[0].scores == expected
    ours = DATASETS["mpii"].EXPORT(people.select(np.arange(PEOPLE)[::-1]), predictions[::-1])[
        "predictions.mat"
    ]
    (place / "ours.mat").write_bytes(ours)
    assert _measure(place / "ours.mat")[0].scores == expected


def tompson(people, predictions, names) -> bytes:
    """Predictions as detections.mat holds them: a cell a person, joints by their names, and whose they are."""
    cells, named = np.empty(len(people), object), np.empty(len(names), object)
    for row in range(len(people)):
        cells[row] = predictions[row, [mpii_predictions.TOMPSON.get(name, 0) for name in names]] + 1
    named[:] = names
    whose = {"RELEASE_img_index": people.image_id, "RELEASE_person_index": people.person_id % 1000}
    return matlab.save({"keypointsAll": cells, "output_joints": named} | whose, oned_as="row")


def test_predictions_by_names_of_joints_are_measured_alike(place, validation, predictions):
    people, _ = validation
    without = predictions.copy()
    without[:, [KEYPOINTS.names.index("pelvis"), KEYPOINTS.names.index("thorax")]] = np.nan
    expected = _measure(write_h5(place / "a.h5", without + 1))[0].scores
    backwards, names = np.arange(PEOPLE)[::-1], sorted(mpii_predictions.TOMPSON)
    content = tompson(people.select(backwards), predictions[backwards], names)
    (place / "theirs.mat").write_bytes(content)
    assert _measure(place / "theirs.mat")[0].scores == expected
    (place / "theirs.mat").write_bytes(tompson(people, predictions, [*names[:-1], "tail"]))
    with pytest.raises(
        ValueError, match=r"theirs\.mat: keypointsAll does not hold the joints that output_joints"
    ):
        _measure(place / "theirs.mat")


def test_rows_of_other_people_are_refused(place, validation, predictions):
    people, _ = validation
    for others, problem in (
        (np.arange(PEOPLE) % (PEOPLE - 1), "none for person 410001 of the 400"),
        (np.append(np.arange(PEOPLE), 0), "several for one person of the 400"),
    ):
        content = DATASETS["mpii"].EXPORT(people.select(others), predictions[others])["predictions.mat"]
        (place / "ours.mat").write_bytes(content)
        with pytest.raises(ValueError, match=problem):
            _measure(place / "ours.mat")


def test_listed_predictions_are_runs_of_the_report(place, predictions):
    from stages import evaluate as stage

    entry = {"name": "theirs", "dataset": "mpii", "box": "label", "model": "none", "file": "a.h5"}
    write_params(place / "params.yaml", {"predictions": [entry], "report.resamples": 40})
    write_h5(place / "a.h5", predictions + 1)
    arguments = ("--box", "label", "--model", "none", "--name", "theirs")
    stage.evaluate("--predictions", "a.h5", "--dataset", "mpii", *arguments)
    evaluation = runs.Evaluation.load(place / "results" / "mpii" / "theirs" / "metrics.json")
    assert evaluation.record.run in runs.named_by(params.load())


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("a.h5", lambda p: p[:-1], "predictions for 399 people, and the validation split has 400"),
        ("a.h5", lambda p: np.concatenate([p, p[:, :1]], 1), "17 joints for each person, and MPII has 16"),
        ("a.h5", lambda p: p[0], "must be numbers"),
        (
            "a.h5",
            lambda p: np.where(np.arange(PEOPLE)[:, None, None] == 7, np.nan, p),
            "right_ankle of its person 8",
        ),
        ("a.h5", lambda p: p - 1, "a.h5: .* 0-based"),
        ("a.json", None, "no file of predictions for MPII"),
        ("a.mat", None, "is no MATLAB file"),
        ("b.h5", None, "is no HDF5 file"),
        ("none.h5", None, "there is no file"),
    ],
)
def test_other_files_get_one_sentence(place, predictions, name, change, problem):
    if change is not None:
        write_h5(place / name, change(predictions + 1))
    elif name != "none.h5":
        (place / name).write_text("[]")
    with pytest.raises(ValueError, match=problem):
        _measure(place / name)


@pytest.mark.parametrize(("dataset", "alone"), [("mpii", True), ("coco", False)])
def test_labels_that_are_not_there_name_every_way_to_have_them(place, dataset, alone):
    (place / "data" / "archives" / "mpii" / "detections.mat").unlink()
    with pytest.raises(
        ValueError, match=rf"name {dataset} in `datasets` .*`dvc repro prepare@{dataset}`"
    ) as caught:
        labels.read(dataset, params.load().data, place / "theirs.h5")
    assert ("or in `labels_only`, then run `dvc repro prepare_labels@mpii`" in str(caught.value)) == alone


def test_without_labels_it_says_what_to_do(place, predictions):
    (place / "data" / "archives" / "mpii" / "detections.mat").unlink()
    with pytest.raises(ValueError, match="dvc repro prepare@mpii"):
        _measure(write_h5(place / "a.h5", predictions + 1))
    write_params(place / "params.yaml", {"data.source": "official"})
    with pytest.raises(ValueError, match="put it "):
        _measure(write_h5(place / "a.h5", predictions + 1))


def test_after_a_demo_real_predictions_are_measured_on_the_real_labels(place, predictions):
    from stages import download, prepare

    small = {"data.source": "demo", "data.demo.train_people": 4, "data.demo.val_people": 6}
    alone = _measure(write_h5(place / "a.h5", predictions + 1))[0]
    write_params(place / "params.yaml", small | {"data.demo.image_size": [96, 96]})
    download.download("mpii")
    prepare.prepare("mpii")
    assert _measure(place / "a.h5")[0] == alone
    # Predictions for the demo's people are measured on these.
    people = labels.read("mpii", params.load().data, place / "a.h5").people
    (place / "demo.mat").write_bytes(DATASETS["mpii"].EXPORT(people, people.joints)["predictions.mat"])
    drawn = _measure(place / "demo.mat")[0]
    assert (drawn.people, drawn.record.data.source, drawn.scores["label"]["Mean"]) == (6, "demo", 100)
    (place / "data" / "archives" / "mpii" / "detections.mat").unlink()
    with pytest.raises(
        ValueError,
        match=r"400 people, and the .* has 6, which the demo drew: .*detections\.mat.*`labels_only`",
    ):
        _measure(place / "a.h5")


def test_another_dataset_without_a_form_says_so(place, predictions):
    with pytest.raises(ValueError, match="lspet takes no files"):
        _measure(write_h5(place / "a.h5", predictions + 1), "lspet")


def test_results_of_cocos_format_are_scored_as_they_are(place):
    from tests.stages.test_evaluate import workspace

    people = workspace("coco")
    results = [
        {
            "image_id": int(people.image_id[row]), "category_id": 1, "score": 0.9,
            "keypoints": np.column_stack([people.joints[row], np.ones(17)]).ravel().tolist(),
        }
        for row in range(len(people))
    ]  # fmt: skip
    file = place / "theirs.json"
    file.write_text(json.dumps(results))
    evaluation, samples = _measure(file, "coco", "detected")
    assert (
        evaluation.scores["detected"]["AP"] == pytest.approx(100)
        and evaluation.scores["ground_truth"] is None
    )
    assert "detected_matched" in samples
    for change, problem in (
        (lambda person: person | {"image_id": 99}, "image 99, which is none of the 5"),
        (lambda person: person | {"keypoints": person["keypoints"][:-3]}, "17 keypoints of three"),
        (lambda person: person | {"score": float("nan")}, "finite"),
        (lambda person: person | {"image_id": "1"}, "its person 1 must have an image_id"),
        (lambda person: [person], "its person 1 must have an image_id"),
        (lambda person: {key: person[key] for key in person if key != "score"}, "its person 1 must have"),
        (
            lambda person: person | {"keypoints": (np.array(person["keypoints"]) / 1e3).tolist()},
            "heatmap|order",
        ),
    ):
        file.write_text(json.dumps([change(person) for person in results]))
        with pytest.raises(ValueError, match=problem):
            _measure(file, "coco", "detected")
    for text, problem in (
        ("[", "is no JSON"),
        ("[]", "holds no list of results"),
        ("{}", "no list of results"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=problem):
            _measure(file, "coco", "detected")
    with pytest.raises(ValueError, match=r"coco takes COCO's results, a file that ends in \.json"):
        _measure(write_h5(place / "theirs.h5", people.joints), "coco", "detected")


def test_the_public_files_give_the_published_numbers(tmp_path, monkeypatch, shared, capsys):
    from stages import evaluate as stage

    monkeypatch.chdir(tmp_path)
    folder = shared / "golden" / "predictions"
    write_params(tmp_path / "params.yaml", {"data.source": str(folder)})
    means = {}
    for name in ("mpii_valid_hourglass.h5", "detections.mat"):
        stage.evaluate("--predictions", str(folder / name), "--dataset", "mpii", "--name", name[:4])
        evaluation = runs.Evaluation.load(tmp_path / "evaluated" / "mpii" / name[:4] / "metrics.json")
        assert (evaluation.people, evaluation.images, evaluation.full_size) == (2958, 2729, True)
        means[name] = evaluation.scores["label"]["Mean"]
    assert means["mpii_valid_hourglass.h5"] == pytest.approx(88.04, abs=0.005)
    # Published: 82.34, from labels of which 13 were damaged, at 0 where the prediction is at 0.
    assert means["detections.mat"] == pytest.approx(82.32, abs=0.005)
    assert "87.45 to 88.68" in capsys.readouterr().out


def test_it_needs_no_torch():
    import subprocess

    code = "import sys, pipeline.predicted.measuring; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
