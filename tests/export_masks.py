"""Masks of all kinds to be written to files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis.extra import numpy as arrays

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle

Masks = npt.NDArray[np.bool_]
HW = (37, 53)  # both odd, not square
FEW_MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=3, max_dims=3, max_side=8))


def set_of(masks_nhw: Masks) -> MaskSet:
    n = len(masks_nhw)
    return MaskSet(
        image_hw=(masks_nhw.shape[1], masks_nhw.shape[2]),
        rles=tuple(Rle.from_mask(mask_hw) for mask_hw in masks_nhw),
        boxes_xyxy_px=np.arange(4 * n).reshape(n, 4),
        predicted_iou=np.linspace(0.99, 0.8, n, dtype=np.float32),
        stability_score=np.full(n, np.nan, np.float32),
        points_xy_px=np.arange(2.0 * n).reshape(n, 2),
        crop_boxes_xywh_px=np.tile([0, 0, 6, 4], (n, 1)),
        object_index=np.arange(n),
    )


def shapes() -> Masks:
    """Plain, with holes, in parts, one pixel, nothing, noise, all: on a picture of odd sizes."""
    masks_nhw = np.zeros((9, *HW), bool)
    y, x = np.mgrid[: HW[0], : HW[1]]
    apart = np.hypot(y - 18, x - 25)
    masks_nhw[0] = apart < 15
    masks_nhw[1] = (apart < 17) & (apart > 9)
    masks_nhw[2] = (apart < 4) | (np.hypot(y - 5, x - 45) < 5) | ((y > 33) & (x < 3))
    masks_nhw[3, 11, 7] = True
    masks_nhw[5] = np.random.default_rng(0).random(HW) < 0.5
    masks_nhw[6] = True
    masks_nhw[7] = (apart < 17) & (apart > 12) | (apart < 8) & (apart > 3)  # ring in ring
    masks_nhw[8, -1, -1] = masks_nhw[8, 0, 0] = True
    return masks_nhw


SHAPES = shapes()


def three_hundred() -> Masks:
    masks_nhw = np.zeros((300, *HW), bool)
    for index, (top, left) in enumerate(np.ndindex(15, 20)):
        masks_nhw[index, 2 * top : 2 * top + 3, 2 * left : 2 * left + 4] = True
    return masks_nhw


ALL_SETS = pytest.mark.parametrize(
    "masks_nhw",
    [
        pytest.param(SHAPES, id="shapes"),
        pytest.param(three_hundred(), id="three-hundred"),
        pytest.param(np.ones((1, 1, 1), bool), id="a-picture-of-one-pixel"),
        pytest.param(np.ones((1, 1, 7), bool), id="a-picture-of-one-row"),
        pytest.param(np.zeros((0, *HW), bool), id="no-masks"),
    ],
)

CAT, DOG, UNNAMED = (
    ObjectPrompt(points_xy_px=((1, 1),), category=name) for name in ("cat", "dog", "")
)


def pixels_in(geometry: shapely.Geometry, hw: tuple[int, int]) -> Masks:
    """Pixels whose centre lies in a geometry, by shapely."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    inside: Masks = shapely.contains_xy(geometry, x.ravel(), y.ravel()).reshape(hw)
    return inside
