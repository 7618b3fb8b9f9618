"""The pipeline's stages, each a script: `python -m stages.<name> [arguments]`."""

import inspect
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path


def main(stage: Callable[..., None]) -> None:
    """Run a stage on the command line's arguments; an error it foresaw ends it with one sentence, code 1."""
    arguments = sys.argv[1:]
    # Run as a script, its module is called __main__.
    name = f"stages.{Path(inspect.getfile(stage)).stem}"
    try:
        inspect.signature(stage).bind(*arguments)
    except TypeError:
        wanted = " ".join(p.upper() for p in inspect.signature(stage).parameters)
        sys.exit(f"usage: python -m {name} {wanted}")
    end_with_dvc()
    try:
        stage(*arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"{name}: {error}")


def end_with_dvc() -> None:
    """Get SIGTERM when DVC or torchrun, where one of them started this process, dies: no orphan works on.

    Not by Linux's parent-death signal: it comes when the parent's thread ends, and a shell may be in between.
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
    if not any(word in _proc(pid, "cmdline") for word in (b"dvc", b"python")):
        raise SystemExit("the DVC that started this stage is gone")
    poll = select.poll()
    for pid in above:
        poll.register(os.pidfd_open(pid), select.POLLIN)

    def wait() -> None:
        poll.poll()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end with DVC", daemon=True).start()


def _proc(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except PermissionError:
        return b""
