"""Runs as jobs of a real Slurm, of two pretended nodes on this machine, and what is killed of it.

`make test-cluster`; it wants root, and Debian's slurm-wlm and munge.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("TEST_CLUSTER") != "1", reason="`make test-cluster` runs it"),
]
SCRIPT = ROOT / "tests" / "cluster" / "slurm.sh"
SUBMIT = """
import signal, sys, threading
from pathlib import Path
from pipeline.parallel import engine, machines
from pipeline.parallel.workspace import Workspace
stop = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stop.set())
cluster = machines.Cluster(
    jobs=2, nodes=int(sys.argv[1]), gpus=0, cpus=1, memory_gb=1, time="00:10:00", options=["--requeue"], setup=""
)
workspace = Workspace()
state = engine.run(
    workspace, cluster.executors(), Path("build"), lambda state: None, stop.is_set, cluster.over_nodes
)
print(state.ran, {name: log.read_text() for name, log in state.failed.items()})
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, "up", folder], check=True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
    finally:
        subprocess.run([SCRIPT, "down", folder], check=True)


@pytest.fixture
def project(slurm, tmp_path, monkeypatch):
    """Two runs of 20 seconds each, `a` and `b`."""
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    trainer = ROOT / "tests" / "cluster" / "trainer.py"
    stages = {
        name: {"cmd": f"exec python {trainer} {name} 80 # stages.train", "outs": [f"{name}.out"]}
        for name in "ab"
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return tmp_path


def submit(nodes: int = 1) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SUBMIT, str(nodes)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def jobs() -> list[str]:
    listed = subprocess.run(
        ["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, check=True
    )
    return sorted(listed.stdout.split())


def step(name: str) -> int:
    file = Path(f"{name}.step")
    return int(file.read_text()) if file.exists() else 0


def when(condition, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.25)


def both_at_work() -> bool:
    return step("a") > 8 and step("b") > 8


def starts(name: str) -> list[str]:
    log = Path("build", "logs", f"{name}.log")
    return [line for line in log.read_text().splitlines() if line.startswith("from step")]


def assert_whole(process: subprocess.Popen[str]) -> None:
    assert process.communicate(timeout=400)[0] == "2 {}\n"
    left = subprocess.run([sys.executable, "-m", "dvc", "repro"], capture_output=True, text=True, check=True)
    assert "Running stage" not in left.stdout
    when(lambda: not jobs(), 60)


def test_a_cancelled_job_goes_on_in_another(project):
    process = submit()
    when(both_at_work)
    first = jobs()
    assert len(first) == 2
    subprocess.run(["scancel", first[0]], check=True)
    assert_whole(process)
    told = [*starts("a"), *starts("b")]
    assert len(told) == 3 and told.count("from step 0") == 2


def test_a_preempted_job_goes_on(project):
    process = submit()
    when(both_at_work)
    subprocess.run(["scontrol", "requeue", jobs()[0]], check=True)
    assert_whole(process)
    assert len([*starts("a"), *starts("b")]) == 3


def test_a_node_may_lose_its_daemon(slurm, project):
    process = submit()
    when(both_at_work)
    os.kill(int((slurm / "slurmd-node1.pid").read_text()), signal.SIGKILL)
    try:
        assert_whole(process)
    finally:
        subprocess.run(["slurmd", "-N", "node1"], check=True)


def test_the_submitting_process_may_be_killed(project):
    process = submit()
    when(both_at_work)
    process.kill()
    process.communicate()
    # Jobs that hear nothing end, and save first.
    when(lambda: not jobs(), 120)
    reached = step("a"), step("b")
    assert 8 < min(reached) and max(reached) <= 80
    again = submit()
    assert again.communicate(timeout=400)[0] == "2 {}\n"
    for name, at in zip("ab", reached, strict=True):
        assert starts(name) == [f"from step {at}"]


def test_ctrl_c_ends_all_jobs_within_seconds(project):
    process = submit()
    when(both_at_work)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "0 {}\n"
    assert time.monotonic() - began < 30
    assert "saved step" in Path("build/logs/a.log").read_text()
    when(lambda: not jobs(), 30)


def test_a_run_over_two_nodes_is_two_ranks(project):
    Path("stages").mkdir()
    Path("stages/__init__.py").touch()
    Path("stages/train.py").write_text(
        "import os, torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "node = torch.tensor([1 << int(os.environ['SLURM_NODEID'])])\n"
        "dist.all_reduce(node)\n"
        "if dist.get_rank() == 0:\n"
        "    open('c.out', 'w').write(f'{dist.get_world_size()} ranks, nodes {node.item():b}')\n"
        "dist.destroy_process_group()\n"
    )
    stages = {"c": {"cmd": "python -m stages.train", "outs": ["c.out"]}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    assert submit(nodes=2).communicate(timeout=400)[0] == "1 {}\n"
    assert Path("c.out").read_text() == "2 ranks, nodes 11"
