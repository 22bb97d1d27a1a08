"""The command line from end to end, with the network that comes with the plugin."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.sam2_batch import folder_run
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_batch.formats import FORMATS
from infer_segment_anything_2.sam2_batch.result_names import (
    CLASSES_NAME,
    DATASET_NAME,
    DONE_NAME,
    SETTINGS_NAME,
)
from infer_segment_anything_2.sam2_reading.picture_files import (
    read_picture,
)
from tests.conftest import REPOSITORY
from tests.sam2_batch.calls import HW, POINT, mask_of, segment


class TestSegment:
    def test_writes_a_file_per_picture(self, photos: Path, out: Path) -> None:
        assert segment(photos, *POINT, "--out", out) == 0
        assert sorted(path.name for path in out.iterdir()) == [
            "a.json",
            "b.json",
            "c.json",
            DONE_NAME,
            SETTINGS_NAME,
        ]
        for name in ("a", "b", "c"):
            assert mask_of(out / f"{name}.json").shape == HW

    def test_writes_every_format(self, photos: Path, out: Path) -> None:
        formats = ",".join(FORMATS)
        assert segment(photos / "a.png", *POINT, "--format", formats, "--out", out) == 0
        made = {path.name + ("/" if path.is_dir() else "") for path in out.iterdir()}
        of_the_run = {SETTINGS_NAME, DONE_NAME, CLASSES_NAME, DATASET_NAME}
        assert made == {*of_the_run, *(f"a{kind.ending}" for kind in FORMATS.values())}
        with Image.open(out / "a_labels.png") as labels:
            assert np.array_equal(np.asarray(labels) == 1, mask_of(out / "a.json"))

    def test_finds_the_disc_by_its_box(self, photos: Path, out: Path) -> None:
        assert segment(photos / "a.png", "--box", "8,12,32,36", "--out", out) == 0
        mask_hw = mask_of(out / "a.json")
        disc_hw = read_picture(photos / "a.png")[..., 0] > 128
        assert (mask_hw & disc_hw).sum() / (mask_hw | disc_hw).sum() > 0.5

    def test_short_and_long_prompts_are_one(self, photos: Path, out: Path) -> None:
        picture = photos / "a.png"
        short = ("--point", "20,24", "--point", "50,40,0", "--box", "5,5,40,40")
        long = (
            *("--input-point", "[[20, 24], [50, 40]]", "--input-point-label", "[1, 0]"),
            *("--input-box", "[5, 5, 40, 40]"),
        )
        assert segment(picture, *short, "--out", out / "short") == 0
        assert segment(picture, *long, "--out", out / "long") == 0
        assert (out / "short" / "a.json").read_bytes() == (out / "long" / "a.json").read_bytes()

    def test_objects_are_listed_in_a_file(self, photos: Path, out: Path) -> None:
        (photos / "mask.png").write_bytes((photos / "c.png").read_bytes())
        entries = [
            {"box": [8, 12, 32, 36], "category": "disc"},
            {"points": [[20, 24], [50, 40]], "labels": [1, 0]},
            {"mask": str(photos / "mask.png"), "category": "shadow"},
        ]
        listed = photos / "objects.json"
        listed.write_text(json.dumps(entries))
        flags = ("--input-objects", f"@{listed}", "--format", "coco,yolo", "--out", out)
        assert segment(photos / "a.png", *flags) == 0
        dataset = json.loads((out / "a.json").read_text())
        names = [category["name"] for category in dataset["categories"]]
        assert names == ["disc", "object", "shadow"]
        assert {mask["category_id"] for mask in dataset["annotations"]} <= {1, 2, 3}

    def test_segments_everything_when_nothing_is_prompted(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        flags = ("--points-per-side", "4", "--iou-thresh", "0", "--stability-score-thresh", "0")
        assert segment(photos / "a.png", *flags, "--format", "report", "--out", out, "-v") == 0
        report = json.loads((out / "a_report.json").read_text())
        assert report["settings"]["parameters"]["points_per_side"] == "4"
        assert len(report["masks"]) > 0
        assert "16 points" in capsys.readouterr().out

    def test_writes_further_ranks_under_their_own_names(self, photos: Path, out: Path) -> None:
        flags = (*POINT, "--multimask-output", "--format", "coco,report", "--out", out)
        assert segment(photos / "a.png", *flags) == 0
        assert sorted(path.name for path in out.iterdir()) == [
            "a.json",
            "a_rank2.json",
            "a_rank3.json",
            "a_report.json",
            DONE_NAME,
            SETTINGS_NAME,
        ]

    def test_keeps_the_folders_of_a_tree(self, photos: Path, out: Path) -> None:
        (photos / "below").mkdir()
        (photos / "a.png").rename(photos / "below" / "b.png")
        assert segment(photos, "-r", *POINT, "--out", out) == 0
        made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.json"))
        assert made == ["b.json", "below/b.json", "c.json", SETTINGS_NAME]

    def test_says_one_line_per_picture(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert segment(photos, *POINT, "--out", out) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4
        assert re.fullmatch(r"a\.png: 1 object, predicted IoU 0\.\d\d, \d+\.\d s", lines[0])
        assert re.fullmatch(rf"3 done, 0 failed, in {re.escape(str(out))}, \d+\.\d s", lines[3])

    def test_says_nothing_when_quiet(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert segment(photos, *POINT, "--out", out, "--quiet") == 0
        assert capsys.readouterr() == ("", "")

    def test_notes_what_it_put_right(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert segment(photos / "a.png", "--box", "30,30,5,5", "--out", out) == 0
        assert "had its corners swapped" in capsys.readouterr().err

    def test_leaves_the_log_as_it_was(self, photos: Path, out: Path) -> None:
        logger = logging.getLogger("ikomia.infer_segment_anything_2")
        before = (logger.level, list(logger.handlers))
        assert segment(photos / "a.png", *POINT, "--out", out, "--verbose") == 0
        assert (logger.level, logger.handlers) == before


class TestPictures:
    def test_what_is_left_out_is_said(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        red = Image.new("RGB", (60, 40), "red")
        red.save(photos / "moving.gif", save_all=True, append_images=[red.rotate(90), red.copy()])
        (photos / "film.mov").write_bytes(b"")
        assert segment(photos, *POINT, "--format", "report", "--out", out) == 0
        complaints = capsys.readouterr().err
        note = "The file holds 3 pictures; the first is used."
        assert f"moving.gif: {note}" in complaints
        assert "1 file is no picture and was skipped: .mov" in complaints
        assert json.loads((out / "moving_report.json").read_text())["notes"] == [note]

    def test_a_link_to_nothing_is_named_and_the_others_are_done(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (photos / "broken.png").symlink_to("gone.png")
        assert segment(photos, *POINT, "--out", out) == 1
        assert "broken.png is a link to gone.png" in capsys.readouterr().err
        assert (out / "a.json").exists()


class TestExitCodes:
    def test_1_some_pictures_failed_and_the_others_are_done(
        self, photos: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (photos / "b.jpg").write_bytes(b"no picture")
        assert segment(photos, *POINT, "--out", out) == 1
        assert f"{photos / 'b.jpg'} is no picture that can be read" in capsys.readouterr().err
        assert (out / "a.json").exists()
        assert (out / "c.json").exists()

    def test_1_a_prompt_lies_outside_one_picture(self, photos: Path, out: Path) -> None:
        Image.new("RGB", (10, 10)).save(photos / "small.png")
        assert segment(photos, *POINT, "--out", out) == 1
        assert len(list(out.glob("*.json"))) == 4

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            pytest.param(("--point", "5"), "expected numbers such as 500,375", id="point"),
            pytest.param(("--point", "5,5,2"), "the third number is 1", id="label"),
            pytest.param(("--box", "1,2,3"), "expected numbers such as 425,600", id="box"),
            pytest.param(("--box", "1,2,3,nan"), "expected numbers such as", id="nan"),
            pytest.param(("--affine", "1,2"), "expected numbers such as 10,0", id="affine"),
            pytest.param(("--opacity", "2"), "expected a number from 0 to 1", id="opacity"),
            pytest.param(("--format", "coco,doc"), "expected coco, coco-polygons", id="format"),
            pytest.param(("--points-per-sid", "3"), "unrecognized arguments", id="flag"),
            pytest.param(
                ("--points-per-side", "0"),
                "Parameter points_per_side must be a whole number from 1 to 512, got '0'",
                id="range",
            ),
            pytest.param(("--input-box", "[1, 2]"), "input_box must hold boxes", id="text"),
            pytest.param(
                ("--input-objects", '[{"bux": 1}]'), "Object 1 of input_objects", id="objects"
            ),
            pytest.param(("--input-objects", "@nowhere"), "The file of '@nowhere'", id="at-file"),
            pytest.param(("--input-point-label", "[1]"), "1 labels for 0 points", id="labels"),
            pytest.param(
                (*POINT, "--input-point", "[1, 2]"), "two forms of one prompt", id="both-forms"
            ),
            pytest.param(
                ("--region-of-interest", "[[1, 2], [3]]"), "region_of_interest", id="region"
            ),
            pytest.param(("--point-grids", "[[2, 3]]"), "point_grids", id="grids"),
            pytest.param(
                ("--input-box", "@~nobody-of-that-name/boxes.txt"), "cannot be read", id="home"
            ),
            pytest.param(("--model-path", "nowhere.pt"), "No weights file lies at", id="weights"),
        ],
    )
    def test_2_the_call_is_wrong(
        self,
        flags: tuple[str, ...],
        message: str,
        photos: Path,
        out: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert segment(photos, "--out", out, *flags) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()

    def test_2_there_is_no_such_picture(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert segment(tmp_path / "nowhere.png", "--out", out) == 2
        assert segment("~nobody-of-that-name/a.png", "--out", out) == 2
        assert "There is no picture" in capsys.readouterr().err

    def test_3_the_weights_are_not_what_they_should_be(
        self,
        photos: Path,
        out: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        folder = photos.parent / "weights"
        folder.mkdir()
        (folder / "sam2_hiera_tiny.pt").write_bytes(b"damaged")
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(folder))
        words = ["segment", str(photos), "--model-name", "sam2_hiera_tiny", "--out", str(out)]
        assert main(words) == 3
        assert "is not the official sam2_hiera_tiny.pt" in capsys.readouterr().err

    def test_130_stopped(self, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(path: Path) -> np.ndarray:
            raise KeyboardInterrupt

        monkeypatch.setattr(folder_run, "read_picture_file", stop)
        assert segment(photos, *POINT, "--out", out) == 130


class TestAsAProgram:
    def test_runs_where_ikomia_and_qt_cannot_be_imported(self, photos: Path, out: Path) -> None:
        """In its own process, from another folder, with Ikomia, Qt and OpenCV out of reach."""
        blocker = photos.parent / "blocker"
        blocker.mkdir()
        (blocker / "sitecustomize.py").write_text(
            "import sys\nfor name in ('ikomia', 'PyQt6', 'cv2'):\n    sys.modules[name] = None\n"
        )
        environment = {**os.environ, "PYTHONPATH": f"{blocker}{os.pathsep}{REPOSITORY}"}
        words = ["-W", "error", "-m", "infer_segment_anything_2", "segment", str(photos), *POINT]
        flags = ["--model-name", "sam2_demo_nano", "--no-cuda", "--out", str(out)]
        run = subprocess.run(
            [sys.executable, *words, *flags],
            cwd=photos.parent,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.stderr == ""
        assert run.returncode == 0
        assert len(list(out.glob("*.json"))) == 4

    def test_gives_the_exit_code(self) -> None:
        run = subprocess.run(
            [sys.executable, "-m", "infer_segment_anything_2", "segment", "nowhere.png"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 2
        assert run.stderr.startswith("error: There is no picture 'nowhere.png'")
