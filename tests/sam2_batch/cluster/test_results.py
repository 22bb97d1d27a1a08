"""``results``, and the queries that the documentation shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pycocotools.coco import COCO

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import mask_rows, mask_set_of
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.segmentation import Segmenter
from tests.conftest import REPOSITORY
from tests.sam2_batch.cluster.runs import BOX, HW, draw_pictures, results, rows_of, tables


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over three pictures and one that is none; all three ranks of masks."""
    root = tmp_path_factory.mktemp("run")
    photos = draw_pictures(root / "photos", 3)
    (photos / "bad.png").write_text("no picture")
    assert tables(root / "run1", photos, "-r", "--multimask-output") == 1
    return root / "run1"


class TestMasks:
    def test_come_back_as_they_were(self, segmenter: Segmenter) -> None:
        image_rgb_hwc = np.full((*HW, 3), 40, np.uint8)
        image_rgb_hwc[10:40, 8:44] = (220, 180, 60)
        asked: tuple[dict[str, Any], ...] = (
            {"input_box": "[8, 10, 44, 40]", "multimask_output": True},
            {},
        )
        for prompts in asked:
            parameters = Parameters(
                model_name="sam2_demo_nano",
                cuda=False,
                points_per_side=2,
                iou_thresh=0.2,
                stability_score_thresh=0.2,
                **prompts,
            )
            found = segmenter.segment(image_rgb_hwc, parameters)
            assert len(found.ranked[0])
            rows = mask_rows(found)
            for rank, masks in enumerate(found.ranked, start=1):
                again = mask_set_of([row for row in rows if row["rank"] == rank], HW)
                assert again.rles == masks.rles
                for name in (
                    *("boxes_xyxy_px", "predicted_iou", "stability_score", "points_xy_px"),
                    *("crop_boxes_xywh_px", "object_index"),
                ):
                    np.testing.assert_array_equal(getattr(again, name), getattr(masks, name))


class TestCheck:
    def test_counts(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert results(run) == 0
        assert re.match(
            r"4 of 4 pictures in (\d) of \1 shards: 3 done, 1 failed, 9 masks\n",
            capsys.readouterr().out,
        )

    def test_misses_masks(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert tables(tmp_path / "out", photos / "p00.png", photos / "p01.png") == 0
        next((tmp_path / "out" / "masks").iterdir()).unlink()
        assert results(tmp_path / "out", "--check") == 1
        assert "must be a table of this run, got: there is no such file" in capsys.readouterr().err

    def test_a_folder_of_no_run_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert results(tmp_path) == 2
        assert "must be the folder of a run with --format parquet" in capsys.readouterr().err

    def test_errors_are_listed(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert results(run, "--errors") == 0
        path, kind, words = capsys.readouterr().out.rstrip("\n").split("\t")
        assert path.endswith("photos/bad.png")
        assert kind == "ImageError"
        assert words.startswith(path)

    def test_their_number_is_told_beside_the_list(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        results(run, "--errors")
        assert capsys.readouterr().err == "1 picture failed\n"

    @pytest.mark.skipif(sys.platform != "linux", reason="counts threads by the books of Linux")
    @pytest.mark.parametrize("what", [("--check",), ("--errors",), ("--coco", "all.json")])
    def test_leave_no_thread_of_arrow_that_could_abort_the_process(
        self, what: tuple[str, ...], run: Path, tmp_path: Path
    ) -> None:
        # On a busy machine a thread of Arrow that still held a file when Python ended had the
        # process aborted, in half of the calls.
        script = (
            "import os, sys\n"
            "from infer_segment_anything_2.sam2_batch.command_line import main\n"
            "from infer_segment_anything_2.sam2_batch.cluster import results\n"
            "before = len(os.listdir('/proc/self/task'))\n"
            "assert main(sys.argv[1:]) == 0\n"
            "sys.exit(len(os.listdir('/proc/self/task')) - before)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, "results", str(run), *what],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
            timeout=240,
        )
        assert done.returncode == 0, done.stderr


class TestConverted:
    def test_merged_coco_is_read_by_pycocotools(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert results(run, "--coco", tmp_path / "all.json") == 0
        assert capsys.readouterr().out.startswith("3 images, 3 annotations: ")
        coco = COCO(str(tmp_path / "all.json"))
        assert sorted(image["file_name"] for image in coco.imgs.values()) == [
            "below/p02.png",
            "p00.png",
            "p01.png",
        ]
        for annotation in coco.anns.values():
            mask_hw = coco.annToMask(annotation)
            assert mask_hw.shape == HW
            assert mask_hw.sum() == annotation["area"]
            y, x = np.nonzero(mask_hw)
            edges = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert annotation["bbox"] == edges

    def test_files_are_those_of_the_command_line(self, run: Path, tmp_path: Path) -> None:
        formats = "coco,labels,yolo,csv,overlay,coco-polygons,masks"
        photos = run.parent / "photos"
        assert results(run, "--expand", formats, "--to", tmp_path / "made") == 0
        names = [str(photos / name) for name in ("p00.png", "p01.png")]
        call = ["segment", *names, "--multimask-output", "--format", formats, *BOX]
        assert main([*call, "--out", str(tmp_path / "direct")]) == 0
        direct = {
            path.relative_to(tmp_path / "direct"): path.read_bytes()
            for path in (tmp_path / "direct").rglob("p0*")
            if path.is_file()
        }
        assert len(direct) > 12
        for name, content in direct.items():
            assert (tmp_path / "made" / name).read_bytes() == content, name

    def test_only_those_that_are_wanted(self, run: Path, tmp_path: Path) -> None:
        call = ("--expand", "csv", "--to", tmp_path, "--only", "*/p01*")
        assert results(run, *call) == 0
        assert [path.name for path in tmp_path.rglob("*.csv")][:1] == ["p01.csv"]
        assert not list(tmp_path.rglob("p00*"))

    def test_a_report_cannot_be_made(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert results(run, "--expand", "report", "--to", tmp_path) == 2
        assert "got 'report'" in capsys.readouterr().err


class TestDocumentation:
    def test_its_queries_run_and_agree(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        words = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
        (query,) = re.findall(r"```sql\n(.*?)```", words, re.DOTALL)
        (program,) = re.findall(r"```python\n(.*?)```", words, re.DOTALL)
        monkeypatch.chdir(run.parent)
        expected = Counter(
            row["path"] for row in rows_of(run, "masks") if row["predicted_iou"] > 0.5
        )
        assert expected
        answer = duckdb.sql(query)
        assert answer is not None
        asked = {path: n_masks for path, n_masks, _ in answer.fetchall()}
        assert asked == expected
        names: dict[str, Any] = {}
        exec(program, names)
        assert dict(names["large"].select("path", "n_masks").iter_rows()) == expected

    def test_its_calls_parse(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
        calls = re.findall(r"infer-segment-anything-2 (segment [^`#]*?)(?:\n(?! )|`)",
                           words.replace("\\\n", " "))  # fmt: skip
        assert len(calls) >= 4
        for call in calls:
            assert main([*call.split(), "--points-per-side", "none-such"]) == 2
            assert "points_per_side must be" in capsys.readouterr().err

    def test_settings_of_a_run_are_json(self, run: Path) -> None:
        assert json.loads((run / "sam2_settings.json").read_text())["tables"] == 1
