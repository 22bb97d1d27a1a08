"""Drawn masks, and cleaning done slowly on them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis.extra import numpy as hnp
from skimage import measure

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px

Mask = npt.NDArray[np.bool_]
some_masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))

ONE_OFF = pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((1, 1), bool), id="one zero"),
        pytest.param(np.ones((1, 1), bool), id="one one"),
        pytest.param(np.zeros((3, 5), bool), id="nothing"),
        pytest.param(np.ones((5, 3), bool), id="all"),
        pytest.param(np.eye(7, dtype=bool), id="diagonal"),
        pytest.param(np.ones((1, 9), bool), id="one row"),
        pytest.param(np.indices((60, 40)).sum(0) % 2 == 0, id="chessboard"),
        pytest.param(np.indices((60, 41))[1] % 4 < 2, id="stripes"),
        pytest.param(np.random.default_rng(0).random((120, 90)) < 0.4, id="noise"),
        pytest.param(np.random.default_rng(1).random((90, 120)) < 0.2, id="thin noise"),
        pytest.param(np.hypot(*(np.indices((70, 90)) - 35)) % 8 < 4, id="rings"),
    ],
)


def label(mask: Mask) -> npt.NDArray[np.int64]:
    """Numbers a mask's regions from 1."""
    numbered: npt.NDArray[np.int64] = measure.label(mask, connectivity=2)
    return numbered


def slow_remove_small(mask: Mask, least_area_px: int) -> Mask:
    """Meta's `remove_small_regions`, holes first, with scikit-image's labels."""
    for is_hole in (True, False):
        regions = label(mask != is_hole)
        sizes = np.bincount(regions.ravel())[1:]
        small = [k + 1 for k, size in enumerate(sizes) if size < least_area_px]
        if is_hole:
            mask = mask | np.isin(regions, small)
        else:
            if small and len(small) == len(sizes):
                sizes_by_column = np.bincount(regions.ravel())[1:]
                largest = max(
                    small,
                    key=lambda k: (sizes_by_column[k - 1], -first_in_columns(regions == k)),
                )
                small.remove(largest)
            mask = mask & ~np.isin(regions, small)
    return mask


def first_in_columns(mask: Mask) -> int:
    return int(np.flatnonzero(mask.ravel(order="F"))[0])


def slow_keep_largest(mask: Mask) -> Mask:
    regions = label(mask)
    numbers = range(1, regions.max() + 1)
    if not numbers:
        return mask
    best = max(numbers, key=lambda k: ((regions == k).sum(), -first_in_columns(regions == k)))
    return np.asarray(regions == best)


def mask_set(*masks: Mask, predicted_iou: list[float] | None = None) -> MaskSet:
    n, image_hw = len(masks), (masks[0].shape[0], masks[0].shape[1])
    rles = tuple(Rle.from_mask(mask) for mask in masks)
    return MaskSet(
        image_hw=image_hw,
        rles=rles,
        boxes_xyxy_px=np.array([bounding_box_xyxy_px(rle.counts, image_hw) for rle in rles]),
        predicted_iou=np.array(predicted_iou or np.linspace(0.9, 0.8, n), np.float32),
        stability_score=np.ones(n, np.float32),
        points_xy_px=np.full((n, 2), np.nan),
        crop_boxes_xywh_px=np.zeros((n, 4), np.int64),
        object_index=np.arange(n),
    )
