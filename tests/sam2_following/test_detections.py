"""A detector's boxes matched with tracked masks."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_following.detections import matched, overlap


def _tracked(*boxes: tuple[int, int, int, int]) -> MaskSet:
    """Filled boxes, inclusive, of the objects 7, 8, ..."""
    masks = np.zeros((len(boxes), 40, 40), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top : bottom + 1, left : right + 1] = True
    count = len(boxes)
    return MaskSet(
        (40, 40),
        tuple(map(Rle.from_mask, masks)),
        np.array(boxes, np.int64),
        np.ones(count, np.float32),
        np.ones(count, np.float32),
        np.full((count, 2), np.nan),
        np.zeros((count, 4), np.int64),
        np.arange(7, 7 + count),
    )


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (20, 0, 30, 10)) == 0
    assert overlap((3, 3, 3, 3), (3, 3, 3, 3)) == 0


def test_best_pair_is_matched_and_each_box_and_object_at_most_once() -> None:
    near = ObjectPrompt(box_xyxy_px=(1, 0, 11, 10))
    exact = ObjectPrompt(box_xyxy_px=(0, 0, 10, 10))
    far = ObjectPrompt(box_xyxy_px=(30, 30, 39, 39))
    known, new = matched([near, exact, far], _tracked((0, 0, 9, 9), (20, 0, 29, 9)), 0.5)
    assert known == {7: exact}
    assert new == [near, far]


def test_a_point_matches_nothing() -> None:
    point = ObjectPrompt(((4.0, 4.0),))
    assert matched([point], _tracked((0, 0, 9, 9)), 0.1) == ({}, [point])
