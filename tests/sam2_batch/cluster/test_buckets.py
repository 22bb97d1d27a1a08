"""Pictures and tables in a bucket of a real S3 server of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sam2_batch.cluster.runs import draw_pictures, results, rows_of, tables

_NAMES = ["bad.png", "below/p02.png", "p00.png", "p01.png", "ä #1 50%+a.png"]


@pytest.fixture
def pictures(tmp_path: Path, store: Any) -> Path:
    """Four pictures and one that is none; also at ``s3://bucket/pictures``."""
    folder = draw_pictures(tmp_path / "pictures", 3)
    (folder / "bad.png").write_text("no picture")
    (folder / _NAMES[-1]).write_bytes((folder / "p00.png").read_bytes())
    store.put(str(folder), "bucket/pictures", recursive=True)
    return folder


def copy_of(store: Any, run: str, folder: Path) -> Path:
    """A copy of a run's tables on this machine."""
    store.get(run, str(folder), recursive=True)
    return folder


class TestBuckets:
    def test_give_pictures_and_take_tables(
        self, pictures: Path, tmp_path: Path, store: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call = ("s3://bucket/out", "s3://bucket/pictures", "-r")
        assert tables(*call) == 1
        said = capsys.readouterr()
        assert said.out.startswith("4 pictures done, 1 failed, 4 masks, in s3://bucket/out, ")
        assert said.err.startswith("s3://bucket/pictures/bad.png is no picture that can be read")
        copy = copy_of(store, "bucket/out", tmp_path / "copy")
        rows = rows_of(copy, "pictures")
        assert [row["path"] for row in rows] == [f"s3://bucket/pictures/{name}" for name in _NAMES]
        assert [row["name"] for row in rows] == _NAMES
        assert not list((copy / "attempts").glob("*"))

        assert tables(tmp_path / "local", pictures, "-r") == 1
        drop = ("path", "shard", "settings", "seconds", "error")
        for table in ("pictures", "masks"):
            here, there = (
                [{key: row[key] for key in row if key not in drop} for row in rows_of(out, table)]
                for out in (tmp_path / "local", copy)
            )
            assert here == there

        capsys.readouterr()
        assert tables(*call) == 0
        assert capsys.readouterr().out.startswith("5 pictures in ")
        assert results("s3://bucket/out") == 0
        files = ("--expand", "coco", "--to", tmp_path / "files")
        assert results("s3://bucket/out", *files) == 0
        assert (tmp_path / "files" / "below" / "p02.json").is_file()

    def test_a_picture_that_changed_is_told_and_done_when_asked_again(
        self, pictures: Path, tmp_path: Path, store: Any
    ) -> None:
        call = ("s3://bucket/out", "s3://bucket/pictures")
        assert tables(*call, "--plan-only") == 0
        store.put(str(pictures / "p01.png"), "bucket/pictures/p00.png")
        store.rm("bucket/pictures/p01.png")
        assert tables(*call, "--only-shards", "0-9") == 1
        rows = rows_of(copy_of(store, "bucket/out", tmp_path / "copy"), "pictures")
        errors = {row["name"]: (row["error_kind"], row["error"]) for row in rows}
        assert errors["p00.png"][0] == "ImageError"
        assert "s3://bucket/pictures/p00.png has changed since" in errors["p00.png"][1]
        assert errors["p01.png"][0] == "StorageError"
        assert "s3://bucket/pictures/p01.png is not there any more" in errors["p01.png"][1]
        store.put(str(pictures / "p01.png"), "bucket/pictures/p01.png")
        store.rm("bucket/pictures/bad.png")
        store.put(str(pictures / "p01.png"), "bucket/pictures/bad.png")
        assert tables(*call, "--retry-failed") == 0
        rows = rows_of(copy_of(store, "bucket/out", tmp_path / "again"), "pictures")
        assert [row["n_masks"] for row in rows] == [1, 1, 1, 1]

    def test_results_below_the_pictures_are_no_pictures(
        self, pictures: Path, store: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store.put(str(pictures / "p00.png"), "bucket/pictures/out/overlay.png")
        call = ("s3://bucket/pictures/out", "s3://bucket/pictures", "-r")
        assert tables(*call) == 1
        assert capsys.readouterr().out.startswith("4 pictures done, 1 failed, ")
        assert tables(*call) == 0  # and nothing is new
        assert results("s3://bucket/pictures/out") == 0

    @pytest.mark.parametrize(
        ("source", "out", "told"),
        [
            ("s3://none/pictures", "s3://bucket/out", "There is no picture 's3://none/pictures'"),
            ("s3://bucket/pictures", "s3://none/out", "The bucket of s3://none/out must be there"),
        ],
    )
    def test_that_are_not_there_are_told(
        self,
        source: str,
        out: str,
        told: str,
        pictures: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert tables(out, source) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {told}")
