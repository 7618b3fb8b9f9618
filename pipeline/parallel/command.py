"""A stage's command at work, in a worker of Parsl, on this machine or on a node."""

import os
import signal
import subprocess
import time
from pathlib import Path

# Seconds to write a checkpoint in.
GRACE = 10.0


class Preempted(Exception):
    """Somebody else stopped a command, with SIGTERM: a scheduler that wants the node, or a time limit."""


def run(stage: str, command: str, log: str, stop: str, root: str) -> int:
    """Run a command of the project in `root` and give its exit code; its output goes to the file `log`.

    Once the file `stop` is there, the command is asked to end, and killed if it does not within seconds. Raises
    Preempted where it was stopped otherwise.
    """
    with Path(log).open("ab") as file:
        # DVC_STAGE tells it what it works on, and that it ends with its worker (stages/__init__.py). A session of
        # its own: Ctrl-C reaches the process that submitted it, which stops all in order.
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=root,
            env=os.environ | {"DVC_ROOT": root, "DVC_STAGE": stage},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        asked = None
        while True:
            try:
                code = process.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                pass
            if asked is None and Path(stop).exists():
                asked = time.monotonic()
                os.killpg(process.pid, signal.SIGTERM)
            elif asked is not None and time.monotonic() > asked + GRACE:
                os.killpg(process.pid, signal.SIGKILL)
    if asked is None and code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        raise Preempted(f"{stage} was stopped by somebody else")
    return code
