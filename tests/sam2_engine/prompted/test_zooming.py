"""A closer look: the same as asking about the cut-out window, put back into the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.errors import CancelledError, ParameterError
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.prompted.prediction import Prediction
from infer_segment_anything_2.sam2_engine.prompted.windows import window_around
from infer_segment_anything_2.sam2_engine.prompted.zooming import zoomed
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings

Image = np.ndarray

BOX = (90.0, 20.0, 150.0, 110.0)
FACE = ObjectPrompt(box_xyxy_px=BOX)
CLICK = ObjectPrompt(points_xy_px=((118.0, 60.0),))
ALWAYS = PredictionSettings(zoom="always")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("sam2_demo_nano", device=torch.device("cpu"))


@pytest.fixture(scope="module")
def photo() -> Image:
    return np.ascontiguousarray(data.astronaut()[::2, ::2])


@pytest.fixture
def encoded_hw(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one with each encoding."""
    encoded: list[int] = []
    handle = model.network.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    yield encoded
    handle.remove()


def looked_at(
    engine: Engine, photo: Image, *objects: ObjectPrompt, settings: PredictionSettings = ALWAYS
) -> Prediction:
    return engine.predict(engine.embed(photo), objects, settings, image_rgb_hwc=photo)


class TestABox:
    def test_is_answered_as_in_the_cut_out_window(self, model: LoadedModel, photo: Image) -> None:
        engine = Engine(model)
        window = window_around(BOX, photo.shape[:2])
        left, top, right, bottom = window.box_xyxy_px
        moved = ObjectPrompt(box_xyxy_px=(BOX[0] - left, BOX[1] - top, BOX[2] - left, BOX[3] - top))
        settings = PredictionSettings(zoom="always", multimask_output=True)
        found = looked_at(engine, photo, FACE, settings=settings)
        plain = engine.predict(
            engine.embed(photo[top:bottom, left:right]),
            [moved],
            PredictionSettings(multimask_output=True),
        )
        for ours, theirs in zip(found.ranked, plain.ranked, strict=True):
            whole = np.zeros(photo.shape[:2], bool)
            whole[top:bottom, left:right] = theirs.rles[0].decode()
            np.testing.assert_array_equal(ours.rles[0].decode(), whole)
            rows, columns = np.nonzero(whole)
            extent = [columns.min(), rows.min(), columns.max(), rows.max()]
            assert ours.boxes_xyxy_px[0].tolist() == extent
            assert ours.predicted_iou == theirs.predicted_iou
            assert ours.crop_boxes_xywh_px[0].tolist() == [left, top, right - left, bottom - top]

    def test_for_one_mask_is_asked_again_with_that_mask_and_a_point_inside(
        self, model: LoadedModel, photo: Image
    ) -> None:
        engine = Engine(model)
        left, top, right, bottom = window_around(BOX, photo.shape[:2]).box_xyxy_px
        box = (BOX[0] - left, BOX[1] - top, BOX[2] - left, BOX[3] - top)
        window = engine.embed(photo[top:bottom, left:right])
        (once,) = engine.predict(window, [ObjectPrompt(box_xyxy_px=box)]).ranked[0].rles
        beside = ObjectPrompt(box_xyxy_px=box, mask=PromptMask(once.decode()))
        (twice,) = engine.predict(window, [beside]).ranked[0].rles
        found = looked_at(engine, photo, FACE).ranked[0].rles[0].decode()
        np.testing.assert_array_equal(found[top:bottom, left:right], twice.decode())
        assert twice != once

    def test_of_each_object_stays_in_its_place(self, model: LoadedModel, photo: Image) -> None:
        engine = Engine(model)
        other = ObjectPrompt(box_xyxy_px=(10.0, 150.0, 60.0, 200.0))
        together = looked_at(engine, photo, FACE, other, CLICK).ranked[0]
        assert together.object_index.tolist() == [0, 1, 2]
        for index, prompt in enumerate((FACE, other, CLICK)):
            assert together.rles[index] == looked_at(engine, photo, prompt).ranked[0].rles[0]

    def test_leaves_out_background_points_beyond_the_window(
        self, model: LoadedModel, photo: Image
    ) -> None:
        engine = Engine(model)
        far = ObjectPrompt(box_xyxy_px=BOX, points_xy_px=((2.0, 250.0),), labels=(0,))
        near = ObjectPrompt(box_xyxy_px=BOX, points_xy_px=((100.0, 25.0),), labels=(0,))
        plain, with_far, with_near = (
            looked_at(engine, photo, prompt).ranked[0].rles[0] for prompt in (FACE, far, near)
        )
        assert with_far == plain
        assert with_near != plain


