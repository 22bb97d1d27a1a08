"""Cleaning on run lengths against scikit-image's labels of drawn masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import measure

from infer_segment_anything_2.sam2_engine.masks.cleaning import clean
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.regions import (
    find_regions,
    keep_clicked_regions,
    keep_largest_region,
    remove_small_regions,
)
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px, decode, encode
from infer_segment_anything_2.sam2_engine.settings import CleaningSettings

Mask = npt.NDArray[np.bool_]

some_masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))

ONE_OFF = pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((1, 1), bool), id="one zero"),
        pytest.param(np.ones((1, 1), bool), id="one one"),
        pytest.param(np.zeros((3, 5), bool), id="nothing"),
        pytest.param(np.ones((5, 3), bool), id="all"),
        pytest.param(np.eye(7, dtype=bool), id="diagonal"),
        pytest.param(np.ones((1, 9), bool), id="one row"),
        pytest.param(np.indices((60, 40)).sum(0) % 2 == 0, id="chessboard"),
        pytest.param(np.indices((60, 41))[1] % 4 < 2, id="stripes"),
        pytest.param(np.random.default_rng(0).random((120, 90)) < 0.4, id="noise"),
        pytest.param(np.random.default_rng(1).random((90, 120)) < 0.2, id="thin noise"),
        pytest.param(np.hypot(*(np.indices((70, 90)) - 35)) % 8 < 4, id="rings"),
    ],
)


def label(mask: Mask) -> npt.NDArray[np.int64]:
    """Numbers a mask's regions from 1."""
    numbered: npt.NDArray[np.int64] = measure.label(mask, connectivity=2)
    return numbered


def slow_remove_small(mask: Mask, least_area_px: int) -> Mask:
    """Meta's `remove_small_regions`, holes first, with scikit-image's labels."""
    for is_hole in (True, False):
        regions = label(mask != is_hole)
        sizes = np.bincount(regions.ravel())[1:]
        small = [k + 1 for k, size in enumerate(sizes) if size < least_area_px]
        if is_hole:
            mask = mask | np.isin(regions, small)
        else:
            if small and len(small) == len(sizes):
                sizes_by_column = np.bincount(regions.ravel())[1:]
                largest = max(
                    small,
                    key=lambda k: (sizes_by_column[k - 1], -first_in_columns(regions == k)),
                )
                small.remove(largest)
            mask = mask & ~np.isin(regions, small)
    return mask


def first_in_columns(mask: Mask) -> int:
    return int(np.flatnonzero(mask.ravel(order="F"))[0])


def slow_keep_largest(mask: Mask) -> Mask:
    regions = label(mask)
    numbers = range(1, regions.max() + 1)
    if not numbers:
        return mask
    best = max(numbers, key=lambda k: ((regions == k).sum(), -first_in_columns(regions == k)))
    return np.asarray(regions == best)


def mask_set(*masks: Mask, predicted_iou: list[float] | None = None) -> MaskSet:
    n, image_hw = len(masks), (masks[0].shape[0], masks[0].shape[1])
    rles = tuple(Rle.from_mask(mask) for mask in masks)
    return MaskSet(
        image_hw=image_hw,
        rles=rles,
        boxes_xyxy_px=np.array([bounding_box_xyxy_px(rle.counts, image_hw) for rle in rles]),
        predicted_iou=np.array(predicted_iou or np.linspace(0.9, 0.8, n), np.float32),
        stability_score=np.ones(n, np.float32),
        points_xy_px=np.full((n, 2), np.nan),
        crop_boxes_xywh_px=np.zeros((n, 4), np.int64),
        object_index=np.arange(n),
    )


