"""Files as their readers take them: empty, tiny and touching masks, drawn lines, shared names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import assume, given
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from pycocotools.coco import COCO
from scipy.ndimage import binary_fill_holes, label

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.exports import (
    coco_dataset,
    geojson_features,
    remove_masks,
    write_coco,
    write_geojson,
    write_masks,
    write_yolo,
)
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle

Mask = npt.NDArray[np.bool_]

HW = (31, 47)
CAT, DOG = (ObjectPrompt(points_xy_px=((1, 1),), category=name) for name in ("cat", "dog"))


def set_of(*masks_hw: Mask) -> MaskSet:
    n = len(masks_hw)
    return MaskSet(
        image_hw=(masks_hw[0].shape[0], masks_hw[0].shape[1]),
        rles=tuple(Rle.from_mask(mask_hw) for mask_hw in masks_hw),
        boxes_xyxy_px=np.zeros((n, 4), np.int64),
        predicted_iou=np.ones(n, np.float32),
        stability_score=np.ones(n, np.float32),
        points_xy_px=np.zeros((n, 2)),
        crop_boxes_xywh_px=np.zeros((n, 4), np.int64),
        object_index=np.arange(n),
    )


def filled(rows: slice, columns: slice, hw: tuple[int, int] = HW) -> Mask:
    mask_hw = np.zeros(hw, bool)
    mask_hw[rows, columns] = True
    return mask_hw


EVERYTHING = slice(None)
# One part each, without holes but for the last.
SHAPES = {
    "one-pixel": filled(slice(7, 8), slice(12, 13)),
    "last-pixel": filled(slice(-1, None), slice(-1, None)),
    "one-column": filled(EVERYTHING, slice(9, 10)),
    "one-row": filled(slice(0, 1), EVERYTHING),
    "all": filled(EVERYTHING, EVERYTHING),
    "right-border": filled(slice(3, 20), slice(30, None)),
    "cross": filled(slice(9, 12), EVERYTHING) | filled(EVERYTHING, slice(20, 23)),
    "disc": np.hypot(*np.mgrid[-15:16, -20:27]) < 9.3,
    "comb": filled(slice(4, 20), slice(5, 40, 2)) | filled(slice(20, 21), slice(5, 40)),
    "ring": filled(slice(3, 27), slice(5, 33)) & ~filled(slice(8, 20), slice(9, 30)),
}
NOTHING = np.zeros(HW, bool)
each_shape = pytest.mark.parametrize(
    "mask_hw", [pytest.param(mask_hw, id=name) for name, mask_hw in SHAPES.items()]
)


def ring_of(line: str, hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The corners of a YOLO line in pixels."""
    ring: npt.NDArray[np.float64] = np.array(line.split()[1:], float).reshape(-1, 2) * hw[::-1]
    return ring


def drawn(
    ring_xy_px: npt.NDArray[np.float64], hw: tuple[int, int], whole: Callable[..., Any]
) -> Mask:
    """The ring in whole pixels, filled and with its line, as OpenCV's fillPoly does it too."""
    canvas = Image.new("L", hw[::-1])
    corners = [(int(x), int(y)) for x, y in whole(ring_xy_px)]
    ImageDraw.Draw(canvas).polygon(corners, fill=1, outline=1)
    return np.asarray(canvas) > 0


def iou(one_hw: Mask, other_hw: Mask) -> float:
    return float((one_hw & other_hw).sum() / (one_hw | other_hw).sum())


