"""All that can be asked of the engine, as plain data; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import Polygon

__all__ = [
    "CleaningSettings",
    "ComponentRule",
    "DuplicateRule",
    "GridSettings",
    "MaskSupport",
    "MemoryRule",
    "OnProgress",
    "OverlapRule",
    "Precision",
    "PredictionSettings",
    "TileSettings",
    "TrackingSettings",
    "ZoomRule",
]

OnProgress = Callable[[int, int], None]
"""Called with what is done and what there is in all; may raise ``CancelledError``."""

Precision = Literal["auto", "float32", "bfloat16", "float16", "bfloat16_encoder"]
DuplicateRule = Literal["box", "mask", "containment"]
OverlapRule = Literal["keep", "smallest_on_top", "highest_score"]
ComponentRule = Literal["all", "largest", "clicked"]
MemoryRule = Literal["meta", "confident"]
ZoomRule = Literal["off", "auto", "always"]


@dataclass(frozen=True)
class CleaningSettings:
    """What is done to finished masks; the defaults do nothing.

    Attributes:
        min_mask_region_area: Holes of fewer pixels are filled and islands of fewer removed.
        keep_components: "all" regions of a mask, the "largest", or those that were "clicked".
        min_mask_area: Masks of fewer pixels are dropped; 0 is no limit.
        max_mask_area: Masks of more pixels are dropped; 0 is no limit.
        duplicates: How masks that became alike by the cleaning are recognised.
        duplicate_thresh: From which likeness on; None leaves them all.
        overlap: Who keeps a pixel that several masks have: "keep" all, or only one of them.
    """

    min_mask_region_area: int = 0
    keep_components: ComponentRule = "all"
    min_mask_area: int = 0
    max_mask_area: int = 0
    duplicates: DuplicateRule = "box"
    duplicate_thresh: float | None = None
    overlap: OverlapRule = "keep"

    @property
    def reshapes(self) -> bool:
        """Whether single masks may come out with other pixels."""
        return self.min_mask_region_area > 0 or self.keep_components != "all"


@dataclass(frozen=True)
class MaskSupport:
    """How a mask is put to the network.

    Attributes:
        logit: What a pixel well inside becomes; well outside, minus that. Meta's predictor clamps
            masks to 32.
        box: Whether a box around the mask stands by.
        point: Whether a point inside stands by.
        margin: How much wider than the mask the box is on each side, as a part of the mask's
            width and height.
    """

    logit: float = 10.0
    box: bool = True
    point: bool = True
    margin: float = 0.0


@dataclass(frozen=True)
class PredictionSettings:
    """How masks are chosen from the decoder's four.

    Attributes:
        multimask_output: Give the three masks of the multimask tokens, best first, instead of one.
        prefer_stable: Where one mask is asked for and the single-mask token's is unstable, take
            the best of the three, as ``build_sam2(apply_postprocessing=True)``.
        mask_threshold: Pixels with a logit above this belong to the mask.
        stability_score_offset: How far that threshold is moved to measure the masks' stability.
        mask_support: How a mask that an object is prompted with is put to the network.
        zoom: Which objects are asked for once more in a window of about twice their size, which
            the network sees larger: none ("off", Meta's masks), boxes and masks of at most a
            quarter of the picture's width and height ("auto"), or "always" all. One encoding a
            window.
    """

    multimask_output: bool = False
    prefer_stable: bool = True
    mask_threshold: float = 0.0
    stability_score_offset: float = 1.0
    mask_support: MaskSupport = field(default_factory=MaskSupport)
    zoom: ZoomRule = "off"


@dataclass(frozen=True)
class TrackingSettings:
    """How objects are followed from frame to frame; the defaults are Meta's.

    Attributes:
        max_prompted_frames: So many prompted frames of an object are remembered, the first and the
            nearest; at least 2.
        memory_rule: Which tracked frames are remembered: the last six ("meta"), or the last six on
            which the object was there and its predicted IoU above 0.5 ("confident").
        batch_objects: At most so many objects are computed together. 1 gives Meta's numbers bit for
            bit in float32 on the CPU, more differ in the last digits.
        frame_count: Frames of the whole clip where it is known; it changes the numbers of clips of
            less than 16 frames only.
        mask_threshold: Pixels with a logit above this belong to the mask.
        stability_score_offset: How far that threshold is moved to measure the masks' stability.
        prefer_stable: Where a prompt asks for one mask and the single-mask token's is unstable,
            take the best of the three.
        binarise_prompted: Remember the masks of prompted frames as they are shown, without their
            soft edges. Both as ``build_sam2_video_predictor(apply_postprocessing=True)``.
        mask_logit: How strongly a mask that has points or a box beside it is put to the network; a
            mask alone is taken as it is.
    """

    max_prompted_frames: int = 8
    memory_rule: MemoryRule = "meta"
    batch_objects: int = 8
    frame_count: int | None = None
    mask_threshold: float = 0.0
    stability_score_offset: float = 1.0
    prefer_stable: bool = True
    binarise_prompted: bool = True
    mask_logit: float = 10.0


@dataclass(frozen=True)
class TileSettings:
    """How a picture is laid out in tiles.

    Attributes:
        side_px: Width and height of a tile.
        overlap: What neighbouring tiles share, as a part of their side; objects up to that size
            are whole in some tile.
    """

    side_px: int = 1024
    overlap: float = 0.25


@dataclass(frozen=True, eq=False)  # it may hold arrays
class GridSettings:
    """Meta's parameters of its automatic mask generator, with Meta's names and defaults.

    Attributes:
        points_per_side: Grid points along a side of the picture.
        points_per_batch: At most so many points are decoded together; on a GPU four times as many,
            which take less memory than so many in Meta's code.
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
            `masks.duplicates.without_duplicates`.
        adaptive_points: Ask the grid from coarse to fine, and leave out points that would only
            repeat what is found, or around which nothing is: see `everything.adaptive_points`.
            Points of `point_grids` are all asked.
        sharpen: Ask once more for each mask that is left by the filters and takes at most a quarter
            of the width and height of what the network saw, in a window around it; see
            `everything.sharpening`. One encoding a window.
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
    adaptive_points: bool = False
    sharpen: bool = False

    @property
    def skips_points(self) -> bool:
        """Whether points may be left out."""
        return self.adaptive_points and self.point_grids is None

    def of_sharpening(self) -> PredictionSettings:
        """How the masks of the second look are chosen."""
        return PredictionSettings(
            prefer_stable=self.prefer_stable,
            mask_threshold=self.mask_threshold,
            stability_score_offset=self.stability_score_offset,
        )

    def widened(self) -> GridSettings:
        """The settings of a search that can be asked for less later: see ``Engine.candidates``.

        Keeps every stability, and predicted IoUs above 0.5, or above its own threshold if lower.
        Where points are left out, which ones depends on the thresholds, and they stay.
        """
        if self.skips_points:
            return self
        return replace(
            self,
            pred_iou_thresh=min(self.pred_iou_thresh, _WIDENED_IOU),
            stability_score_thresh=0.0,
        )


_WIDENED_IOU = 0.5
