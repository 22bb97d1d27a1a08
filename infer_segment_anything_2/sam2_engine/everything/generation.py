"""Masks of everything in a picture, from a grid of points.

The same masks as Meta's `SAM2AutomaticMaskGenerator` (sam2 1.1.0 without its CUDA extension), found
in another order of work: candidates are dropped as early as they can be, the decoder enlarges only
what is left (`decoder.mask_decoder`), and no mask has the picture's size before it is written as
run lengths (`masks.tracing`).

For each crop: embed, then for each chunk of grid points

    decode -> predicted IoU -> [m2m: decode again] -> stability -> not cut by the crop's edge

then non-maximum suppression in the crop, and after all crops between the crops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.everything.crop_search import CropSearch, SearchProgress
from infer_segment_anything_2.sam2_engine.everything.crops import (
    Crop,
    layer_grids,
    make_crops,
    points_of_interest,
)
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.masks.cleaning import clean
from infer_segment_anything_2.sam2_engine.masks.duplicates import without_duplicates
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.settings import CleaningSettings, GridSettings, OnProgress

__all__ = ["GenerationResult", "cleaned", "generate", "search_crops"]


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """What everything mode found.

    Attributes:
        masks: In Meta's order: by predicted IoU, with crops those of the smallest crops first.
        filter_counts: What became of the others.
    """

    masks: MaskSet
    filter_counts: FilterCounts


@torch.no_grad()
def generate(
    embed: Callable[[npt.NDArray[np.uint8]], PreparedImage],
    decoder: FastMaskDecoder,
    image_rgb_hwc: npt.NDArray[np.uint8],
    settings: GridSettings,
    on_progress: OnProgress | None = None,
) -> GenerationResult:
    """Finds masks of everything in a picture.

    Args:
        embed: Gives the features of the picture (called with `image_rgb_hwc` itself) and of crops
            of it, prepared by `decoder`.
        decoder: Of the network.
        image_rgb_hwc: H x W x 3, at least one pixel.
        settings: The grid and the filters.
        on_progress: Called in the calling thread, before each crop and after each chunk, with the
            numbers of points done and in all. An exception from it ends the search.

    Raises:
        DeviceError: The memory does not suffice even for one point at a time.
    """
    image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
    crops = make_crops(image_hw, settings.crop_n_layers, settings.crop_overlap_ratio)
    found, counts = search_crops(embed, decoder, image_rgb_hwc, settings, crops, on_progress)
    masks = MaskSet.concatenate(found)
    if len(crops) > 1:
        # Prefer what smaller crops show, as Meta does: they show it larger.
        areas_px = masks.crop_boxes_xywh_px[:, 2:].prod(axis=1).astype(np.float32)
        scores = np.float32(1) / areas_px
        masks = masks.select(
            without_duplicates(masks, scores, settings.crop_nms_thresh, settings.duplicates)
        )
    masks = replace(masks, object_index=np.arange(len(masks)))
    counts = counts.reach("after_seams", counts.after_box_nms)
    return GenerationResult(masks, counts.reach("after_crop_nms", len(masks)))


@torch.no_grad()
def search_crops(
    embed: Callable[[npt.NDArray[np.uint8]], PreparedImage],
    decoder: FastMaskDecoder,
    image_rgb_hwc: npt.NDArray[np.uint8],
    settings: GridSettings,
    crops: Sequence[Crop],
    on_progress: OnProgress | None = None,
) -> tuple[list[MaskSet], FilterCounts]:
    """Searches some crops of a picture, each by itself; see `generate`.

    Returns:
        The masks of each crop, in pixels of the whole picture, best first; and what was dropped
        up to the duplicates within a crop. A crop without a point costs nothing.
    """
    image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
    grids = layer_grids(settings)
    polygons = settings.region_of_interest
    points = [points_of_interest(grids[crop.layer], crop, polygons) for crop in crops]
    progress = SearchProgress(sum(map(len, points)), on_progress)
    found, counts = [], FilterCounts()
    with PromptWorkers(decoder.device) as workers:
        for crop, points_xy_px in zip(crops, points, strict=True):
            progress.add(0)
            if not len(points_xy_px):
                found.append(MaskSet.empty(image_hw))
                continue
            is_whole = crop.hw == image_hw
            image = embed(image_rgb_hwc if is_whole else crop.cut(image_rgb_hwc))
            search = CropSearch(decoder, image, crop, image_hw, settings)
            masks, crop_counts = search.run(points_xy_px, workers, progress)
            del image, search  # before the next crop is encoded
            found.append(masks)
            counts = counts.plus(crop_counts)
    return found, counts


def cleaned(result: GenerationResult, settings: CleaningSettings) -> GenerationResult:
    """Cleans what was found, and goes on with the account of it."""
    cleaning = clean(result.masks, settings)
    counts = (
        result.filter_counts.reach("after_area", cleaning.after_area)
        .reach("after_cleaning", cleaning.after_duplicates)
        .reach("shown", cleaning.after_overlap)
    )
    return GenerationResult(cleaning.masks, counts)
