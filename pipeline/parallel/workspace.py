"""DVC's side of the stages: what waits for what, what is to run, and the record of what ran."""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dvc.repo import Repo
from dvc.rwlock import rwlock
from dvc.stage.cache import RunCacheNotFoundError

if TYPE_CHECKING:
    from dvc.stage import PipelineStage


class Workspace:
    """The project in the current folder, as DVC sees it. Of one thread.

    What runs between `begin` and `end` is locked as by `dvc repro`, stage by stage: another DVC that needs it says
    that it is busy. The kernel and DVC let go of the locks of a process that is gone, however it ended.
    """

    def __init__(self) -> None:
        logging.getLogger("dvc").setLevel(logging.WARNING)
        self._repo = Repo(_wait_for_lock=True)
        self._stages: dict[str, PipelineStage] = {}
        self._held: dict[str, contextlib.ExitStack] = {}
        self._unrecorded: list[PipelineStage] = []
        self._recorded_at, self._recording = 0.0, 0.0
        with self._locked():
            graph = self._repo.index.graph
        for stage in graph:
            self._stages[stage.addressing] = stage
        # DVC's edges point from a stage to those that it needs.
        self.needs = {s.addressing: {need.addressing for need in graph.successors(s)} for s in graph}

    def command(self, name: str) -> str:
        command: str = self._stages[name].cmd
        return command

    def begin(self, name: str) -> bool:
        """Whether a stage's command is to run now; what is up to date, or in DVC's cache, is put there instead."""
        stage = self._stages[name]
        with self._locked():
            if not stage.changed():
                return False
            with contextlib.ExitStack() as held:
                held.enter_context(self._hold(stage))
                stage.remove_outs(ignore_remove=False, force=False)
                try:
                    self._repo.stage_cache.restore(stage)
                except RunCacheNotFoundError:
                    stage.save_deps()
                    self._held[name] = held.pop_all()
                    return True
                self._record(stage)
        return False

    def end(self, name: str, *, succeeded: bool) -> None:
        """Let go of a stage whose command has ended, and record what it wrote where it succeeded."""
        with self._locked(), self._held.pop(name):
            if succeeded:
                self._record(self._stages[name])

    def close(self) -> None:
        """Write what is recorded, and let go of all that is held."""
        with self._locked():
            for held in self._held.values():
                held.close()
            self._held.clear()
            self._write()
        self._repo.close()

    def _record(self, stage: "PipelineStage") -> None:
        stage.save()
        stage.commit()
        self._unrecorded.append(stage)
        # Writing dvc.lock takes longer the more stages it has, so it is done a tenth of the time at most. What is
        # lost when this process is killed is in DVC's cache of runs.
        if time.monotonic() - self._recorded_at > 10 * self._recording:
            self._write()

    def _write(self) -> None:
        if not self._unrecorded:
            return
        began = time.monotonic()
        self._unrecorded[0].dvcfile.dump_stages(self._unrecorded, update_pipeline=False)
        self._unrecorded.clear()
        self._recorded_at = time.monotonic()
        self._recording = self._recorded_at - began

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._repo.lock, self._repo.scm_context(quiet=True):
            yield

    def _hold(self, stage: "PipelineStage") -> contextlib.AbstractContextManager[None]:
        import sys

        hold: contextlib.AbstractContextManager[None] = rwlock(
            self._repo.tmp_dir,
            self._repo.fs,
            # As DVC's own methods name this process, which must not wait for itself.
            " ".join(sys.argv),
            [dep.fs_path for dep in stage.deps],
            [out.fs_path for out in stage.outs],
            self._repo.config["core"].get("hardlink_lock", False),
        )
        return hold
