"""Regions of masks on run lengths against scikit-image's labels of drawn masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infer_segment_anything_2.sam2_engine.masks import regions as regions_module
from infer_segment_anything_2.sam2_engine.masks.regions import (
    find_regions,
    keep_clicked_regions,
    keep_largest_region,
    remove_small_regions,
)
from infer_segment_anything_2.sam2_engine.masks.rle import decode, encode
from tests.sam2_engine.masks.drawn_masks import (
    ONE_OFF,
    Mask,
    label,
    slow_keep_largest,
    slow_remove_small,
    some_masks,
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
        (cleaned,) = remove_small_regions([encode(mask)], image_hw, least_area_px)
        assert np.array_equal(decode(cleaned, image_hw), slow_remove_small(mask, least_area_px))

    @settings(max_examples=40, deadline=None)
    @given(some_masks, st.integers(1, 20))
    def test_equals_metas_rule_on_any_mask(self, mask: Mask, least_area_px: int) -> None:
        image_hw = (mask.shape[0], mask.shape[1])
        (cleaned,) = remove_small_regions([encode(mask)], image_hw, least_area_px)
        assert np.array_equal(decode(cleaned, image_hw), slow_remove_small(mask, least_area_px))

    def test_returns_the_same_array_where_nothing_is_small(self) -> None:
        counts = encode(np.hypot(*(np.indices((40, 40)) - 20)) < 15)
        assert remove_small_regions([counts], (40, 40), 100)[0] is counts

    @pytest.mark.parametrize("at_once", [1, 60, 2**18])
    @settings(max_examples=25, deadline=None)
    @given(
        masks=hnp.arrays(bool, st.tuples(*[st.integers(1, 7)] * 3)),
        least_area_px=st.integers(1, 9),
    )
    def test_of_several_masks_are_those_of_each(
        self, at_once: int, masks: npt.NDArray[np.bool_], least_area_px: int
    ) -> None:
        image_hw = (masks.shape[1], masks.shape[2])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(regions_module, "_PIECES_AT_ONCE", at_once)
            together = remove_small_regions(
                [encode(mask) for mask in masks], image_hw, least_area_px
            )
        assert len(together) == len(masks)
        for mask, cleaned in zip(masks, together, strict=True):
            assert np.array_equal(decode(cleaned, image_hw), slow_remove_small(mask, least_area_px))
            assert np.array_equal(cleaned, encode(decode(cleaned, image_hw)))

    def test_of_no_masks_are_none(self) -> None:
        assert remove_small_regions([], (4, 4), 3) == []


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
