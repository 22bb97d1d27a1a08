from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_batch.formats import FORMATS, ExportOptions
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.result_folder import SETTINGS_NAME, ResultFolder
from infer_segment_anything_2.sam2_batch.result_names import DONE_NAME
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_reading.parameter_rows import ParameterRow, Value
from infer_segment_anything_2.sam2_results.outcome import Segmentation

HW = (4, 5)
PICTURE = PictureFile(Path("photos/below/a.png"), "below/a.png", "below/a")


def folder_of(path: Path, *formats: str, **parameters: object) -> ResultFolder:
    return ResultFolder(
        path,
        formats or ("coco",),
        ExportOptions(),
        Parameters(**parameters),  # type: ignore[arg-type]
    )


def segmentation(*counts: int) -> Segmentation:
    """So many masks of each rank."""
    one = MaskSet(
        image_hw=HW,
        rles=(Rle.from_mask(np.ones(HW, bool)),),
        boxes_xyxy_px=np.array([[0, 0, 4, 3]]),
        predicted_iou=np.ones(1, np.float32),
        stability_score=np.ones(1, np.float32),
        points_xy_px=np.zeros((1, 2)),
        crop_boxes_xywh_px=np.array([[0, 0, 5, 4]]),
        object_index=np.zeros(1, np.int64),
    )
    first, second, third = (one.select(np.zeros(count, int)) for count in counts)
    return Segmentation(
        image_rgb_hwc=np.zeros((*HW, 3), np.uint8),
        ranked=(first, second, third),
        objects=None,
        filter_counts=None,
        notes=(),
        settings={},
    )


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


class TestWrite:
    def test_makes_what_has_looks_for(self, tmp_path: Path) -> None:
        results = folder_of(tmp_path, *FORMATS)
        assert not results.has(PICTURE)
        paths = results.write(PICTURE, segmentation(2, 0, 0))
        assert results.has(PICTURE)
        assert all(path.exists() for path in paths)

    @pytest.mark.parametrize("missing", FORMATS)
    def test_each_format_counts(self, missing: str, tmp_path: Path) -> None:
        results = folder_of(tmp_path, *FORMATS)
        results.write(PICTURE, segmentation(1, 0, 0))
        FORMATS[missing].marker(results.path_of(PICTURE, missing)).unlink()
        assert not results.has(PICTURE)

    def test_nothing_found_is_a_result(self, tmp_path: Path) -> None:
        results = folder_of(tmp_path, *FORMATS)
        results.write(PICTURE, segmentation(0, 0, 0))
        assert results.has(PICTURE)

    def test_writes_the_best_rank_last(self, tmp_path: Path) -> None:
        results = folder_of(tmp_path)
        results.write(PICTURE, segmentation(1, 1, 1))
        names = ["below/a.json", "below/a_rank2.json", "below/a_rank3.json"]
        assert files_in(tmp_path) == [*names, DONE_NAME, SETTINGS_NAME]
        times = [(tmp_path / name).stat().st_mtime_ns for name in reversed(names)]
        assert times == sorted(times)


class TestCheck:
    def test_takes_an_empty_folder(self, tmp_path: Path) -> None:
        folder_of(tmp_path / "new").check()
        assert files_in(tmp_path) == []

    def test_takes_the_same_settings(self, tmp_path: Path) -> None:
        folder_of(tmp_path, use_m2m=True).write(PICTURE, segmentation(1, 0, 0))
        folder_of(tmp_path, "csv", use_m2m=True).check()

    @pytest.mark.parametrize("row", [row for row in ROWS if not row.alias_of], ids=lambda r: r.key)
    def test_notices_each_parameter_that_changes_results(
        self, row: ParameterRow, tmp_path: Path
    ) -> None:
        key, default = row.key, row.default
        if row.choices:
            other: Value = next(choice for choice in row.choices if choice != default)
        else:
            other = not default if isinstance(default, bool) else type(default)(7)
        folder_of(tmp_path).write(PICTURE, segmentation(1, 0, 0))
        changed = folder_of(tmp_path, **{key: other})
        if key in ("cuda", "points_per_batch"):
            changed.check()
        else:
            with pytest.raises(ParameterError, match=f"{key} was .* and is '?{other}"):
                changed.check()

    @pytest.mark.parametrize("content", ["", "{", "\0"])
    def test_says_that_the_settings_cannot_be_read(self, content: str, tmp_path: Path) -> None:
        (tmp_path / SETTINGS_NAME).write_text(content)
        with pytest.raises(ExportError, match=r"settings of earlier results in .* cannot be read"):
            folder_of(tmp_path).check()


class TestForget:
    def test_makes_a_picture_count_as_not_done(self, tmp_path: Path) -> None:
        folder_of(tmp_path, *FORMATS).write(PICTURE, segmentation(1, 0, 0))
        changed = folder_of(tmp_path, *FORMATS, points_per_side=7)
        changed.forget([PICTURE])
        assert not changed.has(PICTURE)
        changed.check()

    def test_mends_a_folder_whose_settings_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / SETTINGS_NAME).write_text("{")
        folder_of(tmp_path).forget([])
        folder_of(tmp_path).check()