class TestYoloForProgramsThatDrawTheLine:
    @pytest.mark.parametrize("whole", [np.trunc, np.rint])
    @each_shape
    def test_coordinates_in_whole_pixels_give_the_mask_back(
        self, mask_hw: Mask, whole: Callable[..., Any], tmp_path: Path
    ) -> None:
        # How labels are read: by Ultralytics astype(int32), by supervision np.round, then fillPoly.
        write_yolo(tmp_path / "a.txt", set_of(mask_hw))
        (line,) = (tmp_path / "a.txt").read_text().splitlines()
        assert np.array_equal(drawn(ring_of(line, HW), HW, whole), mask_hw)

    @pytest.mark.parametrize("whole", [np.trunc, np.rint])
    @pytest.mark.parametrize("side_px", [1, 5, 20])
    def test_squares_come_back_wherever_they_lie(
        self, side_px: int, whole: Callable[..., Any], tmp_path: Path
    ) -> None:
        for left in (0, 29, 30, 100 - side_px):  # rounding halves depends on what is even
            mask_hw = filled(slice(20, 20 + side_px), slice(left, left + side_px), (100, 100))
            write_yolo(tmp_path / "a.txt", set_of(mask_hw))
            ring = ring_of((tmp_path / "a.txt").read_text(), (100, 100))
            assert np.array_equal(drawn(ring, (100, 100), whole), mask_hw)

    @given(noise_hw=arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)))
    def test_blobs_come_back_by_either_reading(self, noise_hw: Mask) -> None:
        # The largest part without holes: what one ring holds without a bridge.
        parts, number = label(noise_hw)
        assume(number)
        part_hw = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
        mask_hw = binary_fill_holes(part_hw)
        with tempfile.TemporaryDirectory() as folder:
            write_yolo(Path(folder) / "a.txt", set_of(mask_hw))
            line = (Path(folder) / "a.txt").read_text()
        # Labels are held as float32 by both.
        hw = (mask_hw.shape[0], mask_hw.shape[1])
        ring = ring_of(line, (1, 1)).astype(np.float32) * np.array(hw[::-1], np.float32)
        for whole in (np.trunc, np.rint):
            assert np.array_equal(drawn(ring.astype(float), hw, whole), mask_hw)

    @each_shape
    def test_rings_enclose_an_area_within_the_picture(self, mask_hw: Mask, tmp_path: Path) -> None:
        # A ring of one point, or one that leaves 0 to 1, is a broken label to them.
        write_yolo(tmp_path / "a.txt", set_of(mask_hw))
        ring = ring_of((tmp_path / "a.txt").read_text(), HW)
        assert shapely.Polygon(ring).area > 0
        assert ring.min() >= 0
        assert (ring <= HW[::-1]).all()

    @pytest.mark.parametrize(("side_px", "expected"), [(1, 0.0), (5, 0.64), (20, 0.9025)])
    def test_filling_by_centres_loses_a_pixel_as_the_documentation_says(
        self, side_px: int, expected: float, tmp_path: Path
    ) -> None:
        mask_hw = filled(slice(20, 20 + side_px), slice(30, 30 + side_px), (100, 100))
        write_yolo(tmp_path / "a.txt", set_of(mask_hw))
        ring = ring_of((tmp_path / "a.txt").read_text(), (100, 100)).ravel()
        plain, moved = coco.decode(coco.frPyObjects([list(ring), list(ring + 0.25)], 100, 100)).T
        assert iou(plain.T > 0, mask_hw) == pytest.approx(expected)
        assert np.array_equal(moved.T > 0, mask_hw)

    def test_empty_masks_are_left_out(self, tmp_path: Path) -> None:
        write_yolo(tmp_path / "a.txt", set_of(NOTHING, SHAPES["disc"], NOTHING))
        assert len((tmp_path / "a.txt").read_text().splitlines()) == 1


class TestEmptyMasks:
    @pytest.mark.parametrize("as_polygons", [False, True])
    def test_pycocotools_reads_every_annotation(self, as_polygons: bool, tmp_path: Path) -> None:
        masks = (NOTHING, *SHAPES.values())
        write_coco(tmp_path / "a.json", set_of(*masks), as_polygons=as_polygons)
        read = COCO(str(tmp_path / "a.json"))
        found = [read.annToMask(annotation) for annotation in read.loadAnns(read.getAnnIds())]
        expected = masks[1:] if as_polygons else masks
        assert np.array_equal(found, expected)

    def test_can_be_left_out_for_training(self) -> None:
        masks = set_of(NOTHING, SHAPES["disc"])
        (only,) = coco_dataset(masks, keep_empty=False)["annotations"]
        assert only["id"] == 2
        assert min(only["bbox"][2:]) > 0

    def test_shapely_reads_the_whole_collection(self, tmp_path: Path) -> None:
        write_geojson(tmp_path / "a.geojson", set_of(NOTHING, *SHAPES.values()))
        read = shapely.get_parts(shapely.from_geojson((tmp_path / "a.geojson").read_text()))
        assert [geometry.area for geometry in read] == [
            0,
            *(mask_hw.sum() for mask_hw in SHAPES.values()),
        ]
        assert all(geometry.is_valid for geometry in read)


class TestMaps:
    def test_a_reference_system_without_a_transform_is_refused(self) -> None:
        with pytest.raises(ExportError, match=r"'EPSG:32631' needs the transform .*, got none"):
            geojson_features(set_of(SHAPES["disc"]), crs="EPSG:32631")


class TestSharedNames:
    def test_coco_numbers_classes_by_them(self) -> None:
        dataset = coco_dataset(
            set_of(SHAPES["disc"], SHAPES["all"]), [DOG, CAT], names=["bird", "cat", "dog"]
        )
        assert [annotation["category_id"] for annotation in dataset["annotations"]] == [3, 2]
        assert [category["name"] for category in dataset["categories"]] == ["bird", "cat", "dog"]

    def test_yolo_numbers_classes_by_them(self, tmp_path: Path) -> None:
        masks = set_of(SHAPES["disc"], SHAPES["all"])
        write_yolo(tmp_path / "a.txt", masks, [DOG, CAT], names=["bird", "cat", "dog"])
        lines = (tmp_path / "a.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines] == ["2", "1"]


class TestRemoveMasks:
    def test_leaves_nothing_of_ours_and_all_else(self, tmp_path: Path) -> None:
        write_masks(tmp_path / "ours", set_of(*SHAPES.values()))
        write_masks(tmp_path / "shared", set_of(*SHAPES.values()))
        (tmp_path / "shared" / "notes.txt").write_text("mine")
        for folder in ("ours", "shared", "none"):
            remove_masks(tmp_path / folder)
        assert [path.name for path in tmp_path.rglob("*")] == ["shared", "notes.txt"]
