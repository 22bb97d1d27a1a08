"""Runs on Ray, whose workers and driver are killed; and on a bucket of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.sam2_batch.cluster.runs import BOX, draw_pictures, results, rows_of, tables

# They start clusters, which takes minutes on a busy machine: `make test-slow`.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SAM2_TEST_CLUSTER" not in os.environ, reason="run by make test-slow"),
]

_WAIT_S = 300


def start(
    photos: Path | str, out: Path | str, environment: dict[str, str]
) -> subprocess.Popen[str]:
    """The command on a Ray of its own with two workers."""
    words = [
        "segment",
        str(photos),
        "-r",
        "--on",
        "ray",
        "--ray-address",
        "local",
        "--workers",
        "2",
    ]
    flags = ["--out", str(out), "--shard-size", "2", *BOX]
    return subprocess.Popen(
        [sys.executable, "-m", "infer_segment_anything_2", *words, *flags],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended with all that they started, whatever becomes of the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            family = family_of(process.pid)
            process.kill()
            end(family)
        process.communicate()


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


def wait_for(folder: Path, n_files: int, process: subprocess.Popen[str]) -> None:
    """Until so many shards are done."""
    until = time.monotonic() + _WAIT_S
    while len([*folder.glob("*.parquet")]) < n_files:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


class TestOnRay:
    def test_a_killed_worker_and_a_killed_driver_lose_and_double_nothing(
        self, tmp_path: Path, started: list[subprocess.Popen[str]]
    ) -> None:
        photos = draw_pictures(tmp_path / "photos", 16)
        out, plain = tmp_path / "out", tmp_path / "plain"
        first = start(photos, out, {})
        started.append(first)
        wait_for(out / "pictures", 1, first)
        family = family_of(first.pid)
        first.kill()
        end(family)  # the whole machine is gone, as far as this run is concerned
        first.communicate()
        second = start(photos, out, {})
        started.append(second)
        n_before = len([*(out / "pictures").glob("*.parquet")])
        wait_for(out / "pictures", n_before + 1, second)
        workers = [pid for pid, words in family_of(second.pid).items() if "MapWorker" in words]
        assert workers
        end(workers[:1])
        said, trouble = second.communicate(timeout=_WAIT_S)
        assert second.returncode == 0, trouble
        assert "0 failed" in said
        # Ray's own word on the variable that keeps it quiet is the only line.
        assert [line for line in trouble.splitlines() if "RAY_BACKEND_LOG_LEVEL" not in line] == []
        assert tables(plain, photos, "-r") == 0
        for table in ("pictures", "masks"):
            drop = ("seconds", "shard", "predicted_iou")  # of other numbers of threads
            assert rows_of(out, table, drop) == rows_of(plain, table, drop)
        assert results(out) == 0

    def test_reads_from_and_writes_to_s3(
        self, tmp_path: Path, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import s3fs
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(port=0)
        server.start()
        try:
            host, port = server.get_host_and_port()
            environment = {
                "AWS_ENDPOINT_URL": f"http://{host}:{port}",
                "AWS_ACCESS_KEY_ID": "anybody",
                "AWS_SECRET_ACCESS_KEY": "anything",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            photos = draw_pictures(tmp_path / "photos", 4)
            store = s3fs.S3FileSystem()
            store.mkdir("bucket")
            store.put(str(photos), "bucket/photos", recursive=True)
            process = start("s3://bucket/photos", "s3://bucket/run1", environment)
            started.append(process)
            said, trouble = process.communicate(timeout=_WAIT_S)
            assert process.returncode == 0, trouble
            assert "4 pictures done, 0 failed, 4 masks, in s3://bucket/run1" in said
            store.get("bucket/run1", str(tmp_path / "copy"), recursive=True)
        finally:
            server.stop()
        paths = [row["path"] for row in rows_of(tmp_path / "copy", "pictures")]
        assert paths == [
            f"s3://bucket/photos/{name}"
            for name in ("below/p02.png", "p00.png", "p01.png", "p03.png")
        ]
