from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from infer_segment_anything_2.errors import CancelledError, DamagedCheckpointError, DownloadError
from infer_segment_anything_2.sam2_engine.weights import checkpoints
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS, Checkpoint
from infer_segment_anything_2.sam2_engine.weights.download import (
    DownloadLimits,
    fetch_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights

REPOSITORY = Path(__file__).parents[3]
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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", running.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on demand"


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


class TestGoodServer:
    def test_file_arrives_whole(self, server: Server, folder: Path) -> None:
        assert fetch(folder) == folder / "weights.pt"
        assert_whole(folder)
        assert server.ranges == [None]

    def test_progress_rises_to_the_end(self, server: Server, folder: Path) -> None:
        steps: list[tuple[int, int]] = []
        fetch_checkpoint(ROW, folder, progress=lambda *step: steps.append(step), limits=HASTY)
        done = [done_bytes for done_bytes, _ in steps]
        assert done[0] == 0
        assert done[-1] == len(CONTENT)
        assert done == sorted(done)
        assert len(done) > 3
        assert {total for _, total in steps} == {len(CONTENT)}

    def test_part_of_an_earlier_run_is_continued(self, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT[:123_456])
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == ["bytes=123456-"]

    def test_complete_part_is_used_without_asking(self, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT)
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == []

    @pytest.mark.parametrize(
        "part",
        [
            pytest.param(bytes(1000), id="wrong bytes"),
            pytest.param(bytes(len(CONTENT)), id="wrong and complete"),
            pytest.param(CONTENT + b"more", id="too long"),
        ],
    )
    def test_spoilt_part_is_fetched_anew(self, part: bytes, server: Server, folder: Path) -> None:
        put_part(folder, part)
        fetch(folder)
        assert_whole(folder)
        assert server.ranges[-1] is None

    def test_existing_file_is_verified_and_kept(self, server: Server, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "weights.pt").write_bytes(b"my own")
        with pytest.raises(DamagedCheckpointError, match="is not the official"):
            fetch(folder)
        assert (folder / "weights.pt").read_bytes() == b"my own"
        assert server.ranges == []

    def test_hash_decides_where_the_size_is_uncertain(self, server: Server, folder: Path) -> None:
        row = dataclasses.replace(ROW, size_bytes=len(CONTENT) - 5, size_is_certain=False)
        put_part(folder, CONTENT)
        fetch(folder, row)
        assert_whole(folder)
        (folder / "weights.pt").unlink()
        fetch(folder, row)
        assert_whole(folder)

    def test_find_weights_downloads_to_the_own_folder(
        self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(folder))
        monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"weights": ROW})
        assert find_weights("weights").path == folder / "weights.pt"
        assert find_weights("weights").path == folder / "weights.pt"
        assert len(server.ranges) == 1

    def test_redirect_is_followed(self, server: Server, folder: Path) -> None:
        server.behaviours = [answers(302, Location="/elsewhere"), good]
        fetch(folder)
        assert_whole(folder)


