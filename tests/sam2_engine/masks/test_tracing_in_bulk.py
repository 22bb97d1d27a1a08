"""Run lengths of many masks together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infer_segment_anything_2.sam2_engine.masks import tracing_in_bulk
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.tracing_in_bulk import counts_in_bulk
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from tests.device_work import DeviceWork
from tests.sam2_engine.masks.logits import CPU, SIZES, some_logits

Pair = tuple[int, int]


def assert_same(logits_hw: Pair, crop_hw: Pair, threshold: float, xy: Pair, image_hw: Pair) -> None:
    """As one by one, to the last run length."""
    logits = some_logits(logits_hw)
    upsampling = Upsampling(logits_hw, crop_hw, CPU)
    together = counts_in_bulk(logits, upsampling, threshold, xy, image_hw)
    one_by_one = [
        counts_from_logits(x, upsampling, threshold, xy, image_hw) for x in logits.numpy()
    ]
    assert len(together) == len(one_by_one)
    assert all(np.array_equal(a, b) for a, b in zip(together, one_by_one, strict=True))


class TestCountsInBulk:
    @pytest.mark.parametrize("threshold", [0.0, 0.4])
    @pytest.mark.parametrize(("logits_hw", "image_hw"), SIZES)
    def test_equal_those_found_one_by_one(
        self, logits_hw: Pair, image_hw: Pair, threshold: float
    ) -> None:
        assert_same(logits_hw, image_hw, threshold, (0, 0), image_hw)

    @pytest.mark.parametrize("xy", [(11, 7), (0, 80), (11, 80)])
    def test_place_a_crop_in_its_picture(self, xy: Pair) -> None:
        assert_same((64, 64), (120, 90), 0.0, xy, (200, 101))

    def test_do_not_depend_on_the_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tracing_in_bulk, "_SAMPLES_AT_ONCE", 3 * 200 * 64)
        assert_same((64, 64), (300, 200), 0.0, (0, 0), (300, 200))

    def test_of_no_masks_are_none(self) -> None:
        upsampling = Upsampling((64, 64), (30, 20), CPU)
        assert counts_in_bulk(torch.empty(0, 64, 64), upsampling, 0.0, (0, 0), (30, 20)) == []

    def test_take_as_many_operations_for_few_as_for_many(self) -> None:
        logits = some_logits((64, 64))
        upsampling = Upsampling((64, 64), (300, 200), CPU)
        work = []
        for some in (logits[:1], logits):
            with DeviceWork() as counted:
                counts_in_bulk(some, upsampling, 0.0, (0, 0), (300, 200))
            work.append(counted)
        assert work[0].launches == work[1].launches <= 50
        assert work[0].stops == work[1].stops == 2
