"""The engine's three verbs: what is remembered, what is shared, what is exact."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.errors import DeviceError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    DecodedPrompts,
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from infer_segment_anything_2.sam2_engine.tracking.memory_attention import (
    FrameQuery,
    MemoryAttention,
    MemoryTokens,
)
from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
from infer_segment_anything_2.segmentation import Segmenter

CLICK = ObjectPrompt(points_xy_px=((60.0, 30.0),), labels=(1,))
BOX = ObjectPrompt(box_xyxy_px=(20.0, 10.0, 100.0, 90.0))
GRID = GridSettings(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.5)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("sam2_demo_nano", device=torch.device("cpu"))


@pytest.fixture
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[::4, ::4])


class CountedEncodings:
    """How often a network's image encoder ran."""

    def __init__(self, model: LoadedModel) -> None:
        self.count = 0
        self._handle = model.network.image_encoder.register_forward_hook(self._add)

    def _add(self, *_: object) -> None:
        self.count += 1

    def stop(self) -> None:
        self._handle.remove()


@pytest.fixture
def encodings(model: LoadedModel) -> Iterator[CountedEncodings]:
    counted = CountedEncodings(model)
    yield counted
    counted.stop()


class TestEmbed:
    def test_encodes_a_picture_once(
        self, model: LoadedModel, photo: np.ndarray, encodings: CountedEncodings
    ) -> None:
        engine = Engine(model)
        engine.predict(engine.embed(photo), [CLICK])
        engine.predict(engine.embed(photo.copy()), [BOX])
        engine.generate(photo, GRID)
        assert encodings.count == 1

    def test_remembers_nothing_of_a_search_in_crops(
        self, model: LoadedModel, photo: np.ndarray, encodings: CountedEncodings
    ) -> None:
        engine = Engine(model, candidate_bytes=0)
        with_crops = replace(GRID, crop_n_layers=1)
        engine.generate(photo, with_crops)
        engine.embed(photo)
        assert encodings.count == 1 + 4 + 1
        engine.generate(photo, with_crops)
        assert encodings.count == 1 + 4 + 1 + 4

    def test_lets_go_of_a_crop_before_the_next(
        self, model: LoadedModel, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prepared: list[weakref.ref[PreparedImage]] = []
        alive: list[int] = []
        prepare = FastMaskDecoder.prepare

        def count_and_prepare(*arguments: Any) -> PreparedImage:
            alive.append(sum(image() is not None for image in prepared))
            image = prepare(*arguments)
            prepared.append(weakref.ref(image))
            return image

        monkeypatch.setattr(FastMaskDecoder, "prepare", count_and_prepare)
        Engine(model, cache_bytes=0).generate(photo, replace(GRID, crop_n_layers=1))
        assert alive == [0] * 5

    def test_sees_one_pixel_changed_in_place(
        self, model: LoadedModel, photo: np.ndarray, encodings: CountedEncodings
    ) -> None:
        engine = Engine(model)
        before = engine.embed(photo)
        photo[5, 5, 0] ^= 1
        after = engine.embed(photo)
        assert encodings.count == 2
        assert not torch.equal(before.embedding.image_embed_bchw, after.embedding.image_embed_bchw)

    def test_forgets_pictures_beyond_its_limit(
        self, model: LoadedModel, photo: np.ndarray, encodings: CountedEncodings
    ) -> None:
        engine = Engine(model, cache_bytes=0)
        engine.embed(photo)
        engine.embed(photo)
        assert encodings.count == 2

    def test_shrinks_what_the_network_sees_only(
        self, model: LoadedModel, photo: np.ndarray
    ) -> None:
        engine = Engine(model)
        whole, half = engine.embed(photo), engine.embed(photo, input_size_percent=50)
        assert half.embedding.image_hw == whole.embedding.image_hw == photo.shape[:2]
        assert not torch.equal(whole.embedding.image_embed_bchw, half.embedding.image_embed_bchw)

    def test_tells_what_to_lower_when_memory_runs_out(
        self, model: LoadedModel, photo: np.ndarray
    ) -> None:
        def run_out(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        handle = model.network.image_encoder.register_forward_pre_hook(run_out)
        try:
            with pytest.raises(DeviceError, match=r"expected room to encode one picture.*smaller"):
                Engine(model).embed(photo)
        finally:
            handle.remove()


class TestPredict:
    def test_answers_the_same_from_several_threads(
        self, model: LoadedModel, photo: np.ndarray
    ) -> None:
        engine = Engine(model)
        pictures = [np.roll(photo, shift, axis=1) for shift in (0, 16, 32)]
        alone = [engine.predict(engine.embed(picture), [CLICK, BOX]) for picture in pictures]
        busy = Engine(model)
        with ThreadPoolExecutor(3) as threads:
            together = list(
                threads.map(
                    lambda picture: busy.predict(busy.embed(picture), [CLICK, BOX]), pictures * 3
                )
            )
        for index, prediction in enumerate(together):
            expected = alone[index % 3].ranked[0]
            assert prediction.ranked[0].rles == expected.rles
            assert np.allclose(
                prediction.ranked[0].predicted_iou, expected.predicted_iou, rtol=0, atol=1e-6
            )

    def test_asks_for_fewer_objects_at_a_time_when_memory_runs_out(
        self, model: LoadedModel, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clicks = [ObjectPrompt(points_xy_px=((8.0 * x + 4, 30.0),), labels=(1,)) for x in range(9)]
        engine = Engine(model)
        expected = engine.predict(engine.embed(photo), clicks).ranked[0]
        decode = FastMaskDecoder.decode
        sizes = []

        def decode_two_at_most(
            self: FastMaskDecoder,
            image: PreparedImage,
            sparse_bnc: torch.Tensor,
            dense_bchw: torch.Tensor | None = None,
        ) -> DecodedPrompts:
            sizes.append(len(sparse_bnc))
            if len(sparse_bnc) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return decode(self, image, sparse_bnc, dense_bchw)

        monkeypatch.setattr(FastMaskDecoder, "decode", decode_two_at_most)
        masks = engine.predict(engine.embed(photo), clicks).ranked[0]
        assert max(sizes) > 2 and sizes.count(1) + sizes.count(2) >= 5
        for mine, theirs in zip(masks.to_dense(), expected.to_dense(), strict=True):
            assert (mine != theirs).sum() <= 2


class TestTrack:
    def test_follows_fewer_objects_at_a_time_when_memory_runs_out(
        self, model: LoadedModel, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        boxes = {
            number: ObjectPrompt(box_xyxy_px=(20.0 * number, 20.0, 20.0 * number + 18, 50.0))
            for number in range(3)
        }
        engine = Engine(model)
        first = engine.track(TrackerState(), photo, boxes)
        expected = engine.track(first.state, photo)
        remember, sizes = MemoryAttention.remember, []

        def remember_one_at_most(
            self: MemoryAttention, frame: FrameQuery, tokens: MemoryTokens
        ) -> torch.Tensor:
            sizes.append(len(tokens.values_blc))
            if sizes[-1] > 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return remember(self, frame, tokens)

        monkeypatch.setattr(MemoryAttention, "remember", remember_one_at_most)
        again = engine.track(first.state, photo)
        assert sizes == [3, 3, 2, 1, 1, 1]  # of 8, 4, 2 and 1 at most
        assert list(again.presence) == list(expected.presence)
        for mine, theirs in zip(
            again.low_res_logits.values(), expected.low_res_logits.values(), strict=True
        ):
            assert torch.allclose(mine, theirs, atol=1e-2)
        sizes.clear()
        engine.track(first.state, photo)
        assert sizes == [1, 1, 1]  # not tried again


class TestHalfPrecision:
    def test_bfloat16_agrees_with_float32(self, photo: np.ndarray) -> None:
        masks = []
        for precision in (torch.float32, torch.bfloat16):
            engine = Engine(
                load_model("sam2_demo_nano", device=torch.device("cpu"), precision=precision)
            )
            masks.append(engine.predict(engine.embed(photo), [CLICK, BOX]).ranked[0])
        exact, half = (found.to_dense() for found in masks)
        agreement = (exact & half).sum((1, 2)) / (exact | half).sum((1, 2))
        assert (agreement > 0.9).all()
        assert np.allclose(masks[0].predicted_iou, masks[1].predicted_iou, atol=0.05)

    def test_of_the_encoder_alone_is_nearer_to_float32(self, photo: np.ndarray) -> None:
        cpu, half = torch.device("cpu"), torch.bfloat16
        exact, encoder, whole = (
            Engine(
                load_model(
                    "sam2_demo_nano", device=cpu, precision=rest, encoder_precision=of_encoder
                )
            )
            for rest, of_encoder in ((torch.float32, None), (torch.float32, half), (half, half))
        )
        logits = [
            engine.predict(engine.embed(photo), [BOX]).low_res_logits_nhw.float()
            for engine in (exact, encoder, whole)
        ]
        of_encoder, of_whole = (float((one - logits[0]).abs().mean()) for one in logits[1:])
        assert 0 < of_encoder < of_whole


class TestSegmenter:
    def test_keeps_the_model_while_it_stays_the_same(self, photo: np.ndarray) -> None:
        segmenter = Segmenter()
        parameters = Parameters(model_name="sam2_demo_nano", cuda=False, input_point="[60, 30]")
        segmenter.segment(photo, parameters)
        engine = segmenter.load(parameters)
        segmenter.segment(
            photo[::-1],
            Parameters(
                model_name="sam2_demo_nano",
                cuda=False,
                input_box="[20, 10, 100, 90]",
                mask_threshold=0.5,
            ),
        )
        assert segmenter.load(parameters) is engine

    def test_half_precision_is_given_on_a_cpu(self) -> None:
        segmenter = Segmenter()
        engine = segmenter.load(
            Parameters(model_name="sam2_demo_nano", cuda=False, precision="bfloat16")
        )
        assert engine.model.precision == torch.bfloat16
