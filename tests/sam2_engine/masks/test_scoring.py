import pytest
import torch
from sam2.utils.amg import batched_mask_to_box, calculate_stability_score

from infer_segment_anything_2.sam2_engine.masks import upsampling
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from tests.sam2_engine.masks.logits import CPU, SIZES, THRESHOLDS, enlarged, some_logits


class TestScore:
    @pytest.mark.parametrize(("threshold", "offset"), THRESHOLDS)
    @pytest.mark.parametrize(("logits_hw", "image_hw"), SIZES)
    def test_equals_enlarging_first(
        self,
        logits_hw: tuple[int, int],
        image_hw: tuple[int, int],
        threshold: float,
        offset: float,
    ) -> None:
        logits = some_logits(logits_hw)
        scores = score(logits, Upsampling(logits_hw, image_hw, CPU), threshold, offset)
        large = enlarged(logits, image_hw)
        stability = calculate_stability_score(large, threshold, offset)
        assert scores.stability.dtype == stability.dtype
        torch.testing.assert_close(scores.stability, stability, rtol=0, atol=1e-6, equal_nan=True)
        assert torch.equal(scores.boxes_xyxy_px, batched_mask_to_box(large > threshold))

    def test_does_not_depend_on_how_many_cells_go_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logits = some_logits((64, 64))
        at_once = score(logits, Upsampling((64, 64), (300, 200), CPU), 0.0, 1.0)
        monkeypatch.setattr(upsampling, "_LINES_AT_ONCE", 999)
        in_parts = score(logits, Upsampling((64, 64), (300, 200), CPU), 0.0, 1.0)
        assert torch.equal(at_once.boxes_xyxy_px, in_parts.boxes_xyxy_px)
        torch.testing.assert_close(at_once.stability, in_parts.stability, equal_nan=True)

    @pytest.mark.parametrize(("logits_hw", "image_hw"), SIZES)
    def test_is_the_same_in_bulk(
        self, logits_hw: tuple[int, int], image_hw: tuple[int, int]
    ) -> None:
        logits = some_logits(logits_hw)
        one_way, other_way = (
            score(logits, Upsampling(logits_hw, image_hw, CPU, in_bulk), 0.1, 0.7)
            for in_bulk in (False, True)
        )
        assert torch.equal(one_way.boxes_xyxy_px, other_way.boxes_xyxy_px)
        torch.testing.assert_close(
            one_way.stability, other_way.stability, rtol=0, atol=0, equal_nan=True
        )

    def test_takes_no_masks(self) -> None:
        scores = score(torch.empty(0, 64, 64), Upsampling((64, 64), (30, 20), CPU), 0.0, 1.0)
        assert scores.stability.shape == (0,)
        assert scores.boxes_xyxy_px.shape == (0, 4)

    def test_counts_more_pixels_than_float32_can(self) -> None:
        # 5000 x 5000 = 25 million, 16.8 million is where float32 stops counting
        logits = torch.full((1, 64, 64), 5.0)
        logits[0, 0, 0] = 0.5
        scores = score(logits, Upsampling((64, 64), (5000, 5000), CPU), 0.0, 1.0)
        stability = calculate_stability_score(enlarged(logits, (5000, 5000)), 0.0, 1.0)
        assert scores.stability.item() == stability.item() < 1
