"""A second look at masks of everything: sharper ones take their places, worse ones do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from infer_segment_anything_2.errors import CancelledError
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything.sharpening import Answers, sharpened
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.prompted.looking import Looking, drawn_in
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import deepest_point
from infer_segment_anything_2.sam2_engine.prompted.windows import Window
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    GridSettings,
    TileSettings,
)

PHOTO = np.ascontiguousarray(data.astronaut()[::2, ::2])
PLAIN = GridSettings(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)
SHARP = replace(PLAIN, sharpen=True)
A_QUARTER = len(PHOTO) / 4


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("sam2_demo_nano", device=torch.device("cpu"))


@pytest.fixture(scope="module")
def engine(model: LoadedModel) -> Engine:
    """Has searched once, and asked for all masks that are small."""
    searched = Engine(model)
    searched.generate(PHOTO, SHARP)
    return searched


@pytest.fixture
def encoded(model: LoadedModel) -> Iterator[list[int]]:
    """Grows by one with each encoding."""
    encodings: list[int] = []
    handle = model.network.image_encoder.register_forward_hook(lambda *_: encodings.append(1))
    yield encodings
    handle.remove()


def sizes_px(masks: MaskSet) -> np.ndarray:
    """The longer side of each mask."""
    sides: np.ndarray = masks.boxes_xyxy_px[:, 2:] - masks.boxes_xyxy_px[:, :2] + 1
    return np.asarray(sides.max(axis=1))


def changed(plain: MaskSet, sharp: MaskSet) -> list[int]:
    """The places whose pixels are others."""
    pairs = enumerate(zip(plain.rles, sharp.rles, strict=True))
    return [index for index, (before, after) in pairs if before != after]


def check_same(found: MaskSet, expected: MaskSet) -> None:
    """The same, bit for bit."""
    assert found.rles == expected.rles
    assert found.predicted_iou.tobytes() == expected.predicted_iou.tobytes()
    assert found.stability_score.tobytes() == expected.stability_score.tobytes()
    assert np.array_equal(found.boxes_xyxy_px, expected.boxes_xyxy_px)
    assert np.array_equal(found.crop_boxes_xywh_px, expected.crop_boxes_xywh_px)


class TestSharpened:
    def test_keeps_the_order_and_lowers_no_score(self, engine: Engine) -> None:
        plain, result = engine.generate(PHOTO, PLAIN), engine.generate(PHOTO, SHARP)
        before, after = plain.masks, result.masks
        assert np.array_equal(after.points_xy_px, before.points_xy_px)
        assert np.array_equal(after.object_index, before.object_index)
        assert (after.predicted_iou >= before.predicted_iou).all()
        assert (after.stability_score >= before.stability_score).all()
        assert result.filter_counts == plain.filter_counts
        assert plain.sharpening is None

    def test_changes_small_masks_only_and_says_how_many(self, engine: Engine) -> None:
        before = engine.generate(PHOTO, PLAIN).masks
        result = engine.generate(PHOTO, SHARP)
        others = changed(before, result.masks)
        assert result.sharpening is not None
        assert 0 < len(others) <= result.sharpening.sharper <= result.sharpening.asked
        assert result.sharpening.asked == (sizes_px(before) <= A_QUARTER).sum() < len(before)
        assert (sizes_px(before)[others] <= A_QUARTER).all()

    def test_gives_what_is_answered_on_the_cut_out_window(self, engine: Engine) -> None:
        before = engine.generate(PHOTO, PLAIN).masks
        after = engine.generate(PHOTO, SHARP).masks
        for index in changed(before, after):
            left, top, width, height = after.crop_boxes_xywh_px[index].tolist()
            window_hwc = PHOTO[top : top + height, left : left + width]
            mask_hw = before.rles[index].decode()[top : top + height, left : left + width]
            x1, y1, x2, y2 = (before.boxes_xyxy_px[index] - [left, top, left, top]).tolist()
            question = ObjectPrompt(
                points_xy_px=(deepest_point(mask_hw),),
                box_xyxy_px=(x1, y1, x2 + 1, y2 + 1),
                mask=PromptMask(mask_hw),
            )
            (answer,) = engine.predict(engine.embed(window_hwc), [question]).ranked
            whole = np.zeros(PHOTO.shape[:2], bool)
            whole[top : top + height, left : left + width] = answer.rles[0].decode()
            np.testing.assert_array_equal(after.rles[index].decode(), whole)
            assert after.predicted_iou[index] == answer.predicted_iou[0]
            rows, columns = np.nonzero(whole)
            extent = [columns.min(), rows.min(), columns.max(), rows.max()]
            assert after.boxes_xyxy_px[index].tolist() == extent

    def test_keeps_masks_that_are_rated_better(self, engine: Engine) -> None:
        found = engine.generate(PHOTO, PLAIN).masks
        twos = np.full(len(found), 2, np.float32)
        for perfect in (replace(found, predicted_iou=twos), replace(found, stability_score=twos)):
            masks, counts = sharpened(looking_with(engine), perfect, Answers())
            assert masks.rles == found.rles
            assert counts.sharper == 0 < counts.asked

    def test_takes_no_masks_and_empty_masks(self, engine: Engine) -> None:
        empty = MaskSet.empty((256, 256))
        assert len(sharpened(looking_with(engine), empty, Answers())[0]) == 0
        found = engine.generate(PHOTO, PLAIN).masks.select([0])
        nothing = replace(
            found,
            rles=(Rle.from_mask(np.zeros((256, 256), bool)),),
            boxes_xyxy_px=np.zeros((1, 4), np.int64),
        )
        masks, counts = sharpened(looking_with(engine), nothing, Answers())
        assert masks.rles == nothing.rles
        assert counts.asked == counts.windows == 0

    @pytest.mark.parametrize(
        ("settings", "tiles"),
        [
            pytest.param(replace(SHARP, crop_n_layers=1, points_per_side=3), None, id="crops"),
            pytest.param(replace(SHARP, points_per_side=3), TileSettings(128, 0.25), id="tiles"),
        ],
    )
    def test_judges_masks_of_parts_by_their_part(
        self, engine: Engine, settings: GridSettings, tiles: TileSettings | None
    ) -> None:
        plain = engine.generate(PHOTO, replace(settings, sharpen=False), tiles=tiles).masks
        result = engine.generate(PHOTO, settings, tiles=tiles)
        small = sizes_px(plain) <= plain.crop_boxes_xywh_px[:, 2] / 4
        assert result.sharpening is not None
        assert result.sharpening.asked == small.sum() < (sizes_px(plain) <= A_QUARTER).sum()
        assert small[changed(plain, result.masks)].all()

    def test_comes_before_the_cleaning(self, engine: Engine) -> None:
        sharp = engine.generate(PHOTO, SHARP).masks
        areas = sorted(rle.area_px for rle in sharp.rles)
        limit = CleaningSettings(min_mask_area=areas[len(areas) // 2])
        cleaned = engine.generate(PHOTO, SHARP, cleaning=limit)
        assert [rle.area_px for rle in cleaned.masks.rles] == [
            rle.area_px for rle in sharp.rles if rle.area_px >= limit.min_mask_area
        ]
        assert cleaned.sharpening is not None
        assert cleaned.filter_counts.after_area == len(cleaned.masks) < len(sharp)


class TestAnswers:
    def test_are_kept_for_runs_that_filter_otherwise(
        self, model: LoadedModel, engine: Engine, encoded: list[int]
    ) -> None:
        stricter = replace(SHARP, pred_iou_thresh=0.7, box_nms_thresh=0.5)
        again = engine.generate(PHOTO, SHARP)
        strict = engine.generate(PHOTO, stricter)
        assert len(encoded) == 0
        fresh = Engine(model, candidate_bytes=0).generate(PHOTO, stricter)
        check_same(strict.masks, fresh.masks)
        assert strict.sharpening == fresh.sharpening
        assert fresh.sharpening is not None
        assert 0 < fresh.sharpening.windows < len(encoded)  # and the picture
        assert 0 < len(strict.masks) < len(again.masks)

    def test_at_another_offset_are_rated_there(self, model: LoadedModel, engine: Engine) -> None:
        searched = Engine(model, searches_wide=True)
        few = replace(SHARP, points_per_side=2)
        elsewhere = replace(few, stability_score_offset=0.3)
        searched.generate(PHOTO, few)
        fresh = Engine(model).generate(PHOTO, elsewhere)
        check_same(searched.generate(PHOTO, elsewhere).masks, fresh.masks)

    def test_count_as_memory(self, engine: Engine) -> None:
        answers = Answers()
        found = engine.generate(PHOTO, PLAIN).masks
        assert answers.nbytes == 0
        sharpened(looking_with(engine), found, answers)
        assert answers.nbytes > sum(
            rle.counts.nbytes
            for rle, size in zip(found.rles, sizes_px(found), strict=True)
            if size <= A_QUARTER
        )

    def test_of_a_stopped_run_are_not_asked_for_again(
        self, model: LoadedModel, engine: Engine, encoded: list[int]
    ) -> None:
        told: list[tuple[int, int]] = []

        def stop_after_two_windows(done: int, total: int) -> None:
            told.append((done, total))
            if len(told) == 3:
                raise CancelledError("The run was stopped on request.")

        stopped = Engine(model)
        with pytest.raises(CancelledError):
            stopped.generate(PHOTO, SHARP, on_sharpening=stop_after_two_windows)
        assert len(encoded) == 1 + 2
        assert told[0][0] == 0 < told[-1][0] < told[-1][1]
        result = stopped.generate(PHOTO, SHARP)
        whole = engine.generate(PHOTO, SHARP)
        check_same(result.masks, whole.masks)
        assert result.sharpening == whole.sharpening
        assert whole.sharpening is not None
        assert whole.sharpening.windows - 2 <= len(encoded) - 3 < whole.sharpening.windows

    def test_can_be_stopped_by_whoever_only_watches_the_points(self, engine: Engine) -> None:
        told: list[tuple[int, int]] = []
        engine.generate(PHOTO, SHARP, on_progress=lambda *step: told.append(step))
        assert told == [(25, 25)] * 2  # the search, and that all masks are known


class TestDrawnIn:
    @given(st.data())
    def test_is_the_part_of_the_mask_in_the_window(self, data: st.DataObject) -> None:
        height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
        bits = data.draw(st.integers(0, 2 ** (height * width) - 1))
        mask_hw = np.array([bits >> k & 1 for k in range(height * width)], bool)
        mask_hw = mask_hw.reshape(height, width)
        left = data.draw(st.integers(0, width - 1))
        top = data.draw(st.integers(0, height - 1))
        right = data.draw(st.integers(left + 1, width))
        bottom = data.draw(st.integers(top + 1, height))
        mask_hw[:top] = mask_hw[bottom:] = mask_hw[:, :left] = mask_hw[:, right:] = False
        window = Window((left, top, right, bottom))
        drawn = drawn_in(window, Rle.from_mask(mask_hw))
        np.testing.assert_array_equal(drawn, mask_hw[top:bottom, left:right])


def looking_with(engine: Engine) -> Looking:
    """At the photo, through the parts of an engine."""
    return Looking(
        engine._decoder,
        lambda window_hwc, remember: engine.embed(window_hwc, remember=remember),
        PHOTO,
        SHARP.of_sharpening(),
        one_by_one=True,
    )
