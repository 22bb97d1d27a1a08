"""Edges of small masks, enlarged: as they were found, and sharpened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from scripts.tuning.bench import PICTURES, Bench, Picture, Values
from scripts.tuning.drawing import below, beside, outlined, panel, save_small

_PICTURE = "drawn photo"
_MOST_SHOWN = 3
_OUTLINE_RGB = (255, 40, 160)


def make_sharpen(bench: Bench, folder: Path) -> str:
    """Draws the masks that `sharpen` changed most, before and after."""
    changes: Values = {"iou_thresh": 0.7, "stability_score_thresh": 0.9}
    before = bench.run(_PICTURE, changes)
    after = bench.run(_PICTURE, changes | {"sharpen": True})
    first, second = before.ranked[0], after.ranked[0]
    width = bench.scale.panel_px
    rows = [
        beside(
            [
                panel(_enlarged(result, masks.rles[place], second, place, width), called, width)
                for place in _most_changed(first, second)
            ]
            or [panel(result.image_rgb_hwc, called, width)]
        )
        for result, masks, called in (
            (before, first, "sharpen: False"),
            (after, second, "sharpen: True"),
        )
    ]
    save_small(below(rows), folder / "sharpen.jpg")
    height_px, width_px = first.image_hw
    return (
        '<a id="sharpen"></a>\n\n'
        f"![sharpen: False, True]({PICTURES}/sharpen.jpg)\n\n"
        f"*`sharpen` False (default) / True: the masks that change most in a drawn scene of "
        f"{width_px} x {height_px} pixels, enlarged. {_told(after)}*\n"
    )


def _told(result: Segmentation) -> str:
    counts = result.sharpening
    if counts is None:
        return ""
    return f"In all, {counts}: {counts.windows} encodings beside that of the picture."


def _most_changed(before: MaskSet, after: MaskSet) -> list[int]:
    """The places of the masks of which the largest share of pixels changed, one of each window."""
    shares = []
    for place, (old, new) in enumerate(zip(before.rles, after.rles, strict=True)):
        if old != new:
            one, other = old.decode(), new.decode()
            shares.append((float((one ^ other).sum() / (one | other).sum()), place))
    chosen: dict[tuple[int, ...], int] = {}
    for _, place in sorted(shares, reverse=True):
        chosen.setdefault(tuple(after.crop_boxes_xywh_px[place].tolist()), place)
    return list(chosen.values())[:_MOST_SHOWN]


def _enlarged(
    result: Segmentation, rle: Rle, windows: MaskSet, place: int, width_px: int
) -> Picture:
    """A mask's outline over its window, every pixel of the picture seen as a square."""
    left, top, width, height = windows.crop_boxes_xywh_px[place].tolist()
    side = min(width, height)
    left, top = left + (width - side) // 2, top + (height - side) // 2
    part = np.s_[top : top + side, left : left + side]
    size = (width_px, width_px)
    photo = Image.fromarray(result.image_rgb_hwc[part]).resize(size, Image.Resampling.NEAREST)
    mask = Image.fromarray(rle.decode()[part]).resize(size, Image.Resampling.NEAREST)
    return outlined(np.asarray(photo), [(np.asarray(mask), _OUTLINE_RGB)])
