"""Run lengths traced from small logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infer_segment_anything_2.sam2_engine.masks import tracing
from infer_segment_anything_2.sam2_engine.masks.rle import decode, encode
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.tracing_in_bulk import counts_in_bulk
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

    @pytest.mark.parametrize("threshold", [0.0, 0.4, -0.7, 1.3, -3.1])
    def test_looks_where_logits_are_only_at_the_threshold(self, threshold: float) -> None:
        """Weighed and rounded, logits that are not above the threshold may come to lie above it."""
        upsampling = Upsampling((64, 64), (97, 131), CPU)
        rng = np.random.default_rng(0)
        logits = np.full((60, 64, 64), np.float32(threshold) - 2, np.float32)
        for index, logits_hw in enumerate(logits):
            flat = np.float32(threshold)
            for _ in range(index % 3):
                flat = np.nextafter(flat, np.float32(-9), dtype=np.float32)
            y, x = rng.integers(0, 60, 2)
            logits_hw[y : y + 4, x : x + 4] = flat
            if index % 2:
                logits_hw[(y + 20) % 60, (x + 20) % 60] = threshold + 1
        whole = counts_in_bulk(torch.from_numpy(logits), upsampling, threshold, (0, 0), (97, 131))
        for logits_hw, expected in zip(logits, whole, strict=True):
            counts = counts_from_logits(logits_hw, upsampling, threshold, (0, 0), (97, 131))
            assert np.array_equal(counts, expected)

    @pytest.mark.parametrize("place", [(0, 0), (0, 63), (63, 0), (63, 63), (0, 30), (30, 63)])
    def test_looks_at_the_last_logit_of_each_side(self, place: tuple[int, int]) -> None:
        upsampling = Upsampling((64, 64), (97, 131), CPU)
        logits = np.full((64, 64), -3, np.float32)
        logits[place] = 9
        large = enlarged(torch.from_numpy(logits)[None], (97, 131))[0].numpy()
        counts = counts_from_logits(logits, upsampling, 0.0, (0, 0), (97, 131))
        assert np.array_equal(decode(counts, (97, 131)), large > 0)
