"""Which masks show the same: by their boxes, as Meta, or by their pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops.boxes import batched_nms

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.shared_pixels import SharedPixels
from infer_segment_anything_2.sam2_engine.settings import DuplicateRule

__all__ = ["non_maximum_suppression", "without_duplicates"]

Pixels = npt.NDArray[np.int64]


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
    masks: MaskSet,
    scores: npt.NDArray[np.float32],
    threshold: float,
    rule: DuplicateRule,
    shared: SharedPixels | None = None,
) -> npt.NDArray[np.int64]:
    """Returns the indices of the masks to keep, best first: greedy non-maximum suppression.

    Args:
        masks: In any order.
        scores: float32, n; of equals, the earlier is better (for "box": as torchvision orders).
        threshold: A mask goes when its likeness to a better one that stays is above.
        rule: What likeness is: "box", the boxes' intersection over union (IoU), as Meta's; "mask",
            the masks' IoU; "containment", that or the share of the smaller mask that lies in the
            other, whichever is more.
        shared: What is known of the masks of this picture already; grows by what is counted.
    """
    if rule == "box":
        return non_maximum_suppression(masks.boxes_xyxy_px, scores, threshold, masks.image_hw)
    shared = shared or SharedPixels()
    pairs = shared.among(masks)
    areas_px = np.array([rle.area_px for rle in masks.rles], np.int64)
    order = np.argsort(-scores, kind="stable")
    waits, kept = np.ones(len(masks), bool), []
    for place, best in enumerate(order):
        if not waits[best]:
            continue
        kept.append(best)
        near = order[place + 1 :]
        near = near[waits[near]]
        # They share no more than the smaller one has, and their boxes; the more, the more alike.
        most_px = np.minimum(areas_px[near], areas_px[best])
        most_px = np.minimum(most_px, _shared_by_boxes(masks.boxes_xyxy_px, best, near))
        near = near[_is_alike(most_px, areas_px[best], areas_px[near], threshold, rule)]
        if near.size:
            common_px = pairs.common_px(best, near)
            gone = _is_alike(common_px, areas_px[best], areas_px[near], threshold, rule)
            waits[near[gone]] = False
    shared.keep(pairs)
    return np.array(kept, np.int64)


def _is_alike(
    common_px: Pixels, one_px: np.int64, others_px: Pixels, threshold: float, rule: DuplicateRule
) -> npt.NDArray[np.bool_]:
    """Which of some masks are too much like one of them, if they share so many pixels."""
    whole_px = one_px + others_px - common_px
    if rule == "containment":
        whole_px = np.minimum(whole_px, np.minimum(one_px, others_px))
    return np.asarray(common_px > threshold * whole_px)


def _shared_by_boxes(boxes_xyxy_px: Pixels, one: int, others: Pixels) -> Pixels:
    """How many pixels the box of a mask shares with those of others; all ends are inclusive."""
    first = np.maximum(boxes_xyxy_px[others, :2], boxes_xyxy_px[one, :2])
    last = np.minimum(boxes_xyxy_px[others, 2:], boxes_xyxy_px[one, 2:])
    return np.asarray(np.maximum(last - first + 1, 0).prod(axis=1))
