"""Threads that work on chunks of prompts side by side.

Why not leave the cores to OpenMP: a decoder step is hundreds of small products, and at the end of
each one all OpenMP threads wait, spinning, for the slowest. With whole chunks per thread nobody
waits. Measured on two cores that other programs kept busy (load 10), bundled network, 16 x 16
grid, without the encoder: 270 s (38 s of CPU time) with two OpenMP threads, 5.3 s (0.7 s) with two
workers of one thread each, 5.5 s (0.7 s) with one thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

from infer_segment_anything_2.sam2_engine.hardware.forking import ProcessLock
from infer_segment_anything_2.sam2_engine.hardware.openmp import full_teams

__all__ = ["PromptWorkers"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Each worker holds the intermediate tensors of a chunk: memory grows with them, and beyond a few
# the cores wait for memory anyway. With more cores than workers, each gets several.
_MOST_WORKERS = 4
# Chunks taken from the list ahead of the one whose result is waited for, per worker.
_LOOK_AHEAD = 2

_starting = ProcessLock()


class PromptWorkers:
    """As many threads as a device can use; to be entered and left like a file.

    On a CPU the threads share what the calling thread may use (`torch.get_num_threads`); on a GPU,
    which queues its work anyway, everything runs in the calling thread.

    Args:
        device: Where the network is.
    """

    def __init__(self, device: torch.device) -> None:
        n_threads = torch.get_num_threads() if device.type == "cpu" else 1
        self.n_workers = min(n_threads, _MOST_WORKERS)
        self._threads_each = n_threads // self.n_workers
        self._executor: ThreadPoolExecutor | None = None

    def __enter__(self) -> PromptWorkers:
        """Starts the threads."""
        if self.n_workers > 1:
            self._executor = _start_executor(self.n_workers, self._threads_each)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drops what has not begun, and wait for what has."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Calls a function for each item; yields the results in the order of the items.

        Args:
            function: Safe to be called from several threads at once. Its errors come out here.
            items: Taken from only a few steps ahead, so that results do not pile up.
        """
        if self._executor is None:
            yield from map(function, items)
            return
        function = full_teams()(function)
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(self._executor.submit(function, item))
            if len(pending) > _LOOK_AHEAD * self.n_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _start_executor(n_workers: int, threads_each: int) -> ThreadPoolExecutor:
    """Starts threads that use `threads_each` cores each inside of torch.

    `torch.set_num_threads` sets two things: how many cores the calling thread uses from now on, and
    what threads will use that call torch for the first time later. A worker must change the first
    only: so it lets torch initialise itself, sets its own number, and then the starting thread,
    whose own number stays what it was, puts back the second.
    """
    all_set = threading.Barrier(n_workers + 1)

    def set_own_number() -> None:
        torch.get_num_threads()
        torch.set_num_threads(threads_each)
        all_set.wait()

    with _starting:
        own_number = torch.get_num_threads()
        executor = ThreadPoolExecutor(n_workers, "sam2-prompts", initializer=set_own_number)
        for _ in range(n_workers):  # a thread is started for each, as none of them gets free
            executor.submit(int)
        all_set.wait()
        torch.set_num_threads(own_number)
    return executor
