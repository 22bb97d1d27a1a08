"""Parameters to results with the bundled network, on small drawn pictures."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_engine.automatic_masks import FilterCounts
from infer_segment_anything_2.sam2_engine.mask_cleaning import find_regions
from infer_segment_anything_2.segmentation import Segmentation, Segmenter

HEIGHT, WIDTH = 120, 160
CENTRES_XY = ((35, 35), (110, 40), (60, 90), (130, 95))
RADIUS = 17


def draw_discs() -> npt.NDArray[np.uint8]:
    """Four bright discs with dark cores on a dark, slightly noisy ground."""
    rng = np.random.default_rng(0)
    picture = rng.integers(30, 50, (HEIGHT, WIDTH, 3))
    rows, columns = np.indices((HEIGHT, WIDTH))
    for number, (x, y) in enumerate(CENTRES_XY):
        distance = np.hypot(rows - y, columns - x)
        picture[distance < RADIUS] = [220, 200 - 40 * number, 60 + 50 * number]
        picture[distance < RADIUS / 3] = [20, 90, 160]
    return picture.astype(np.uint8)


PICTURE = draw_discs()
QUICK = {
    "model_name": "sam2_demo_nano",
    "cuda": "False",
    "points_per_side": "8",
    "iou_thresh": "0.3",
    "stability_score_thresh": "0.5",
}


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter()


def run(segmenter: Segmenter, **parameters: object) -> Segmentation:
    texts = {key: str(value) for key, value in parameters.items()}
    return segmenter.segment(PICTURE, Parameters.from_strings({**QUICK, **texts}))


def region_areas(segmentation: Segmentation, *, of_ones: bool) -> list[list[int]]:
    masks = segmentation.ranked[0]
    return [
        find_regions(rle.counts, masks.image_hw, of_ones=of_ones).areas_px.tolist()
        for rle in masks.rles
    ]


class TestCleaning:
    def test_leaves_no_small_region_in_automatic_mode(self, segmenter: Segmenter) -> None:
        before = run(segmenter)
        after = run(segmenter, min_mask_region_area=60)
        assert any(
            len(areas) > 1 and min(areas) < 60 for areas in region_areas(before, of_ones=True)
        )
        assert all(
            len(areas) == 1 or min(areas) >= 60
            for of_ones in (True, False)
            for areas in region_areas(after, of_ones=of_ones)
        )

    def test_leaves_no_small_region_of_prompted_objects(self, segmenter: Segmenter) -> None:
        after = run(
            segmenter,
            input_point="[[60, 90]]",
            multimask_output=True,
            min_mask_region_area=60,
            mask_threshold=-1,
        )
        for masks in after.ranked:
            for rle in masks.rles:
                areas = find_regions(rle.counts, masks.image_hw).areas_px
                assert areas.size == 1 or areas.min() >= 60

    @pytest.mark.parametrize("components", ["largest", "clicked"])
    def test_keeps_one_region_of_each_mask(self, segmenter: Segmenter, components: str) -> None:
        after = run(segmenter, keep_components=components)
        assert {len(areas) for areas in region_areas(after, of_ones=True)} == {1}

    def test_keeps_the_region_clicked(self, segmenter: Segmenter) -> None:
        x, y = CENTRES_XY[2]
        after = run(
            segmenter, input_point=f"[{x + 10}, {y}]", keep_components="clicked", mask_threshold=-4
        )
        assert after.ranked[0].to_dense()[0, y, x + 10]
        assert len(region_areas(after, of_ones=True)[0]) == 1

    def test_shows_disjoint_masks(self, segmenter: Segmenter) -> None:
        assert run(segmenter).ranked[0].to_dense().sum(axis=0).max() > 1
        after = run(segmenter, overlap="smallest_on_top").ranked[0]
        assert after.to_dense().sum(axis=0).max() == 1

    def test_drops_masks_outside_of_the_limits(self, segmenter: Segmenter) -> None:
        after = run(segmenter, min_mask_area=200, max_mask_area=2000).ranked[0]
        areas = [rle.area_px for rle in after.rles]
        assert areas
        assert min(areas) >= 200
        assert max(areas) <= 2000


class TestDuplicates:
    def test_by_mask_leaves_no_pair_that_is_alike(self, segmenter: Segmenter) -> None:
        masks = run(segmenter, duplicates="mask", box_nms_thresh=0.6).ranked[0].to_dense()
        flat = masks.reshape(len(masks), -1).astype(np.float64)
        common = flat @ flat.T
        areas = flat.sum(axis=1)
        iou = common / (areas[:, None] + areas - common)
        np.fill_diagonal(iou, 0)
        assert len(masks) > 3
        assert iou.max() <= 0.6

    def test_by_containment_leaves_no_mask_inside_another(self, segmenter: Segmenter) -> None:
        masks = run(segmenter, duplicates="containment", box_nms_thresh=0.6).ranked[0].to_dense()
        flat = masks.reshape(len(masks), -1).astype(np.float64)
        inside = flat @ flat.T / np.minimum(flat.sum(axis=1)[:, None], flat.sum(axis=1))
        np.fill_diagonal(inside, 0)
        assert len(masks) > 1
        assert inside.max() <= 0.6


class TestExplanation:
    def test_counts_what_is_shown(self, segmenter: Segmenter) -> None:
        result = run(segmenter, max_mask_area=3000, overlap="highest_score")
        counts = result.filter_counts
        assert counts is not None
        assert counts.points == 64
        assert counts.proposed == 3 * 64
        assert counts.shown == len(result.ranked[0]) < counts.after_crop_nms
        assert sum(counts.lost_to().values()) == counts.proposed - counts.shown
        told = json.loads(json.dumps(result.to_dict()))["filter_counts"]
        assert told["shown"] == counts.shown
        assert told["largest_loss"] == counts.largest_loss()

    def test_is_one_line_that_names_the_knobs(self) -> None:
        counts = FilterCounts(1024, 3072, 410, 96, 96, 41).reach("after_crop_nms", 41)
        counts = counts.reach("after_area", 40)
        assert str(counts) == (
            "1024 points, 3072 masks, 410 after iou_thresh, 96 after stability_score_thresh, "
            "41 after box_nms_thresh, 40 after min_mask_area and max_mask_area, 40 shown "
            "(most were lost to iou_thresh)"
        )

    def test_says_nothing_of_losses_where_there_were_none(self) -> None:
        counts = FilterCounts(1, 3, 3, 3, 3, 3).reach("after_crop_nms", 3)
        assert counts.largest_loss() == ""
        assert str(counts).endswith("3 after box_nms_thresh, 3 shown")
