"""Duplicates by their boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from infer_segment_anything_2.sam2_engine.masks.duplicates import non_maximum_suppression


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
