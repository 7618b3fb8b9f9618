"""python -m stages.code: which code each stage can reach, so that an edit makes stale what it touches alone."""

from pipeline import files, paths
from pipeline.consumers import FOLDER, consumers
from stages import main


def code() -> None:
    out = paths.emptied(FOLDER)
    for consumer in consumers():
        files.write_json(out / f"{consumer.name}.json", consumer.reachable())


if __name__ == "__main__":
    main(code)
