"""What parameters ask of the engine, by what comes out for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import PromptMask
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import Segmenter
from tests.discs import CENTRES_XY, HEIGHT, PICTURE, QUICK, RADIUS, WIDTH, run


class TestObjects:
    ENTRIES: ClassVar = [
        {"box": [16, 16, 54, 54], "category": "coin"},
        {"points": [[110, 40], [112, 55], [80, 60]], "labels": [1, 1, 0]},
    ]

    def test_come_on_top_of_the_simple_prompts(self, segmenter: Segmenter) -> None:
        together = run(
            segmenter, input_box="[[42, 72, 78, 108]]", input_objects=json.dumps(self.ENTRIES)
        )
        assert len(together.ranked[0]) == 3
        assert together.categories(together.ranked[0]) == ["object", "coin", "object"]
        simple = run(segmenter, input_box="[[42, 72, 78, 108]]")
        assert together.ranked[0].rles[0] == simple.ranked[0].rles[0]
        pointed = run(
            segmenter, input_point="[[110, 40], [112, 55], [80, 60]]", input_point_label="[1, 1, 0]"
        )
        assert together.ranked[0].rles[2] == pointed.ranked[0].rles[0]

    def test_outside_of_the_picture_are_refused_by_name(self, segmenter: Segmenter) -> None:
        with pytest.raises(PromptError, match=r"^Object 2 of input_objects: Point \[999, 5\]"):
            run(segmenter, input_objects='[{"points": [3, 4]}, {"points": [999, 5]}]')

    def test_take_masks_from_files_and_run_lengths(
        self, segmenter: Segmenter, tmp_path: Path
    ) -> None:
        mask = np.hypot(*(np.indices((60, 80)) - np.array([45, 30])[:, None, None])) < 8
        Image.fromarray(mask.view(np.uint8) * np.uint8(255)).save(tmp_path / "mask.png")
        entries = [{"mask": str(tmp_path / "mask.png")}, {"mask": Rle.from_mask(mask).to_coco()}]
        found = run(segmenter, input_objects=json.dumps(entries))
        masks = found.ranked[0]
        assert masks.rles[0] == masks.rles[1]
        # about where the mask is, in the picture's pixels
        assert masks.to_dense()[0, 90 - RADIUS : 90 + RADIUS, 60 - RADIUS : 60 + RADIUS].any()
        prompt = json.loads(json.dumps(found.to_dict()))["masks"][0]["prompt"]
        assert prompt["mask"] == Rle.from_mask(mask).to_coco()

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            ("nowhere.png", "Object 1 .* unusable mask: .*nowhere.png"),
            ({"size": [4, 5], "counts": "22"}, "Object 1 .* unusable mask: Run lengths must"),
            ({"size": [4, 5], "counts": [20]}, "Object 1 .* no pixel of it is set"),
        ],
    )
    def test_with_unusable_masks_are_refused(
        self, segmenter: Segmenter, mask: object, message: str
    ) -> None:
        with pytest.raises(PromptError, match=message):
            run(segmenter, input_objects=json.dumps([{"mask": mask}]))


class TestMaskInput:
    MASK = np.hypot(*(np.indices((60, 80)) - np.array([20, 55])[:, None, None])) < 9

    def segment(self, segmenter: Segmenter, mask: object, **texts: str) -> Segmentation:
        return segmenter.segment(PICTURE, Parameters.from_strings({**QUICK, **texts}), mask=mask)

    def test_is_an_object_of_its_own(self, segmenter: Segmenter) -> None:
        found = self.segment(segmenter, self.MASK.view(np.uint8))
        assert len(found.ranked[0]) == 1
        assert found.ranked[0].to_dense()[0][np.kron(self.MASK, np.ones((2, 2), bool))].any()
        assert found.notes == ()

    def test_belongs_to_the_only_object(self, segmenter: Segmenter) -> None:
        found = self.segment(segmenter, self.MASK.view(np.uint8), input_point="[110, 40]")
        assert found.objects is not None
        assert [prompt.mask for prompt in found.objects] == [PromptMask(self.MASK)]

    def test_is_one_more_beside_several_objects(self, segmenter: Segmenter) -> None:
        boxes = "[[16, 16, 54, 54], [42, 72, 78, 108]]"
        found = self.segment(segmenter, self.MASK.view(np.uint8), input_box=boxes)
        assert len(found.ranked[0]) == 3

    def test_of_other_proportions_is_stretched_and_told_of(self, segmenter: Segmenter) -> None:
        found = self.segment(segmenter, np.ones((10, 10), np.uint8))
        assert any("stretched" in note for note in found.notes)

    def test_that_is_black_is_refused(self, segmenter: Segmenter) -> None:
        with pytest.raises(PromptError, match="The mask input must be bright somewhere"):
            self.segment(segmenter, np.zeros((10, 10), np.uint8))


class TestRegionOfInterest:
    """The discs at the left are wanted."""

    LEFT = "[0, 0, 80, 120]"
    TRIANGLE: ClassVar = [(0.0, 0.0), (159.0, 0.0), (0.0, 119.0)]

    def test_asks_there_only(self, segmenter: Segmenter) -> None:
        everywhere, there = run(segmenter), run(segmenter, region_of_interest=self.LEFT)
        assert there.filter_counts is not None
        assert there.filter_counts.points == 32
        assert len(there.ranked[0]) > 0
        assert there.ranked[0].points_xy_px[:, 0].max() < 80
        assert there.ranked[0].image_hw == everywhere.ranked[0].image_hw
        # what it finds there is what it finds there without the region, before duplicates go
        free = run(segmenter, box_nms_thresh=1).ranked[0]
        assert set(there.ranked[0].rles) <= set(free.rles)

    def test_may_be_drawn(self, segmenter: Segmenter) -> None:
        drawn = segmenter.segment(
            PICTURE, Parameters.from_strings(QUICK), drawn_regions=[tuple(self.TRIANGLE)]
        )
        written = run(segmenter, region_of_interest=self.TRIANGLE)
        assert drawn.ranked[0].rles == written.ranked[0].rles
        assert drawn.filter_counts == written.filter_counts
        assert 20 < drawn.filter_counts.points < 40  # type: ignore[union-attr]

    def test_may_be_several(self, segmenter: Segmenter) -> None:
        both = run(segmenter, region_of_interest="[[0, 0, 40, 120], [120, 0, 160, 120]]")
        assert both.filter_counts is not None
        assert both.filter_counts.points == 32

    def test_without_a_grid_point_finds_nothing(self, segmenter: Segmenter) -> None:
        nothing = run(segmenter, region_of_interest="[1, 1, 2, 2]", crop_n_layers=1)
        assert len(nothing.ranked[0]) == 0
        assert nothing.summary == (
            "0 points, 0 masks, 0 after iou_thresh, 0 after stability_score_thresh, "
            "0 after box_nms_thresh, 0 shown"
        )

    def test_outside_of_the_picture_is_refused(self, segmenter: Segmenter) -> None:
        with pytest.raises(PromptError, match="lies outside the picture, which is 160 wide"):
            run(segmenter, region_of_interest="[200, 0, 300, 90]")

    def test_says_which_holds_no_grid_point(self, segmenter: Segmenter) -> None:
        empty = [0, 0, 4, 4]
        for regions, n_notes in (([empty], 1), ([empty, [0, 0, 80, 120]], 1), ([[0, 0, 80, 9]], 0)):
            found = run(segmenter, region_of_interest=regions)
            assert len(found.notes) == n_notes
            for note in found.notes:
                assert note.startswith(
                    "No grid point falls into the region of interest at [(0.0, 0.0), (4.0, 0.0)"
                )
                assert "raise points_per_side (now 8)" in note

    def test_a_picture_of_one_line_has_no_duplicates(self, segmenter: Segmenter) -> None:
        line = np.ascontiguousarray(PICTURE[35:36])
        for picture in (line, np.ascontiguousarray(line.transpose(1, 0, 2))):
            found = segmenter.segment(
                picture,
                Parameters.from_strings(
                    {**QUICK, "iou_thresh": "0", "stability_score_thresh": "0"}
                ),
            )
            assert found.filter_counts is not None
            assert found.filter_counts.points == 64
            boxes = [tuple(box) for box in found.ranked[0].boxes_xyxy_px.tolist()]
            assert len(boxes) > 0
            assert len(set(boxes)) == len(boxes)


class TestPointGrids:
    def test_are_asked_instead_of_the_grid(self, segmenter: Segmenter) -> None:
        points = [[x / WIDTH, y / HEIGHT] for x, y in CENTRES_XY]
        found = run(segmenter, point_grids=points, box_nms_thresh=1)
        assert found.filter_counts is not None
        assert found.filter_counts.points == 4
        asked = {(round(x), round(y)) for x, y in found.ranked[0].points_xy_px}
        assert asked <= set(CENTRES_XY)
        assert asked

    def test_of_a_layer_are_those_of_its_crops(self, segmenter: Segmenter) -> None:
        grids = [[[0.5, 0.5]], [[0.2, 0.2], [0.8, 0.8]]]
        found = run(segmenter, point_grids=grids, crop_n_layers=1)
        assert found.filter_counts is not None
        assert found.filter_counts.points == 1 + 4 * 2


class TestAdaptivePoints:
    def test_are_counted_apart_from_those_left_out(self, segmenter: Segmenter) -> None:
        found = run(segmenter, adaptive_points=True)
        assert found.filter_counts is not None
        assert found.filter_counts.points + found.filter_counts.skipped == 64
        told = json.loads(json.dumps(found.to_dict()))
        assert told["filter_counts"]["skipped"] == found.filter_counts.skipped > 0
        assert f"({found.filter_counts.skipped} more were skipped)" in told["summary"]
