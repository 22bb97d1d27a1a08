"""Masks against masks on run lengths, compared with the same done on drawn masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer_segment_anything_2.sam2_engine.masks.duplicates import without_duplicates
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.overlap import MaskRuns, union, without_overlap
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px, decode
from infer_segment_anything_2.sam2_engine.settings import DuplicateRule, OverlapRule

IMAGE_HW = (13, 17)


def drawn_masks(seed: int, n: int) -> npt.NDArray[np.bool_]:
    """Discs, some with holes or noise, some empty: n x 13 x 17."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(IMAGE_HW)
    y, x, radius = (rng.uniform(0, top, (n, 1, 1)) for top in (13, 17, 9))
    masks = np.hypot(rows - y, columns - x) < radius
    noisy = rng.random(n) < 0.4
    masks[noisy] &= rng.random((noisy.sum(), *IMAGE_HW)) < 0.7
    masks[rng.random(n) < 0.1] = False
    twins = rng.integers(0, n, n)
    return np.asarray(np.where((rng.random(n) < 0.3)[:, None, None], masks[twins], masks))


def mask_set(masks_nhw: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32]) -> MaskSet:
    rles = tuple(Rle.from_mask(mask) for mask in masks_nhw)
    n = len(rles)
    boxes = [bounding_box_xyxy_px(rle.counts, IMAGE_HW) for rle in rles]
    return MaskSet(
        image_hw=IMAGE_HW,
        rles=rles,
        boxes_xyxy_px=np.array(boxes, np.int64).reshape(n, 4),
        predicted_iou=scores,
        stability_score=np.ones(n, np.float32),
        points_xy_px=np.full((n, 2), np.nan),
        crop_boxes_xywh_px=np.zeros((n, 4), np.int64),
        object_index=np.arange(n),
    )


def some_scores(seed: int, n: int) -> npt.NDArray[np.float32]:
    """Scores with ties."""
    return np.random.default_rng(seed).integers(0, 5, n).astype(np.float32)


def slow_without_duplicates(
    masks: npt.NDArray[np.bool_], scores: npt.NDArray[np.float32], threshold: float, rule: str
) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        for k in kept:
            common = np.count_nonzero(masks[i] & masks[k])
            whole = np.count_nonzero(masks[i] | masks[k])
            if rule == "containment":
                whole = min(whole, np.count_nonzero(masks[i]), np.count_nonzero(masks[k]))
            if common > threshold * whole:
                break
        else:
            kept.append(i)
    return kept


class TestMaskRuns:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_counts_what_drawn_masks_share(self, seed: int) -> None:
        masks = drawn_masks(seed, 9)
        others = np.array([3, 1, 8, 0, 2])
        drawn = mask_set(masks, some_scores(seed, 9))
        runs = MaskRuns(drawn)
        found = runs.intersections_px(runs.counts(0), others)
        assert found.tolist() == (masks[0] & masks[others]).sum(axis=(1, 2)).tolist()


class TestUnion:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 6))
    def test_equals_drawn_masks(self, seed: int, n: int) -> None:
        masks = drawn_masks(seed, n)
        counts = union([Rle.from_mask(mask).counts for mask in masks], IMAGE_HW)
        assert Rle(IMAGE_HW, counts) == Rle.from_mask(np.logical_or.reduce(masks))


class TestWithoutDuplicates:
    @pytest.mark.parametrize("rule", ["mask", "containment"])
    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        n=st.integers(0, 20),
        threshold=st.sampled_from([0, 0.5, 0.7, 1]),
    )
    def test_equals_drawn_masks(
        self, rule: DuplicateRule, seed: int, n: int, threshold: float
    ) -> None:
        masks, scores = drawn_masks(seed, n), some_scores(seed, n)
        kept = without_duplicates(mask_set(masks, scores), scores, threshold, rule)
        assert kept.tolist() == slow_without_duplicates(masks, scores, threshold, rule)

    def test_of_masks_tells_nested_boxes_apart(self) -> None:
        """A ring and the disc in it have nearly the same box but no pixel in common."""
        distance = np.hypot(*(np.indices(IMAGE_HW) - np.array([6, 8])[:, None, None]))
        masks = mask_set(
            np.stack([distance < 5.5, (distance >= 5.5) & (distance < 6.5)]),
            np.array([0.9, 0.8], np.float32),
        )
        assert without_duplicates(masks, masks.predicted_iou, 0.6, "box").tolist() == [0]
        assert without_duplicates(masks, masks.predicted_iou, 0.6, "mask").tolist() == [0, 1]

    def test_by_containment_drops_what_lies_inside(self) -> None:
        distance = np.hypot(*(np.indices(IMAGE_HW) - 6))
        masks = mask_set(np.stack([distance < 6, distance < 3]), np.array([0.9, 0.8], np.float32))
        assert without_duplicates(masks, masks.predicted_iou, 0.7, "mask").tolist() == [0, 1]
        assert without_duplicates(masks, masks.predicted_iou, 0.7, "containment").tolist() == [0]


class TestWithoutOverlap:
    @pytest.mark.parametrize("rule", ["keep", "smallest_on_top", "highest_score"])
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 12))
    def test_equals_drawn_masks(self, rule: OverlapRule, seed: int, n: int) -> None:
        masks, scores = drawn_masks(seed, n), some_scores(seed, n)
        expected = masks.copy()
        order = np.arange(n)
        if rule == "smallest_on_top":
            order = np.argsort(masks.sum(axis=(1, 2)), kind="stable")
        elif rule == "highest_score":
            order = np.argsort(-scores, kind="stable")
        taken = np.zeros(IMAGE_HW, bool)
        for index in order if rule != "keep" else []:
            expected[index] &= ~taken
            taken |= masks[index]
        found = without_overlap(mask_set(masks, scores), rule)
        assert [decode(counts, IMAGE_HW).tolist() for counts in found] == expected.tolist()

    def test_prefers_any_score_to_none(self) -> None:
        masks = np.ones((2, *IMAGE_HW), bool)
        found = without_overlap(
            mask_set(masks, np.array([np.nan, 0.1], np.float32)), "highest_score"
        )
        assert [decode(counts, IMAGE_HW).any() for counts in found] == [False, True]
