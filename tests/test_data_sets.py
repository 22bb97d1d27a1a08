"""COCO, YOLO and GeoJSON read again, with pycocotools and shapely as the judges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from pycocotools import mask as coco
from pycocotools.coco import COCO

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.exports import (
    class_names,
    coco_dataset,
    geojson_features,
    write_coco,
    write_geojson,
    write_yolo,
)
from tests.export_masks import (
    ALL_SETS,
    CAT,
    DOG,
    FEW_MASKS,
    SHAPES,
    UNNAMED,
    Masks,
    pixels_in,
    set_of,
)

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def masks_in_coco(path: Path, hw: tuple[int, int]) -> Masks:
    """The masks of a COCO file, read by pycocotools."""
    dataset = COCO(str(path))
    found = [dataset.annToMask(annotation) for annotation in dataset.loadAnns(dataset.getAnnIds())]
    return np.array(found, bool).reshape(len(found), *hw)


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


class TestWriteYolo:
    @ALL_SETS
    def test_lines_moved_by_a_quarter_fill_to_equal_masks(
        self, masks_nhw: Masks, tmp_path: Path
    ) -> None:
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
            ring = (pairs * hw[::-1] + 0.25).ravel().tolist()
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
