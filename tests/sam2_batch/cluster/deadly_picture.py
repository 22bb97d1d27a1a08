"""A picture that kills every process which reads it, as one does that is too large for memory."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
import time
from pathlib import Path

from tests.process_tree import end

_PAUSE_S = 0.02


class DeadlyPicture:
    """A named pipe and a watchdog: whoever has opened it is killed.

    A pipe, as opening one waits: the watchdog can be too late for nobody.

    Args:
        path: Where it is to be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._killed: set[int] = set()
        self._is_over = threading.Event()
        self._watchdog = threading.Thread(target=self._watch)

    def __enter__(self) -> DeadlyPicture:
        os.mkfifo(self._path)
        self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._watchdog.join()

    @property
    def n_killed(self) -> int:
        """How many processes have died of it."""
        return len(self._killed)

    def _watch(self) -> None:
        while not self._is_over.wait(_PAUSE_S):
            try:
                our_end = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                assert error.errno == errno.ENXIO  # nobody reads
                continue
            # Also while one that was killed has not closed it yet.
            while _is_read(our_end):
                self._killed.update(self._readers())
                end(self._killed)
                time.sleep(_PAUSE_S)
            os.close(our_end)

    def _readers(self) -> set[int]:
        readers = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                for link in (folder / "fd").iterdir():
                    with contextlib.suppress(OSError):  # it is closed
                        if link.readlink() == self._path:
                            readers.add(int(folder.name))
        return readers - {os.getpid()}


def _is_read(our_end: int) -> bool:
    poll = select.poll()
    poll.register(our_end, 0)
    return not any(events & select.POLLERR for _, events in poll.poll(0))
