"""A small picture, grids of few points on it, and a decoder short of memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Image

PICTURE: Image = np.ascontiguousarray(data.coffee()[::4, ::4])  # 100 x 150

LENIENT = GridSettings(
    points_per_side=4, points_per_batch=6, pred_iou_thresh=0.05, stability_score_thresh=0.05
)

MODES = pytest.mark.parametrize(
    "settings",
    [
        pytest.param(LENIENT, id="three masks"),
        pytest.param(replace(LENIENT, multimask_output=False), id="single masks"),
        pytest.param(replace(LENIENT, points_per_side=2, use_m2m=True), id="m2m"),
        pytest.param(
            replace(LENIENT, crop_n_layers=1, crop_n_points_downscale_factor=2), id="crops"
        ),
    ],
)


def check_equal(masks: MaskSet, expected: MaskSet) -> None:
    """Equal but for rounding: other batches add up in another order."""
    assert len(expected) > 0
    assert np.array_equal(masks.points_xy_px, expected.points_xy_px)
    assert np.array_equal(masks.crop_boxes_xywh_px, expected.crop_boxes_xywh_px)
    assert np.allclose(masks.predicted_iou, expected.predicted_iou, rtol=0, atol=1e-5)
    assert np.count_nonzero(masks.to_dense() != expected.to_dense()) <= len(masks)


class ShortOfMemory(FastMaskDecoder):
    """Fails as a full GPU does, above some number of prompts."""

    room = 0
    error: Exception = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def decode(self, image: Any, sparse_bnc: Any, dense_bchw: Any = None) -> Any:
        if len(sparse_bnc) > self.room:
            raise self.error
        return super().decode(image, sparse_bnc, dense_bchw)
