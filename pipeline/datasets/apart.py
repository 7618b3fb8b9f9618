"""A first look at a file that nobody has vouched for, in a process of its own.

SciPy's reader of MATLAB files crashes, loops or takes all memory on one spoiled file in a hundred.
"""

import faulthandler
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

from pipeline.people import LabelError

# COCO's labels take a minute and 2 GB.
SECONDS = 900
MEMORY = 12 << 30


def parse(function: Callable[[], object], files: list[Path]) -> None:
    """Run `function`, which reads these files; raises LabelError where it does, or does not come back.

    Other errors are the program's own: the function runs once more, here, for all to see.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _run(function, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    names = " and ".join(file.name for file in files)
    if status == 1:
        raise LabelError(message)
    if status == 2:
        function()
    elif status == 3 or status == -signal.SIGKILL:
        raise LabelError(f"{names} takes more memory than labels do; fetch it again")
    elif status == -signal.SIGXCPU:
        raise LabelError(f"{names} takes more than {SECONDS} s to read, as no labels do; fetch it again")
    elif status:
        raise LabelError(f"{names} crashes its reader, so it is damaged; fetch it again")


def _run(function: Callable[[], object], write: int) -> None:
    """The child's life: it ends with 0, 1 and a message for wrong labels, 3 for too much memory, 2 for the rest."""
    status = 2
    try:
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS, resource.RLIM_INFINITY))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(
            resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY)
        )
        function()
        status = 0
    except MemoryError:
        status = 3
    except ValueError as error:
        with os.fdopen(write, "wb") as pipe:
            pipe.write(str(error).encode(errors="replace"))
        status = 1
    finally:
        # Without what a parent has registered for its own end.
        os._exit(status)
