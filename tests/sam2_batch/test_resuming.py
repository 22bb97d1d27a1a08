"""Runs into a folder that holds results already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infer_segment_anything_2.sam2_batch import folder_run
from infer_segment_anything_2.sam2_batch.result_names import SETTINGS_NAME
from infer_segment_anything_2.sam2_reading.picture_files import PictureContent, read_picture_file
from tests.conftest import REPOSITORY
from tests.sam2_batch.calls import POINT, mask_of, segment


class TestResuming:
    def test_skips_what_is_done(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert segment(photos / "a.png", *POINT, "--out", out) == 0
        stamp = (out / "a.json").stat().st_mtime_ns
        capsys.readouterr()
        assert segment(photos, *POINT, "--out", out) == 0
        assert (out / "a.json").stat().st_mtime_ns == stamp
        first, *others = capsys.readouterr().out.splitlines()
        assert first == "1 of 3 pictures were done before"
        assert [line.partition(":")[0] for line in others[:2]] == ["b.jpg", "c.png"]
        assert others[2].startswith("2 done, 0 failed")

    def test_needs_no_network_when_all_is_done(self, photos: Path, out: Path) -> None:
        assert segment(photos, *POINT, "--out", out) == 0
        words = [sys.executable, "-X", "importtime", "-m", "infer_segment_anything_2", "segment"]
        flags = [*POINT, "--out", str(out), "--model-name", "sam2_demo_nano"]
        run = subprocess.run(
            [*words, str(photos), *flags],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout == "3 of 3 pictures were done before\n"
        assert " torch" not in run.stderr
        assert " ikomia" not in run.stderr

    def test_does_again_what_lacks_a_format(self, photos: Path, out: Path) -> None:
        assert segment(photos / "a.png", *POINT, "--out", out) == 0
        assert segment(photos / "a.png", *POINT, "--format", "coco,csv", "--out", out) == 0
        assert (out / "a.csv").exists()

    def test_does_again_what_was_stopped_half_way(self, photos: Path, out: Path) -> None:
        flags = (*POINT, "--format", "masks", "--out", out)
        assert segment(photos / "a.png", *flags) == 0
        (out / "a_masks" / "masks.csv").unlink()  # it is written last
        assert segment(photos / "a.png", *flags) == 0
        assert (out / "a_masks" / "masks.csv").exists()

    def test_refuses_to_mix_settings(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert segment(photos / "a.png", *POINT, "--out", out) == 0
        assert segment(photos, "--point", "1,1", "--out", out) == 2
        error = capsys.readouterr().err
        assert "input_point was '[[20.0, 24.0]]' and is '[[1.0, 1.0]]'" in error
        assert not (out / "b.json").exists()

    def test_does_not_mind_settings_that_change_no_result(self, photos: Path, out: Path) -> None:
        assert segment(photos / "a.png", *POINT, "--out", out) == 0
        assert segment(photos, *POINT, "--points-per-batch", "7", "--out", out) == 0

    def test_overwrites_when_told(self, photos: Path, out: Path) -> None:
        assert segment(photos / "a.png", *POINT, "--out", out) == 0
        before = mask_of(out / "a.json")
        other = ("--box", "40,2,60,12", "--out", out)
        assert segment(photos / "a.png", *other, "--overwrite") == 0
        assert not np.array_equal(mask_of(out / "a.json"), before)
        assert segment(photos, *other) == 0

    def test_takes_up_an_overwriting_run_that_was_stopped(
        self, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert segment(photos, *POINT, "--out", out) == 0
        other = ("--box", "40,2,60,12", "--out", out)

        def stop_at_b(path: Path) -> PictureContent:
            if path.name == "b.jpg":
                raise KeyboardInterrupt
            return read_picture_file(path)

        with monkeypatch.context() as patch:
            patch.setattr(folder_run, "read_picture_file", stop_at_b)
            assert segment(photos, *other, "--overwrite") == 130
        assert sorted(path.name for path in out.glob("*.json")) == ["a.json", SETTINGS_NAME]
        assert segment(photos, *other) == 0
        assert (out / "c.json").exists()
