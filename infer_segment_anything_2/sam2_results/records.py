"""One record per mask, as Meta's generator and COCO have it, in JSON types only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle

__all__ = ["DEFAULT_CATEGORY", "categories_of", "records"]

DEFAULT_CATEGORY = "object"


def records(
    mask_set: MaskSet, objects: Sequence[ObjectPrompt] | None = None
) -> list[dict[str, Any]]:
    """Describes every mask by a dict that ``json.dumps`` takes as it is.

    The keys are those of Meta's ``SAM2AutomaticMaskGenerator`` and a few more: ``id`` (from 1),
    ``segmentation`` (COCO RLE with text counts), ``area`` (pixels), ``bbox`` (x, y, and the
    differences x2 - x1 and y2 - y1 of the outermost mask pixels, as Meta's: one less than COCO's
    width and height), ``predicted_iou``, ``point_coords`` ([[x, y]], empty for prompted masks),
    ``stability_score``, ``crop_box`` (x, y, width, height), ``object`` (index of the prompted
    object, in everything mode of the mask), ``prompt`` (points, labels and box of that object, and
    its mask if it has one), ``category``. What is unknown is None.

    Args:
        mask_set: The masks.
        objects: What was prompted, indexed by ``mask_set.object_index``; None in everything mode.
    """
    prompts = None if objects is None else [_prompt(prompted) for prompted in objects]
    categories = categories_of(mask_set, objects)
    return [
        {
            "id": index + 1,
            "segmentation": mask_set.rles[index].to_coco(),
            "area": int(mask_set.rles[index].area_px),
            "bbox": _xywh(mask_set.boxes_xyxy_px[index]),
            "predicted_iou": _number(mask_set.predicted_iou[index]),
            "point_coords": _points(mask_set.points_xy_px[index]),
            "stability_score": _number(mask_set.stability_score[index]),
            "crop_box": [int(value) for value in mask_set.crop_boxes_xywh_px[index]],
            "object": owner,
            "prompt": None if prompts is None else prompts[owner],
            "category": categories[index],
        }
        for index, owner in enumerate(mask_set.object_index.tolist())
    ]


def categories_of(mask_set: MaskSet, objects: Sequence[ObjectPrompt] | None = None) -> list[str]:
    """The class name of each mask: that of its object, "object" where there is none."""
    if objects is None:
        return [DEFAULT_CATEGORY] * len(mask_set)
    return [objects[owner].category or DEFAULT_CATEGORY for owner in mask_set.object_index.tolist()]


def _prompt(prompted: ObjectPrompt) -> dict[str, Any]:
    box = prompted.box_xyxy_px
    written: dict[str, Any] = {
        "points": [[float(x), float(y)] for x, y in prompted.points_xy_px],
        "labels": [int(label) for label in prompted.labels],
        "box": None if box is None else [float(value) for value in box],
    }
    if prompted.mask is not None:
        written["mask"] = Rle.from_mask(prompted.mask.mask_hw).to_coco()
    return written


def _xywh(box_xyxy_px: npt.NDArray[np.int64]) -> list[int]:
    left, top, right, bottom = (int(value) for value in box_xyxy_px)
    return [left, top, right - left, bottom - top]


def _number(value: np.float32) -> float | None:
    """The shortest number that reads back as the same float32; None for NaN and infinities."""
    return float(str(value)) if math.isfinite(value) else None


def _points(point_xy_px: npt.NDArray[np.float64]) -> list[list[float]]:
    return [[float(value) for value in point_xy_px]] if np.isfinite(point_xy_px).all() else []
