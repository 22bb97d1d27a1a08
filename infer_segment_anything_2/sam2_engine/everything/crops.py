"""Where everything mode looks: point grids and overlapping crops, as Meta lays them out.

Pure functions of numpy arrays, equal to those of `sam2.utils.amg` (sam2 1.1.0) wherever these
give a result; where they fail (a crop without pixels, a grid without points) the docstring says
what is done instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import Polygon
from infer_segment_anything_2.sam2_engine.image.part import PicturePart
from infer_segment_anything_2.sam2_engine.settings import GridSettings

__all__ = [
    "Crop",
    "is_in_polygons",
    "is_near_inner_edge",
    "layer_grids",
    "make_crops",
    "make_point_grid",
    "make_point_grids",
    "points_in_crop",
    "points_of_interest",
]

# Meta's tolerance for "touches the edge of the crop".
_EDGE_TOLERANCE_PX = 20


@dataclass(frozen=True)
class Crop(PicturePart):
    """A part of the picture that the network sees on its own.

    Attributes:
        box_xyxy_px: Left, top, and one past right and bottom.
        layer: 0 for the whole picture; layer i cuts it into (2**i)**2 parts.
        keeps_cut_masks: Whether masks that its edge cuts are kept: those of tiles are put together.
    """

    layer: int
    keeps_cut_masks: bool = False


def make_crops(image_hw: tuple[int, int], n_layers: int, overlap_ratio: float) -> list[Crop]:
    """Lays out the whole picture and its crops (Meta's `generate_crop_boxes`).

    Args:
        image_hw: Height and width of the picture.
        n_layers: Number of layers besides the whole picture.
        overlap_ratio: Overlap of neighbours in the first layer, as a part of the picture's
            shorter side; halved from layer to layer.

    Returns:
        The crops in Meta's order. Crops without a pixel (pictures of a few pixels) are left out.

    >>> [crop.box_xyxy_px for crop in make_crops((10, 20), 1, 0.2)][:3]
    [(0, 0, 20, 10), (0, 0, 11, 6), (0, 4, 11, 10)]
    """
    height, width = image_hw
    crops = [Crop((0, 0, width, height), 0)]
    for layer in range(1, n_layers + 1):
        n_per_side = 2**layer
        overlap = int(overlap_ratio * min(image_hw) * (2 / n_per_side))
        crop_width, crop_height = (
            math.ceil((overlap * (n_per_side - 1) + length) / n_per_side)
            for length in (width, height)
        )
        for column, row in product(range(n_per_side), repeat=2):
            left, top = (crop_width - overlap) * column, (crop_height - overlap) * row
            right, bottom = min(left + crop_width, width), min(top + crop_height, height)
            if left < right and top < bottom:
                crops.append(Crop((left, top, right, bottom), layer))
    return crops


def make_point_grid(n_per_side: int) -> npt.NDArray[np.float64]:
    """Spread n x n points evenly over the unit square, row by row: n**2 x 2, (x, y).

    >>> make_point_grid(2).tolist()
    [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    margin = 1 / (2 * n_per_side)
    along = np.linspace(margin, 1 - margin, n_per_side)
    x, y = np.meshgrid(along, along)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def make_point_grids(
    n_per_side: int, n_layers: int, downscale_factor: int
) -> tuple[npt.NDArray[np.float64], ...]:
    """Makes one grid per layer (Meta's `build_all_layer_point_grids`).

    Args:
        n_per_side: Points along a side of the whole picture's grid.
        n_layers: Number of crop layers besides the whole picture.
        downscale_factor: Each layer has this many times fewer points along a side, at least one.

    >>> [len(grid) for grid in make_point_grids(8, 2, 2)]
    [64, 16, 4]
    """
    sides = (int(n_per_side / downscale_factor**layer) for layer in range(n_layers + 1))
    return tuple(make_point_grid(max(1, side)) for side in sides)


def points_in_crop(grid_xy_unit: npt.NDArray[np.float64], crop: Crop) -> npt.NDArray[np.float32]:
    """Scales a grid to a crop's own pixels: float32, as the network's prompts are."""
    height, width = crop.hw
    return np.asarray(grid_xy_unit * np.array([width, height]), np.float32)


def is_in_polygons(
    points_xy_px: npt.NDArray[np.floating[Any]], polygons: Sequence[Sequence[tuple[float, float]]]
) -> npt.NDArray[np.bool_]:
    """Tells which points lie in any of some polygons (an odd number of edges to their left).

    Args:
        points_xy_px: n x 2.
        polygons: Corners in order; the last is joined to the first.

    >>> square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    >>> is_in_polygons(np.array([[1.0, 2.0], [5.0, 2.0]]), [square]).tolist()
    [True, False]
    """
    x, y = points_xy_px.astype(np.float64).T
    is_in_any = np.zeros(len(points_xy_px), bool)
    for polygon in polygons:
        is_in = np.zeros(len(points_xy_px), bool)
        for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
            crosses = (y1 > y) != (y2 > y)
            slope = (x2 - x1) / (y2 - y1) if y1 != y2 else 0.0
            with np.errstate(over="ignore", invalid="ignore"):  # corners as far as numbers go
                is_in ^= crosses & (x > x1 + (y - y1) * slope)
        is_in_any |= is_in
    return is_in_any


def is_near_inner_edge(
    boxes_xyxy_px: npt.NDArray[np.int64], crop: Crop, image_hw: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Which boxes end within 20 px of a crop's edge that is not the picture's own edge.

    Such a mask was probably cut by the crop (Meta's `is_box_near_crop_edge`).

    Args:
        boxes_xyxy_px: int64, n x 4, in the picture's pixels.
        crop: Where they were found.
        image_hw: Height and width of the picture.
    """

    def near(edges_xyxy_px: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        near_each: npt.NDArray[np.bool_] = (
            np.abs(boxes_xyxy_px - np.array(edges_xyxy_px)) <= _EDGE_TOLERANCE_PX
        )
        return near_each

    height, width = image_hw
    is_inner = near(crop.box_xyxy_px) & ~near((0, 0, width, height))
    return np.asarray(is_inner.any(axis=1))


def layer_grids(settings: GridSettings) -> tuple[npt.NDArray[np.float64], ...]:
    """The grid of each crop layer, n x 2 in 0..1 (x, y)."""
    if settings.point_grids is not None:
        return settings.point_grids
    return make_point_grids(
        settings.points_per_side, settings.crop_n_layers, settings.crop_n_points_downscale_factor
    )


def points_of_interest(
    grid_xy_unit: npt.NDArray[np.float64], crop: Crop, polygons: tuple[Polygon, ...] | None
) -> npt.NDArray[np.float32]:
    """The points of a grid in a crop's own pixels, less those outside of the region of interest."""
    points_xy_px = points_in_crop(grid_xy_unit, crop)
    if polygons is None:
        return points_xy_px
    is_in = is_in_polygons(points_xy_px + np.array(crop.xy_px), polygons)
    return points_xy_px[is_in]
