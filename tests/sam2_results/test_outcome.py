"""What a result says of the filters."""

from __future__ import annotations

import json

from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.segmentation import Segmenter
from tests.discs import run


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
        counts = FilterCounts(1024, 3072, 410, 96, 96).reach("after_box_nms", 41)
        counts = counts.reach("after_area", 40)
        assert str(counts) == (
            "1024 points, 3072 masks, 410 after iou_thresh, 96 after stability_score_thresh, "
            "41 after box_nms_thresh, 40 after min_mask_area and max_mask_area, 40 shown "
            "(most were lost to iou_thresh)"
        )

    def test_says_nothing_of_losses_where_there_were_none(self) -> None:
        counts = FilterCounts(1, 3).reach("after_iou", 3)
        assert counts.largest_loss() == ""
        assert str(counts).endswith("3 after box_nms_thresh, 3 shown")
