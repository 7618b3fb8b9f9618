"""python -m pipeline.committed: the short way on, where dvc.lock has other outputs of the same inputs than committed.

`make repro` asks it at its end. It says nothing where they are the same, or where the inputs differ.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipeline import lock
from pipeline.lock import LOCK, Stage


def otherwise(committed: Mapping[str, Stage], here: Mapping[str, Stage]) -> list[str]:
    """The stages that made other outputs of the same inputs, code and parameters."""
    both = ((name, committed[name], here[name]) for name in committed if name in here)
    return [
        name
        for name, there, now in both
        if (there.inputs, there.params, there.command) == (now.inputs, now.params, now.command)
        and there.outputs != now.outputs
    ]


def advice(stages: list[str]) -> str:
    return (
        f"{LOCK} is another than the committed one: the same inputs gave other bytes here, in {len(stages)} "
        f"stages, the first of them {stages[0]}.\n"
        f"Keep yours with `git commit {LOCK} -m 'Run here'`: `dvc exp show` and `dvc metrics diff` then compare with "
        f"what ran here.\nAfter `git checkout {LOCK}`, `dvc repro` takes everything over again, and trains nothing."
    )


def main(root: Path = Path(".")) -> None:
    shown = subprocess.run(["git", "-C", root, "show", f"HEAD:{LOCK}"], capture_output=True, text=True)
    if shown.returncode:
        return
    stages = otherwise(lock.read(shown.stdout, f"the committed {LOCK}"), lock.load(root))
    if stages:
        print(advice(stages))


if __name__ == "__main__":
    main()
