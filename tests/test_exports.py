"""Every format read again, with pycocotools, Pillow and shapely as the judges."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.exports import (
    MASK_INDEX_NAME,
    class_names,
    coco_dataset,
    geojson_features,
    write_coco,
    write_csv,
    write_geojson,
    write_labels,
    write_masks,
    write_overlay,
    write_yolo,
)
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.painting import paint_labels, paint_overlay

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Masks = npt.NDArray[np.bool_]

HW = (37, 53)  # both odd, not square
FEW_MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=3, max_dims=3, max_side=8))


def set_of(masks_nhw: Masks) -> MaskSet:
    n = len(masks_nhw)
    return MaskSet(
        image_hw=(masks_nhw.shape[1], masks_nhw.shape[2]),
        rles=tuple(Rle.from_mask(mask_hw) for mask_hw in masks_nhw),
        boxes_xyxy_px=np.arange(4 * n).reshape(n, 4),
        predicted_iou=np.linspace(0.99, 0.8, n, dtype=np.float32),
        stability_score=np.full(n, np.nan, np.float32),
        points_xy_px=np.arange(2.0 * n).reshape(n, 2),
        crop_boxes_xywh_px=np.tile([0, 0, 6, 4], (n, 1)),
        object_index=np.arange(n),
    )


def shapes() -> Masks:
    """Plain, with holes, in parts, one pixel, nothing, noise, all: on a picture of odd sizes."""
    masks_nhw = np.zeros((9, *HW), bool)
    y, x = np.mgrid[: HW[0], : HW[1]]
    apart = np.hypot(y - 18, x - 25)
    masks_nhw[0] = apart < 15
    masks_nhw[1] = (apart < 17) & (apart > 9)
    masks_nhw[2] = (apart < 4) | (np.hypot(y - 5, x - 45) < 5) | ((y > 33) & (x < 3))
    masks_nhw[3, 11, 7] = True
    masks_nhw[5] = np.random.default_rng(0).random(HW) < 0.5
    masks_nhw[6] = True
    masks_nhw[7] = (apart < 17) & (apart > 12) | (apart < 8) & (apart > 3)  # ring in ring
    masks_nhw[8, -1, -1] = masks_nhw[8, 0, 0] = True
    return masks_nhw


SHAPES = shapes()


def three_hundred() -> Masks:
    masks_nhw = np.zeros((300, *HW), bool)
    for index, (top, left) in enumerate(np.ndindex(15, 20)):
        masks_nhw[index, 2 * top : 2 * top + 3, 2 * left : 2 * left + 4] = True
    return masks_nhw


ALL_SETS = pytest.mark.parametrize(
    "masks_nhw",
    [
        pytest.param(SHAPES, id="shapes"),
        pytest.param(three_hundred(), id="three-hundred"),
        pytest.param(np.ones((1, 1, 1), bool), id="a-picture-of-one-pixel"),
        pytest.param(np.ones((1, 1, 7), bool), id="a-picture-of-one-row"),
        pytest.param(np.zeros((0, *HW), bool), id="no-masks"),
    ],
)

CAT, DOG, UNNAMED = (
    ObjectPrompt(points_xy_px=((1, 1),), category=name) for name in ("cat", "dog", "")
)


def masks_in_coco(path: Path, hw: tuple[int, int]) -> Masks:
    """The masks of a COCO file, read by pycocotools."""
    dataset = COCO(str(path))
    found = [dataset.annToMask(annotation) for annotation in dataset.loadAnns(dataset.getAnnIds())]
    return np.array(found, bool).reshape(len(found), *hw)


def pixels_in(geometry: shapely.Geometry, hw: tuple[int, int]) -> Masks:
    """Pixels whose centre lies in a geometry, by shapely."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    inside: Masks = shapely.contains_xy(geometry, x.ravel(), y.ravel()).reshape(hw)
    return inside


class TestWriteCoco:
    @ALL_SETS
    def test_rle_decodes_to_equal_masks(self, masks_nhw: Masks, tmp_path: Path) -> None:
        write_coco(tmp_path / "a.json", set_of(masks_nhw))
        assert np.array_equal(masks_in_coco(tmp_path / "a.json", masks_nhw.shape[1:]), masks_nhw)

    @ALL_SETS
    def test_polygons_decode_to_equal_masks(self, masks_nhw: Masks, tmp_path: Path) -> None:
        filled_nhw = masks_nhw[masks_nhw.any(axis=(1, 2))]
        write_coco(tmp_path / "a.json", set_of(filled_nhw), as_polygons=True)
        assert np.array_equal(masks_in_coco(tmp_path / "a.json", masks_nhw.shape[1:]), filled_nhw)

    def test_polygons_of_an_empty_mask_are_none(self) -> None:
        dataset = coco_dataset(set_of(np.zeros((1, 3, 4), bool)), as_polygons=True)
        assert dataset["annotations"][0]["segmentation"] == []
        assert dataset["annotations"][0]["bbox"] == [0, 0, 0, 0]

    @ALL_SETS
    def test_areas_and_boxes_are_pycocotools_own(self, masks_nhw: Masks) -> None:
        for annotation in coco_dataset(set_of(masks_nhw))["annotations"]:
            assert annotation["area"] == coco.area(annotation["segmentation"])
            assert annotation["bbox"] == coco.toBbox(annotation["segmentation"]).tolist()

    def test_names_the_picture_and_its_size(self) -> None:
        dataset = coco_dataset(set_of(SHAPES), file_name="cats/1.jpg")
        assert dataset["images"] == [
            {"id": 1, "file_name": "cats/1.jpg", "height": 37, "width": 53}
        ]

    def test_carries_scores_and_categories(self) -> None:
        dataset = coco_dataset(set_of(SHAPES[:3]), [DOG, UNNAMED, CAT])
        names = {category["id"]: category["name"] for category in dataset["categories"]}
        assert names == {1: "dog", 2: "object", 3: "cat"}
        assert [annotation["category_id"] for annotation in dataset["annotations"]] == [1, 2, 3]
        assert [annotation["score"] for annotation in dataset["annotations"]] == [0.99, 0.895, 0.8]
        assert dataset["annotations"][0]["stability_score"] is None


