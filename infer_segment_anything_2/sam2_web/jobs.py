"""Runs that a tab watches and stops."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from infer_segment_anything_2.errors import CancelledError

__all__ = ["Jobs"]


class Jobs:
    """How far runs are, and the wish to stop them; by names that the tabs chose."""

    def __init__(self) -> None:
        self._progress: dict[str, tuple[str, int, int]] = {}
        self._stopped: set[str] = set()
        self._lock = Lock()

    def watcher(self, job: str) -> Callable[[str, int, int], None]:
        """The progress callback of a run; raises ``CancelledError`` once it was stopped."""

        def on_progress(stage: str, done: int, total: int) -> None:
            with self._lock:
                self._progress[job] = (stage, done, total)
                if job in self._stopped:
                    raise CancelledError("The run was stopped.")

        return on_progress

    def progress(self, job: str) -> tuple[str, int, int]:
        """Stage, steps done, steps in all; nothing of nothing before a run has begun."""
        return self._progress.get(job, ("", 0, 0))

    def stop(self, job: str) -> None:
        """Ends a run between two steps; no matter whether it has begun."""
        with self._lock:
            self._stopped.add(job)

    def forget(self, job: str) -> None:
        """Drops what is known of a run that has ended."""
        with self._lock:
            self._progress.pop(job, None)
            self._stopped.discard(job)
