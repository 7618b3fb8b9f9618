"""python -I -S stages/watch.py STAGE START ABOVE...: end a stage, by SIGTERM, when one of those above it is gone.

All are numbers of open files: STAGE and ABOVE of processes, START of a pipe that closes where the stage becomes another
program. A process of its own, since a stage forks others, and a lock that a thread holds at that moment stays locked in
them for ever.
"""

import select
import signal
import sys


def watch(stage: int, start: int, above: list[int]) -> None:
    poll = select.poll()
    for file in (stage, start, *above):
        poll.register(file, select.POLLIN)
    ended = {file for file, _ in poll.poll()}
    if not ended & {stage, start}:
        signal.pidfd_send_signal(stage, signal.SIGTERM)


if __name__ == "__main__":
    stage, start, *above = map(int, sys.argv[1:])
    watch(stage, start, above)
