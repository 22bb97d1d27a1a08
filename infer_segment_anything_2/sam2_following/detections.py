"""A detector's boxes on a frame, matched with what is tracked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infer_segment_anything_2.prompts import BoxXyxy, ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet

__all__ = ["matched", "overlap"]


def overlap(one: BoxXyxy, other: BoxXyxy) -> float:
    """IoU of two boxes; 0 where both are empty."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0.0) * max(height, 0.0)
    either = _area(one) + _area(other) - common
    return common / either if either > 0 else 0.0


def _area(box: BoxXyxy) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def matched(
    detected: Sequence[ObjectPrompt], tracked: MaskSet, least_iou: float
) -> tuple[dict[int, ObjectPrompt], list[ObjectPrompt]]:
    """Matches detections with tracked objects, the best pairs first, each at most once.

    Args:
        detected: Prompts; those without a box match nothing.
        tracked: Masks of the frame; ``object_index`` is the object's id.
        least_iou: Of the boxes.

    Returns:
        The detections that match, by the object's id, and the others.
    """
    boxes = [tuple(map(float, box + np.array([0, 0, 1, 1]))) for box in tracked.boxes_xyxy_px]
    pairs = sorted(
        (
            (overlap(prompt.box_xyxy_px, (x1, y1, x2, y2)), row, column)
            for row, prompt in enumerate(detected)
            if prompt.box_xyxy_px is not None
            for column, (x1, y1, x2, y2) in enumerate(boxes)
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    rows: dict[int, int] = {}
    for iou, row, column in pairs:
        if iou >= least_iou and row not in rows and column not in rows.values():
            rows[row] = column
    ids = tracked.object_index.tolist()
    known = {int(ids[column]): detected[row] for row, column in rows.items()}
    return known, [prompt for row, prompt in enumerate(detected) if row not in rows]
