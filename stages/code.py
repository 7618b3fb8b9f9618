"""python -m stages.code: which code each stage can reach, so that an edit makes stale what it touches alone.

It is the first of all stages, and runs whenever params.yaml has another value: it checks the whole of it.
"""

from pipeline import files, params, paths
from pipeline.consumers import FOLDER, consumers
from stages import main


def code() -> None:
    p = params.load()
    out = paths.emptied(FOLDER)
    for consumer in consumers([*p.baselines, *(given.model for given in p.checkpoints)]):
        files.write_json(out / f"{consumer.name}.json", consumer.reachable())


if __name__ == "__main__":
    main(code)
