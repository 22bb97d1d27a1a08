"""The command in processes of its own: to be watched, interrupted and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.process_tree import end, family_of
from tests.sam2_batch.cluster.runs import BOX

WAIT_S = 1200
_POLL_S = 0.05
HERE = ("--format", "parquet")
ON_LOCAL_RAY = ("--on", "ray", "--ray-address", "local", "--workers", "2")

_ENVIRONMENT = {
    # The number of threads decides the last digit of predicted_iou.
    "OMP_NUM_THREADS": "1",
    # Ray would have its workers wait for all others of a busy machine.
    "RAY_worker_niceness": "0",
}

Process = subprocess.Popen[str]


class Processes:
    """Those that a test starts; when it is left, they end with all that they started."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            if process.poll() is None:
                family = family_of(process.pid)
                process.kill()
                end(family)
            process.communicate()

    def segment(
        self,
        *words: str | Path,
        shard_size: int | None = 2,
        settings: tuple[str, ...] = BOX,
        environment: dict[str, str] | None = None,
    ) -> Process:
        """``segment`` with a box as prompt and small shards; None for files, which have none."""
        shards = () if shard_size is None else ("--shard-size", str(shard_size))
        call = ("segment", *settings, *shards, *words)
        return self.python("-m", "infer_segment_anything_2", *call, environment=environment)

    def python(self, *words: str | Path, environment: dict[str, str] | None = None) -> Process:
        """Python with these words, as the first of a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=REPOSITORY,
            env={**os.environ, **_ENVIRONMENT, **(environment or {})},
            # In the background of a shell, Ctrl-C is ignored by all that is started there.
            preexec_fn=_heed_interrupts,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def workers_of(pid: int) -> list[int]:
    """Ray's processes below one that do shards."""
    return [child for child, words in family_of(pid).items() if "MapWorker" in words]


def wait_for_shards(out: Path, n_shards: int, process: Process) -> None:
    """Until so many shards are done."""

    def is_enough() -> bool:
        if n_done(out) >= n_shards:
            return True
        assert process.poll() is None, process.communicate()
        return False

    wait_until(is_enough, f"{n_shards} shards")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Until something is so; a hang ends the test, which judges no speed."""
    for _ in range(round(WAIT_S / _POLL_S)):
        if holds():
            return
        time.sleep(_POLL_S)
    pytest.fail(f"Waited {WAIT_S} s for {what} in vain.")


def n_done(out: Path) -> int:
    return len([*(out / "pictures").glob("*.parquet")])
