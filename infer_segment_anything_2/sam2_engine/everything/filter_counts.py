"""What the automatic mode is asked for, and the account that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import Polygon
from infer_segment_anything_2.sam2_engine.everything.crops import (
    Crop,
    is_in_polygons,
    make_point_grids,
    points_in_crop,
)
from infer_segment_anything_2.sam2_engine.masks.overlap import DuplicateRule

__all__ = ["FilterCounts", "GridSettings"]


@dataclass(frozen=True)
class GridSettings:
    """Meta's parameters of the automatic mode, with Meta's names and defaults.

    Attributes:
        points_per_side: Grid points along a side of the picture.
        points_per_batch: At most so many points are decoded together.
        pred_iou_thresh: Masks with a predicted IoU not above are dropped; 0 keeps all.
        stability_score_thresh: Masks with a stability below are dropped; 0 keeps all.
        stability_score_offset: How far the two thresholds lie from `mask_threshold` whose masks'
            IoU is the stability.
        mask_threshold: A pixel belongs to the mask when its logit is above.
        box_nms_thresh: In a crop, of two masks whose boxes' IoU is above, the worse one goes.
        crop_n_layers: Layers of ever smaller crops that are searched besides the whole picture.
        crop_nms_thresh: As `box_nms_thresh`, between crops; masks of smaller crops win.
        crop_overlap_ratio: Overlap of crops as a part of the picture's shorter side.
        crop_n_points_downscale_factor: Each layer's grid is so many times coarser.
        point_grids: A grid per layer, n x 2 in 0..1 (x, y), instead of `points_per_side`.
        use_m2m: Give each mask back to the decoder once, as a prompt, before it is judged.
        multimask_output: Three masks per point, else one.
        prefer_stable: Where one mask is asked for and it is unstable, take the best of the three
            (`build_sam2`'s default, `apply_postprocessing=True`).
        region_of_interest: Polygons in the picture's pixels; only points in one of them are asked.
            None asks everywhere.
        duplicates: What the two thresholds of duplicates compare: "box" as Meta, or masks; see
            `mask_overlap.without_duplicates`.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: tuple[npt.NDArray[np.float64], ...] | None = None
    use_m2m: bool = False
    multimask_output: bool = True
    prefer_stable: bool = True
    region_of_interest: tuple[Polygon, ...] | None = None
    duplicates: DuplicateRule = "box"

    def points_of_interest(
        self, grid_xy_unit: npt.NDArray[np.float64], crop: Crop
    ) -> npt.NDArray[np.float32]:
        """The points of a grid in a crop's own pixels, less those outside of the region."""
        points_xy_px = points_in_crop(grid_xy_unit, crop)
        if self.region_of_interest is None:
            return points_xy_px
        is_in = is_in_polygons(points_xy_px + np.array(crop.xy_px), self.region_of_interest)
        return points_xy_px[is_in]

    def grids(self) -> tuple[npt.NDArray[np.float64], ...]:
        """The grid of each layer, n x 2 in 0..1 (x, y)."""
        if self.point_grids is not None:
            return self.point_grids
        return make_point_grids(
            self.points_per_side, self.crop_n_layers, self.crop_n_points_downscale_factor
        )


class FilterCounts(NamedTuple):
    """How many points were asked, and how many masks each step left, in all crops together.

    Attributes:
        points: Grid points.
        proposed: Masks that the network proposed for them.
        after_iou: With enough predicted IoU.
        after_stability: And stable.
        after_crop_edge: And not cut by a crop's edge.
        after_box_nms: And no duplicates within their crop.
        after_seams: And, in tiles, not cut; parts of one object count once.
        after_crop_nms: And no duplicates between crops.
        after_area: And neither too small nor too large.
        after_cleaning: And not made duplicates by the cleaning of small regions.
        shown: And not hidden by others wholly.
    """

    points: int = 0
    proposed: int = 0
    after_iou: int = 0
    after_stability: int = 0
    after_crop_edge: int = 0
    after_box_nms: int = 0
    after_seams: int = 0
    after_crop_nms: int = 0
    after_area: int = 0
    after_cleaning: int = 0
    shown: int = 0

    def plus(self, other: FilterCounts) -> FilterCounts:
        """Add up, count by count."""
        return FilterCounts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def reach(self, step: str, n_masks: int) -> FilterCounts:
        """Set what a step left; nothing is lost by the later ones so far."""
        later = self._fields[self._fields.index(step) :]
        return self._replace(**dict.fromkeys(later, n_masks))

    def lost_to(self) -> dict[str, int]:
        """How many masks were lost to each parameter, in the order in which they act."""
        left = self[1:]
        losses = (before - after for before, after in pairwise(left))
        return dict(zip(_KNOBS, losses, strict=True))

    def largest_loss(self) -> str:
        """The parameter to which most masks were lost, "" where none were."""
        losses = self.lost_to()
        knob = max(losses, key=losses.__getitem__)
        return knob if losses[knob] else ""

    def __str__(self) -> str:
        """Tell what became of the points, in one line."""
        told = [f"{self.points} points", f"{self.proposed} masks"]
        for (knob, lost), left in zip(self.lost_to().items(), self[2:], strict=True):
            if lost or knob in _ALWAYS_TOLD:
                told.append(f"{left} after {knob}")
        told.append(f"{self.shown} shown")
        knob = self.largest_loss()
        most = f" (most were lost to {knob})" if knob else ""
        return ", ".join(told) + most


# The plugin's parameter behind each step of `FilterCounts`, from `after_iou` on.
_KNOBS = (
    "iou_thresh",
    "stability_score_thresh",
    "crop_n_layers",
    "box_nms_thresh",
    "tile_size",
    "crop_nms_thresh",
    "min_mask_area and max_mask_area",
    "min_mask_region_area",
    "overlap",
)
_ALWAYS_TOLD = frozenset({"iou_thresh", "stability_score_thresh", "box_nms_thresh"})
