"""Which masks show the same: by their boxes, as Meta, or by their pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops.boxes import batched_nms

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.overlap import MaskRuns
from infer_segment_anything_2.sam2_engine.settings import DuplicateRule

__all__ = ["non_maximum_suppression", "without_duplicates"]


def non_maximum_suppression(
    boxes_xyxy_px: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    iou_threshold: float,
    image_hw: tuple[int, int] | None = None,
) -> npt.NDArray[np.int64]:
    """Returns the indices of the boxes to keep, best first.

    torchvision's `batched_nms` with one category, the very function that Meta's generator calls:
    so ties come out in the same order.

    Args:
        boxes_xyxy_px: int64, n x 4.
        scores: float32, n.
        iou_threshold: A box goes when its IoU with a better one that stays is above.
        image_hw: Height and width of the picture. In one of a single row or column, where no box
            has an area and Meta's generator keeps every duplicate, boxes count with their last
            pixels.
    """
    if image_hw is not None and min(image_hw) == 1:
        boxes_xyxy_px = boxes_xyxy_px + np.array([0, 0, 1, 1])
    kept: npt.NDArray[np.int64] = batched_nms(
        # Copied: those of a mask set are read-only, which torch warns of.
        torch.tensor(boxes_xyxy_px, dtype=torch.float32),
        torch.tensor(scores),
        torch.zeros(len(boxes_xyxy_px), dtype=torch.int64),
        iou_threshold,
    ).numpy()
    return kept


def without_duplicates(
    masks: MaskSet, scores: npt.NDArray[np.float32], threshold: float, rule: DuplicateRule
) -> npt.NDArray[np.int64]:
    """Returns the indices of the masks to keep, best first: greedy non-maximum suppression.

    Args:
        masks: In any order.
        scores: float32, n; of equals, the earlier is better (for "box": as torchvision orders).
        threshold: A mask goes when its likeness to a better one that stays is above.
        rule: What likeness is: "box", the boxes' intersection over union (IoU), as Meta's; "mask",
            the masks' IoU; "containment", that or the share of the smaller mask that lies in the
            other, whichever is more.
    """
    if rule == "box":
        return non_maximum_suppression(masks.boxes_xyxy_px, scores, threshold, masks.image_hw)
    order = np.argsort(-scores, kind="stable")
    areas_px = np.array([rle.area_px for rle in masks.rles], np.int64)
    runs = MaskRuns(masks)
    waiting, kept = order, []
    while waiting.size:
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        near = waiting[_boxes_meet(masks.boxes_xyxy_px[best], masks.boxes_xyxy_px[waiting])]
        if rule == "mask":  # the IoU is never above the ratio of the areas
            smaller = np.minimum(areas_px[near], areas_px[best])
            near = near[smaller > threshold * np.maximum(areas_px[near], areas_px[best])]
        if not near.size:
            continue
        common_px = runs.intersections_px(masks.rles[best].counts, near)
        whole_px = areas_px[best] + areas_px[near] - common_px
        if rule == "containment":
            whole_px = np.minimum(whole_px, np.minimum(areas_px[best], areas_px[near]))
        gone = near[common_px > threshold * whole_px]
        waiting = waiting[~np.isin(waiting, gone)]
    return np.array(kept, np.int64)


def _boxes_meet(
    box_xyxy_px: npt.NDArray[np.int64], others_xyxy_px: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which boxes share a pixel with one; all ends are inclusive."""
    starts_before_end = (others_xyxy_px[:, :2] <= box_xyxy_px[2:]).all(axis=1)
    ends_after_start = (others_xyxy_px[:, 2:] >= box_xyxy_px[:2]).all(axis=1)
    return np.asarray(starts_before_end & ends_after_start)
