"""Records against dense masks, with pycocotools as the judge of their RLE."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.records import DEFAULT_CATEGORY, categories_of, records

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MASKS_NHW = np.array(
    [
        [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 0]],
        [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ],
    bool,
)
AUTOMATIC = MaskSet(
    image_hw=(3, 4),
    rles=tuple(Rle.from_mask(mask_hw) for mask_hw in MASKS_NHW),
    boxes_xyxy_px=np.array([[1, 1, 3, 2], [0, 0, 0, 0], [0, 0, 0, 0]]),
    predicted_iou=np.array([0.93, 0.5, np.nan], np.float32),
    stability_score=np.array([0.97, np.nan, np.inf], np.float32),
    points_xy_px=np.array([[2.5, 1.5], [0.5, 0.5], [3.0, 2.0]]),
    crop_boxes_xywh_px=np.tile([0, 0, 4, 3], (3, 1)),
    object_index=np.arange(3),
)
PROMPTED = replace(
    AUTOMATIC, points_xy_px=np.full((3, 2), np.nan), object_index=np.array([1, 0, 1])
)
OBJECTS = [
    ObjectPrompt(points_xy_px=((1, 2), (3, 0)), labels=(1, 0)),
    ObjectPrompt(box_xyxy_px=(0, 0, 2.5, 3), category="cat"),
]


class TestRecords:
    def test_have_exactly_these_values_in_automatic_mode(self) -> None:
        assert records(AUTOMATIC)[0] == {
            "id": 1,
            "segmentation": AUTOMATIC.rles[0].to_coco(),
            "area": 5,
            "bbox": [1, 1, 2, 1],
            "predicted_iou": 0.93,
            "point_coords": [[2.5, 1.5]],
            "stability_score": 0.97,
            "crop_box": [0, 0, 4, 3],
            "object": 0,
            "prompt": None,
            "category": DEFAULT_CATEGORY,
        }

    def test_survive_strict_json(self) -> None:
        for mask_set, objects in ((AUTOMATIC, None), (PROMPTED, OBJECTS)):
            found = records(mask_set, objects)
            assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_decode_to_equal_masks(self) -> None:
        for record, mask_hw in zip(records(AUTOMATIC), MASKS_NHW, strict=True):
            assert np.array_equal(coco.decode(record["segmentation"]), mask_hw)
            assert record["area"] == mask_hw.sum()

    def test_say_none_where_a_score_is_unknown(self) -> None:
        assert [record["predicted_iou"] for record in records(AUTOMATIC)] == [0.93, 0.5, None]
        assert [record["stability_score"] for record in records(AUTOMATIC)] == [0.97, None, None]

    def test_tell_the_prompt_and_category_of_each_object(self) -> None:
        found = records(PROMPTED, OBJECTS)
        box = {"points": [], "labels": [], "box": [0.0, 0.0, 2.5, 3.0]}
        points = {"points": [[1.0, 2.0], [3.0, 0.0]], "labels": [1, 0], "box": None}
        assert [record["prompt"] for record in found] == [box, points, box]
        assert [record["category"] for record in found] == ["cat", DEFAULT_CATEGORY, "cat"]
        assert [record["object"] for record in found] == [1, 0, 1]
        assert [record["point_coords"] for record in found] == [[], [], []]

    def test_of_no_masks_are_none(self) -> None:
        assert records(MaskSet.empty((3, 4))) == []

    @given(arrays.arrays(np.float32, 3, elements=st.floats(0, 1, width=32, allow_subnormal=False)))
    def test_numbers_read_back_as_the_same_float32(self, scores: np.ndarray) -> None:
        found = records(replace(AUTOMATIC, predicted_iou=scores))
        assert np.array_equal(
            np.array([record["predicted_iou"] for record in found], np.float32), scores
        )


class TestCategoriesOf:
    def test_are_one_per_mask(self) -> None:
        assert categories_of(PROMPTED, OBJECTS) == ["cat", DEFAULT_CATEGORY, "cat"]
        assert categories_of(AUTOMATIC) == [DEFAULT_CATEGORY] * 3
