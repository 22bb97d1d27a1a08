"""``segment --format parquet``: two tables of all pictures, on this machine without Ray."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infer_segment_anything_2.sam2_batch.command_line import main
from tests.conftest import REPOSITORY
from tests.sam2_batch.cluster.runs import (
    BOX,
    EVERYTHING,
    n_masks_as_in_reports,
    results,
    rows_of,
    shard_of,
    tables,
)


class TestTables:
    def test_are_the_reports_of_single_pictures(self, photos: Path, tmp_path: Path) -> None:
        out, files = tmp_path / "out", tmp_path / "files"
        assert tables(out, photos, "-r", settings=EVERYTHING) == 1
        call = ["segment", str(photos), "-r", "--format", "report", "--out", str(files)]
        assert main([*call, *EVERYTHING]) == 1
        assert n_masks_as_in_reports(out, files) > 5

    def test_have_a_row_for_what_failed(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert tables(tmp_path / "out", photos, "-r") == 1
        said = capsys.readouterr()
        (row,) = [row for row in rows_of(tmp_path / "out", "pictures") if row["error"]]
        assert row["path"] == str(photos / "bad.png")
        assert row["error_kind"] == "ImageError"
        assert row["error"].startswith(f"{photos / 'bad.png'} is no picture that can be read")
        assert (row["height"], row["n_masks"]) == (None, 0)
        assert row["error"] in said.err
        assert said.out.startswith("5 pictures done, 1 failed, 5 masks, in ")
        assert "where predicted_iou > 0.9 group by path" in said.out
        assert list((tmp_path / "out").glob("attempts/*")) == []

    def test_bring_each_pictures_own_prompts(self, photos: Path, tmp_path: Path) -> None:
        prompts = {
            "images": [{"id": 1, "file_name": "p00.png"}, {"id": 2, "file_name": "p01.png"}],
            "annotations": [{"id": 1, "image_id": 1, "bbox": [8, 12, 24, 24], "category_id": 3}],
            "categories": [{"id": 3, "name": "disc"}],
        }
        (tmp_path / "boxes.json").write_text(json.dumps(prompts))
        call = (photos / "p00.png", photos / "p01.png", "--prompts", tmp_path / "boxes.json")
        assert tables(tmp_path / "out", *call, settings=BOX[:3]) == 0
        (mask,) = rows_of(tmp_path / "out", "masks")
        assert (mask["path"], mask["category"]) == (str(photos / "p00.png"), "disc")

    def test_a_list_brings_paths_and_prompts_and_a_bad_one_is_a_row(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = [str(photos / name) for name in ("p00.png", "p01.png")]
        paths.append("p03.png")  # as seen from where the command is run
        monkeypatch.chdir(photos)
        objects = ['[{"box": [8, 12, 32, 36]}]', None, '[{"box": "no box"}]']
        pq.write_table(
            pa.table({"path": paths, "input_objects": objects}), tmp_path / "keys.parquet"
        )
        out = tmp_path / "out"
        assert tables(out, "--list", tmp_path / "keys.parquet", settings=BOX[:3]) == 1
        rows = rows_of(out, "pictures")
        assert [row["path"] for row in rows] == [*paths[:2], str(photos / "p03.png")]
        assert [row["n_masks"] for row in rows] == [1, 0, 0]
        assert [row["error_kind"] for row in rows] == [None, None, "PromptError"]


class TestResuming:
    def test_does_the_rest_only_and_doubles_nothing(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        # Shards follow from hashes of paths: with larger ones, all pictures may fall into one.
        call = (photos, "-r", "--shard-size", "1")
        tables(out, *call)
        before = rows_of(out, "masks"), rows_of(out, "pictures")
        number = shard_of(out, "p01.png")
        (out / "pictures" / f"{number:06d}.parquet").unlink()  # killed between the two files
        kept = {path: path.stat().st_mtime_ns for path in (out / "pictures").iterdir()}
        capsys.readouterr()
        tables(out, *call)
        assert "were done before" in capsys.readouterr().out
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        assert (rows_of(out, "masks"), rows_of(out, "pictures")) == before

    def test_refuses_other_settings(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert tables(tmp_path / "out", photos / "p00.png") == 0
        assert tables(tmp_path / "out", photos / "p00.png", "--mask-threshold", "0.5") == 2
        assert "mask_threshold was '0' and is '0.5'" in capsys.readouterr().err.replace("0.0", "0")

    def test_refuses_other_prompts_of_a_picture(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for words, code in (("[]", 0), ('[{"box": [1, 2, 30, 40]}]', 2)):
            keys = pa.table({"path": [str(photos / "p00.png")], "input_objects": [words]})
            pq.write_table(keys, tmp_path / "keys.parquet")
            call = ("--list", tmp_path / "keys.parquet")
            assert tables(tmp_path / "out", *call, settings=BOX[:3]) == code
        assert "p00.png are others than those" in capsys.readouterr().err

    def test_new_pictures_get_shards_of_their_own(self, photos: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        tables(out, photos)
        before = rows_of(out, "pictures")
        tables(out, photos, "-r")
        after = rows_of(out, "pictures")
        assert [row for row in after if row in before] == before
        assert [row["name"] for row in after if row not in before] == ["below/p02.png"]

    def test_a_picture_that_changed_is_told_and_done_when_asked_again(
        self, photos: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        tables(out, photos, "-r", "--plan-only")
        shutil.copyfile(photos / "p00.png", photos / "bad.png")
        (photos / "p01.png").unlink()
        assert tables(out, photos, "-r", "--only-shards", "0-9") == 1
        kinds = {row["name"]: row["error_kind"] for row in rows_of(out, "pictures") if row["error"]}
        assert kinds == {"bad.png": "ImageError", "p01.png": "StorageError"}
        shutil.copyfile(photos / "p00.png", photos / "p01.png")
        assert tables(out, photos, "-r", "--retry-failed") == 0
        rows = rows_of(out, "pictures")
        assert [row["error"] for row in rows] == [None] * 6
        assert len({row["path"] for row in rows}) == 6
        assert results(out) == 0  # masks and pictures agree

    def test_a_note_of_a_shard_that_is_done_does_not_stay(
        self, photos: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        assert tables(out, photos / "p00.png") == 0
        # Its worker died when the shard was done, before it could remove the note.
        (out / "attempts" / "000000.json").write_text('{"attempt": 1, "at": "", "deaths": {}}')
        (out / "attempts" / "000009.json").write_text('{"attempt": 1, "at": "", "deaths": {}}')
        assert tables(out, photos / "p00.png") == 0
        assert [note.name for note in (out / "attempts").iterdir()] == ["000009.json"]

    def test_only_shards_share_the_work(self, photos: Path, tmp_path: Path) -> None:
        out, whole = tmp_path / "out", tmp_path / "whole"
        tables(whole, photos, "-r")
        last = max(int(path.stem) for path in (whole / "pictures").iterdir())
        tables(out, photos, "-r", "--only-shards", "0")
        assert len(list((out / "pictures").iterdir())) == 1
        tables(out, photos, "-r", "--only-shards", f"1-{last}")
        assert rows_of(out, "masks") == rows_of(whole, "masks")
        assert rows_of(out, "pictures") == rows_of(whole, "pictures")

    def test_a_worker_of_another_kind_is_refused(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        assert tables(out, photos, "--only-shards", "0") in (0, 1)
        machine = json.loads((out / "run.json").read_text())
        (out / "run.json").write_text(json.dumps({**machine, "device": "cuda"}))
        assert tables(out, photos) == 2
        assert "(device is 'cuda' there and 'cpu' here)" in capsys.readouterr().err


class TestCalls:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--format", "coco"), "results OUT --expand coco --to FOLDER"),
            (("--overwrite",), "--retry-failed"),
            (("--workers", "2"), "--workers goes with --on ray"),
            (("--only-shards", "9-3"), "expected shards such as 0-99"),
            (("--only-shards", "77"), "--only-shards must name shards of this run, which has 0-"),
            (("--list", "keys.parquet"), "not both"),
            (("--max-failed", "lots"), "expected a share such as 5%"),
        ],
    )
    def test_that_make_no_sense_are_refused(
        self,
        words: tuple[str, ...],
        told: str,
        photos: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert tables(tmp_path / "out", photos, *words) == 2
        assert told in capsys.readouterr().err

    def test_files_of_single_pictures_go_to_no_bucket(
        self, photos: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["segment", str(photos), "--out", "s3://bucket/run1"]) == 2
        assert "got --out s3://bucket/run1" in capsys.readouterr().err

    def test_too_many_failures_stop_a_run(
        self,
        photos: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("infer_segment_anything_2.sam2_batch.cluster.tally._LEAST_TO_JUDGE", 1)
        for name in ("p00.png", "p01.png", "p03.png"):
            (photos / name).write_text("no picture either")
        assert tables(tmp_path / "out", photos, "--shard-size", "1", "--max-failed", "10%") == 1
        said = capsys.readouterr().err
        assert re.search(r"more than --max-failed 10% allows, by ImageError \(\d\): /", said)
        assert len(list((tmp_path / "out" / "pictures").iterdir())) < 4


class TestPackages:
    def test_are_not_imported_by_what_does_without(self) -> None:
        script = (
            "import pathlib, pkgutil, sys, infer_segment_anything_2 as plugin\n"
            "from infer_segment_anything_2.sam2_batch.command_line import main\n"
            "from infer_segment_anything_2.segmentation import Segmenter\n"
            "main(['segment', '--help']), main(['results', '--help'])\n"
            "print([name for name in ('ray', 'pyarrow', 'fsspec') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
            timeout=120,
        )
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.parametrize(
        ("package", "words"),
        [
            ("pyarrow", ["--format", "parquet"]),
            ("ray", ["--on", "ray"]),
            ("s3fs", ["--format", "parquet", "--out", "s3://bucket/run1"]),
        ],
    )
    def test_that_are_missing_are_told_with_the_command(
        self, package: str, words: list[str], photos: Path
    ) -> None:
        script = (
            f"import sys; sys.modules[{package!r}] = None\n"
            "from infer_segment_anything_2.sam2_batch.command_line import main\n"
            f"sys.exit(main(['segment', {str(photos)!r}, *{words}]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            cwd=photos,
            env={"PYTHONPATH": str(REPOSITORY), "HOME": str(photos)},
            timeout=120,
        )
        assert done.returncode == 3, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert "run: pip install " in line
        assert package in line

    def test_are_the_same_in_the_extra_and_in_the_file(self) -> None:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
        lines = (REPOSITORY / "requirements-cluster.txt").read_text(encoding="utf-8").splitlines()
        listed = [line for line in lines if line and not line.startswith("#")]
        assert project["project"]["optional-dependencies"]["cluster"] == listed
