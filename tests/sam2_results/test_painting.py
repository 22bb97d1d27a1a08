"""Label maps, colours and overlays against plain loops over dense masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.painting import (
    instance_colours,
    paint_labels,
    paint_overlay,
)

Masks = npt.NDArray[np.bool_]

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9))


def set_of(masks_nhw: Masks) -> MaskSet:
    """A mask set with nothing but masks."""
    n = len(masks_nhw)
    return MaskSet(
        image_hw=(masks_nhw.shape[1], masks_nhw.shape[2]),
        rles=tuple(Rle.from_mask(mask_hw) for mask_hw in masks_nhw),
        boxes_xyxy_px=np.zeros((n, 4), np.int64),
        predicted_iou=np.zeros(n, np.float32),
        stability_score=np.zeros(n, np.float32),
        points_xy_px=np.zeros((n, 2)),
        crop_boxes_xywh_px=np.zeros((n, 4), np.int64),
        object_index=np.arange(n),
    )


class TestPaintLabels:
    def test_puts_the_smaller_on_top(self) -> None:
        masks_nhw = np.zeros((3, 4, 5), bool)
        masks_nhw[0, 1, 1] = True
        masks_nhw[1, :3, :3] = True
        masks_nhw[2] = True
        assert paint_labels(set_of(masks_nhw)).tolist() == [
            [2, 2, 2, 3, 3],
            [2, 1, 2, 3, 3],
            [2, 2, 2, 3, 3],
            [3, 3, 3, 3, 3],
        ]

    def test_of_equal_sizes_puts_the_better_ranked_on_top(self) -> None:
        labels_hw = paint_labels(set_of(np.ones((3, 2, 2), bool)))
        assert labels_hw.tolist() == [[1, 1], [1, 1]]

    @given(arrays.arrays(bool, st.tuples(st.integers(0, 5), st.just(7), st.just(6))))
    def test_equals_the_plain_loop(self, masks_nhw: Masks) -> None:
        expected_hw = np.zeros(masks_nhw.shape[1:], int)
        for index in sorted(range(len(masks_nhw)), key=lambda i: (-masks_nhw[i].sum(), -i)):
            expected_hw[masks_nhw[index]] = index + 1
        assert np.array_equal(paint_labels(set_of(masks_nhw)), expected_hw)

    @pytest.mark.parametrize(
        ("count", "dtype"),
        [
            pytest.param(0, np.uint8, id="none"),
            pytest.param(255, np.uint8, id="as-many-as-8-bits-hold"),
            pytest.param(256, np.uint16, id="one-more"),
            pytest.param(65_535, np.uint16, id="as-many-as-16-bits-hold"),
            pytest.param(65_536, np.int32, id="more-than-16-bits"),
        ],
    )
    def test_is_just_wide_enough(self, count: int, dtype: type) -> None:
        few = set_of(np.ones((min(count, 1), 1, 1), bool))
        labels_hw = paint_labels(few.select(np.zeros(count, int)))
        assert labels_hw.dtype == dtype

    def test_tells_300_masks_apart(self) -> None:
        masks_nhw = np.eye(300, dtype=bool).reshape(300, 15, 20)
        labels_hw = paint_labels(set_of(masks_nhw))
        assert np.array_equal(labels_hw.ravel(), np.arange(1, 301))


class TestInstanceColours:
    def test_are_all_different(self) -> None:
        assert len(np.unique(instance_colours(5000), axis=0)) == 5000

    def test_a_longer_list_begins_as_a_shorter(self) -> None:
        assert np.array_equal(instance_colours(300)[:20], instance_colours(20))

    def test_are_bright(self) -> None:
        assert instance_colours(1000).max(axis=1).min() >= 0.6 * 255 - 1

    def test_the_first_dozen_is_far_apart(self) -> None:
        colours = instance_colours(12).astype(float)
        distances = np.linalg.norm(colours[:, None] - colours[None], axis=2)
        assert distances[~np.eye(12, dtype=bool)].min() > 40

    def test_of_none_is_empty(self) -> None:
        assert instance_colours(0).shape == (0, 3)


class TestPaintOverlay:
    def test_leaves_the_background_and_its_input_as_they_are(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
        before = image.copy()
        mask_hw = np.zeros((9, 8), bool)
        mask_hw[2:6, 3:7] = True
        painted = paint_overlay(image, set_of(mask_hw[None]))
        assert np.array_equal(painted[~mask_hw], before[~mask_hw])
        assert np.array_equal(image, before)
        assert (painted[mask_hw] != before[mask_hw]).any()

    @pytest.mark.parametrize("height", [5, 255, 256, 257, 600])
    def test_blends_inside_and_outlines_solidly(self, height: int) -> None:
        masks_nhw = np.zeros((2, height, 6), bool)
        masks_nhw[0, :, :5] = True
        masks_nhw[1, 1:-1, 1:4] = True
        painted = paint_overlay(np.zeros((height, 6, 3), np.uint8), set_of(masks_nhw), opacity=0.5)
        large, small = instance_colours(2).astype(float)
        rows = slice(2, -2)
        assert np.allclose(painted[rows, 2], np.round(small / 2))  # inside the smaller
        assert np.array_equal(painted[rows, [1, 3]], np.tile(small, (height - 4, 2, 1)))
        assert np.array_equal(painted[:, 4], np.tile(large, (height, 1)))
        assert not painted[:, 5].any()
        assert np.array_equal(painted[0, :4], np.array([large / 2, large, large, large]).round())
