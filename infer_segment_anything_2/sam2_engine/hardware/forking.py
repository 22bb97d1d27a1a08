"""What a forked child needs: it has the parent's memory, but none of its threads.

OpenMP still believes in its team, whoever used it: the next parallel region would wait for it for
ever. So a child computes with one thread, as PyTorch's own data loaders do. Locks that some thread
of the parent held are made anew. (On a GPU PyTorch itself refuses at once, and tells to start
processes by "spawn".)
"""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from weakref import WeakSet

__all__ = ["ProcessLock", "free_children"]


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


def free_children() -> None:
    """Sees to the children that this process will fork; to be called before torch is used."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    for lock in _locks:
        lock.renew()
    torch = sys.modules.get("torch")  # a process that has not loaded it need not wait for it here
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(1)
