"""The pipeline's stages, each a script: `python -m stages.<name> [arguments]`."""

import inspect
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from pipeline import engines

engines.pin_arrays()

from pipeline import dvc_stages, params, paths  # noqa: E402

# In seconds since 1970; torchrun's processes start later than their stage.
STARTED = float(os.environ.get("STAGE_STARTED") or time.time())

NO_SHARED_MEMORY = (
    "shared memory ran out under the loaders; give /dev/shm more (docker run --shm-size, or --ipc=host), or take fewer "
    "compute.workers"
)
KILLED = "a loader's process was killed: memory probably ran out under it; take fewer compute.workers"
# Kept, so that Python does not take them for forgotten.
_watchers: list["subprocess.Popen[bytes]"] = []


def _deterministic() -> bool:
    """As params.yaml has it; where that cannot be read, the stage will say so."""
    try:
        return params.load().train.deterministic
    except (ValueError, OSError):
        return True


# A stage's own imports, torch among them, come after those of its package.
engines.pin_torch(_deterministic())


def main(stage: Callable[..., None]) -> None:
    """Run a stage on the command line's arguments, or on those that its name in DVC stands for.

    An error ends it with one sentence, code 1; of one that nobody foresaw the traceback is kept in a file.
    """
    # Run as a script, its module is called __main__.
    name = f"stages.{Path(inspect.getfile(stage)).stem}"
    try:
        arguments = sys.argv[1:] or of_dvc(os.environ.get("DVC_STAGE", ""))
        try:
            inspect.signature(stage).bind(*arguments)
        except TypeError:
            wanted = " ".join(p.upper() for p in inspect.signature(stage).parameters)
            sys.exit(f"usage: python -m {name} {wanted}")
        end_with_dvc()
        stage(*arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if isinstance(error, RuntimeError) and (reason := _of_loaders(str(error))):
            sys.exit(f"{name}: {reason}")
        log = paths.project_root() / "build" / "errors" / f"{name}-{os.getpid()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{sys.version}\n{' '.join(sys.argv)}\n{traceback.format_exc()}")
        sys.exit(
            f"{name}: nobody foresaw this ({type(error).__name__}: {' '.join(str(error).split())[:200]}); please "
            f"report it with {log}, which holds the whole of it"
        )


def _of_loaders(text: str) -> str | None:
    """Why processes that load images died, by the text of torch's error; None of another error."""
    if "Bus error" in text or "shared memory" in text:
        return NO_SHARED_MEMORY
    died = "killed by signal" in text or "exited unexpectedly" in text
    return KILLED if died and "DataLoader worker" in text else None


def of_dvc(stage: str) -> list[str]:
    """The arguments of a stage that DVC runs, by its name; none of a stage without a matrix, or by hand."""
    if "@" not in stage:
        return []
    known = dvc_stages.arguments(params.load())
    if stage not in known:
        raise ValueError(f"params.yaml names no stage {stage}; `dvc repro` reads it anew")
    return list(known[stage])


def end_with_dvc() -> None:
    """Get SIGTERM when DVC or torchrun, where one of them started this process, dies: no orphan works on.

    Not by Linux's parent-death signal: it comes when the parent's thread ends, and a shell may be in between. And not
    by a thread of this process, which will fork loaders.
    """
    if sys.platform != "linux":
        return
    pid, above = os.getpid(), []
    while any(
        f"\0{key}=".encode() in b"\0" + _proc(pid, "environ") for key in ("DVC_STAGE", "TORCHELASTIC_RUN_ID")
    ):
        pid = int(_proc(pid, "stat").rpartition(b")")[2].split()[1])
        above.append(pid)
    if not above:
        return
    # Else it is the process to which the kernel gives orphans.
    if not any(word in _proc(pid, "cmdline") for word in (b"dvc", b"python", b"parsl", b"slurmstepd")):
        raise SystemExit("the DVC that started this stage is gone")
    # Opened here: whoever ends from now on is noticed.
    watched = [os.pidfd_open(pid) for pid in (os.getpid(), *above)]
    # Its other end stays open until this process ends, or becomes another program.
    start, _ = os.pipe()
    files = (watched[0], start, *watched[1:])
    # In a session of its own: what is sent to the stage's group is not for it.
    _watchers.append(
        subprocess.Popen(
            [sys.executable, "-I", "-S", Path(__file__).with_name("watch.py"), *map(str, files)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=files, start_new_session=True,
        )
    )  # fmt: skip
    for file in files:
        os.close(file)


def _proc(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except PermissionError:
        return b""
