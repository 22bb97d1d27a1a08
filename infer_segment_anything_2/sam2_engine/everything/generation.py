"""Masks of everything in a picture, from a grid of points.

The same masks as Meta's `SAM2AutomaticMaskGenerator` (sam2 1.1.0 without its CUDA extension), found
in another order of work: candidates are dropped as early as they can be, the decoder enlarges only
what is left (`decoder.mask_decoder`), and no mask has the picture's size before it is written as
run lengths (`masks.tracing`).

For each crop: embed, then for each chunk of grid points

    decode -> predicted IoU -> [m2m: decode again] -> stability -> not cut by the crop's edge

(with `adaptive_points` round by round, less the points that are not needed: `adaptive_points`),
then non-maximum suppression in the crop, and after all crops between the crops (`candidates`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.everything.candidates import Candidates, GenerationResult
from infer_segment_anything_2.sam2_engine.everything.crop_candidates import (
    CropCandidates,
    LogitRoom,
)
from infer_segment_anything_2.sam2_engine.everything.crop_search import CropSearch, SearchProgress
from infer_segment_anything_2.sam2_engine.everything.crops import (
    layer_grids,
    make_crops,
    points_of_interest,
)
from infer_segment_anything_2.sam2_engine.everything.tiles import tiles_and_picture
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.settings import GridSettings, OnProgress, TileSettings

__all__ = ["generate", "search"]

_MOST_WAITING_BYTES = 256 * 2**20
"""Logits of a search's candidates; what does not fit is written as run lengths at once."""


@torch.no_grad()
def search(
    embed: Callable[[npt.NDArray[np.uint8]], PreparedImage],
    decoder: FastMaskDecoder,
    image_rgb_hwc: npt.NDArray[np.uint8],
    settings: GridSettings,
    tiles: TileSettings | None = None,
    on_progress: OnProgress | None = None,
) -> Candidates:
    """Finds the candidates for masks of everything in a picture.

    Args:
        embed: Gives the features of the picture (called with `image_rgb_hwc` itself) and of crops
            of it, prepared by `decoder`.
        decoder: Of the network.
        image_rgb_hwc: H x W x 3, at least one pixel.
        settings: The grid, and the thresholds of what is kept.
        tiles: Search these, and the whole picture, instead of crop layers.
        on_progress: Called in the calling thread, before each crop and after each chunk, with the
            numbers of points done and in all. An exception from it ends the search.

    Raises:
        DeviceError: The memory does not suffice even for one point at a time.
    """
    image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
    crops = make_crops(image_hw, settings.crop_n_layers, settings.crop_overlap_ratio)
    if tiles is not None:
        crops = tiles_and_picture(image_hw, tiles)
    grids = layer_grids(settings)
    polygons = settings.region_of_interest
    points = [points_of_interest(grids[crop.layer], crop, polygons) for crop in crops]
    progress = SearchProgress(sum(map(len, points)), on_progress)
    room = LogitRoom(_MOST_WAITING_BYTES)
    found: list[CropCandidates | None] = []
    with PromptWorkers(decoder.device) as workers:
        for crop, points_xy_px in zip(crops, points, strict=True):
            progress.add(0)
            if not len(points_xy_px):  # costs nothing
                found.append(None)
                continue
            is_whole = crop.hw == image_hw
            image = embed(image_rgb_hwc if is_whole else crop.cut(image_rgb_hwc))
            side = math.isqrt(len(grids[crop.layer])) if settings.skips_points else None
            crop_search = CropSearch(decoder, image, crop, image_hw, settings, room, side)
            found.append(crop_search.run(points_xy_px, workers, progress))
            del image, crop_search  # before the next crop is encoded
    return Candidates(image_hw, settings, tiles, tuple(found), decoder.device)


def generate(
    embed: Callable[[npt.NDArray[np.uint8]], PreparedImage],
    decoder: FastMaskDecoder,
    image_rgb_hwc: npt.NDArray[np.uint8],
    settings: GridSettings,
    on_progress: OnProgress | None = None,
) -> GenerationResult:
    """Finds masks of everything in a picture; see `search`."""
    found = search(embed, decoder, image_rgb_hwc, settings, None, on_progress)
    return found.filtered(settings)
