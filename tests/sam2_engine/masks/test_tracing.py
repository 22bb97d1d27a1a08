"""Run lengths traced from small logits."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_2.sam2_engine.masks import tracing
from infer_segment_anything_2.sam2_engine.masks.rle import decode, encode
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from tests.sam2_engine.masks.logits import CPU, SIZES, enlarged, some_logits


class TestCountsFromLogits:
    @pytest.mark.parametrize("threshold", [0.0, 0.4])
    @pytest.mark.parametrize(("logits_hw", "image_hw"), SIZES)
    def test_equals_enlarging_first(
        self, logits_hw: tuple[int, int], image_hw: tuple[int, int], threshold: float
    ) -> None:
        logits = some_logits(logits_hw)
        upsampling = Upsampling(logits_hw, image_hw, CPU)
        for small, large in zip(logits.numpy(), enlarged(logits, image_hw).numpy(), strict=True):
            counts = counts_from_logits(small, upsampling, threshold, (0, 0), image_hw)
            drawn = decode(counts, image_hw)
            assert np.array_equal(encode(drawn), counts), "counts are not canonical"
            assert np.count_nonzero(drawn != (large > threshold)) <= drawn.size // 100_000

    def test_places_a_crop_in_its_picture(self) -> None:
        logits, crop_hw = some_logits((64, 64)), (120, 90)
        upsampling = Upsampling((64, 64), crop_hw, CPU)
        for small, large in zip(logits.numpy(), enlarged(logits, crop_hw).numpy(), strict=True):
            counts = counts_from_logits(small, upsampling, 0.0, (11, 7), (200, 101))
            whole = np.pad(large > 0, ((7, 200 - 120 - 7), (11, 101 - 90 - 11)))
            assert np.array_equal(decode(counts, (200, 101)), whole)

    def test_does_not_depend_on_how_many_columns_go_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upsampling = Upsampling((64, 64), (300, 200), CPU)
        logits = some_logits((64, 64)).numpy()
        at_once = [counts_from_logits(x, upsampling, 0.0, (0, 0), (300, 200)) for x in logits]
        monkeypatch.setattr(tracing, "_SAMPLES_AT_ONCE", 700)
        in_parts = [counts_from_logits(x, upsampling, 0.0, (0, 0), (300, 200)) for x in logits]
        assert all(np.array_equal(a, b) for a, b in zip(at_once, in_parts, strict=True))