class TestFindRegions:
    @ONE_OFF
    @pytest.mark.parametrize("of_ones", [True, False])
    def test_equals_scikit_image(self, mask: Mask, of_ones: bool) -> None:
        regions = find_regions(encode(mask), (mask.shape[0], mask.shape[1]), of_ones=of_ones)
        judged = label(mask == of_ones)
        drawn = np.zeros(mask.size, int)
        for start, end, region in zip(
            regions.starts, regions.ends, regions.region_of_piece, strict=True
        ):
            drawn[start:end] = region + 1
        pairs = set(zip(drawn.tolist(), judged.ravel(order="F").tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert regions.areas_px.tolist() == np.bincount(drawn)[1:].tolist()


class TestRemoveSmallRegions:
    @ONE_OFF
    @pytest.mark.parametrize("least_area_px", [1, 2, 3, 9, 40, 10_000])
    def test_equals_metas_rule_on_drawn_masks(self, mask: Mask, least_area_px: int) -> None:
        image_hw = (mask.shape[0], mask.shape[1])
        cleaned = remove_small_regions(encode(mask), image_hw, least_area_px)
        assert np.array_equal(decode(cleaned, image_hw), slow_remove_small(mask, least_area_px))

    @settings(max_examples=40, deadline=None)
    @given(some_masks, st.integers(1, 20))
    def test_equals_metas_rule_on_any_mask(self, mask: Mask, least_area_px: int) -> None:
        image_hw = (mask.shape[0], mask.shape[1])
        cleaned = remove_small_regions(encode(mask), image_hw, least_area_px)
        assert np.array_equal(decode(cleaned, image_hw), slow_remove_small(mask, least_area_px))

    def test_returns_the_same_array_where_nothing_is_small(self) -> None:
        counts = encode(np.hypot(*(np.indices((40, 40)) - 20)) < 15)
        assert remove_small_regions(counts, (40, 40), 100) is counts


class TestKeepLargestRegion:
    @settings(max_examples=40, deadline=None)
    @given(some_masks)
    def test_equals_scikit_image(self, mask: Mask) -> None:
        image_hw = (mask.shape[0], mask.shape[1])
        kept = decode(keep_largest_region(encode(mask), image_hw), image_hw)
        assert np.array_equal(kept, slow_keep_largest(mask))


class TestKeepClickedRegions:
    MASK = np.zeros((10, 20), bool)
    MASK[1:4, 1:4] = MASK[5:9, 3:6] = MASK[2:8, 12:18] = True

    @pytest.mark.parametrize(
        ("clicks", "kept_labels"),
        [
            pytest.param([(2.9, 3.9)], {1}, id="in a region"),
            pytest.param([(2, 2), (4, 6)], {1, 3}, id="in two"),
            pytest.param([(9.5, 5)], {2}, id="beside: the nearest"),
            pytest.param([(20.0, 10.0)], {2}, id="on the picture's last edge"),
            pytest.param([(0, 9), (1, 1)], {1, 3}, id="one in, one beside"),
        ],
    )
    def test_keeps(self, clicks: list[tuple[float, float]], kept_labels: set[int]) -> None:
        regions = label(self.MASK)
        kept = decode(keep_clicked_regions(encode(self.MASK), (10, 20), clicks), (10, 20))
        assert np.array_equal(kept, np.isin(regions, list(kept_labels)))

    def test_leaves_an_empty_mask(self) -> None:
        nothing = encode(np.zeros((3, 4), bool))
        assert keep_clicked_regions(nothing, (3, 4), [(1, 1)]) is nothing


class TestClean:
    BLOB = np.zeros((12, 16), bool)
    BLOB[2:10, 2:9] = True
    HOLED = BLOB.copy()
    HOLED[4:6, 4:6] = False
    HOLED[0, 15] = True

    def test_does_nothing_by_default(self) -> None:
        masks = mask_set(self.HOLED, self.BLOB)
        cleaned = clean(masks, CleaningSettings())
        assert cleaned == (cleaned.masks, 2, 2, 2)
        assert cleaned.masks.rles == masks.rles

    def test_recomputes_boxes(self) -> None:
        cleaned = clean(mask_set(self.HOLED), CleaningSettings(min_mask_region_area=5)).masks
        assert np.array_equal(cleaned.to_dense()[0], self.BLOB)
        assert cleaned.boxes_xyxy_px.tolist() == [[2, 2, 8, 9]]
        assert cleaned.predicted_iou.tolist() == [np.float32(0.9)]

    @pytest.mark.parametrize(
        ("least", "most", "kept"),
        [(0, 0, [0, 1, 2]), (4, 0, [0, 1]), (0, 52, [1, 2]), (4, 4, [1]), (5, 52, [])],
    )
    def test_drops_by_area(self, least: int, most: int, kept: list[int]) -> None:
        small = np.zeros_like(self.BLOB)
        small[:2, :2] = True
        one = np.zeros_like(self.BLOB)
        one[11, 11] = True
        masks = mask_set(self.HOLED, small, one)
        assert masks.rles[0].area_px == 53
        cleaned = clean(masks, CleaningSettings(min_mask_area=least, max_mask_area=most))
        assert cleaned.masks.object_index.tolist() == kept
        assert cleaned.after_area == len(kept)

    def test_measures_areas_after_cleaning(self) -> None:
        settings = CleaningSettings(min_mask_region_area=5, min_mask_area=56)
        assert clean(mask_set(self.HOLED), settings).masks.rles[0].area_px == 56

    @pytest.mark.parametrize("rule", ["box", "mask", "containment"])
    def test_drops_what_became_a_duplicate_and_prefers_the_untouched(self, rule: str) -> None:
        settings = CleaningSettings(
            min_mask_region_area=5,
            duplicates=rule,  # type: ignore[arg-type]
            duplicate_thresh=0.7,
        )
        cleaned = clean(mask_set(self.HOLED, self.BLOB), settings)
        assert cleaned.masks.object_index.tolist() == [1]
        assert (cleaned.after_area, cleaned.after_duplicates) == (2, 1)

    def test_keeps_alike_masks_that_were_not_cleaned(self) -> None:
        settings = CleaningSettings(min_mask_region_area=5, duplicate_thresh=0.7)
        assert len(clean(mask_set(self.BLOB, self.BLOB), settings).masks) == 2

    def test_keeps_clicked_regions_of_each_mask(self) -> None:
        masks = mask_set(self.HOLED, self.HOLED, self.HOLED)
        settings = CleaningSettings(keep_components="clicked")
        cleaned = clean(masks, settings, [[(15, 0)], [(3, 3)], []]).masks
        # without a click on the object: the largest
        assert [rle.area_px for rle in cleaned.rles] == [1, 52, 52]

    def test_drops_masks_that_lose_all_their_pixels(self) -> None:
        empty = np.zeros_like(self.BLOB)
        masks = mask_set(self.BLOB, self.HOLED & self.BLOB, empty)
        cleaned = clean(masks, CleaningSettings(overlap="highest_score"))
        assert cleaned.masks.object_index.tolist() == [0, 2]
        assert cleaned.after_overlap == 2
