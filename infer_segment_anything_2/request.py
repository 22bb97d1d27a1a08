"""Typed parameters into what the engine is asked: objects, regions, settings.

The one place that knows how a parameter reaches the engine. :func:`text_errors` tells what is wrong
with a text before anything is loaded; what only a picture can tell comes with the picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.prompts import (
    DrawnBox,
    DrawnPoint,
    ObjectPrompt,
    Polygon,
    objects_from_drawing,
)
from infer_segment_anything_2.sam2_engine.everything.crops import (
    layer_grids,
    make_crops,
    points_of_interest,
)
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    GridSettings,
    PredictionSettings,
    TileSettings,
    TrackingSettings,
)
from infer_segment_anything_2.sam2_reading.fitting import fit_regions, fit_to_image
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.prompt_masks import mask_from_picture, read_mask
from infer_segment_anything_2.sam2_reading.prompt_text import (
    objects_from_text,
    parse_boxes,
    parse_labels,
    parse_point_grids,
    parse_points,
    parse_regions,
)

__all__ = [
    "TEXT_KEYS",
    "cleaning_settings",
    "grid_settings",
    "notes_on_regions",
    "objects_of",
    "prediction_settings",
    "raise_first",
    "regions_of",
    "text_errors",
    "tile_settings",
    "tracking_settings",
]

_SMALLEST_TILE_PX = 64
_MOST_LAYERS = int(next(row.maximum for row in ROWS if row.key == "crop_n_layers"))


def objects_of(
    parameters: Parameters,
    image_hw: tuple[int, int],
    *,
    drawn_points: Sequence[DrawnPoint] = (),
    drawn_boxes: Sequence[DrawnBox] = (),
    mask: object = None,
) -> tuple[list[ObjectPrompt], list[str]]:
    """The objects that are prompted on a picture, by text, by drawing and by the mask input.

    Args:
        parameters: Of the run.
        image_hw: Height and width of the picture.
        drawn_points: Points beside those of the parameters.
        drawn_boxes: Boxes beside those of the parameters.
        mask: A black-and-white picture of any size, or None. It belongs to the only object that is
            prompted otherwise, or is one by itself.

    Returns:
        The objects, and a sentence for each prompt that had to be put right.

    Raises:
        PromptError: A prompt makes no sense, in itself or on this picture.
    """
    asked = [
        *objects_from_text(
            parameters.input_point, parameters.input_point_label, parameters.input_box
        ),
        *objects_from_entries(parameters.input_objects, read_mask),
        *objects_from_drawing(drawn_points, drawn_boxes),
    ]
    return fit_to_image(_with_mask(asked, mask), image_hw)


def _with_mask(asked: list[ObjectPrompt], picture: object) -> list[ObjectPrompt]:
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


def regions_of(
    parameters: Parameters, drawn: Sequence[Polygon], image_hw: tuple[int, int]
) -> tuple[Polygon, ...] | None:
    """The regions of interest in pixels of the picture, None for everywhere.

    Raises:
        PromptError: One makes no sense, in itself or on this picture.
    """
    return fit_regions((*parse_regions(parameters.region_of_interest), *drawn), image_hw)


def prediction_settings(parameters: Parameters, *, goes_on: bool) -> PredictionSettings:
    """How the masks of prompted objects are chosen.

    Args:
        parameters: Of the run.
        goes_on: Whether some object starts from an earlier answer. Then each gets one answer:
            Meta's protocol.
    """
    return PredictionSettings(
        multimask_output=parameters.multimask_output and not goes_on,
        prefer_stable=parameters.apply_postprocessing,
        mask_threshold=parameters.mask_threshold,
        stability_score_offset=parameters.stability_score_offset,
        zoom=parameters.zoom,
    )


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
        adaptive_points=parameters.adaptive_points,
        sharpen=parameters.sharpen,
    )


def notes_on_regions(
    parameters: Parameters,
    regions: tuple[Polygon, ...] | None,
    image_hw: tuple[int, int],
    n_points: int,
) -> list[str]:
    """Names the regions of interest in which no point was asked.

    Args:
        parameters: Of the run.
        regions: In pixels of the picture; None for everywhere.
        image_hw: Height and width of the picture.
        n_points: How many points were asked in all.
    """
    if not regions:
        return []
    grid = grid_settings(parameters, regions)
    crops = make_crops(image_hw, grid.crop_n_layers, grid.crop_overlap_ratio)
    if parameters.tile_size and n_points:
        return []  # each tile has the whole grid
    grids = layer_grids(grid)
    notes = []
    for region in regions:
        points = (points_of_interest(grids[crop.layer], crop, (region,)) for crop in crops)
        if not any(map(len, points)):
            notes.append(
                f"No grid point falls into the region of interest at {list(region[:4])}, so "
                "nothing was searched for there; raise points_per_side (now "
                f"{parameters.points_per_side}) or enlarge the region."
            )
    return notes


def tracking_settings(parameters: Parameters, n_frames: int | None) -> TrackingSettings:
    """How objects are followed through a video.

    Args:
        parameters: Of the run.
        n_frames: Of the whole video, None where that is not known.
    """
    return TrackingSettings(
        max_prompted_frames=parameters.max_prompted_frames,
        memory_rule=parameters.memory_rule,
        # The tracker sees those frames only that are looked at.
        frame_count=n_frames and -(-n_frames // parameters.frame_step),
        mask_threshold=parameters.mask_threshold,
        stability_score_offset=parameters.stability_score_offset,
        prefer_stable=parameters.apply_postprocessing,
    )


def tile_settings(parameters: Parameters) -> TileSettings | None:
    """The tiles that a big picture is searched in, None for no tiles."""
    if parameters.tile_size == 0:
        return None
    return TileSettings(max(parameters.tile_size, _SMALLEST_TILE_PX), parameters.tile_overlap)


def cleaning_settings(parameters: Parameters, *, everything: bool) -> CleaningSettings:
    """How finished masks are cleaned.

    Args:
        parameters: Of the run.
        everything: Whether they are those of everything mode, where masks that the cleaning made
            like better ones are removed.
    """
    duplicate_thresh = max(parameters.box_nms_thresh, parameters.crop_nms_thresh)
    return CleaningSettings(
        min_mask_region_area=parameters.min_mask_region_area,
        keep_components=parameters.keep_components,
        min_mask_area=parameters.min_mask_area,
        max_mask_area=parameters.max_mask_area,
        duplicates=parameters.duplicates,
        duplicate_thresh=duplicate_thresh if everything else None,
        overlap=parameters.overlap,
    )


# In the order of the table. Masks of objects are left unread: files are opened when the task runs.
_TEXTS: dict[str, Callable[[Parameters], object]] = {
    "input_point": lambda values: parse_points(values.input_point),
    "input_point_label": lambda values: parse_labels(values.input_point_label),
    "input_box": lambda values: parse_boxes(values.input_box),
    "input_objects": lambda values: objects_from_entries(values.input_objects),
    "point_grids": lambda values: parse_point_grids(
        values.point_grids, n_layers=values.crop_n_layers + 1
    ),
    "region_of_interest": lambda values: parse_regions(values.region_of_interest),
}
TEXT_KEYS = tuple(_TEXTS)
"""The parameters whose texts are judged here."""


_TOGETHER = frozenset({"input_point", "input_point_label", "input_box"})


def text_errors(
    parameters: Parameters, given: Collection[str] | None = None
) -> dict[str, PromptError]:
    """What is wrong with each text, or with all together when each is readable, by its key.

    Args:
        parameters: Whose texts.
        given: The parameters that are to blame; None for all. Texts set one after the other need
            not fit together yet, so that is asked only of those that are given at once.
    """
    errors: dict[str, PromptError] = {}
    for key, parse in _TEXTS.items():
        if given is not None and key not in given:
            continue
        try:
            parse(parameters)
        except PromptError as error:
            errors[key] = error
    if "point_grids" in errors and "crop_n_layers" not in (given or ["crop_n_layers"]):
        errors.update(_of_any_layers(errors.pop("point_grids"), parameters))
    if not errors and (given is None or len(_TOGETHER.intersection(given)) > 1):
        try:
            objects_from_text(
                parameters.input_point, parameters.input_point_label, parameters.input_box
            )
        except PromptError as error:
            errors[error.key] = error
    return errors


def _of_any_layers(error: PromptError, parameters: Parameters) -> dict[str, PromptError]:
    """The error of point grids, unless another number of crop layers, set later, mends it."""
    for n_layers in range(1, _MOST_LAYERS + 2):
        with contextlib.suppress(PromptError):
            parse_point_grids(parameters.point_grids, n_layers)
            return {}
    return {"point_grids": error}


def raise_first(errors: dict[str, PromptError]) -> None:
    """Raises the first error of :func:`text_errors`, if there is any."""
    for error in errors.values():
        raise error
