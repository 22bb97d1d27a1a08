"""Masks as prompts: shrinking to logits, the box and the point that stand by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import (
    deepest_point,
    mask_logits,
    with_support,
)
from infer_segment_anything_2.sam2_engine.settings import MaskSupport

Mask = npt.NDArray[np.bool_]

BLOB = np.zeros((20, 30), bool)
BLOB[4:10, 6:20] = True


class TestMaskLogits:
    def test_are_in_proportion_to_the_share_covered(self) -> None:
        half = np.zeros((64, 64), bool)
        half[:, :36] = True
        logits = mask_logits(half, (8, 8), 10.0).numpy()
        assert logits[:, :3].min() == 10
        assert logits[:, 6:].max() == -10
        # The border lies in the middle of a cell: its logit says that either may be.
        assert np.abs(logits[:, 4]).max() < 0.2

    @pytest.mark.parametrize("image_hw", [(3, 5), (16, 16), (100, 40), (1, 1), (257, 255)])
    def test_have_the_size_asked_for(self, image_hw: tuple[int, int]) -> None:
        logits = mask_logits(np.ones(image_hw, bool), (16, 16), 4.0)
        assert logits.shape == (16, 16)
        assert logits.eq(4).all()

    def test_keep_large_masks_where_they_are(self) -> None:
        large = np.zeros((1200, 900), bool)
        large[300:900, 225:675] = True
        inside = mask_logits(large, (64, 64), 1.0).numpy() > 0
        rows, columns = np.nonzero(inside)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 47, 16, 47)


class TestDeepestPoint:
    @settings(max_examples=60, deadline=None)
    @given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
    def test_lies_on_the_mask(self, mask: Mask) -> None:
        mask[0, 0] = True
        x, y = deepest_point(mask)
        assert mask[int(y), int(x)]

    def test_is_far_from_the_edge(self) -> None:
        rows, columns = np.indices((300, 400))
        disc = np.hypot(rows - 100, columns - 250) < 80
        disc |= np.abs(rows - 100) < 3  # a long thin tail
        x, y = deepest_point(disc)
        assert abs(x - 250) < 8
        assert abs(y - 100) < 8

    def test_of_a_thin_mask_lies_on_it(self) -> None:
        diagonal = np.eye(500, dtype=bool)
        x, y = deepest_point(diagonal)
        assert diagonal[int(y), int(x)]


class TestWithSupport:
    def test_leaves_objects_without_mask(self) -> None:
        prompt = ObjectPrompt(box_xyxy_px=(1, 2, 3, 4))
        assert with_support(prompt, (20, 30), MaskSupport()) is prompt

    def test_adds_a_box_and_a_point_in_pixels_of_the_picture(self) -> None:
        prompt = ObjectPrompt(mask=PromptMask(BLOB))
        supported = with_support(prompt, (40, 90), MaskSupport())
        assert supported.box_xyxy_px == (18, 8, 60, 20)
        assert supported.labels == (1,)
        ((x, y),) = supported.points_xy_px
        assert BLOB[int(y / 2), int(x / 3)]

    def test_leaves_the_users_own_box_and_point(self) -> None:
        prompt = ObjectPrompt(((7, 5),), (1,), (6, 4, 20, 10), mask=PromptMask(BLOB))
        assert with_support(prompt, (20, 30), MaskSupport()) == prompt

    def test_adds_a_point_to_background_points(self) -> None:
        prompt = ObjectPrompt(((1, 1),), (0,), mask=PromptMask(BLOB))
        assert with_support(prompt, (20, 30), MaskSupport()).labels == (0, 1)

    def test_widens_the_box_within_the_picture(self) -> None:
        prompt = ObjectPrompt(mask=PromptMask(BLOB))
        wide = with_support(prompt, (20, 30), MaskSupport(margin=1.0))
        assert wide.box_xyxy_px == (0, 0, 30, 16)

    def test_adds_nothing_where_none_is_wanted(self) -> None:
        prompt = ObjectPrompt(mask=PromptMask(BLOB))
        assert with_support(prompt, (20, 30), MaskSupport(box=False, point=False)) == prompt
