"""The graph of the stages for people."""

import pytest

from pipeline import dag
from tests.conftest import ROOT, write_params
from tests.project import stages_of


@pytest.fixture
def workspace(tmp_path):
    """Function of changed parameters -> the stages of DVC in tmp_path with them."""

    def made(**changes):
        (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
        write_params(tmp_path / "params.yaml", changes)
        return list(stages_of(tmp_path))

    return made


def test_every_stage_is_in_it_under_its_dataset(tmp_path, workspace):
    stages = workspace(radius=7, seeds=[0, 1], ablations=["no_seg_loss"])
    graph = dag.graph(tmp_path)
    assert sum(graph.items.values()) == len(stages)
    assert graph.items["mpii", "train_sweep"] == 8 and graph.items["coco", "train_radius"] == 2
    assert {name for dataset, name in graph.items if not dataset} == {"code", "complexity", "report"}


def test_an_arrow_is_a_dependency_and_none_that_is_drawn_follows_from_others(tmp_path, workspace):
    workspace()
    graph = dag.graph(tmp_path)
    assert ("", "report") in graph.after(("mpii", "download"))
    assert not any(dataset == "coco" for dataset, _ in graph.after(("mpii", "download")))
    assert (("mpii", "prepare"), ("mpii", "train_sweep")) in graph.arrows - {*graph.needed()}
    assert (("mpii", "targets_sweep"), ("mpii", "train_sweep")) in graph.needed()
    assert (("mpii", "train_sweep"), ("mpii", "evaluate_sweep")) in graph.needed()


def test_others_weights_and_predictions_are_of_their_dataset(tmp_path, workspace):
    given = {"dataset": "coco", "model": "hrnet_w32", "name": "given", "file": "given"}
    predicted = {
        "dataset": "mpii",
        "box": "label",
        "model": "hourglass",
        "name": "theirs",
        "file": "theirs.mat",
    }
    workspace(checkpoints=[given], predictions=[predicted])
    lines = list(dag.mermaid(dag.graph(tmp_path)))
    assert '    coco_evaluate_checkpoint["evaluate_checkpoint"]' in lines
    assert '    mpii_evaluate_predictions["evaluate_predictions"]' in lines
    assert "  mpii_evaluate_predictions --> report" in lines
