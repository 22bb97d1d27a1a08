"""Typed parameters into what the engine is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import (
    ObjectPrompt,
    Polygon,
    PromptMask,
)
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    GridSettings,
    TileSettings,
)
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.prompt_masks import mask_from_picture
from infer_segment_anything_2.sam2_reading.prompt_text import (
    objects_from_text,
    parse_boxes,
    parse_labels,
    parse_point_grids,
    parse_points,
    parse_regions,
)

__all__ = [
    "cleaning_settings",
    "grid_settings",
    "prompt_errors",
    "regions_of_interest",
    "tile_settings",
    "with_mask",
]

_SMALLEST_TILE_PX = 64


def with_mask(asked: list[ObjectPrompt], picture: object) -> list[ObjectPrompt]:
    """Adds the mask input to the only object that is asked for, or as an object of its own."""
    if picture is None:
        return asked
    mask = mask_from_picture(picture)
    if mask is None:
        raise PromptError(
            "The mask input must be bright somewhere on the object, got a picture that is all "
            "black; paint the object white, or disconnect the mask input."
        )
    if len(asked) == 1 and asked[0].mask is None:
        return [replace(asked[0], mask=mask)]
    return [*asked, ObjectPrompt(mask=mask, name="The mask input")]


def cleaning_settings(
    parameters: Parameters, duplicate_thresh: float | None = None
) -> CleaningSettings:
    """How finished masks are cleaned.

    Args:
        parameters: Of the run.
        duplicate_thresh: Likeness above which a mask that the cleaning made like a better one is
            removed; None leaves them all.
    """
    return CleaningSettings(
        min_mask_region_area=parameters.min_mask_region_area,
        keep_components=parameters.keep_components,
        min_mask_area=parameters.min_mask_area,
        max_mask_area=parameters.max_mask_area,
        duplicates=parameters.duplicates,
        duplicate_thresh=duplicate_thresh,
        overlap=parameters.overlap,
    )


def regions_of_interest(
    parameters: Parameters, drawn: Sequence[Polygon], image_hw: tuple[int, int]
) -> tuple[Polygon, ...] | None:
    """The regions of interest, None when there are none.

    Raises:
        PromptError: One lies wholly outside of the picture, or a number is not finite.
    """
    regions = (*parse_regions(parameters.region_of_interest), *drawn)
    height, width = image_hw
    for region in regions:
        xs, ys = zip(*region, strict=True)
        if not all(map(math.isfinite, (*xs, *ys))):
            raise PromptError(
                f"A region of interest must be of finite numbers, got {list(region[:4])}; give the "
                "corners in pixels of the original picture.",
                key="region_of_interest",
            )
        if max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height:
            raise PromptError(
                f"A region of interest from x {min(xs):g} to {max(xs):g} and y {min(ys):g} to "
                f"{max(ys):g} lies outside the picture, which is {width} wide and {height} high; "
                "give it in pixels of the original picture.",
                key="region_of_interest",
            )
    return regions or None


def tile_settings(parameters: Parameters) -> TileSettings | None:
    """The tiles that a big picture is searched in, None for no tiles."""
    if parameters.tile_size == 0:
        return None
    return TileSettings(max(parameters.tile_size, _SMALLEST_TILE_PX), parameters.tile_overlap)


def grid_settings(parameters: Parameters, regions: tuple[Polygon, ...] | None) -> GridSettings:
    """The grid of points and the filters of everything mode.

    Args:
        parameters: Of the run.
        regions: Where to search, in pixels of the picture; everywhere if None.
    """
    grids = parse_point_grids(parameters.point_grids, parameters.crop_n_layers + 1)
    return GridSettings(
        point_grids=tuple(np.array(grid, np.float64) for grid in grids) or None,
        region_of_interest=regions,
        points_per_side=parameters.points_per_side,
        points_per_batch=parameters.points_per_batch,
        pred_iou_thresh=parameters.iou_thresh,
        stability_score_thresh=parameters.stability_score_thresh,
        stability_score_offset=parameters.stability_score_offset,
        mask_threshold=parameters.mask_threshold,
        box_nms_thresh=parameters.box_nms_thresh,
        crop_n_layers=parameters.crop_n_layers,
        crop_nms_thresh=parameters.crop_nms_thresh,
        crop_overlap_ratio=parameters.crop_overlap_ratio,
        crop_n_points_downscale_factor=parameters.crop_n_points_downscale_factor,
        use_m2m=parameters.use_m2m,
        multimask_output=parameters.automatic_multimask_output,
        prefer_stable=parameters.apply_postprocessing,
        duplicates=parameters.duplicates,
    )


# Stands for the masks of objects: files are read when the task runs, not while one types.
_ANY_MASK = PromptMask(np.ones((1, 1), bool))

_PROMPT_PARSERS: dict[str, Callable[[Parameters], object]] = {
    "input_point": lambda values: parse_points(values.input_point),
    "input_point_label": lambda values: parse_labels(values.input_point_label),
    "input_box": lambda values: parse_boxes(values.input_box),
    "input_objects": lambda values: objects_from_entries(
        values.input_objects, read_mask=lambda _: _ANY_MASK
    ),
    "point_grids": lambda values: parse_point_grids(
        values.point_grids, n_layers=values.crop_n_layers + 1
    ),
    "region_of_interest": lambda values: parse_regions(values.region_of_interest),
}


def prompt_errors(parameters: Parameters) -> dict[str, PromptError]:
    """What the parsers say of each prompt, or of all together when each is readable."""
    errors: dict[str, PromptError] = {}
    for key, parse in _PROMPT_PARSERS.items():
        try:
            parse(parameters)
        except PromptError as error:
            errors[key] = error
    if not errors:
        try:
            objects_from_text(
                parameters.input_point, parameters.input_point_label, parameters.input_box
            )
        except PromptError as error:
            errors[error.key] = error
    return errors
