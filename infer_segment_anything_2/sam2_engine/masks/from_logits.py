"""From the network's small logits to a set of masks in the picture's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from infer_segment_anything_2.sam2_engine.hardware.transfer import to_host
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from infer_segment_anything_2.sam2_engine.masks.writing import rles_from_logits

__all__ = ["mask_set_from_logits"]


def mask_set_from_logits(
    logits_nhw: Tensor,
    predicted_iou_n: Tensor,
    image_hw: tuple[int, int],
    *,
    mask_threshold: float,
    stability_score_offset: float,
    object_index: Sequence[int] | None = None,
) -> MaskSet:
    """Makes the masks of prompted objects, without ever drawing one in full size.

    Args:
        logits_nhw: Float32, n x h x w, at least one.
        predicted_iou_n: The network's own estimates.
        image_hw: Height and width of the picture.
        mask_threshold: Pixels with a logit above this belong to the mask.
        stability_score_offset: How far that threshold is moved to measure the masks' stability.
        object_index: The object that each mask belongs to; 0 to n - 1 if None.
    """
    count, height, width = logits_nhw.shape
    upsampling = Upsampling((height, width), image_hw, logits_nhw.device)
    found = score(logits_nhw, upsampling, mask_threshold, stability_score_offset)
    rles = rles_from_logits(logits_nhw, upsampling, mask_threshold, (0, 0), image_hw)
    return MaskSet(
        image_hw=image_hw,
        rles=tuple(rles),
        boxes_xyxy_px=to_host(found.boxes_xyxy_px),
        predicted_iou=to_host(predicted_iou_n),
        stability_score=to_host(found.stability),
        points_xy_px=np.full((count, 2), np.nan),
        crop_boxes_xywh_px=np.tile(np.array([0, 0, *image_hw[::-1]], np.int64), (count, 1)),
        object_index=np.asarray(range(count) if object_index is None else object_index, np.int64),
    )
