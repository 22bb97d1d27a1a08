"""One shard: the guard against deadly pictures, broken devices and stores, unlike workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from infer_segment_anything_2.errors import DependencyError, DeviceError, StorageError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.cluster import buckets, shard_work
from infer_segment_anything_2.sam2_batch.cluster.buckets import BucketFolder
from infer_segment_anything_2.sam2_batch.cluster.folders import LocalFolder
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan, Shard
from infer_segment_anything_2.sam2_batch.cluster.shard_work import (
    BrokenProcessError,
    Order,
    ShardWorker,
)
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_batch.folder_run import PictureDone, segment_picture
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_engine.weights.checkpoints import get_checkpoint
from tests.conftest import REPOSITORY
from tests.sam2_batch.cluster.runs import BOX, draw_pictures, results, rows_of, tables

# The command line, in a process that a picture of this name ends at once.
_DEADLY = """
import os, sys
from infer_segment_anything_2.sam2_batch import folder_run
read = folder_run.read_picture_file
def read_or_die(path):
    if path.name == "p01.png":
        os._exit(9)
    return read(path)
folder_run.read_picture_file = read_or_die
from infer_segment_anything_2.sam2_batch.command_line import main
sys.exit(main(sys.argv[1:]))
"""


class TestGuard:
    def test_gives_a_picture_up_at_its_third_death(self, tmp_path: Path) -> None:
        photos = draw_pictures(tmp_path / "photos", 3)
        out = tmp_path / "out"
        call = ["segment", str(photos), "-r", "--format", "parquet", "--out", str(out), *BOX]
        codes = []
        for _ in range(4):
            done = subprocess.run(
                [sys.executable, "-c", _DEADLY, *call],
                capture_output=True,
                text=True,
                check=False,
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                timeout=240,
            )
            codes.append(done.returncode)
        assert codes == [9, 9, 9, 1]
        rows = {row["name"]: row for row in rows_of(out, "pictures")}
        assert rows["p01.png"]["error_kind"] == "ProcessDied"
        assert [rows[name]["n_masks"] for name in ("p00.png", "below/p02.png")] == [1, 1]
        assert list((out / "attempts").iterdir()) == []


@pytest.fixture
def shard(photos: Path, tmp_path: Path) -> Shard:
    """The only shard of the five pictures, which is planned in ``out``."""
    (photos / "bad.png").unlink()
    assert tables(tmp_path / "out", photos, "-r", "--plan-only", "--shard-size", "9") == 0
    (shard,) = Plan(LocalFolder(tmp_path / "out")).shards()
    return shard


@pytest.fixture
def order(tmp_path: Path) -> Order:
    parameters = Parameters(model_name="sam2_demo_nano", cuda=False, input_box="[10, 12, 40, 38]")
    return Order(str(tmp_path / "out"), parameters, "", get_checkpoint("sam2_demo_nano").sha256)


class TestDevice:
    """No GPU is at hand whose memory could run out: what it would raise is put in its place."""

    @pytest.fixture
    def failures(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        """How often the device is going to fail at pictures, by their names."""
        left: Counter[str] = Counter()

        def fail_or_segment(picture: PictureFile, *others: Any) -> PictureDone:
            if left[picture.name] > 0:
                left[picture.name] -= 1
                return PictureDone(picture, error=DeviceError("The device has no memory left."))
            return segment_picture(picture, *others)

        monkeypatch.setattr(shard_work, "segment_picture", fail_or_segment)
        return left

    def test_that_fails_is_tried_once_more_and_then_it_is_a_row(
        self, failures: Counter[str], shard: Shard, order: Order, tmp_path: Path
    ) -> None:
        failures.update({"p00.png": 1, "p01.png": 2})
        done = ShardWorker(order).do(shard)
        assert (done.n_pictures, done.n_failed) == (5, 1)
        kinds = {row["name"]: row["error_kind"] for row in rows_of(tmp_path / "out", "pictures")}
        assert {name: kind for name, kind in kinds.items() if kind} == {"p01.png": "DeviceError"}

    def test_that_fails_three_times_in_a_row_ends_the_process_and_blames_the_first(
        self, failures: Counter[str], shard: Shard, order: Order, tmp_path: Path
    ) -> None:
        failures.update({"p00.png": 2, "p01.png": 2, "p03.png": 2})
        with pytest.raises(BrokenProcessError, match="failed at 3 pictures in a row"):
            ShardWorker(order).do(shard)
        (note,) = (tmp_path / "out" / "attempts").iterdir()
        assert Path(json.loads(note.read_text())["at"]).name == "p00.png"
        assert not (tmp_path / "out" / "pictures").exists()


class TestWorkers:
    def test_of_another_version_are_refused(self, order: Order) -> None:
        with pytest.raises(DependencyError, match=r"same version .* expected 1\.9, got "):
            ShardWorker(replace(order, plugin_version="1.9"))

    def test_with_other_weights_are_refused(self, shard: Shard, order: Order) -> None:
        with pytest.raises(DependencyError, match=r"same weights, expected .* abc, got "):
            ShardWorker(replace(order, weights_sha256="abc")).do(shard)


class TestBuckets:
    def test_pictures_and_tables_may_lie_in_one(self, tmp_path: Path) -> None:
        photos = draw_pictures(tmp_path / "photos", 2)
        (photos / "bad.png").write_text("no picture")
        store = fsspec.filesystem("memory")
        store.put(str(photos), "/photos", recursive=True)
        call = ["segment", "memory://photos", "--format", "parquet", *BOX]
        assert main([*call, "--out", "memory://run1"]) == 1
        assert main([*call, "--out", "memory://run1"]) == 0
        assert results("memory://run1") == 0
        store.get("/run1", str(tmp_path / "copy"), recursive=True)
        rows = rows_of(tmp_path / "copy", "pictures")
        assert [row["path"] for row in rows] == [
            f"memory:///photos/{name}" for name in ("bad.png", "p00.png", "p01.png")
        ]
        assert rows[0]["error"].startswith("memory:///photos/bad.png is no picture")
        assert main(["segment", str(photos), "--format", "parquet", *BOX, "--out",
                     str(tmp_path / "run2")]) == 1  # fmt: skip
        texts = [
            [row["rle"] for row in rows_of(out, "masks")]
            for out in (tmp_path / "copy", tmp_path / "run2")
        ]
        assert texts[0] == texts[1]

    def test_a_passing_fault_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(buckets, "_WAITS_S", (0.0, 0.0))
        folder = BucketFolder("memory://somewhere")
        faults = [TimeoutError("slow down"), TimeoutError("slow down")]
        whole = folder._files.pipe_file

        def pipe_file(path: str, content: bytes) -> None:
            if faults:
                raise faults.pop()
            whole(path, content)

        monkeypatch.setattr(folder._files, "pipe_file", pipe_file)
        folder.put_text("note", "here")
        assert folder.read("note") == b"here"
        assert folder.read("no-note") is None
        faults += [TimeoutError("slow down")] * 3
        with pytest.raises(StorageError, match="memory://somewhere/note: slow down"):
            folder.put_text("note", "gone")

    @pytest.mark.parametrize("is_broken", [False, True], ids=["one", "all"])
    def test_a_picture_that_the_store_does_not_give_is_a_row_and_a_broken_store_stops_the_run(
        self,
        is_broken: bool,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(buckets, "_WAITS_S", (0.0, 0.0))
        store = buckets._file_system("memory")
        place = f"fails-{is_broken}"
        store.put(str(draw_pictures(tmp_path / "photos", 2)), f"/{place}", recursive=True)
        whole = store.cat_file

        def cat_file(path: str, **options: Any) -> bytes:
            if is_broken or path.endswith("p01.png"):
                raise TimeoutError("slow down")
            content: bytes = whole(path, **options)
            return content

        out = tmp_path / "out"
        with monkeypatch.context() as broken:
            broken.setattr(store, "cat_file", cat_file)
            assert tables(out, f"memory://{place}", "--shard-size", "9") == (2 if is_broken else 1)
        assert "p01.png: slow down" in capsys.readouterr().err or is_broken
        assert (out / "pictures").exists() != is_broken
        assert not list((out / "attempts").iterdir())
        assert tables(out, f"memory://{place}", "--retry-failed") == 0
        assert [row["error"] for row in rows_of(out, "pictures")] == [None, None]
