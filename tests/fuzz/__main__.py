"""python -m tests.fuzz --seconds 60 [--seed N] [--target NAME] [--keep]

Spoils valid files and has them read. What comes of it must be a result, or one sentence of the project's own that names
the file, within SECONDS and MEMORY. Everything else is a finding, which --keep puts under tests/fuzz/found: tests read
those for ever. Prints how many files each target has seen, and fails where there is a finding.
"""

import argparse
import hashlib
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import torch

from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).parent / "found"
SECONDS = 20
# Beyond what the process has.
MEMORY = 4 << 30
# Files for which one process lives.
BATCH = 200


def drawn(target: Target, seed: int, number: int) -> bytes:
    """The number-th file of a target, the same for the same seed."""
    rng = random.Random(f"{seed} {target.name} {number}")
    return rng.choice(target.spoil)(valid(target.name), rng)


@cache
def valid(name: str) -> list[bytes]:
    return TARGETS[name].valid()


def fault(target: Target, data: bytes) -> str | None:
    """What is wrong with how a file is taken; None where all is well."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (target.file or target.name)
        path.write_bytes(data)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.read(path)
        except Exception as error:
            text = str(error)
            own = type(error) is ValueError or type(error).__module__.startswith("pipeline.")
            if own and path.name in text and "\n" not in text and len(text) < 1000:
                return None
            last = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {text[:300]!r}"
    return None


def batch(target: Target, seed: int, first: int, until: float, pipe: int) -> None:
    """A process's life: it says which file it is at, and what is wrong with it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Decoders in C complain past Python.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in range(first, first + BATCH):
        if time.monotonic() > until:
            break
        os.write(pipe, f"{number}\n".encode())
        # Not an exception of Python's: what hangs may be in C.
        signal.alarm(SECONDS)
        if wrong := fault(target, drawn(target, seed, number)):
            os.write(pipe, f"! {' '.join(wrong.split())}\n".encode())
    signal.alarm(0)


def explore(target: Target, seed: int, first: int, until: float) -> tuple[int, list[tuple[int, str]]]:
    """One batch in a process of its own, which may crash: the next number, and what was found at which."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        status = 1
        try:
            batch(target, seed, first, until, write)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    number, found = first - 1, []
    for line in lines:
        if line.startswith("! "):
            found.append((number, line[2:]))
        else:
            number = int(line)
    if status:
        what = f"takes more than {SECONDS} s" if status == -signal.SIGALRM else f"ends its reader ({status})"
        found.append((number, what))
    return number + 1, found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--keep", action="store_true", help=f"findings under {FOUND}")
    a = parser.parse_args()
    torch.set_num_threads(1)
    targets = [TARGETS[name] for name in a.target or TARGETS]
    for target in targets:
        # Once, for all the processes; and what is valid must be taken.
        for data in valid(target.name):
            if wrong := fault(target, data):
                sys.exit(f"{target.name}: a valid file is refused: {wrong}")
    end = time.monotonic() + a.seconds
    reached, seen, failed = Counter[str](), set(), 0
    while time.monotonic() < end:
        for target in targets:
            # Each has its turn, as long as the others'.
            until = min(end, time.monotonic() + max(a.seconds / len(targets) / 10, 1))
            reached[target.name], found = explore(target, a.seed, reached[target.name], until)
            for number, what in found:
                failed += 1
                kind = target.name, what.partition(": ")[0]
                if kind in seen:
                    continue
                seen.add(kind)
                print(f"{target.name}, seed {a.seed}, number {number}: {what}", flush=True)
                if a.keep:
                    data = drawn(target, a.seed, number)
                    (FOUND / target.name).mkdir(parents=True, exist_ok=True)
                    (FOUND / target.name / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    for name, count in reached.items():
        print(f"{name:35} {count:8,} files")
    print(f"{reached.total():,} files, {failed} findings, of {len(seen)} kinds")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
