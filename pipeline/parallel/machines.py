"""Where commands run: workers of Parsl on this machine, or in jobs of Slurm as a file of profiles/cluster has them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider, SlurmProvider
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import strict_yaml

FOLDER = Path("profiles") / "cluster"
# Commands that train or evaluate run on `RUNS`, the others on `HERE`.
RUNS, HERE = "runs", "here"
Count = Annotated[int, Field(ge=1)]


class Cluster(BaseModel):
    """A file of profiles/cluster: what a run gets of a cluster under Slurm."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    jobs: Count
    nodes: Count
    gpus: Annotated[int, Field(ge=0)]
    cpus: Count
    memory_gb: Count
    time: Annotated[str, Field(pattern=r"^(\d+-)?\d+:\d\d:\d\d$")]
    options: list[str]
    setup: str

    @classmethod
    def read(cls, name: str, folder: Path = FOLDER) -> "Cluster":
        """The file of this name; raises ValueError that names it, and the key."""
        file = folder / f"{name}.yaml"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise ValueError(f"there is no {file}; CLUSTER is one of {known}, or a file that you write there")
        try:
            return cls.model_validate(strict_yaml.read(file.read_text(), str(file)))
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def over_nodes(self, command: str) -> str:
        """A training's command by torchrun on all nodes of its job; as it is for one node."""
        if self.nodes == 1 or not command.startswith("python -m stages.train"):
            return command
        # A job's script, and so its worker, is on the first of its nodes. One rank that fails ends the others, which
        # is no preemption, whatever code they end with.
        return (
            "srun --ntasks-per-node=1 --kill-on-bad-exit=1 python -m torch.distributed.run "
            f"--nnodes {self.nodes} --nproc-per-node {max(self.gpus, 1)} --rdzv-backend c10d "
            '--rdzv-endpoint "$(hostname):$((29500 + SLURM_JOB_ID % 1000))" --rdzv-id "$SLURM_JOB_ID" '
            f"{command.removeprefix('python ')} || exit 1"
        )

    def executors(self) -> list[ParslExecutor]:
        """A job for each run that works or waits, up to `jobs`; other stages where this is called."""
        provider = SlurmProvider(
            nodes_per_block=self.nodes,
            cores_per_node=self.cpus,
            mem_per_node=self.memory_gb,
            gpus_per_node=self.gpus or None,
            init_blocks=0,
            max_blocks=self.jobs,
            # Parsl counts a worker on each node, and here one works on all nodes of its job.
            parallelism=self.nodes,
            walltime=self.time,
            exclusive=False,
            scheduler_options="\n".join(f"#SBATCH {option}" for option in self.options),
            worker_init=f"{_environment()}\n{self.setup}",
            launcher=SimpleLauncher(),
        )
        return [
            _workers(provider, 1, [], one_run=True),
            ThreadPoolExecutor(label=HERE, max_threads=os.cpu_count() or 1),
        ]


def local(jobs: int, gpus_each: int, gpus: list[str]) -> list[ParslExecutor]:
    """`jobs` runs at once on this machine, each on GPUs of its own; where there are none, all stages share places.

    Raises ValueError for more runs than GPUs.
    """
    if not gpus:
        return [_workers(_here(), jobs, [])]
    if jobs * gpus_each > len(gpus):
        raise ValueError(
            f"JOBS={jobs} with compute.nproc: {gpus_each} takes {jobs * gpus_each} GPUs, and this machine has "
            f"{len(gpus)}; take JOBS={max(1, len(gpus) // gpus_each)}, or compute.device: cpu"
        )
    places = [",".join(gpus[at * gpus_each : (at + 1) * gpus_each]) for at in range(jobs)]
    return [_workers(_here(), jobs, places), ThreadPoolExecutor(label=HERE, max_threads=jobs)]


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in chosen.split(",") if name]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


def _here() -> LocalProvider:
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, worker_init=_environment())  # type: ignore[no-untyped-call]
    return provider


def _environment() -> str:
    """Shell lines with which workers, and `python` in commands, are this Python with this project."""
    path, code = Path(sys.executable).parent, Path(__file__).resolve().parents[2]
    return f"export PATH='{path}':\"$PATH\" PYTHONPATH='{code}'"


def _workers(
    provider: LocalProvider | SlurmProvider, each: int, places: list[str], one_run: bool = False
) -> HighThroughputExecutor:
    """`each` workers in each block of a provider, pinned to their places; with one_run, a block for each run
    but short ones."""
    # Parsl's hub outlives a killed parent, and its workers with it, unless the kernel ends it. Ctrl-C is not for it.
    tied = ["setpriv", "--pdeathsig", "KILL", "setsid"] if shutil.which("setpriv") else []
    return HighThroughputExecutor(
        label=RUNS,
        provider=provider,
        address="127.0.0.1" if isinstance(provider, LocalProvider) else None,
        max_workers_per_node=each,
        # As many workers as asked for, on whatever number of cores.
        cores_per_worker=1e-6,
        available_accelerators=places,
        heartbeat_period=5,
        heartbeat_threshold=30,
        # So many seconds old, a block takes nothing more, and ends with what it has.
        drain_period=60 if one_run else None,
        interchange_launch_cmd=[*tied, str(Path(sys.executable).parent / "interchange.py")],
    )
