"""Pictures and tables of masks read again, and what holds for every writer."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.exports import (
    MASK_INDEX_NAME,
    write_coco,
    write_csv,
    write_geojson,
    write_labels,
    write_masks,
    write_overlay,
    write_yolo,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.painting import paint_labels, paint_overlay
from tests.export_masks import ALL_SETS, CAT, HW, SHAPES, UNNAMED, Masks, set_of

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class TestWriteLabels:
    @ALL_SETS
    def test_reads_back_as_painted(self, masks_nhw: Masks, tmp_path: Path) -> None:
        write_labels(tmp_path / "labels.png", set_of(masks_nhw))
        with Image.open(tmp_path / "labels.png") as picture:
            read_hw = np.asarray(picture)
        expected_hw = paint_labels(set_of(masks_nhw))
        assert np.array_equal(read_hw, expected_hw)
        assert read_hw.dtype == expected_hw.dtype

    @pytest.mark.parametrize(("count", "mode"), [(255, "L"), (256, "I;16"), (65_535, "I;16")])
    def test_is_as_wide_as_needed(self, count: int, mode: str, tmp_path: Path) -> None:
        one = set_of(np.ones((1, 2, 2), bool))
        write_labels(tmp_path / "labels.png", one.select(np.zeros(count, int)))
        with Image.open(tmp_path / "labels.png") as picture:
            assert picture.mode == mode

    def test_refuses_more_masks_than_16_bits_count(self, tmp_path: Path) -> None:
        many = set_of(np.ones((1, 2, 2), bool)).select(np.zeros(65_536, int))
        with pytest.raises(ExportError, match="holds at most 65535 masks, got 65536"):
            write_labels(tmp_path / "labels.png", many)
        assert list(tmp_path.iterdir()) == []

    def test_separate_masks_are_had_back(self, tmp_path: Path) -> None:
        masks_nhw = np.eye(300, dtype=bool).reshape(300, 15, 20)
        write_labels(tmp_path / "labels.png", set_of(masks_nhw))
        with Image.open(tmp_path / "labels.png") as picture:
            read_hw = np.asarray(picture)
        assert np.array_equal(read_hw == np.arange(1, 301)[:, None, None], masks_nhw)


class TestWriteMasks:
    @ALL_SETS
    def test_pictures_are_equal_to_the_masks(self, masks_nhw: Masks, tmp_path: Path) -> None:
        write_masks(tmp_path, set_of(masks_nhw))
        with (tmp_path / MASK_INDEX_NAME).open(newline="") as index:
            names = [row["file"] for row in csv.DictReader(index)]
        assert sorted([*names, MASK_INDEX_NAME]) == sorted(p.name for p in tmp_path.iterdir())
        for name, mask_hw in zip(names, masks_nhw, strict=True):
            with Image.open(tmp_path / name) as picture:
                assert np.array_equal(np.asarray(picture), mask_hw)

    def test_replaces_an_earlier_result_and_nothing_else(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        (tmp_path / "0099.png").write_text("mine too")
        write_masks(tmp_path, set_of(SHAPES[:5]))
        write_masks(tmp_path, set_of(SHAPES[:2]))
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "0001.png",
            "0002.png",
            "0099.png",
            MASK_INDEX_NAME,
            "notes.txt",
        ]

    def test_trusts_no_index_that_names_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "mine.png").write_text("mine")
        folder = tmp_path / "masks"
        folder.mkdir()
        (folder / MASK_INDEX_NAME).write_text("file\n../mine.png\n")
        write_masks(folder, set_of(SHAPES[:1]))
        assert (tmp_path / "mine.png").exists()


class TestWriteCsv:
    def test_holds_the_records(self, tmp_path: Path) -> None:
        write_csv(tmp_path / "a.csv", set_of(SHAPES[:2]), [CAT, UNNAMED])
        with (tmp_path / "a.csv").open(newline="") as file:
            first, second = csv.DictReader(file)
        assert first == {
            "id": "1",
            "object": "0",
            "category": "cat",
            "area": str(SHAPES[0].sum()),
            "bbox_x": "0",
            "bbox_y": "1",
            "bbox_w": "2",
            "bbox_h": "2",
            "predicted_iou": "0.99",
            "stability_score": "",
            "point_x": "0.0",
            "point_y": "1.0",
            "crop_x": "0",
            "crop_y": "0",
            "crop_w": "6",
            "crop_h": "4",
        }
        assert second["category"] == "object"

    def test_of_no_masks_is_the_header(self, tmp_path: Path) -> None:
        write_csv(tmp_path / "a.csv", MaskSet.empty(HW))
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 1


class TestWriteOverlay:
    def test_reads_back_as_painted(self, tmp_path: Path) -> None:
        image = np.random.default_rng(0).integers(0, 256, (*HW, 3), np.uint8)
        write_overlay(tmp_path / "a.png", set_of(SHAPES), image, opacity=0.3)
        with Image.open(tmp_path / "a.png") as picture:
            read = np.asarray(picture)
        assert np.array_equal(read, paint_overlay(image, set_of(SHAPES), opacity=0.3))

    def test_shows_each_of_several_separate_masks_in_its_own_colour(self, tmp_path: Path) -> None:
        masks_nhw = np.eye(40, dtype=bool).reshape(40, 5, 8).repeat(3, axis=1).repeat(3, axis=2)
        write_overlay(tmp_path / "a.png", set_of(masks_nhw), np.zeros((15, 24, 3), np.uint8))
        with Image.open(tmp_path / "a.png") as picture:
            outlines = np.asarray(picture)[::3, ::3].reshape(-1, 3)
        assert len(np.unique(outlines, axis=0)) == 40

    def test_takes_the_colours_that_prompts_bring(self, tmp_path: Path) -> None:
        objects = [replace(CAT, colour_rgb=(1, 2, 3))]
        image = np.zeros((*HW, 3), np.uint8)
        write_overlay(tmp_path / "a.png", set_of(SHAPES[:1]), image, objects, opacity=1)
        with Image.open(tmp_path / "a.png") as picture:
            assert (np.asarray(picture)[SHAPES[0]] == (1, 2, 3)).all()

    def test_refuses_an_ending_that_is_no_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match=r"picture format such as .png or .jpg, got 'a.doc'"):
            write_overlay(tmp_path / "a.doc", set_of(SHAPES), np.zeros((*HW, 3), np.uint8))


WRITERS: list[Callable[[Path, MaskSet], None]] = [
    write_coco,
    write_labels,
    write_yolo,
    write_geojson,
    write_csv,
]


class TestAnyWriter:
    @pytest.mark.parametrize("write", WRITERS)
    def test_makes_missing_folders_and_leaves_no_other_file(
        self, write: Callable[[Path, MaskSet], None], tmp_path: Path
    ) -> None:
        write(tmp_path / "new" / "folder" / "file", set_of(SHAPES))
        assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["file"]

    @pytest.mark.parametrize("write", WRITERS)
    def test_says_why_it_cannot_write(
        self, write: Callable[[Path, MaskSet], None], tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ExportError, match=r"Cannot write .*below: Not a directory|File exists"):
            write(tmp_path / "file" / "below", set_of(SHAPES))

    @pytest.mark.parametrize("write", [*WRITERS, write_masks])
    def test_never_holds_all_masks_at_once(
        self, write: Callable[[Path, MaskSet], None], tmp_path: Path
    ) -> None:
        mask_hw = np.zeros((1000, 1000), bool)
        mask_hw[300:700, 200:600] = True
        few = set_of(mask_hw[None])
        tracemalloc.start()
        write(tmp_path / "file", few.select(np.zeros(60, int)))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 10 * mask_hw.nbytes  # all of them would be 60 times

    @pytest.mark.parametrize("write", WRITERS)
    def test_gives_the_same_bytes_each_time(
        self, write: Callable[[Path, MaskSet], None], tmp_path: Path
    ) -> None:
        write(tmp_path / "a", set_of(SHAPES))
        write(tmp_path / "b", set_of(SHAPES))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