class TestBadServer:
    def test_broken_connection_is_taken_up_again(self, server: Server, folder: Path) -> None:
        server.behaviours = [breaks_off(150_000), breaks_off(70_000), good]
        fetch(folder)
        assert_whole(folder)
        starts = [int(text[6:-1]) for text in server.ranges[1:] if text]
        assert len(starts) == 2
        assert 0 < starts[0] < starts[1] < len(CONTENT)

    def test_server_that_ignores_range_is_read_from_the_start(
        self, server: Server, folder: Path
    ) -> None:
        put_part(folder, CONTENT[:1000])
        server.behaviours = [ignores_range]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == ["bytes=1000-"]

    def test_server_that_continues_elsewhere_is_read_from_the_start(
        self, server: Server, folder: Path
    ) -> None:
        put_part(folder, CONTENT[:1000])
        server.behaviours = [continues_elsewhere]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == ["bytes=1000-", None]

    def test_patience_ends_and_the_part_is_kept(self, server: Server, folder: Path) -> None:
        server.behaviours = [breaks_off(150_000), breaks_off(0)]
        with pytest.raises(DownloadError, match="bytes are there and are kept"):
            fetch(folder)
        assert_nothing_taken_for_whole(folder)
        part = (folder / "weights.pt.part").read_bytes()
        assert part
        assert part == CONTENT[: len(part)]
        server.behaviours = [good]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges[-1] == f"bytes={len(part)}-"

    def test_server_that_always_starts_anew_does_not_keep_us_for_ever(
        self, server: Server, folder: Path
    ) -> None:
        cut_off = [CONTENT[:200_000], CONTENT[:100_000]] * 20
        server.behaviours = [sends(content, Content_Length=len(CONTENT)) for content in cut_off]
        with pytest.raises(DownloadError):
            fetch(folder)
        assert len(server.ranges) <= 5

    def test_length_that_is_too_long_counts_as_broken(self, server: Server, folder: Path) -> None:
        server.behaviours = [sends(CONTENT[:-9], Content_Length=len(CONTENT)), good]
        fetch(folder)
        assert_whole(folder)

    def test_early_end_without_a_length_counts_as_broken(
        self, server: Server, folder: Path
    ) -> None:
        server.behaviours = [sends(CONTENT[:-9]), good]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == [None, "bytes=299991-"]

    @pytest.mark.parametrize(
        "behaviour",
        [
            pytest.param(sends_wrong_bytes, id="wrong bytes"),
            pytest.param(sends(b"<html>", Content_Length=6), id="log-in page"),
            pytest.param(sends(CONTENT, Content_Length=len(CONTENT) - 9), id="length too short"),
            pytest.param(sends(CONTENT + b"more"), id="too many bytes, no length"),
            pytest.param(never_ends, id="never ends"),
        ],
    )
    class TestSendingAnotherFile:
        def test_once_is_forgiven(self, behaviour: Behaviour, server: Server, folder: Path) -> None:
            server.behaviours = [behaviour, good]
            fetch(folder)
            assert_whole(folder)

        def test_twice_is_an_error_and_leaves_nothing(
            self, behaviour: Behaviour, server: Server, folder: Path
        ) -> None:
            server.behaviours = [behaviour]
            with pytest.raises(DamagedCheckpointError, match="does not send the official") as seen:
                fetch(folder)
            assert ROW.sha256 in str(seen.value)
            assert len(server.ranges) == 2
            assert_nothing_taken_for_whole(folder)
            assert not (folder / "weights.pt.part").exists()

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_refusal_is_an_error_at_once(self, status: int, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT[:1000])
        server.behaviours = [answers(status)]
        with pytest.raises(DownloadError, match=f"but the server answered {status} "):
            fetch(folder)
        assert len(server.ranges) == 1
        assert_nothing_taken_for_whole(folder)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_moment_of_weakness_is_waited_for(
        self, status: int, server: Server, folder: Path
    ) -> None:
        server.behaviours = [answers(status), answers(status), good]
        fetch(folder)
        assert_whole(folder)

    def test_lasting_weakness_is_an_error(self, server: Server, folder: Path) -> None:
        server.behaviours = [answers(500)]
        with pytest.raises(DownloadError, match="the server answered 500"):
            fetch(folder)
        assert len(server.ranges) == 3

    def test_redirects_in_a_circle_are_an_error(self, server: Server, folder: Path) -> None:
        server.behaviours = [answers(302, Location="/again")]
        with pytest.raises(DownloadError, match="redirects"):
            fetch(folder)

    def test_silence_is_left_after_the_timeout_and_continued(
        self, server: Server, folder: Path
    ) -> None:
        server.behaviours = [stalls, good]
        fetch(folder, limits=IMPATIENT)
        assert_whole(folder)
        assert server.ranges == [None, "bytes=65536-"]

    def test_lasting_silence_is_an_error(self, server: Server, folder: Path) -> None:
        server.behaviours = [lambda _: time.sleep(0.6)]
        with pytest.raises(DownloadError, match="timed out"):
            fetch(folder, limits=IMPATIENT)


