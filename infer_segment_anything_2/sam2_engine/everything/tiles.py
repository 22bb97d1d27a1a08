"""Everything in a big picture: tiles at the network's full resolution, put together again.

Meta's crops drop every mask that a crop's edge cuts, so an object that no single crop holds is
lost. Here neighbouring tiles share a band. What one tile shows whole is taken from there. What is
cut in both of two neighbours is compared in their band: where the two parts are alike, they are
one object. What stays cut goes. A pass over the whole picture finds what is larger than tiles.

Tile after tile is searched and only run lengths are kept: memory does not grow with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.everything.crops import Crop
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.masks.duplicates import without_duplicates
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.overlap import MaskRuns, union
from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
    bounding_box_xyxy_px,
    place_in_image,
)
from infer_segment_anything_2.sam2_engine.masks.shared_pixels import SharedPixels
from infer_segment_anything_2.sam2_engine.settings import GridSettings, TileSettings

__all__ = ["join_cut_masks", "join_tiles", "make_tiles", "tiles_and_picture"]

# Two parts are one object when their pixels in the shared band are alike by this IoU.
_SAME_OBJECT_IOU = 0.6
# A mask is cut when it ends as near to a tile's inner edge as this part of the tile's side: the
# network's masks are a quarter of its input, and uncertain by a cell or two.
_EDGE_SHARE = 1 / 64


def make_tiles(image_hw: tuple[int, int], settings: TileSettings) -> list[list[Crop]]:
    """Lays tiles of one size evenly over a picture.

    Returns:
        Rows of tiles; a single one for a picture that fits into it.

    >>> [tile.box_xyxy_px for tile in make_tiles((10, 16), TileSettings(10, 0.25))[0]]
    [(0, 0, 10, 10), (6, 0, 16, 10)]
    """
    tops, lefts = (_starts(length, settings) for length in image_hw)
    height, width = (min(settings.side_px, length) for length in image_hw)
    return [
        [Crop((x, y, x + width, y + height), layer=0, keeps_cut_masks=True) for x in lefts]
        for y in tops
    ]


def _starts(length_px: int, settings: TileSettings) -> list[int]:
    side = settings.side_px
    if length_px <= side:
        return [0]
    n_tiles = math.ceil((length_px - side) / (side * (1 - settings.overlap))) + 1
    return [round(k * (length_px - side) / (n_tiles - 1)) for k in range(n_tiles)]


def tiles_and_picture(image_hw: tuple[int, int], settings: TileSettings) -> list[Crop]:
    """What is searched: the tiles, row by row, and the whole picture."""
    height, width = image_hw
    tiles = [tile for row in _rows(image_hw, settings) for tile in row]
    return [*tiles, Crop((0, 0, width, height), layer=0)]


def join_tiles(
    found: Sequence[MaskSet],
    counts: FilterCounts,
    image_hw: tuple[int, int],
    grid: GridSettings,
    settings: TileSettings,
    shared: SharedPixels | None = None,
) -> tuple[MaskSet, FilterCounts]:
    """Makes one set of what was found in tiles and in the whole picture.

    Args:
        found: The masks of each of `tiles_and_picture`, in pixels of the whole picture.
        counts: What was dropped up to the duplicates within a tile.
        image_hw: Height and width of the picture.
        grid: The thresholds of duplicates; with `crop_nms_thresh`, what tiles show is preferred to
            what the whole picture shows.
        settings: The tiles.
        shared: What is known of pairs of masks of the picture; grows.
    """
    rows = _rows(image_hw, settings)
    *of_tiles, of_picture = found
    joined = join_cut_masks(of_tiles, rows, image_hw)
    if rows:  # what is smaller than the shared bands is whole in a tile
        sizes_px = of_picture.boxes_xyxy_px[:, 2:] - of_picture.boxes_xyxy_px[:, :2] + 1
        is_large = sizes_px.max(axis=1) > settings.overlap * settings.side_px
        of_picture = of_picture.select(np.flatnonzero(is_large))
    masks = MaskSet.concatenate([joined, of_picture])
    counts = counts.reach("after_seams", len(masks))
    if rows:
        # What tiles show comes first; else the better rated.
        bonus = np.repeat(np.array([1, 0], np.float32), [len(joined), len(of_picture)])
        scores = np.nan_to_num(masks.predicted_iou) + 2 * bonus
        kept = without_duplicates(masks, scores, grid.crop_nms_thresh, grid.duplicates, shared)
        masks = masks.select(kept)
    return masks, counts.reach("after_crop_nms", len(masks))


def _rows(image_hw: tuple[int, int], settings: TileSettings) -> list[list[Crop]]:
    """The tiles; none where a single one would be the whole picture."""
    rows = make_tiles(image_hw, settings)
    return [] if len(rows) == len(rows[0]) == 1 else rows


def join_cut_masks(
    found: Sequence[MaskSet], rows: Sequence[Sequence[Crop]], image_hw: tuple[int, int]
) -> MaskSet:
    """Makes one set of the masks of all tiles: those whole in a tile, and the joined others.

    Args:
        found: The masks of each tile, row by row, in pixels of the whole picture.
        rows: The tiles.
        image_hw: Height and width of the picture.
    """
    tiles = [tile for row in rows for tile in row]
    if not tiles:
        return MaskSet.empty(image_hw)
    masks = MaskSet.concatenate(found)
    tile_of_mask = np.repeat(np.arange(len(tiles)), [len(some) for some in found])
    is_cut_4 = np.zeros((len(masks), 4), bool)
    for index, tile in enumerate(tiles):
        own = tile_of_mask == index
        is_cut_4[own] = _ends_at_inner_edge(masks.boxes_xyxy_px[own], tile, image_hw)
    runs = MaskRuns(masks)
    group_of = np.arange(len(masks))
    for first, second, side in _neighbours(rows):
        one = np.flatnonzero((tile_of_mask == first) & is_cut_4[:, side + 2])
        other = np.flatnonzero((tile_of_mask == second) & is_cut_4[:, side])
        band = _band(tiles[first], tiles[second], image_hw)
        for left, right in _alike_in_band(runs, one, other, band):
            group_of[group_of == group_of[right]] = group_of[left]
    is_cut = is_cut_4.any(axis=1)
    joined = [masks.select(np.flatnonzero(~is_cut))]
    for group in np.unique(group_of[is_cut]):
        parts = np.flatnonzero(group_of == group)
        if _is_closed([tiles[k] for k in tile_of_mask[parts]], is_cut_4[parts]):
            joined.append(_joined(masks, parts))
    return MaskSet.concatenate(joined)


def _ends_at_inner_edge(
    boxes_xyxy_px: npt.NDArray[np.int64], tile: Crop, image_hw: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Tells at which sides (left, top, right, bottom) a tile cuts masks: bool, n x 4."""
    left, top, right, bottom = tile.box_xyxy_px
    near_x, near_y = _EDGE_SHARE * (right - left), _EDGE_SHARE * (bottom - top)
    distance = np.abs(boxes_xyxy_px - np.array([left, top, right - 1, bottom - 1]))
    is_inner = np.array([left > 0, top > 0, right < image_hw[1], bottom < image_hw[0]])
    is_near = distance <= np.array([near_x, near_y, near_x, near_y])
    return np.asarray(is_near & is_inner, bool)


