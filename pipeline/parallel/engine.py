"""All stages through Parsl, and what became of each."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

from parsl import Config, DataFlowKernel, join_app, python_app
from parsl.executors import ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from pipeline.parallel import command
from pipeline.parallel.machines import HERE, RUNS
from pipeline.parallel.workspace import Workspace

# Their commands want a GPU.
ON_GPU = ("stages.train", "stages.evaluate")
# A run that loses its node goes on with another, from its checkpoint.
RETRIES = 100
DVC = "dvc"


@dataclass
class State:
    """How far all stages are.

    submitted: with an executor, each with its log; began: of those at work, time.time(); failed: each with its log;
    kept: those that wait for what failed.
    """

    total: int
    submitted: dict[str, Path] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    ran: int = 0
    failed: dict[str, Path] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Note which of those submitted have begun: their logs are there."""
        for name, log in list(self.submitted.items()):
            if name not in self.began and log.exists():
                self.began[name] = time.time()
        for name in self.began.keys() - self.submitted.keys():
            self.began.pop(name, None)


class Failed(Exception):
    """A stage's command ended with an error, which its log tells."""


def run(
    workspace: Workspace,
    executors: list[ParslExecutor],
    folder: Path,
    show: Callable[[State], None],
    asked_to_stop: Callable[[], bool],
    adapted: Callable[[str], str] = str,
) -> State:
    """Run what is to run. A stage that fails keeps those from running that need it, and no other.

    executors: as `machines.py` makes them. folder: for logs, in NAME.log. show: is called every second.
    asked_to_stop: likewise; then all that is at work is stopped in order. adapted: a command as it runs there.
    Raises ValueError where another process runs stages in this folder.
    """
    state = State(len(workspace.needs))
    logs, stop = folder / "logs", folder / "stop"
    logs.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"), contextlib.closing(workspace):
        stop.unlink(missing_ok=True)
        with _parsl(executors, folder) as parsl:
            futures = _submit(parsl, workspace, state, logs, stop, {e.label for e in executors}, adapted)
            waiting = set(futures.values())
            while waiting and not asked_to_stop():
                waiting = wait(waiting, timeout=1).not_done
                state.look()
                show(state)
            if waiting:
                stop.touch()
                # Those at work end with their checkpoints. Those in a queue never answer, and go with Parsl.
                deadline = time.monotonic() + command.GRACE + 5
                while state.began.keys() & state.submitted.keys() and time.monotonic() < deadline:
                    time.sleep(0.2)
                    state.look()
    if not waiting:
        for name, future in futures.items():
            # What Parsl itself could not run. Those that wait for a failure have an error too.
            ready = workspace.needs[name] <= state.done
            if (error := future.exception()) and ready and name not in state.failed:
                _fail(state, name, logs, error)
    state.kept = set(workspace.needs) - state.done - state.failed.keys()
    return state


def _submit(
    parsl: DataFlowKernel,
    workspace: Workspace,
    state: State,
    logs: Path,
    stop: Path,
    labels: set[str],
    adapted: Callable[[str], str],
) -> dict[str, Future[None]]:
    """Hand all stages to Parsl, each with what it waits for."""
    root = str(Path.cwd())
    others = HERE if HERE in labels else RUNS
    places = {
        label: python_app(command.run, data_flow_kernel=parsl, executors=[label]) for label in (RUNS, others)
    }

    def begin(name: str, *_: object) -> bool:
        (logs / f"{name}.log").unlink(missing_ok=True)
        try:
            if not stop.exists() and workspace.begin(name):
                return True
        except Exception as error:
            _fail(state, name, logs, error)
            raise Failed(name) from None
        if stop.exists():
            raise Failed(name)
        state.done.add(name)
        return False

    def end(name: str, code: int) -> None:
        state.submitted.pop(name)
        try:
            workspace.end(name, succeeded=code == 0)
        except Exception as error:
            code = 1
            _fail(state, name, logs, error)
        if code:
            if not stop.exists():
                state.failed[name] = logs / f"{name}.log"
            raise Failed(name)
        state.ran += 1
        state.done.add(name)

    # DVC's side, in order: one thread.
    begins = python_app(begin, data_flow_kernel=parsl, executors=[DVC])
    ends = python_app(end, data_flow_kernel=parsl, executors=[DVC])

    def stage(name: str, begun: bool) -> Future[None]:
        if not begun:
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing
        text = workspace.command(name)
        log = state.submitted[name] = (logs / f"{name}.log").absolute()
        place = places[RUNS if any(module in text.split() for module in ON_GPU) else others]
        future: Future[None] = ends(name, place(name, adapted(text), str(log), str(stop.absolute()), root))
        return future

    stages = join_app(stage, data_flow_kernel=parsl)
    futures: dict[str, Future[None]] = {}
    for name in TopologicalSorter(workspace.needs).static_order():
        futures[name] = stages(name, begins(name, *(futures[need] for need in workspace.needs[name])))
    return futures


def _fail(state: State, name: str, logs: Path, error: BaseException) -> None:
    state.submitted.pop(name, None)
    state.failed[name] = logs / f"{name}.log"
    with state.failed[name].open("a") as file:
        file.write(f"{error.__cause__ or error}\n")


def _cost(error: Exception, _: object) -> float:
    """Of a failure, in retries: what lost its place is tried again, and nothing else."""
    return 1 if isinstance(error, ManagerLost | WorkerLost | command.Preempted) else float("inf")


@contextlib.contextmanager
def _parsl(executors: list[ParslExecutor], folder: Path) -> Iterator[DataFlowKernel]:
    config = Config(
        executors=[*executors, ThreadPoolExecutor(label=DVC, max_threads=1)],
        run_dir=str(folder / "parsl"),
        strategy="simple",
        strategy_period=1,
        retries=RETRIES,
        retry_handler=_cost,
        initialize_logging=False,
    )
    parsl = DataFlowKernel(config)
    try:
        yield parsl
    finally:
        parsl.cleanup()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go of it when this process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process runs stages side by side here (it holds {path})") from None
        yield
