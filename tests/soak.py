"""python -m tests.soak [--kills 50] [--seed N]: the whole pipeline, killed again and again, ends in the same bytes.

A small pipeline runs once undisturbed, in a clone. In another clone it is killed by SIGKILL, each stage in turn and at
a random moment of the time that it took undisturbed, or while DVC looks around after it: the stage alone, as the
kernel does when memory is short, DVC alone, or both and all of their workers, as a power cut does. Started again each
time, it must end, and every output and dvc.lock must be what they are undisturbed.
"""

import argparse
import hashlib
import os
import queue
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.conftest import write_params
from tests.project import clone, environment, with_frequent_checkpoints

SMALL = {
    "datasets": ["mpii", "coco"], "radius_sweep": [], "radius_only": ["mpii", "coco"], "data.demo.train_people": 48,
    "data.demo.val_people": 12, "train.epochs": 3, "train.batch_size": 4, "train.lr_drops": [2], "train.log_every": 1,
    "train.validate_every": 1, "train.checkpoint_minutes": 0.002, "model.small.width": 4, "model.small.stem": 8,
    "report.resamples": 50, "compute.device": "cpu", "compute.workers": 1,
}  # fmt: skip
OUTPUTS = ("data", "runs", "results", "reports", "build/code")
# What DVC does not track either: what is known of archives by their times of change, and of today.
BESIDE = re.compile(r"^data/archives/.*(verified\.json|\.lock)$|^reports/environment\.html$")
WHOM = ("stage", "dvc", "all")
PATIENCE = 1800


class Repro:
    """`dvc repro` at work, with all that it starts in a process group of its own."""

    def __init__(self, folder: Path, *options: str):
        command = [sys.executable, "-u", "-m", "dvc", "repro", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment() | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self.stages: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.match(r"Running stage '(.*)':", line):
                self.stages.put(found[1])
        self.stages.put(None)

    def next_stage(self, timeout: float) -> str | None:
        """The next stage that begins; None where it all ends. Raises queue.Empty."""
        return self.stages.get(timeout=timeout)

    def kill(self, whom: str, stage: str) -> bool:
        """Whether there was somebody to kill."""
        if whom == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
            return True
        victims = [self.process.pid] if whom == "dvc" else running(stage, self.process.pid)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return bool(victims)

    def end(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        # What an unkilled stage does after its DVC is gone, it does soon.
        deadline = time.monotonic() + 60
        while members(self.process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        return code


def members(group: int) -> list[int]:
    """The processes of a group that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def running(stage: str, group: int) -> list[int]:
    """The processes of a stage: those of DVC's that have its name in their environment."""
    found = []
    for pid in members(group):
        try:
            if f"\0DVC_STAGE={stage}\0".encode() in b"\0" + Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def undisturbed(folder: Path) -> dict[str, float]:
    """Run it all; the seconds that each stage took, DVC's part included."""
    repro, begun, at = Repro(folder), {}, time.monotonic()
    while (stage := repro.next_stage(PATIENCE)) is not None:
        begun[stage] = time.monotonic()
    if repro.end():
        sys.exit("".join(repro.lines) + "the undisturbed run failed")
    times = [*begun.values(), time.monotonic()]
    print(f"undisturbed: {len(begun)} stages in {times[-1] - at:.0f} s", flush=True)
    return {name: after - before for name, before, after in zip(begun, times, times[1:], strict=False)}


def outputs(folder: Path) -> dict[str, str]:
    """The sha256 of everything that DVC tracks, and of dvc.lock."""
    files = [path for name in OUTPUTS for path in sorted((folder / name).rglob("*")) if path.is_file()]
    named = {str(path.relative_to(folder)): path for path in [*files, folder / "dvc.lock"]}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if not BESIDE.search(name) and not path.name.startswith(".git")
    }


def disturbed(folder: Path, times: dict[str, float], kills: int, rng: random.Random) -> Counter[str]:
    """Kill it so many times, and let it end when all stages have had their share; how often each was killed."""
    order, killed, options = list(times), Counter[str](), []
    due = [order[n * len(order) // kills] for n in range(kills)]
    while due:
        repro, stage = Repro(folder, *options), None
        try:
            while stage is None or order.index(stage) < order.index(due[0]):
                stage = repro.next_stage(PATIENCE)
                if stage is None:
                    break
            if stage is None:
                if repro.end():
                    sys.exit("".join(repro.lines) + "it failed, and nobody had killed it")
                # Some stages ended before their time came: all of them once more, for those kills that are left.
                options = ["--force"]
                due = [order[n * len(order) // len(due)] for n in range(len(due))]
                continue
            until = time.monotonic() + rng.uniform(0, times[stage])
            while (left := until - time.monotonic()) > 0:
                try:
                    after = repro.next_stage(left)
                except queue.Empty:
                    break
                if after is None:
                    break
                stage = after
            whom = rng.choice(WHOM)
            if repro.process.poll() is None and repro.kill(whom, stage):
                killed[stage] += 1
                due.pop(0)
                options = []
                if not due and killed.total() < 2 * kills:
                    # Those that nobody met have their turn, whatever it was asked for.
                    due, options = [name for name in order if not killed[name]], ["--force"]
                print(f"{killed.total():3} {stage}: {whom} killed", flush=True)
        finally:
            repro.end()
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        clones = [clone(Path(place) / name) for name in ("undisturbed", "disturbed")]
        for folder in clones:
            with_frequent_checkpoints(folder)
            write_params(folder / "params.yaml", SMALL)
        times = undisturbed(clones[0])
        killed = disturbed(clones[1], times, a.kills, random.Random(a.seed))
        last = Repro(clones[1])
        if last.end():
            sys.exit("".join(last.lines) + "after the kills it does not end")
        before, after = (outputs(folder) for folder in clones)
    differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    print(f"{killed.total()} kills in {len(killed)} of {len(times)} stages: {dict(killed)}")
    print(f"{len(before)} files, {len(differing)} differ from the undisturbed run's: {differing}")
    sys.exit(1 if differing or killed.total() < a.kills else 0)


if __name__ == "__main__":
    main()
