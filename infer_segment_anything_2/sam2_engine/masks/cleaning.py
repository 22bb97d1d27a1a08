"""Cleaning of masks in true pixels of the picture, on run lengths only.

A mask is cut into vertical pieces, one column wide; pieces of neighbouring columns that touch are
edges of a graph, and its connected components are the mask's regions. So the work grows with the
length of a mask's outline, not with the picture, and is the same on every device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.masks.duplicates import without_duplicates
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.overlap import without_overlap
from infer_segment_anything_2.sam2_engine.masks.regions import (
    PointXy,
    keep_clicked_regions,
    keep_largest_region,
    remove_small_regions,
)
from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
)
from infer_segment_anything_2.sam2_engine.masks.worked_out import Reshaped, WorkedOut
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    ComponentRule,
    OverlapRule,
)

__all__ = ["CleaningResult", "clean"]


class CleaningResult(NamedTuple):
    """Cleaned masks, and how many there were after each step.

    Attributes:
        masks: In the order in which they were given.
        after_area: Masks within the limits of the area.
        after_duplicates: Masks that did not become the same as a better one.
        after_overlap: Masks with pixels of their own.
    """

    masks: MaskSet
    after_area: int
    after_duplicates: int
    after_overlap: int


def clean(
    masks: MaskSet,
    settings: CleaningSettings,
    clicks_xy_px: Sequence[Sequence[PointXy]] | None = None,
    worked_out: WorkedOut | None = None,
) -> CleaningResult:
    """Cleans finished masks; boxes and areas are those of the new pixels.

    First each mask alone (small regions, then which regions to keep), then masks too small or too
    large go, then new duplicates, and at last overlaps are settled.

    Args:
        masks: Best first.
        settings: What to do.
        clicks_xy_px: The points on the object for each mask; by default the grid point that made
            it. Only used for "clicked" regions.
        worked_out: What is known of the masks of this picture already; grows.
    """
    worked_out = worked_out or WorkedOut()
    cleaned = masks
    if settings.reshapes:
        if clicks_xy_px is None:
            clicks_xy_px = [_own_click(point) for point in masks.points_xy_px]
        cleaned = _reshaped(masks, settings, clicks_xy_px, worked_out)
    areas_px = np.array([rle.area_px for rle in cleaned.rles], np.int64)
    most_px = settings.max_mask_area or np.iinfo(np.int64).max
    within = np.flatnonzero((areas_px >= settings.min_mask_area) & (areas_px <= most_px))
    is_untouched = np.array(
        [before is after for before, after in zip(masks.rles, cleaned.rles, strict=True)], bool
    )
    if len(within) < len(cleaned):
        cleaned, is_untouched = cleaned.select(within), is_untouched[within]
    after_area = len(cleaned)
    if settings.duplicate_thresh is not None and not is_untouched.all():
        # As Meta's generator does after cleaning: what was not changed is preferred.
        kept = without_duplicates(
            cleaned,
            is_untouched.astype(np.float32),
            settings.duplicate_thresh,
            settings.duplicates,
            worked_out.shared,
        )
        cleaned = cleaned.select(np.sort(kept))
    after_duplicates = len(cleaned)
    if settings.overlap != "keep":
        cleaned = _settle_overlap(cleaned, settings.overlap)
    return CleaningResult(cleaned, after_area, after_duplicates, len(cleaned))


def _reshaped(
    masks: MaskSet,
    settings: CleaningSettings,
    clicks_xy_px: Sequence[Sequence[PointXy]],
    worked_out: WorkedOut,
) -> MaskSet:
    """Cleans each mask by itself, unless it is known what becomes of it."""
    by_click = settings.keep_components == "clicked"
    what = (settings.min_mask_region_area, settings.keep_components)
    keys = [
        (rle.digest, what, tuple(clicks) if by_click else ())
        for rle, clicks in zip(masks.rles, clicks_xy_px, strict=True)
    ]
    known = {key: found for key in keys if (found := worked_out.reshaped.get(key)) is not None}
    new = {key: index for index, key in enumerate(keys) if key not in known}
    all_counts = [masks.rles[index].counts for index in new.values()]
    if settings.min_mask_region_area > 0:
        all_counts = remove_small_regions(all_counts, masks.image_hw, settings.min_mask_region_area)
    for (key, index), counts in zip(new.items(), all_counts, strict=True):
        chosen = _chosen_regions(
            counts, masks.image_hw, settings.keep_components, clicks_xy_px[index]
        )
        known[key] = Reshaped.of(masks.rles[index], chosen)
        worked_out.reshaped.put(key, known[key])
    return _with_reshaped(masks, (known[key] for key in keys))


def _with_reshaped(masks: MaskSet, reshaped: Iterable[Reshaped]) -> MaskSet:
    """Returns the set with what became of each mask; those that stay are the same objects."""
    rles, boxes = list(masks.rles), masks.boxes_xyxy_px.copy()
    for index, (rle, box_xyxy_px) in enumerate(reshaped):
        if rle is not None:
            rles[index], boxes[index] = rle, box_xyxy_px
    return replace(masks, rles=tuple(rles), boxes_xyxy_px=boxes)


def _settle_overlap(masks: MaskSet, rule: OverlapRule) -> MaskSet:
    """Gives each pixel to one mask; masks that keep none go, as far as they had any."""
    settled = _with_reshaped(masks, map(Reshaped.of, masks.rles, without_overlap(masks, rule)))
    lives = [
        index
        for index, (before, after) in enumerate(zip(masks.rles, settled.rles, strict=True))
        if after.area_px or not before.area_px
    ]
    return settled.select(lives)


def _chosen_regions(
    counts: Counts, image_hw: tuple[int, int], rule: ComponentRule, clicks: Sequence[PointXy]
) -> Counts:
    if rule == "clicked" and clicks:
        return keep_clicked_regions(counts, image_hw, clicks)
    return counts if rule == "all" else keep_largest_region(counts, image_hw)


def _own_click(point_xy_px: npt.NDArray[np.float64]) -> list[PointXy]:
    return [] if np.isnan(point_xy_px).any() else [(float(point_xy_px[0]), float(point_xy_px[1]))]
