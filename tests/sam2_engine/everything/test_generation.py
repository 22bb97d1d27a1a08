import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.errors import CancelledError, DeviceError
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.everything import crop_search
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators, Image, nano_network

PICTURE: Image = np.ascontiguousarray(data.coffee()[::4, ::4])  # 100 x 150
LENIENT = GridSettings(
    points_per_side=4, points_per_batch=6, pred_iou_thresh=0.05, stability_score_thresh=0.05
)
MODES = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(LENIENT, id="three masks"),
        pytest.param(replace(LENIENT, multimask_output=False), id="single masks"),
        pytest.param(replace(LENIENT, points_per_side=2, use_m2m=True), id="m2m"),
        pytest.param(
            replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2), id="crops"
        ),
    ],
)


@pytest.fixture(scope="module")
def nano() -> Generators:
    return Generators(nano_network())


def check_equal(masks: MaskSet, expected: MaskSet) -> None:
    """Equal but for rounding: other batches add up in another order."""
    assert len(expected) > 0
    assert np.array_equal(masks.points_xy_px, expected.points_xy_px)
    assert np.array_equal(masks.crop_boxes_xywh_px, expected.crop_boxes_xywh_px)
    assert np.allclose(masks.predicted_iou, expected.predicted_iou, rtol=0, atol=1e-5)
    assert np.count_nonzero(masks.to_dense() != expected.to_dense()) <= len(masks)


class TestMemory:
    @MODES
    def test_a_full_pile_is_written_early(
        self, nano: Generators, settings: GridSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = nano.ours(PICTURE, settings).masks
        monkeypatch.setattr(crop_search, "_MOST_WAITING_BYTES", -1)
        check_equal(nano.ours(PICTURE, settings).masks, expected)

    @MODES
    def test_a_mask_that_was_dropped_too_early_is_decoded_again(
        self, nano: Generators, settings: GridSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = nano.ours(PICTURE, settings).masks
        add = crop_search._Pile.add

        def add_and_forget(pile: Any, candidates: Any) -> None:
            add(pile, candidates)
            pile._logits = [None] * len(pile._logits)

        monkeypatch.setattr(crop_search._Pile, "add", add_and_forget)
        check_equal(nano.ours(PICTURE, settings).masks, expected)


class ShortOfMemory(FastMaskDecoder):
    """Fails as a full GPU does, above some number of prompts."""

    room = 0
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def decode(self, image: Any, sparse_bnc: Any, dense_bchw: Any = None) -> Any:
        if len(sparse_bnc) > self.room:
            raise self.error
        return super().decode(image, sparse_bnc, dense_bchw)


class TestOutOfMemory:
    @MODES
    @pytest.mark.parametrize("room", [1, 3])
    def test_halves_the_batch_until_it_fits(
        self, nano: Generators, settings: GridSettings, room: int
    ) -> None:
        expected = nano.ours(PICTURE, settings).masks
        short = Generators(nano.network)
        short.decoder = ShortOfMemory(nano.network)
        short.decoder.room = room
        check_equal(short.ours(PICTURE, settings).masks, expected)

    def test_says_what_to_lower_when_one_point_is_too_much(self, nano: Generators) -> None:
        short = Generators(nano.network)
        short.decoder = ShortOfMemory(nano.network)
        with pytest.raises(DeviceError) as caught:
            short.ours(PICTURE, LENIENT)
        assert str(caught.value).startswith(
            "The memory of device 'cpu' does not suffice: expected room to decode one point at a "
            "time, got out of memory. Lower points_per_batch,"
        )
        assert str(caught.value).endswith("CUDA out of memory. Tried to allocate 2 GiB")

    def test_lets_other_errors_pass(self, nano: Generators) -> None:
        broken = Generators(nano.network)
        broken.decoder = ShortOfMemory(nano.network)
        broken.decoder.error = RuntimeError("shapes do not fit")
        with pytest.raises(RuntimeError, match=r"^shapes do not fit$"):
            broken.ours(PICTURE, LENIENT)


class TestProgress:
    def test_counts_the_points_of_all_crops(self, nano: Generators) -> None:
        told: list[tuple[int, int]] = []
        settings = replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2)
        nano.ours(PICTURE, settings, lambda done, total: told.append((done, total)))
        done = [step for step, _ in told]
        assert {total for _, total in told} == {16 + 4 * 4}
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, 32)

    def test_a_cancelled_run_ends_and_leaves_no_thread(self, nano: Generators) -> None:
        threads_before = set(threading.enumerate())

        def cancel(done: int, total: int) -> None:
            if done:
                raise CancelledError(f"stopped after {done} of {total}")

        with pytest.raises(CancelledError, match=r"^stopped after 6 of 16$"):
            nano.ours(PICTURE, LENIENT, cancel)
        assert set(threading.enumerate()) == threads_before


class TestGenerate:
    @pytest.mark.parametrize("points_per_batch", [1, 5, 1000])
    def test_does_not_depend_on_the_batch(self, nano: Generators, points_per_batch: int) -> None:
        other = replace(LENIENT, points_per_batch=points_per_batch)
        check_equal(nano.ours(PICTURE, other).masks, nano.ours(PICTURE, LENIENT).masks)

    def test_takes_at_most_as_many_points_as_allowed(self, nano: Generators) -> None:
        strict = Generators(nano.network)
        strict.decoder = ShortOfMemory(nano.network)
        strict.decoder.room = 5
        strict.decoder.error = AssertionError("too many prompts at a time")
        settings = replace(LENIENT, points_per_batch=5, use_m2m=True)
        assert len(strict.ours(PICTURE, settings).masks) > 0

    def test_numbers_the_masks(self, nano: Generators) -> None:
        settings = replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2)
        masks = nano.ours(PICTURE, settings).masks
        assert masks.object_index.tolist() == list(range(len(masks)))

    def test_counts_what_each_filter_left(self, nano: Generators) -> None:
        settings = replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2)
        result = nano.ours(PICTURE, settings)
        counts = result.filter_counts
        assert (counts.points, counts.proposed) == (32, 96)
        left = counts[1:7]
        assert list(left) == sorted(left, reverse=True)
        assert counts.after_crop_nms == len(result.masks)

    def test_leaves_the_process_as_it_was(self, nano: Generators) -> None:
        image = PICTURE.copy()
        threads = torch.get_num_threads()
        random = torch.random.get_rng_state()
        nano.ours(image, LENIENT)
        assert np.array_equal(image, PICTURE)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), random)
