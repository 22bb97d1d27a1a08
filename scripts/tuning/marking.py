"""What is drawn over the panels of a strip: colours that objects keep, rings, points, regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from infer_segment_anything_2.prompts import Polygon
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.painting import instance_colours

Picture = npt.NDArray[np.uint8]

SAME_IOU = 0.6
_MOST_RINGED = 2
_RING_RGB = (255, 255, 255)
_MARK_RGB = (255, 235, 0)
_EDGE_RGB = (0, 0, 0)


class KeptColours:
    """Gives a mask the colour of the mask that was there in an earlier panel, else a new one."""

    def __init__(self) -> None:
        self._seen: list[Rle] = []

    def of(self, masks: MaskSet) -> npt.NDArray[np.uint8]:
        """The colours of a panel's masks, N x 3."""
        numbers = [self._number(rle) for rle in masks.rles]
        return instance_colours(len(self._seen))[numbers]

    def _number(self, rle: Rle) -> int:
        known = best_match(rle, self._seen)
        if known is None:
            self._seen.append(rle)
            return len(self._seen) - 1
        return known


def best_match(rle: Rle, others: Sequence[Rle]) -> int | None:
    """The index of the most similar mask, None where none is the same object."""
    mask_hw = rle.decode()
    ious = [_iou(mask_hw, rle.area_px, other) for other in others]
    best = max(range(len(ious)), key=ious.__getitem__, default=None)
    return best if best is not None and ious[best] >= SAME_IOU else None


def _iou(mask_hw: npt.NDArray[np.bool_], area_px: int, other: Rle) -> float:
    common = int(np.count_nonzero(mask_hw & other.decode()))
    return common / max(area_px + other.area_px - common, 1)


def differing(masks: MaskSet, before: MaskSet) -> list[int]:
    """Indices of masks that the panel before does not have, where the two differ by very few."""
    new = [k for k, rle in enumerate(masks.rles) if best_match(rle, before.rles) is None]
    gone = [rle for rle in before.rles if best_match(rle, masks.rles) is None]
    return new if 0 < len(new) + len(gone) <= _MOST_RINGED else []


def ringed(picture_hwc: Picture, masks: MaskSet, which: Sequence[int]) -> Picture:
    """The picture with a ring around some masks."""
    canvas = Image.fromarray(picture_hwc)
    draw, width = ImageDraw.Draw(canvas), _line_px(picture_hwc)
    for index in which:
        left, top, right, bottom = map(float, masks.boxes_xyxy_px[index])
        reach = 0.2 * max(right - left, bottom - top) + 2 * width
        box = [left - reach, top - reach, right + reach, bottom + reach]
        draw.ellipse(box, outline=_EDGE_RGB, width=2 * width)
        draw.ellipse(box, outline=_RING_RGB, width=width)
    return np.asarray(canvas)


def dotted(picture_hwc: Picture, points_xy_px: npt.NDArray[np.float64]) -> Picture:
    """The picture with points."""
    canvas = Image.fromarray(picture_hwc)
    draw, reach = ImageDraw.Draw(canvas), 1.5 * _line_px(picture_hwc)
    for x, y in points_xy_px:
        draw.ellipse([x - reach - 1, y - reach - 1, x + reach + 1, y + reach + 1], fill=_EDGE_RGB)
        draw.ellipse([x - reach, y - reach, x + reach, y + reach], fill=_MARK_RGB)
    return np.asarray(canvas)


def fenced(picture_hwc: Picture, regions: Sequence[Polygon]) -> Picture:
    """The picture with the outlines of regions."""
    canvas = Image.fromarray(picture_hwc)
    draw, width = ImageDraw.Draw(canvas), _line_px(picture_hwc)
    for region in regions:
        closed = [*region, region[0]]
        draw.line(closed, fill=_EDGE_RGB, width=3 * width)
        draw.line(closed, fill=_MARK_RGB, width=width)
    return np.asarray(canvas)


def _line_px(picture_hwc: Picture) -> int:
    width: int = picture_hwc.shape[1]
    return max(1, round(width / 150))