class TestAClick:
    def test_gives_each_candidate_its_own_window(self, model: LoadedModel, photo: Image) -> None:
        settings = PredictionSettings(zoom="always", multimask_output=True)
        first = looked_at(
            Engine(model), photo, CLICK, settings=PredictionSettings(multimask_output=True)
        )
        found = looked_at(Engine(model), photo, CLICK, settings=settings)
        assert len(found.ranked) == 3
        for before, after in zip(first.ranked, found.ranked, strict=True):
            x1, y1, x2, y2 = map(float, before.boxes_xyxy_px[0])
            assert after.rles[0] != before.rles[0]
            common = (before.rles[0].decode() & after.rles[0].decode()).sum()
            assert common > 0.5 * min(before.rles[0].area_px, after.rles[0].area_px)
            left, top, width, height = after.crop_boxes_xywh_px[0]
            assert left <= x1 and top <= y1
            assert x2 < left + width and y2 < top + height

    def test_goes_on_from_the_answer_on_the_whole_picture(
        self, model: LoadedModel, photo: Image
    ) -> None:
        engine = Engine(model)
        plain = engine.predict(engine.embed(photo), [CLICK])
        found = looked_at(engine, photo, CLICK)
        assert torch.equal(found.low_res_logits_nhw, plain.low_res_logits_nhw)

    def test_a_second_one_in_the_same_window_encodes_nothing(
        self, model: LoadedModel, photo: Image, encoded_hw: list[int]
    ) -> None:
        engine = Engine(model)
        looked_at(engine, photo, FACE)
        spent = len(encoded_hw)
        assert spent > 1
        again = ObjectPrompt(box_xyxy_px=BOX, points_xy_px=((118.0, 60.0),))
        looked_at(engine, photo, again)
        assert len(encoded_hw) == spent


class TestAMask:
    def test_comes_along_into_the_window(self, model: LoadedModel, photo: Image) -> None:
        engine = Engine(model)
        mask_hw = np.zeros((128, 128), bool)
        mask_hw[15:50, 48:72] = True
        found = looked_at(engine, photo, ObjectPrompt(mask=PromptMask(mask_hw))).ranked[0]
        assert found.crop_boxes_xywh_px[0, 2] < photo.shape[1]
        drawn = found.rles[0].decode()
        common = drawn & np.kron(mask_hw, np.ones((2, 2), bool))
        assert common.sum() > 0.5 * drawn.sum()


class TestZoom:
    def test_auto_leaves_large_objects_as_they_are(
        self, model: LoadedModel, photo: Image, encoded_hw: list[int]
    ) -> None:
        engine = Engine(model)
        large = ObjectPrompt(box_xyxy_px=(40.0, 5.0, 230.0, 250.0))
        plain = engine.predict(engine.embed(photo), [large])
        spent = len(encoded_hw)
        found = looked_at(engine, photo, large, settings=PredictionSettings(zoom="auto"))
        assert found.ranked[0].rles == plain.ranked[0].rles
        assert len(encoded_hw) == spent

    def test_auto_looks_closer_at_small_boxes_but_not_at_points(
        self, model: LoadedModel, photo: Image
    ) -> None:
        small = ObjectPrompt(box_xyxy_px=(10.0, 150.0, 60.0, 200.0))
        auto = PredictionSettings(zoom="auto")
        found = looked_at(Engine(model), photo, small, CLICK, settings=auto).ranked[0]
        assert found.crop_boxes_xywh_px[0, 2] < photo.shape[1]
        assert found.crop_boxes_xywh_px[1].tolist() == [0, 0, 256, 256]

    def test_shares_a_window_between_objects(
        self, model: LoadedModel, photo: Image, encoded_hw: list[int]
    ) -> None:
        engine = Engine(model)
        nearly = ObjectPrompt(box_xyxy_px=(*BOX[:3], BOX[3] + 1))
        looked_at(engine, photo, FACE)
        alone = len(encoded_hw)
        looked_at(Engine(model), photo, FACE, nearly)
        assert len(encoded_hw) == 2 * alone

    def test_can_be_stopped_before_a_window(self, model: LoadedModel, photo: Image) -> None:
        engine = Engine(model)
        calls: list[tuple[int, int]] = []

        def stop_at_third(done: int, total: int) -> None:
            calls.append((done, total))
            if len(calls) == 3:
                raise CancelledError("The run was stopped on request.")

        with pytest.raises(CancelledError):
            engine.predict(
                engine.embed(photo),
                [FACE, ObjectPrompt(box_xyxy_px=(10.0, 150.0, 60.0, 200.0))],
                ALWAYS,
                image_rgb_hwc=photo,
                on_progress=stop_at_third,
            )
        assert calls == [(0, 2), (0, 2), (1, 2)]

    def test_changes_nothing_where_nothing_is_found_in_the_window(
        self, model: LoadedModel, photo: Image
    ) -> None:
        engine = Engine(model)
        first = engine.predict(engine.embed(photo), [FACE])
        found = zoomed(
            engine._decoder,
            lambda window_hwc, remember: engine.embed(window_hwc, remember=remember),
            photo,
            [FACE],
            first,
            PredictionSettings(zoom="always", mask_threshold=1000.0),
        )
        assert found.ranked[0].rles == first.ranked[0].rles
        assert found.ranked[0].predicted_iou == first.ranked[0].predicted_iou

    def test_needs_the_picture(self, model: LoadedModel, photo: Image) -> None:
        engine = Engine(model)
        with pytest.raises(ParameterError, match="the picture must be given as image_rgb_hwc"):
            engine.predict(engine.embed(photo), [FACE], ALWAYS)
