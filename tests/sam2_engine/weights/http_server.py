"""A real HTTP server that behaves well or badly, and what a download leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS, Checkpoint
from infer_segment_anything_2.sam2_engine.weights.download import (
    DownloadLimits,
    fetch_checkpoint,
)

CONTENT = random.Random(5).randbytes(300_000)

ROW = dataclasses.replace(
    CHECKPOINTS["sam2_hiera_tiny"],
    name="weights",
    file_name="weights.pt",
    url_path="072824/weights.pt",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)

HASTY = DownloadLimits(connect_s=5, read_s=5, pauses_s=(0.0, 0.0), lock_s=0.5)
IMPATIENT = dataclasses.replace(HASTY, read_s=0.3)


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next of the server's behaviours; the last one stays."""

    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        behaviours = server.behaviours
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        with contextlib.suppress(ConnectionError):  # the client may go away in the middle
            behaviour(self)

    def head(self, status: int, **headers: str | int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def range_start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[Behaviour] = [good]
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


Behaviour = Callable[[Handler], None]


def good(handler: Handler) -> None:
    """As a proper server: whole, or continued where asked for."""
    start = handler.range_start()
    if start >= len(CONTENT):
        handler.head(416, Content_Range=f"bytes */{len(CONTENT)}", Content_Length=0)
        return
    rest = CONTENT[start:]
    if start:
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.head(206, Content_Length=len(rest), Content_Range=span)
    else:
        handler.head(200, Content_Length=len(rest))
    handler.wfile.write(rest)


def ignores_range(handler: Handler) -> None:
    handler.head(200, Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT)


def breaks_off(after_bytes: int) -> Behaviour:
    def behaviour(handler: Handler) -> None:
        start = handler.range_start()
        rest = CONTENT[start:]
        if start:
            span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            handler.head(206, Content_Length=len(rest), Content_Range=span)
        else:
            handler.head(200, Content_Length=len(rest))
        handler.wfile.write(rest[:after_bytes])

    return behaviour


def stalls(handler: Handler) -> None:
    handler.head(200, Content_Length=len(CONTENT))
    handler.wfile.write(CONTENT[:100_000])
    handler.wfile.flush()
    time.sleep(1.0)


def sends(content: bytes, **headers: str | int) -> Behaviour:
    """Any bytes with any headers, and the end of the connection."""

    def behaviour(handler: Handler) -> None:
        handler.head(200, **headers)
        handler.wfile.write(content)

    return behaviour


def answers(status: int, **headers: str) -> Behaviour:
    def behaviour(handler: Handler) -> None:
        handler.head(status, Content_Length=0, **headers)

    return behaviour


def continues_elsewhere(handler: Handler) -> None:
    if "Range" not in handler.headers:
        good(handler)
        return
    rest = CONTENT[7:]
    handler.head(206, Content_Length=len(rest), Content_Range=f"bytes 7-299999/{len(CONTENT)}")
    handler.wfile.write(rest)


def never_ends(handler: Handler) -> None:
    handler.head(200)
    while True:
        handler.wfile.write(CONTENT)


WRONG_CONTENT = bytes(len(CONTENT))
sends_wrong_bytes = sends(WRONG_CONTENT, Content_Length=len(CONTENT))


def fetch(folder: Path, row: Checkpoint = ROW, limits: DownloadLimits = HASTY) -> Path:
    return fetch_checkpoint(row, folder, limits=limits)


def put_part(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weights.pt.part"
    path.write_bytes(content)
    return path


def assert_whole(folder: Path) -> None:
    assert (folder / "weights.pt").read_bytes() == CONTENT
    assert not (folder / "weights.pt.part").exists()


def assert_nothing_taken_for_whole(folder: Path) -> None:
    assert not (folder / "weights.pt").exists()
