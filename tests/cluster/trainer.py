"""python trainer.py NAME STEPS: something like a training: it saves each step, goes on from there, ends on SIGTERM."""

import fcntl
import signal
import sys
import time
from pathlib import Path

import stages


def main(name: str, steps: int) -> None:
    stages.end_with_dvc()
    with Path(f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        checkpoint = Path(f"{name}.step")
        step = int(checkpoint.read_text()) if checkpoint.exists() else 0
        print(f"from step {step}", flush=True)
        asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
        while step < steps and not asked:
            time.sleep(0.25)
            step += 1
            fresh = Path(f"{name}.fresh")
            fresh.write_text(str(step))
            fresh.replace(checkpoint)
        if asked:
            print(f"saved step {step}", flush=True)
            sys.exit(128 + asked[0])
    Path(f"{name}.out").write_text(f"{steps}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
