"""What a run gets of a cluster, and how a training spans its nodes."""

import pytest

from pipeline.parallel.machines import Cluster
from tests.conftest import ROOT

FOLDER = ROOT / "profiles" / "cluster"


def test_a_run_of_one_node_keeps_its_command():
    assert Cluster.read("slurm", FOLDER).over_nodes("python -m stages.train") == "python -m stages.train"


def test_a_run_of_two_nodes_is_two_launchers_that_meet():
    cluster = Cluster.read("slurm", FOLDER).model_copy(update={"nodes": 2, "gpus": 4})
    command = cluster.over_nodes("python -m stages.train")
    assert command.startswith("srun --ntasks-per-node=1 ") and command.endswith(" -m stages.train || exit 1")
    assert "--nnodes 2 --nproc-per-node 4 --rdzv-backend c10d" in command
    assert cluster.over_nodes("python -m stages.evaluate") == "python -m stages.evaluate"


def test_no_such_file_is_named():
    with pytest.raises(ValueError, match=r"there is no .*other.yaml; CLUSTER is one of slurm"):
        Cluster.read("other", FOLDER)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nodes: 0", "slurm.yaml: nodes: Input should be greater"),
        ("nodes: two", "slurm.yaml: nodes: Input should be a valid integer"),
        ('time: "soon"', "slurm.yaml: time: String should match"),
        ("gpu: 1", "slurm.yaml: gpu: Extra inputs"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, line, message):
    key = line.split(":")[0]
    lines = (FOLDER / "slurm.yaml").read_text().splitlines()
    kept = [text for text in lines if not text.startswith(f"{key}:")]
    (tmp_path / "slurm.yaml").write_text("\n".join([*kept, line]))
    with pytest.raises(ValueError, match=message):
        Cluster.read("slurm", tmp_path)
