"""What a forked child needs: it has the parent's memory, but none of its threads.

OpenMP still believes in its team: the next parallel region would wait for it for ever. So once this
process has computed, a child computes with one thread. Locks that some thread of the parent held
are made anew. (On a GPU PyTorch itself refuses at once, and tells to start processes by "spawn".)
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet

import torch

__all__ = ["ProcessLock", "note_computing"]


class ProcessLock:
    """A lock that is free in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        """Waits for the lock."""
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives it back."""
        self._lock.release()

    def renew(self) -> None:
        """Makes it anew, in a child."""
        self._lock = threading.Lock()


_locks: WeakSet[ProcessLock] = WeakSet()
_has_computed = threading.Event()


def note_computing() -> None:
    """Remembers that this process has computed, and so has threads that a child will miss."""
    _has_computed.set()


def _in_child() -> None:
    for lock in _locks:
        lock.renew()
    if _has_computed.is_set():
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_in_child)