def _neighbours(rows: Sequence[Sequence[Crop]]) -> list[tuple[int, int, int]]:
    """Pairs of tiles side by side (0) or one above the other (1), by their numbers."""
    n_rows, n_columns = len(rows), len(rows[0])
    numbers = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    across = zip(numbers[:, :-1].ravel(), numbers[:, 1:].ravel(), strict=True)
    down = zip(numbers[:-1].ravel(), numbers[1:].ravel(), strict=True)
    return [
        *((int(a), int(b), 0) for a, b in across),
        *((int(a), int(b), 1) for a, b in down),
    ]


def _band(one: Crop, other: Crop, image_hw: tuple[int, int]) -> Counts:
    """What two neighbouring tiles share, as a mask of the picture."""
    (a, b, c, d), (e, f, g, h) = one.box_xyxy_px, other.box_xyxy_px
    left, top = max(a, e), max(b, f)
    width, height = max(min(c, g) - left, 0), max(min(d, h) - top, 0)
    filled = np.array([0, width * height], np.uint32)
    return place_in_image(filled, (height, width), (left, top), image_hw)


def _alike_in_band(
    runs: MaskRuns, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], band: Counts
) -> list[tuple[int, int]]:
    """Pairs of masks of two tiles that are one object: the most alike first, each mask once."""
    if not one.size or not other.size:
        return []
    ones_px, others_px = (runs.intersections_px(band, some) for some in (one, other))
    # Masks of two tiles meet in the band only.
    common_px = np.array([runs.intersections_px(runs.counts(index), other) for index in one])
    iou = common_px / np.maximum(ones_px[:, None] + others_px - common_px, 1)
    pairs = []
    while iou.max() > _SAME_OBJECT_IOU:
        row, column = np.unravel_index(int(iou.argmax()), iou.shape)
        pairs.append((int(one[row]), int(other[column])))
        iou[row], iou[:, column] = 0, 0
    return pairs


def _joined(masks: MaskSet, parts: npt.NDArray[np.int64]) -> MaskSet:
    """One mask of several parts; its scores are theirs, weighted by area."""
    if parts.size == 1:
        return masks.select(parts)
    areas_px = np.array([masks.rles[k].area_px for k in parts], np.float64)
    counts = union([masks.rles[k].counts for k in parts], masks.image_hw)
    corners = masks.crop_boxes_xywh_px[parts]
    first_xy = corners[:, :2].min(axis=0)
    last_xy = (corners[:, :2] + corners[:, 2:]).max(axis=0)

    def mean(column: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.array([np.average(column[parts], weights=areas_px)], np.float32)

    return replace(
        masks.select(parts[[int(areas_px.argmax())]]),
        rles=(Rle(masks.image_hw, counts),),
        boxes_xyxy_px=np.array([bounding_box_xyxy_px(counts, masks.image_hw)], np.int64),
        predicted_iou=mean(masks.predicted_iou),
        stability_score=mean(masks.stability_score),
        crop_boxes_xywh_px=np.array([[*first_xy, *(last_xy - first_xy)]], np.int64),
    )


def _is_closed(tiles: Sequence[Crop], is_cut_4: npt.NDArray[np.bool_]) -> bool:
    """Whether, at every side that cuts a part, another part comes from beyond that side."""
    boxes = np.array([tile.box_xyxy_px for tile in tiles]) * np.array([1, 1, -1, -1])
    beyond = boxes.min(axis=0) < boxes
    return bool((beyond | ~is_cut_4).all())
