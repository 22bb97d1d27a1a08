"""Runs on Ray, whose workers, driver, nodes and pictures die; with real signals."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.process_tree import end, family_of, is_running
from tests.sam2_batch.cluster.deadly_picture import DeadlyPicture
from tests.sam2_batch.cluster.processes import (
    HERE,
    ON_LOCAL_RAY,
    WAIT_S,
    Process,
    Processes,
    n_done,
    wait_for_shards,
    wait_until,
    workers_of,
)
from tests.sam2_batch.cluster.runs import (
    EVERYTHING,
    draw_pictures,
    n_masks_as_in_reports,
    results,
    rows_of,
)

# They start clusters, which takes minutes on a busy machine: `make test-slow`.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * WAIT_S),
    pytest.mark.skipif("SAM2_TEST_CLUSTER" not in os.environ, reason="run by make test-slow"),
]

_N_PICTURES = 16

Words = tuple[str | Path, ...]


@dataclass(frozen=True)
class Whole:
    """Pictures, and the tables of a run over them that nothing disturbed.

    Attributes:
        photos: Their folder.
        out: That of the tables.
        n_shards: How many shards they are in, which follows from where they lie.
    """

    photos: Path
    out: Path
    n_shards: int

    def equals(self, out: Path) -> bool:
        """Whether another run has the same rows, bit for bit, and no note; says what differs."""
        for table in ("pictures", "masks"):
            drop = ("seconds", "shard")
            assert rows_of(out, table, drop) == rows_of(self.out, table, drop)
        assert results(out) == 0
        return not list((out / "attempts").glob("*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    root = tmp_path_factory.mktemp("whole")
    photos = draw_pictures(root / "photos", _N_PICTURES)
    with Processes() as processes:
        finished(processes.segment(photos, "-r", *HERE, "--out", root / "out"))
    return Whole(photos, root / "out", n_done(root / "out"))


def finished(process: Process) -> str:
    """What a run that did all pictures has said."""
    said, trouble = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, trouble
    assert ", 0 failed, " in said
    assert trouble == ""
    return said


class TestEquality:
    def test_masks_on_ray_are_those_of_the_files_bit_for_bit(
        self, whole: Whole, tmp_path: Path, processes: Processes
    ) -> None:
        out, files = tmp_path / "out", tmp_path / "files"
        call: Words = (whole.photos, "-r", *ON_LOCAL_RAY, "--out", out)
        finished(processes.segment(*call, settings=EVERYTHING))
        call = (whole.photos, "-r", "--format", "report", "--out", files)
        finished(processes.segment(*call, shard_size=None, settings=EVERYTHING))
        assert n_masks_as_in_reports(out, files) > _N_PICTURES


class TestDeaths:
    def test_a_killed_worker_and_a_killed_driver_lose_and_double_nothing(
        self, whole: Whole, tmp_path: Path, processes: Processes
    ) -> None:
        out = tmp_path / "out"
        call: Words = (whole.photos, "-r", *ON_LOCAL_RAY, "--out", out)
        first = processes.segment(*call)
        wait_for_shards(out, 1, first)
        family = family_of(first.pid)
        first.kill()
        end(family)  # the whole machine is gone, as far as this run is concerned
        first.communicate()
        second = processes.segment(*call)
        wait_for_shards(out, n_done(out) + 1, second)
        workers = workers_of(second.pid)
        assert workers
        end(workers[:1])
        finished(second)
        assert whole.equals(out)

    def test_a_lost_node_loses_and_doubles_nothing(
        self, whole: Whole, tmp_path: Path, processes: Processes
    ) -> None:
        cluster = processes.python("-m", "tests.sam2_batch.cluster.two_nodes")
        assert cluster.stdout is not None
        told = json.loads(cluster.stdout.readline())
        out = tmp_path / "out"
        call = ("--on", "ray", "--ray-address", told["address"], "--workers", "2", "--out", out)
        process = processes.segment(whole.photos, "-r", *call)
        wait_for_shards(out, 1, process)
        lost, other = told["raylets"]
        assert workers_of(lost)
        assert workers_of(other)
        n_before = n_done(out)
        end([lost, *family_of(lost)])
        assert n_before < whole.n_shards
        finished(process)
        assert whole.equals(out)

    @pytest.mark.parametrize(
        ("how", "n_calls"),
        [pytest.param(HERE, 4, id="here"), pytest.param(ON_LOCAL_RAY, 1, id="ray")],
    )
    def test_a_picture_that_kills_whoever_reads_it_is_given_up_at_the_third_death(
        self, how: tuple[str, ...], n_calls: int, whole: Whole, tmp_path: Path, processes: Processes
    ) -> None:
        deadly, out = tmp_path / "deadly.png", tmp_path / "out"
        paths = sorted(map(str, [*whole.photos.glob("*.png"), deadly]))
        pq.write_table(pa.table({"path": paths}), tmp_path / "keys.parquet")
        call: Words = ("--list", tmp_path / "keys.parquet", *how, "--out", out)
        with DeadlyPicture(deadly) as picture:
            for _ in range(n_calls):
                # One shard, whose other pictures are to be done.
                process = processes.segment(*call, shard_size=len(paths))
                _, trouble = process.communicate(timeout=WAIT_S)
            assert picture.n_killed == 3
        assert process.returncode == 1, trouble
        rows = {row["path"]: row for row in rows_of(out, "pictures")}
        assert rows[str(deadly)]["error_kind"] == "ProcessDied"
        assert rows[str(deadly)]["error"] in trouble
        assert [rows[path]["n_masks"] for path in paths] == [path != str(deadly) for path in paths]
        assert results(out) == 0
        assert not list((out / "attempts").iterdir())


class TestInterrupt:
    @pytest.mark.parametrize(
        "how", [pytest.param(HERE, id="here"), pytest.param(ON_LOCAL_RAY, id="ray")]
    )
    def test_leaves_a_run_that_the_same_command_resumes(
        self, how: tuple[str, ...], whole: Whole, tmp_path: Path, processes: Processes
    ) -> None:
        out = tmp_path / "out"
        call: Words = (whole.photos, "-r", *how, "--out", out)
        first = processes.segment(*call)
        wait_for_shards(out, 1, first)
        family = family_of(first.pid)
        os.killpg(first.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
        _, trouble = first.communicate(timeout=WAIT_S)
        assert first.returncode == 130, trouble
        assert trouble.splitlines()[-1] == "Stopped; the same command goes on from there."
        assert "Traceback" not in trouble
        assert not list((out / "attempts").iterdir())
        n_before = n_done(out)
        assert 1 <= n_before < whole.n_shards
        wait_until(lambda: not any(map(is_running, family)), "the end of all processes")
        said = finished(processes.segment(*call))
        assert f" in {n_before} shard" in said.splitlines()[0]
        assert whole.equals(out)


class TestWorkers:
    def test_without_weights_end_the_run_with_one_sentence(
        self, whole: Whole, tmp_path: Path, processes: Processes
    ) -> None:
        nowhere = {
            "SAM2_CHECKPOINT_URL": "http://127.0.0.1:9",
            "SAM2_CHECKPOINT_DIR": str(tmp_path),
        }
        call = (*ON_LOCAL_RAY, "--out", tmp_path / "out", "--model-name", "sam2.1_hiera_tiny")
        process = processes.segment(whole.photos, *call, environment=nowhere)
        _, trouble = process.communicate(timeout=WAIT_S)
        assert process.returncode == 3, trouble
        (line,) = trouble.splitlines()
        assert line.startswith("error: ")


class TestBuckets:
    def test_give_pictures_and_take_tables(
        self, whole: Whole, tmp_path: Path, processes: Processes, store: Any
    ) -> None:
        store.put(str(whole.photos), "bucket/pictures", recursive=True)
        call = ("s3://bucket/pictures", "-r", *ON_LOCAL_RAY, "--out", "s3://bucket/out")
        assert f"{_N_PICTURES} pictures done" in finished(processes.segment(*call))
        store.get("bucket/out", str(tmp_path / "copy"), recursive=True)
        for table in ("pictures", "masks"):
            drop = ("seconds", "shard", "path")
            there, here = (
                [{key: row[key] for key in row if key not in drop} for row in rows_of(out, table)]
                for out in (tmp_path / "copy", whole.out)
            )
            assert there == here
