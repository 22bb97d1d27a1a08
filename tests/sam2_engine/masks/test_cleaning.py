"""Cleaning on run lengths against scikit-image's labels of drawn masks."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_2.sam2_engine.masks import cleaning as cleaning_module
from infer_segment_anything_2.sam2_engine.masks import worked_out as worked_out_module
from infer_segment_anything_2.sam2_engine.masks.cleaning import clean
from infer_segment_anything_2.sam2_engine.masks.worked_out import WorkedOut
from infer_segment_anything_2.sam2_engine.settings import CleaningSettings
from tests.sam2_engine.masks.drawn_masks import (
    mask_set,
)


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

    def test_knows_a_mask_by_its_pixels_the_clicks_and_what_is_done(self) -> None:
        known = WorkedOut()
        for least in (0, 5, 60):
            for rule in ("all", "largest", "clicked"):
                settings = CleaningSettings(
                    min_mask_region_area=least,
                    keep_components=rule,
                )
                masks = mask_set(self.HOLED, self.BLOB, self.HOLED, self.HOLED)
                clicks = [[(15.0, 0.0)], [(15.0, 0.0)], [(3.0, 3.0)], []]
                expected = clean(masks, settings, clicks).masks
                for _ in range(2):
                    found = clean(masks, settings, clicks, known).masks
                    assert found.rles == expected.rles
                    assert found.boxes_xyxy_px.tolist() == expected.boxes_xyxy_px.tolist()

    def test_cleans_no_mask_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known, settings = WorkedOut(), CleaningSettings(min_mask_region_area=5)
        masks = mask_set(self.HOLED, self.BLOB)
        expected = clean(masks, settings, worked_out=known).masks
        monkeypatch.setattr(cleaning_module, "remove_small_regions", lambda masks, *_: masks)
        again = mask_set(self.BLOB, self.HOLED)
        found = clean(again, settings, worked_out=known).masks
        assert found.rles == expected.rles[::-1]

    def test_keeps_no_more_cleaned_masks_than_it_may(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worked_out_module, "_MOST_RESHAPED_BYTES", 2000)
        known = WorkedOut()
        for least in range(1, 40):
            settings = CleaningSettings(min_mask_region_area=least)
            assert clean(mask_set(self.HOLED), settings, worked_out=known) is not None
        assert 0 < known.reshaped.nbytes <= 2000
