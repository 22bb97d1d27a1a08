"""Parameters to results with the bundled network, on small drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import PRESETS, ROWS, Parameters, Preset
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.regions import find_regions
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import Segmenter

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
        rough = {"iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
        before = run(segmenter, **rough)
        after = run(segmenter, **rough, min_mask_region_area=60)
        assert any(
            len(areas) > 1 and min(areas) < 60
            for of_ones in (True, False)
            for areas in region_areas(before, of_ones=of_ones)
        )
        assert all(
            len(areas) <= 1 or min(areas) >= 60
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

    def test_says_which_prompted_objects_are_not_shown(self, segmenter: Segmenter) -> None:
        boxes = "[[16, 16, 54, 54], [42, 72, 78, 108]]"
        both = run(segmenter, input_box=boxes)
        worse, better = sorted(both.ranked[0].predicted_iou.tolist())
        assert both.summary == f"2 objects, predicted IoU {worse:.2f} to {better:.2f}"
        none_left = run(segmenter, input_box=boxes, max_mask_area=1)
        assert none_left.summary.startswith("2 objects, 0 shown: ")
        assert none_left.to_dict()["masks"] == []


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


class TestRefine:
    FIRST = "[[62, 95]]"
    BOTH = "[[62, 95], [90, 60]]"

    def both(self, segmenter: Segmenter, **parameters: object) -> Segmentation:
        return run(segmenter, input_point=self.BOTH, input_point_label="[1, 0]", **parameters)

    def test_starts_a_further_point_from_the_last_mask(self) -> None:
        segmenter = Segmenter()
        run(segmenter, input_point=self.FIRST, multimask_output=True, refine=True)
        refined = self.both(segmenter, multimask_output=True, refine=True)
        engine = segmenter.load(Parameters.from_strings(QUICK))
        image = engine.embed(PICTURE)
        first = engine.predict(
            image,
            [ObjectPrompt(((62, 95),), (1,))],
            PredictionSettings(multimask_output=True),
        )
        expected = engine.predict(
            image,
            [ObjectPrompt(((62, 95), (90, 60)), (1, 0))],
            start_logits=list(first.low_res_logits_nhw),
        )
        assert refined.ranked[0].rles == expected.ranked[0].rles
        assert len(refined.ranked[1]) == 0  # one mask, as in Meta's protocol

    def test_gives_the_same_answer_to_the_same_question(self) -> None:
        segmenter = Segmenter()
        run(segmenter, input_point=self.FIRST, refine=True)
        once = self.both(segmenter, refine=True)
        assert self.both(segmenter, refine=True).ranked[0].rles == once.ranked[0].rles

    def test_starts_anew_on_another_picture_and_when_it_is_off(self) -> None:
        segmenter = Segmenter()
        plain = self.both(Segmenter()).ranked[0].rles
        run(segmenter, input_point=self.FIRST, refine=True)
        assert self.both(segmenter).ranked[0].rles == plain
        assert self.both(segmenter, refine=True).ranked[0].rles == plain
        other = np.ascontiguousarray(PICTURE[::-1])
        first = Parameters.from_strings({**QUICK, "input_point": self.FIRST, "refine": "True"})
        segmenter.segment(other, first)
        assert self.both(segmenter, refine=True).ranked[0].rles == plain


class TestInputSizePercent:
    def test_keeps_edges_finer_than_its_pixels(self, segmenter: Segmenter) -> None:
        """Seen at a quarter of the size, a disc still has an edge of single pixels."""
        masks = run(segmenter, input_box="[[16, 16, 54, 54]]", input_size_percent=25).ranked[0]
        assert masks.image_hw == (HEIGHT, WIDTH)
        mask = masks.to_dense()[0]
        assert 300 < mask.sum() < 2000
        for shift in range(4):  # however blocks of 4 x 4 are laid: many are neither full nor empty
            blocks = mask[shift : shift + 112, shift : shift + 152].reshape(28, 4, 38, 4)
            shares = blocks.mean(axis=(1, 3))
            assert np.count_nonzero((shares > 0) & (shares < 1)) > 10


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


class TestPreset:
    def test_fills_what_has_its_default(self, segmenter: Segmenter) -> None:
        texts = {"model_name": "sam2_demo_nano", "preset": "fast", "iou_thresh": "0.3"}
        found = segmenter.segment(PICTURE, Parameters.from_strings(texts))
        assert found.filter_counts is not None
        assert found.filter_counts.points == 16 * 16
        assert found.settings["parameters"]["points_per_side"] == "16"
        assert found.settings["parameters"]["iou_thresh"] == "0.3"

    def test_leaves_what_is_set_and_what_is_stored(self) -> None:
        stored = Parameters.from_strings({"preset": "thorough", "points_per_side": "7"})
        used = stored.with_preset()
        assert (used.points_per_side, used.crop_n_layers, used.iou_thresh) == (7, 1, 0.7)
        assert used.iou_thres == used.iou_thresh
        assert stored.iou_thresh == Parameters().iou_thresh
        assert Parameters().with_preset() == Parameters()

    @pytest.mark.parametrize("preset", PRESETS)
    def test_sets_known_parameters_to_values_in_range(self, preset: Preset) -> None:
        rows = {row.key: row for row in ROWS}
        for key, value in PRESETS[preset].items():
            assert rows[key].parse(rows[key].format(value)) == value


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
