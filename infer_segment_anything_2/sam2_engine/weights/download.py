"""Fetches a weights file so that it arrives whole or not at all.

Built on ``requests`` and ``filelock``, which are there anyway (ikomia needs the one, torch the
other). The libraries made for the purpose were looked at and left: ``torch.hub`` and ``pooch``
start again from zero after a broken connection and offer no way to stop, and ``huggingface_hub``
speaks to its own servers, not to Meta's address or a plain mirror.

How it goes: one process at a time per file (a lock beside it); the bytes go to ``<file>.part``; a
broken connection is taken up again with a ``Range`` request, in the same call or in a later one;
the whole part is hashed from the disk; only then it gets its name, in one step. ``If-Range`` is not
needed: the content is known beforehand, so a part that was mixed from two versions fails the hash,
is deleted, and is fetched once more from the beginning.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from tqdm import tqdm

from infer_segment_anything_2.errors import (
    DamagedCheckpointError,
    DownloadError,
)
from infer_segment_anything_2.sam2_engine.settings import OnProgress
from infer_segment_anything_2.sam2_engine.weights.checkpoints import Checkpoint
from infer_segment_anything_2.sam2_engine.weights.connection import (
    connect_timeout_s,
    is_silent,
    leads_nowhere,
    peer_of,
    reason_in_words,
)
from infer_segment_anything_2.sam2_engine.weights.verification import (
    sha256_of_file,
    verify_checkpoint,
)

__all__ = [
    "DownloadLimits",
    "checkpoint_url",
    "fetch_checkpoint",
    "manual_instructions",
]

_logger = logging.getLogger("ikomia.infer_segment_anything_2.download")

_BLOCK_BYTES = 1 << 16  # small, so that a slow line still reports and can be stopped often
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_BROKEN_CONNECTION = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)

_Report = Callable[[int], None]  # told of the bytes that are there


@dataclass(frozen=True)
class DownloadLimits:
    """When to lose patience.

    Attributes:
        connect_s: Longest wait for a connection, shared by the addresses of the server.
        read_s: Longest silence of the server in the middle of an answer.
        pauses_s: Waits before the second, third, ... attempt after a broken connection; an attempt
            that brought new bytes starts the count again.
        lock_s: Longest time for which another process may hold the lock without its part growing.
    """

    connect_s: float = 12.0
    read_s: float = 30.0
    pauses_s: tuple[float, ...] = (1.0, 4.0)
    lock_s: float = 600.0


class _Broken(Exception):  # noqa: N818 - not an error yet: the next attempt may heal it
    """The connection ended early, or the server has a moment of weakness.

    Attributes:
        is_silent: Nobody answered: trying again helps only where bytes have come before.
    """

    def __init__(self, message: str, *, is_silent: bool = False) -> None:
        super().__init__(message)
        self.is_silent = is_silent


class _Mismatch(Exception):  # noqa: N818 - not an error yet: the next attempt may heal it
    """What arrives is not the official file."""


def fetch_checkpoint(
    row: Checkpoint,
    folder: Path,
    *,
    progress: OnProgress | None = None,
    limits: DownloadLimits | None = None,
) -> Path:
    """Download an official weights file into a folder, or wait until another process has.

    Args:
        row: What to fetch.
        folder: Where to; made when it is not there.
        progress: Called with (bytes there, bytes in all) while bytes arrive, also when it is
            another process that fetches them; may raise ``CancelledError``. A bar is drawn besides
            when standard error is a terminal.
        limits: Timeouts, None for the usual ones.

    Returns:
        Path of the verified file.

    Raises:
        DownloadError: No connection, an error answer, a full disk, a folder that cannot be written.
        DamagedCheckpointError: The server sent other content twice, or another file has the name.
        CancelledError: ``progress`` raised it. The part stays and is continued next time.
    """
    download = _Download(row, folder, limits or DownloadLimits())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _terminal_bar(row) as bar:

            def report(done_bytes: int) -> None:
                bar.update(done_bytes - bar.n)
                if progress is not None:
                    progress(done_bytes, row.size_bytes)

            with download.lock(report):
                if download.path.exists():  # another process was faster
                    verify_checkpoint(row, download.path)
                else:
                    download.run(report)
    except requests.RequestException as error:
        download.fail(f"the connection failed ({download.words(error)})", error)
    except (OSError, NotImplementedError) as error:  # the latter from a disk without locks
        download.fail(f"it could not be written ({error})", error)
    return download.path


class _Download:
    """One file on its way."""

    def __init__(self, row: Checkpoint, folder: Path, limits: DownloadLimits) -> None:
        self.row = row
        self.folder = folder
        self.limits = limits
        self.url = checkpoint_url(row)
        self.path = folder / row.file_name
        self.part_path = folder / f"{row.file_name}.part"

    def fail(self, reason: str, cause: Exception | None = None) -> NoReturn:
        """Raise the error that says what went wrong and how to do without the network."""
        raise DownloadError(
            f"The weights {self.row.file_name} could not be fetched: expected the file at "
            f"{self.url}, but {reason}. {manual_instructions(self.row, self.folder)}"
        ) from cause

    def words(self, error: requests.RequestException) -> str:
        """Why a request failed; a redirect may have led to another server than ours."""
        url = error.request.url if error.request is not None else None
        return reason_in_words(error, peer_of(str(url or self.url)), self.limits.read_s)

    def fail_offline(self, cause: Exception) -> NoReturn:
        """Raises the error that says that there is no network, and the two ways to do without."""
        server = urlsplit(self.url).hostname or self.url
        raise DownloadError(
            f"The weights {self.row.file_name} could not be fetched: the server {server} cannot be "
            "found, so this machine seems to have no network; set model_name to sam2_demo_nano, "
            "which needs no download, or put the file there by hand.\n"
            f"File: {self.url}\n"
            f"Size: {self.row.size_bytes} bytes\n"
            f"SHA-256: {self.row.sha256}\n"
            f"Folder: {self.folder} (SAM2_CHECKPOINT_DIR names another one)\n"
            "SAM2_CHECKPOINT_URL names another server, such as a mirror in your own network."
        ) from cause

    @contextlib.contextmanager
    def lock(self, report: _Report) -> Iterator[None]:
        """Hold the file's lock; while another process has it, tell of that one's progress."""
        lock = FileLock(self.folder / f"{self.row.file_name}.lock")
        last_growth_s = time.monotonic()
        seen_bytes = -1
        while True:
            try:
                lock.acquire(timeout=0.2)
                break
            except Timeout:
                part_bytes = self.part_bytes()
                report(part_bytes)
                if part_bytes != seen_bytes:
                    seen_bytes, last_growth_s = part_bytes, time.monotonic()
                elif time.monotonic() - last_growth_s > self.limits.lock_s:
                    self.fail(f"another process holds {lock.lock_file} and makes no progress")
        try:
            yield
        finally:
            lock.release()

    def part_bytes(self) -> int:
        """Size of what has arrived."""
        try:
            return self.part_path.stat().st_size
        except FileNotFoundError:
            return 0

    def run(self, report: _Report) -> None:
        """Fetch, check and name the file; once more from the beginning when the check fails."""
        try:
            self.fetch_and_check(report)
        except _Mismatch as first:
            _logger.warning("%s: %s. Fetching it once more.", self.url, first)
            self.part_path.unlink(missing_ok=True)
            try:
                self.fetch_and_check(report)
            except _Mismatch as second:
                self.part_path.unlink(missing_ok=True)
                raise DamagedCheckpointError(
                    f"The server does not send the official {self.row.file_name}: expected "
                    f"{self.row.size_bytes} bytes with SHA-256 {self.row.sha256} from {self.url}, "
                    f"but {second}, twice. A proxy or a mirror may be in the way. "
                    f"{manual_instructions(self.row, self.folder)}"
                ) from None
        self.part_path.replace(self.path)

    def fetch_and_check(self, report: _Report) -> None:
        """Complete the part and compare it with the official file.

        Raises:
            _Mismatch: It differs.
        """
        self.complete_part(report)
        sha256 = sha256_of_file(self.part_path)
        if sha256 != self.row.sha256:
            raise _Mismatch(f"{self.part_bytes()} bytes with SHA-256 {sha256} came")

    def complete_part(self, report: _Report) -> None:
        """Makes connections until the part is complete or patience ends."""
        _logger.info("Fetching %s (%d bytes) to %s", self.url, self.row.size_bytes, self.folder)
        failures = 0
        first_bytes = most_bytes = self.part_bytes()
        report(first_bytes)
        while True:
            try:
                self.receive(report)
            except _Broken as broken:
                # Measured by the best attempt so far, or a server that starts anew each time and
                # breaks off here and there would keep us for ever.
                failures = 1 if self.part_bytes() > most_bytes else failures + 1
                most_bytes = max(most_bytes, self.part_bytes())
                is_hopeless = broken.is_silent and most_bytes == first_bytes
                if is_hopeless or failures > len(self.limits.pauses_s):
                    there = self.part_bytes()
                    kept = f". {there} bytes are there and are kept, the next attempt goes on"
                    self.fail(f"{broken}{f'{kept} from them' if there else ''}", broken)
                _logger.info("%s: %s. Going on.", self.url, broken)
                time.sleep(self.limits.pauses_s[failures - 1])
            else:
                return

    def receive(self, report: _Report) -> None:
        """One connection: append to the part what the server sends.

        Raises:
            _Broken: Less came than should have.
            _Mismatch: The server says, or shows, that it has another file.
        """
        have_bytes = self.part_bytes()
        if have_bytes == self.row.size_bytes and self.row.size_is_certain:
            return
        headers = {"Accept-Encoding": "identity"}
        if have_bytes:
            headers["Range"] = f"bytes={have_bytes}-"
        peer = peer_of(self.url)
        timeout_s = (connect_timeout_s(peer, self.limits.connect_s), self.limits.read_s)
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=timeout_s) as answer:
                start_byte = self.start_of(answer, have_bytes)
                if start_byte is not None:
                    self.append(answer, start_byte, report)
        except _BROKEN_CONNECTION as error:
            reason = f"the connection failed ({self.words(error)})"
            if leads_nowhere(error):
                if peer.proxy_variable is None:
                    self.fail_offline(error)
                self.fail(reason, error)
            raise _Broken(reason, is_silent=is_silent(error)) from error

    def start_of(self, answer: requests.Response, have_bytes: int) -> int | None:
        """Where in the file the answer's bytes begin, None when the part is complete already."""
        status = answer.status_code
        if status in _TRANSIENT_STATUS:
            raise _Broken(f"the server answered {status} {answer.reason}")
        if status == requests.codes.requested_range_not_satisfiable and have_bytes:
            return None  # nothing after our last byte: the hash decides whether that is right
        if status == requests.codes.partial_content and have_bytes:
            given = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", answer.headers.get("Content-Range", ""))
            if given is None or int(given[1]) != have_bytes:
                raise _Mismatch("the server continued at another place than asked for")
            if given[2] != "*":
                self.check_size(int(given[2]))
            return have_bytes
        if status != requests.codes.ok:
            self.fail(f"the server answered {status} {answer.reason}")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal():
            self.check_size(int(length))
        return 0

    def check_size(self, size_bytes: int) -> None:
        """Refuse early what has not the right size."""
        if self.row.size_is_certain and size_bytes != self.row.size_bytes:
            raise _Mismatch(f"the server offers {size_bytes} bytes")

    def append(self, answer: requests.Response, start_byte: int, report: _Report) -> None:
        """Writes an answer's bytes to the part, from ``start_byte`` on."""
        # An uncertain size must not become a way to fill the disk.
        most_bytes = self.row.size_bytes * (1 if self.row.size_is_certain else 2)
        free_bytes = shutil.disk_usage(self.folder).free
        if free_bytes < self.row.size_bytes - start_byte:
            self.fail(
                f"the disk of {self.folder} has {free_bytes} bytes free and "
                f"{self.row.size_bytes - start_byte} are needed"
            )
        done_bytes = start_byte
        with self.part_path.open("ab" if start_byte else "wb") as part:
            for block in answer.iter_content(_BLOCK_BYTES):
                done_bytes += len(block)
                if done_bytes > most_bytes:
                    raise _Mismatch(f"the server sends more than {most_bytes} bytes")
                part.write(block)
                report(done_bytes)
            part.flush()
            os.fsync(part.fileno())
        if self.row.size_is_certain and done_bytes < self.row.size_bytes:
            raise _Broken(f"the answer ended at {done_bytes} of {self.row.size_bytes} bytes")


@contextlib.contextmanager
def _terminal_bar(row: Checkpoint) -> Iterator[tqdm[NoReturn]]:
    """A progress bar that shows only where somebody can see it."""
    in_terminal = sys.stderr is not None and sys.stderr.isatty()
    with tqdm(
        total=row.size_bytes,
        desc=row.file_name,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=not in_terminal,
    ) as bar:
        yield bar


META_BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything_2"


def checkpoint_url(row: Checkpoint) -> str:
    """Address of the official file, on the mirror of ``SAM2_CHECKPOINT_URL`` where that is set."""
    base_url = os.environ.get("SAM2_CHECKPOINT_URL", "").strip() or META_BASE_URL
    return f"{base_url.rstrip('/')}/{row.url_path}"


def manual_instructions(row: Checkpoint, folder: Path) -> str:
    """How to bring the file here by hand, with everything needed to find and check it."""
    return (
        f"To put it there by hand: fetch {checkpoint_url(row)} on a machine with network access "
        f"({row.size_bytes} bytes, SHA-256 {row.sha256}) and copy it, under the name "
        f"{row.file_name}, into the folder {folder}. The environment variable SAM2_CHECKPOINT_DIR "
        "names another folder, SAM2_CHECKPOINT_URL another server."
    )
