"""Pixels that pairs of masks share, kept from one comparison to the next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer_segment_anything_2.sam2_engine.masks import shared_pixels
from infer_segment_anything_2.sam2_engine.masks.duplicates import without_duplicates
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.overlap import MaskRuns
from infer_segment_anything_2.sam2_engine.masks.shared_pixels import SharedPixels
from infer_segment_anything_2.sam2_engine.settings import DuplicateRule
from tests.sam2_engine.masks.drawn_masks import mask_set


def rectangles(seed: int, n: int) -> MaskSet:
    """Rectangles that meet often, some the same, some empty; rated with ties."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, 11, (n, 2, 2)), axis=2)
    rows, columns = np.indices((11, 11))
    masks = [
        (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        for (top, bottom), (left, right) in ends
    ]
    return mask_set(*masks, predicted_iou=(rng.integers(1, 4, n) / 4).tolist())


def check_all_orders(masks: MaskSet, shared: SharedPixels, seed: int) -> None:
    """Whatever was compared before, the duplicates are those of a comparison from the start."""
    rng = np.random.default_rng(seed)
    rules: tuple[DuplicateRule, ...] = ("mask", "containment")
    for _ in range(6):
        some = masks.select(rng.permutation(len(masks))[: rng.integers(1, len(masks) + 1)])
        threshold, rule = float(rng.uniform(0, 1)), rules[rng.integers(2)]
        kept = without_duplicates(some, some.predicted_iou, threshold, rule, shared)
        expected = without_duplicates(some, some.predicted_iou, threshold, rule)
        assert kept.tolist() == expected.tolist()


class TestSharedPixels:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_are_those_of_the_masks_in_any_set_and_order(self, seed: int) -> None:
        check_all_orders(rectangles(seed, 14), SharedPixels(), seed)

    def test_are_forgotten_when_there_are_too_many_masks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared_pixels, "_MOST_MASKS", 20)
        shared = SharedPixels()
        for seed in range(6):
            check_all_orders(rectangles(seed, 14), shared, seed)
            assert shared.nbytes <= 20 * shared_pixels._BYTES_OF_MASK + (20 * 19 // 2) * 16

    def test_are_forgotten_when_there_are_too_many_pairs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared_pixels, "_MOST_PAIRS", 5)
        shared = SharedPixels()
        masks = rectangles(3, 14)
        n_masks = len(set(masks.rles))
        for seed in range(6):
            check_all_orders(masks, shared, seed)
            assert shared.nbytes <= n_masks * shared_pixels._BYTES_OF_MASK + 5 * 16

    def test_are_counted_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counted: list[int] = []
        count = MaskRuns.intersections_px

        def noted(runs: MaskRuns, one: object, others: np.ndarray) -> object:
            counted.append(len(others))
            return count(runs, one, others)  # type: ignore[arg-type]

        monkeypatch.setattr(MaskRuns, "intersections_px", noted)
        masks, shared = rectangles(3, 20), SharedPixels()
        without_duplicates(masks, masks.predicted_iou, 0.3, "mask", shared)
        assert sum(counted) > 0
        counted.clear()
        without_duplicates(masks, masks.predicted_iou, 0.3, "mask", shared)
        assert not counted