class TestNoServer:
    def test_error_says_how_to_do_without(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as closed:  # a port that nobody listens on
            closed.bind(("127.0.0.1", 0))
            base_url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            monkeypatch.setenv("SAM2_CHECKPOINT_URL", base_url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            with pytest.raises(DownloadError) as caught:
                fetch(folder)
        message = str(caught.value)
        assert message.startswith(
            "The weights weights.pt could not be fetched: expected the file at "
            f"{base_url}/072824/weights.pt, but the connection failed ("
        )
        assert message.endswith(
            f"To put it there by hand: fetch {base_url}/072824/weights.pt on a machine with "
            f"network access (300000 bytes, SHA-256 {ROW.sha256}) and copy it, under the name "
            f"weights.pt, into the folder {folder}. The environment variable SAM2_CHECKPOINT_DIR "
            "names another folder, SAM2_CHECKPOINT_URL another server."
        )

    @pytest.mark.parametrize("address", ["not an address", "file:///etc", "http://", "ftp://a/b"])
    def test_unusable_address_is_an_error(
        self, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", address)
        with pytest.raises(DownloadError, match="could not be fetched"):
            fetch(folder)


class TestDisk:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the always full device")
    def test_full_disk_is_an_error(self, server: Server, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "weights.pt.part").symlink_to("/dev/full")
        with pytest.raises(DownloadError, match="No space left on device"):
            fetch(folder)
        assert_nothing_taken_for_whole(folder)

    def test_too_small_a_disk_is_told_of_before_the_download(
        self, server: Server, folder: Path
    ) -> None:
        row = dataclasses.replace(ROW, size_bytes=10**18, size_is_certain=False)
        with pytest.raises(DownloadError, match=r"bytes free and 1000000000000000000 are needed"):
            fetch(folder, row)
        assert not (folder / "weights.pt.part").exists()

    def test_folder_that_cannot_be_made_is_an_error(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(DownloadError, match="it could not be written"):
            fetch(tmp_path / "file" / "folder")
        assert server.ranges == []

    @pytest.mark.skipif(
        sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
    )
    def test_read_only_folder_is_an_error(self, server: Server, tmp_path: Path) -> None:
        tmp_path.chmod(0o555)
        with pytest.raises(DownloadError, match="it could not be written"):
            fetch(tmp_path)


class TestCancelling:
    def test_keeps_the_part_for_the_next_time(self, server: Server, folder: Path) -> None:
        def stop_half_way(done_bytes: int, total_bytes: int) -> None:
            if done_bytes > total_bytes // 2:
                raise CancelledError("stopped")

        with pytest.raises(CancelledError):
            fetch_checkpoint(ROW, folder, progress=stop_half_way, limits=HASTY)
        assert_nothing_taken_for_whole(folder)
        part_bytes = (folder / "weights.pt.part").stat().st_size
        assert part_bytes > len(CONTENT) // 2
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == [None, f"bytes={part_bytes}-"]


class TestTwoAtOnce:
    def test_threads_fetch_once(self, server: Server, folder: Path) -> None:
        with ThreadPoolExecutor(4) as pool:
            paths = list(pool.map(lambda _: fetch(folder), range(4)))
        assert paths == [folder / "weights.pt"] * 4
        assert_whole(folder)
        assert server.ranges == [None]

    def test_processes_fetch_once(self, server: Server, folder: Path) -> None:
        both_wait = threading.Event()

        def slow(handler: Handler) -> None:
            both_wait.wait(300)
            good(handler)

        server.behaviours = [slow]
        code = (
            "import dataclasses, pathlib\n"
            "from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS\n"
            "from infer_segment_anything_2.sam2_engine.weights.download import (\n"
            "    fetch_checkpoint)\n"
            "row = dataclasses.replace(CHECKPOINTS['sam2_hiera_tiny'], file_name='weights.pt',\n"
            f"    url_path='x', size_bytes={len(CONTENT)}, sha256='{ROW.sha256}')\n"
            "says = lambda *_: print('at it', flush=True)\n"
            f"fetch_checkpoint(row, pathlib.Path({str(folder)!r}), progress=says)\n"
        )
        processes = [
            subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        # Each has reported once: one is at the server, the other one at the lock.
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"at it\n"
        both_wait.set()
        for process in processes:
            process.communicate(timeout=300)
        assert [process.returncode for process in processes] == [0, 0]
        assert_whole(folder)
        assert server.ranges == [None]

    @pytest.fixture
    def locked(self, folder: Path) -> Iterator[None]:
        """Somebody else holds the lock and does nothing."""
        folder.mkdir(parents=True)
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with FileLock(folder / "weights.pt.lock"):
                held.set()
                done.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(60)
        yield
        done.set()
        thread.join()

    @pytest.mark.usefixtures("locked")
    def test_lock_without_progress_is_an_error(self, server: Server, folder: Path) -> None:
        with pytest.raises(DownloadError, match=r"another process holds .*weights\.pt\.lock"):
            fetch(folder)

    @pytest.mark.usefixtures("locked")
    def test_waiting_can_be_stopped(self, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT[:1000])
        steps: list[tuple[int, int]] = []

        def stop(*step: int) -> None:
            steps.append((step[0], step[1]))
            raise CancelledError("stopped")

        with pytest.raises(CancelledError):
            fetch_checkpoint(ROW, folder, progress=stop, limits=HASTY)
        assert steps == [(1000, len(CONTENT))]
