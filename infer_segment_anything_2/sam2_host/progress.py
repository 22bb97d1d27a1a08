"""The progress that the host shows, and its stop button."""

from __future__ import annotations

from typing import Protocol

from infer_segment_anything_2.errors import CancelledError

__all__ = ["RunProgress"]

_MOST_STEPS = 100


class _ShowsProgress(Protocol):
    """What is needed of a task of the host."""

    is_stopping: bool

    def emit_add_sub_progress_steps(self, count: int) -> None: ...

    def emit_step_progress(self) -> None: ...


class RunProgress:
    """Moves Studio's bar, and ends the run where it was stopped."""

    def __init__(self, task: _ShowsProgress) -> None:
        self._task = task
        self._stage = ""
        self._steps = 0
        self._steps_shown = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Takes note of the steps done in a stage of the run.

        Raises:
            CancelledError: The task was asked to stop.
        """
        if self._task.is_stopping:
            raise CancelledError("The run was stopped on request; run it again for a result.")
        if stage != self._stage:
            self.finish()
            self._stage, self._steps, self._steps_shown = stage, min(total, _MOST_STEPS), 0
            self._task.emit_add_sub_progress_steps(self._steps)
        self._show(done * self._steps // max(total, 1))

    def finish(self) -> None:
        """Shows what is left of a stage that is over: not every stage tells of its last step."""
        self._show(self._steps)

    def _show(self, steps: int) -> None:
        while self._steps_shown < steps:
            self._steps_shown += 1
            self._task.emit_step_progress()
