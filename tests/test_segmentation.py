"""Parameters to results with the bundled network, on small drawn pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from infer_segment_anything_2.parameters import PRESETS, ROWS, Parameters, Preset
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.regions import find_regions
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import Segmenter
from tests.discs import CENTRES_XY, HEIGHT, PICTURE, QUICK, RADIUS, WIDTH, run


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
        least, most = f"{worse:.2f}", f"{better:.2f}"
        told = least if least == most else f"{least} to {most}"
        assert both.summary == f"2 objects, predicted IoU {told}"
        none_left = run(segmenter, input_box=boxes, max_mask_area=1)
        assert none_left.summary.startswith("2 objects, 0 shown: ")
        assert none_left.to_dict()["masks"] == []


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


def test_looks_closer_at_a_small_box(segmenter: Segmenter) -> None:
    box = "[[16, 16, 54, 54]]"
    plain, closer = (run(segmenter, input_box=box, zoom=rule) for rule in ("off", "always"))
    assert plain.to_dict()["masks"][0]["crop_box"] == [0, 0, WIDTH, HEIGHT]
    _, _, width, height = closer.to_dict()["masks"][0]["crop_box"]
    assert width < WIDTH
    assert height < HEIGHT


def test_looks_closer_at_entries_of_every_kind(segmenter: Segmenter) -> None:
    x, y = CENTRES_XY[0]
    mask = np.hypot(*(np.indices((HEIGHT, WIDTH)) - np.array([y, x])[:, None, None])) < RADIUS
    entries = [
        {"box": [16, 16, 54, 54]},
        {"points": [x + 10, y]},
        {"mask": Rle.from_mask(mask).to_coco()},
    ]
    found = run(segmenter, input_objects=json.dumps(entries), zoom="always")
    for record in found.to_dict()["masks"]:
        left, top, width, height = record["crop_box"]
        assert width < WIDTH and height < HEIGHT
        assert left <= x < left + width and top <= y < top + height


def test_sharpens_small_masks_of_everything(segmenter: Segmenter) -> None:
    told: list[tuple[str, int, int]] = []
    plain = run(segmenter)
    texts = {key: str(value) for key, value in {**QUICK, "sharpen": True}.items()}
    sharp = segmenter.segment(
        PICTURE, Parameters.from_strings(texts), on_progress=lambda *step: told.append(step)
    )
    assert plain.sharpening is None
    assert plain.to_dict()["sharpening"] is None
    counts = sharp.sharpening
    assert counts is not None
    assert sharp.summary == f"{plain.summary}, {counts}"
    assert sharp.to_dict()["sharpening"] == {
        "asked": counts.asked,
        "sharper": counts.sharper,
        "windows": counts.windows,
    }
    assert 0 < counts.windows <= 2 * counts.asked
    assert counts.asked < len(plain.ranked[0]) == len(sharp.ranked[0])
    masks_done = [(done, total) for stage, done, total in told if stage == "masks"]
    assert masks_done[0] == (0, counts.asked)
    assert masks_done[-1] == (counts.asked, counts.asked)
