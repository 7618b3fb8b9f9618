"""SIGTERM and SIGINT: a training ends its step and saves before it leaves."""

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Self


class Signals(contextlib.AbstractContextManager["Signals"]):
    """Remembers SIGTERM and SIGINT instead of dying of them, so that a step ends and is saved.

    A step that takes too long is not waited for: a large network on a CPU, or PyTorch compiling. The process
    then ends as if killed, and the checkpoint before stays.
    """

    GRACE = 4.0
    received = 0

    def __enter__(self) -> Self:
        self.safe = threading.Event()
        # Python answers a signal between two of its own instructions, and a backward pass is one. The pipe is
        # written at once.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, self._receive) for number in (signal.SIGTERM, signal.SIGINT)
        }
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        return self

    def asked_to_stop(self) -> bool:
        return bool(self.received)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received = number

    def _watch(self) -> None:
        while byte := os.read(self._read, 1):
            if byte[0] in (signal.SIGTERM, signal.SIGINT) and not self.safe.wait(self.GRACE):
                os.write(2, b"The step takes too long to wait for; the checkpoint before stays\n")
                os._exit(128 + byte[0])
        os.close(self._read)

    def __exit__(self, *_: object) -> None:
        self.safe.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)
