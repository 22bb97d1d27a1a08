"""Processes and what they have started, by the books of Linux; for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path


def family_of(pid: int) -> dict[int, str]:
    """The processes below one, and their command lines."""
    children: dict[int, list[int]] = {}
    words: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
            words[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    below, waiting = {}, [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            below[child] = words.get(child, "")
            waiting.append(child)
    return below


def end(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether a process is there, and is not only waiting to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