class TestClassNames:
    def test_do_not_depend_on_which_masks_there_are(self) -> None:
        objects = [DOG, CAT, DOG, UNNAMED]
        assert class_names(objects) == ["dog", "cat", "object"]
        only_cat = set_of(SHAPES[:4]).select([1])
        assert coco_dataset(only_cat, objects)["annotations"][0]["category_id"] == 2

    def test_without_prompts_are_one(self) -> None:
        assert class_names() == ["object"]


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


class TestWriteYolo:
    @ALL_SETS
    def test_lines_fill_to_equal_masks(self, masks_nhw: Masks, tmp_path: Path) -> None:
        hw = masks_nhw.shape[1:]
        filled_nhw = masks_nhw[masks_nhw.any(axis=(1, 2))]
        write_yolo(tmp_path / "a.txt", set_of(masks_nhw))
        lines = (tmp_path / "a.txt").read_text().splitlines()
        for line, mask_hw in zip(lines, filled_nhw, strict=True):
            number, *values = line.split()
            pairs = np.array(values, float).reshape(-1, 2)
            assert number == "0"
            assert pairs.min() >= 0
            assert pairs.max() <= 1
            ring = (pairs * hw[::-1]).ravel().tolist()
            decoded = coco.decode(coco.frPyObjects([ring], *hw))[..., 0]
            assert np.array_equal(decoded, mask_hw)

    def test_numbers_classes_in_the_order_of_the_prompts(self, tmp_path: Path) -> None:
        write_yolo(tmp_path / "a.txt", set_of(SHAPES[:4]), [CAT, UNNAMED, DOG, CAT])
        lines = (tmp_path / "a.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines] == ["0", "1", "2", "0"]


class TestWriteGeojson:
    @ALL_SETS
    def test_geometries_are_valid_and_equal_to_the_masks(
        self, masks_nhw: Masks, tmp_path: Path
    ) -> None:
        write_geojson(tmp_path / "a.geojson", set_of(masks_nhw))
        features = json.loads((tmp_path / "a.geojson").read_text())["features"]
        for feature, mask_hw in zip(features, masks_nhw, strict=True):
            if feature["geometry"] is None:
                assert not mask_hw.any()
                continue
            geometry = shapely.from_geojson(json.dumps(feature["geometry"]))
            assert shapely.is_valid(geometry)
            assert geometry.area == feature["properties"]["area"]
            assert np.array_equal(pixels_in(geometry, mask_hw.shape), mask_hw)

    @given(FEW_MASKS)
    @settings(max_examples=50)
    def test_rings_follow_the_right_hand_rule(self, masks_nhw: Masks) -> None:
        for affine in (None, (10.0, 0.0, 5e5, 0.0, -10.0, 4e6)):
            for feature in geojson_features(set_of(masks_nhw), affine=affine)["features"]:
                if feature["geometry"] is None:
                    continue
                geometry = shapely.from_geojson(json.dumps(feature["geometry"]))
                for part in shapely.get_parts(geometry):
                    assert part.exterior.is_ccw
                    assert not any(ring.is_ccw for ring in part.interiors)

    def test_affine_puts_pixels_on_the_map(self) -> None:
        masks_nhw = np.zeros((1, 4, 5), bool)
        masks_nhw[0, 1, 2] = True
        found = geojson_features(
            set_of(masks_nhw), affine=(10, 0, 500_000, 0, -10, 4_000_000), crs="EPSG:32631"
        )
        geometry = shapely.from_geojson(json.dumps(found["features"][0]["geometry"]))
        assert geometry.bounds == (500_020, 3_999_980, 500_030, 3_999_990)
        assert found["crs"] == {"type": "name", "properties": {"name": "EPSG:32631"}}

    @pytest.mark.parametrize(
        "affine",
        [
            pytest.param((1, 0, 0, 0, 0, 0), id="flat"),
            pytest.param((1, 0, float("nan"), 0, 1, 0), id="nan"),
            pytest.param((1, 0, 0, 0, 1), id="five"),
        ],
    )
    def test_refuses_an_unusable_affine(self, affine: tuple[float, ...]) -> None:
        with pytest.raises(ExportError, match="An affine transform is six finite numbers"):
            geojson_features(set_of(SHAPES), affine=affine)  # type: ignore[arg-type]

    def test_says_nothing_of_a_reference_system_that_it_does_not_know(self) -> None:
        assert "crs" not in geojson_features(set_of(SHAPES))


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
