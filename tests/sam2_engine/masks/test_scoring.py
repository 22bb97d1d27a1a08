import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sam2.utils.amg import batched_mask_to_box, calculate_stability_score
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou

from infer_segment_anything_2.sam2_engine.masks import tracing, upsampling
from infer_segment_anything_2.sam2_engine.masks.duplicates import non_maximum_suppression
from infer_segment_anything_2.sam2_engine.masks.rle import decode, encode
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling

CPU = torch.device("cpu")

# (logits, picture): as wide as in life, odd ratios, reductions, both at once, and the smallest
SIZES = [
    pytest.param((256, 256), (1200, 1800), id="landscape"),
    pytest.param((256, 256), (1001, 333), id="portrait"),
    pytest.param((64, 64), (256, 256), id="whole ratio"),
    pytest.param((256, 256), (256, 256), id="same size"),
    pytest.param((256, 256), (97, 130), id="tiny picture"),
    pytest.param((64, 64), (7, 500), id="reduced and enlarged"),
    pytest.param((64, 64), (500, 63), id="enlarged and reduced"),
    pytest.param((64, 64), (1, 1), id="one pixel"),
    pytest.param((64, 64), (1, 300), id="one line"),
]
THRESHOLDS = [
    pytest.param(0.0, 1.0, id="default"),
    pytest.param(-0.7, 1.0, id="other threshold"),
    pytest.param(0.3, 0.25, id="other offset"),
    pytest.param(0.0, 0.0, id="no offset"),
]


def some_logits(hw: tuple[int, int]) -> Tensor:
    """Blobs of several sizes, noise, and all kinds of flat ones."""
    random = torch.Generator().manual_seed(0)
    noise = 3 * torch.randn(2, *hw, generator=random)
    y, x = (torch.linspace(-1, 1, n) for n in hw)
    far = torch.hypot(y[:, None] - 0.2, x[None, :] + 0.3)
    blobs = torch.stack([20 * (size - far) for size in (0.02, 0.2, 0.7, 2.5)])
    coarse = torch.randn(3, 1, 6, 6, generator=random)
    hills = 4 * functional.interpolate(coarse, hw, mode="bicubic")[:, 0]
    flat = torch.stack([torch.full(hw, value) for value in (-9.0, 0.0, 0.5, 9.0)])
    return torch.cat([blobs, hills, flat, noise])


def enlarged(logits: Tensor, hw: tuple[int, int]) -> Tensor:
    return functional.interpolate(logits[:, None], hw, mode="bilinear", align_corners=False)[:, 0]


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


def suppress_slowly(
    boxes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], iou_threshold: float
) -> list[int]:
    """Greedy suppression as it is taught; of equal scores the first one is the better."""
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    corners = torch.as_tensor(boxes).float()
    kept: list[int] = []
    for i in order:
        overlaps = box_iou(corners[[i]], corners[kept]) if kept else torch.zeros(1, 0)
        if not (overlaps > iou_threshold).any():
            kept.append(i)
    return kept


class TestNonMaximumSuppression:
    @given(
        st.lists(
            st.tuples(*[st.integers(0, 12)] * 4, st.sampled_from([0.25, 0.5, 0.75])), max_size=30
        )
    )
    def test_equals_the_slow_way_with_ties(
        self, rows: list[tuple[int, int, int, int, float]]
    ) -> None:
        table = np.array(rows, np.float64).reshape(-1, 5)
        boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1).astype(np.int64)
        scores = table[:, 4].astype(np.float32)
        kept = non_maximum_suppression(boxes, scores, 0.5)
        assert kept.tolist() == suppress_slowly(boxes, scores, 0.5)

    @pytest.mark.parametrize("image_hw", [(1, 40), (40, 1)])
    def test_finds_duplicates_in_a_picture_of_one_line(self, image_hw: tuple[int, int]) -> None:
        ends = np.array([[0, 9], [0, 9], [1, 9], [20, 29]])
        zeros = np.zeros((4, 1), np.int64)
        columns = (ends[:, :1], zeros, ends[:, 1:], zeros)
        if image_hw[1] == 1:
            columns = (zeros, ends[:, :1], zeros, ends[:, 1:])
        boxes = np.concatenate(columns, axis=1)
        scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
        assert non_maximum_suppression(boxes, scores, 0.5, image_hw).tolist() == [0, 3]
