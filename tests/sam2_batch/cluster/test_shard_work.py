"""The guard against pictures that kill their process, and buckets in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from infer_segment_anything_2.errors import StorageError
from infer_segment_anything_2.sam2_batch.cluster import buckets
from infer_segment_anything_2.sam2_batch.cluster.buckets import BucketFolder
from infer_segment_anything_2.sam2_batch.command_line import main
from tests.conftest import REPOSITORY
from tests.sam2_batch.cluster.runs import BOX, draw_pictures, results, rows_of

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
