"""Downloads that are stopped, run out of disk, or go on in two processes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from infer_segment_anything_2.errors import CancelledError, DownloadError
from infer_segment_anything_2.sam2_engine.weights.download import (
    fetch_checkpoint,
)
from tests.conftest import REPOSITORY
from tests.sam2_engine.weights.http_server import (
    CONTENT,
    HASTY,
    ROW,
    Handler,
    Server,
    assert_nothing_taken_for_whole,
    assert_whole,
    fetch,
    good,
    put_part,
)


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
