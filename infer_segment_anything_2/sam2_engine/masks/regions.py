"""The connected regions of a mask, on run lengths: found, removed, chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
    counts_from_changes,
    cut_at_columns,
    ragged_places,
    runs_of_ones,
    without_doubles,
)

__all__ = [
    "PointXy",
    "Regions",
    "find_regions",
    "keep_clicked_regions",
    "keep_largest_region",
    "remove_small_regions",
]

PointXy = tuple[float, float]

# Masks are cleaned together until they have so many: few steps, in about 50 MB.
_PIECES_AT_ONCE = 2**18


class Regions(NamedTuple):
    """The connected regions of a mask or of its background.

    Attributes:
        starts: int64, first flat column-major position of each piece, ascending.
        ends: int64, one past the last; a piece lies within one column.
        region_of_piece: int64, 0..n_regions - 1.
        areas_px: int64, n_regions.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    region_of_piece: npt.NDArray[np.int64]
    areas_px: npt.NDArray[np.int64]


def find_regions(counts: Counts, image_hw: tuple[int, int], *, of_ones: bool = True) -> Regions:
    """Finds the regions of a mask, or of its background; corners that touch connect.

    Args:
        counts: Run lengths of the mask.
        image_hw: Height and width of the picture.
        of_ones: False finds those of the background.

    >>> find_regions(np.array([0, 1, 3, 1, 1], np.uint32), (2, 3)).areas_px.tolist()
    [1, 1]
    """
    runs = runs_of_ones(counts) if of_ones else _runs_of_zeros(counts)
    return _regions_of_runs(*runs, image_hw[0])


def _regions_of_runs(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], height: int
) -> Regions:
    """Finds the regions that runs make: in columns of some height, as many as are needed."""
    starts, ends, column = cut_at_columns(starts, ends, height)
    # Keys order pieces by column, then by row, with a gap between columns: a search for a piece's
    # rows in the next column never leaves that column.
    stride = height + 2
    shift = column * (stride - height)
    first_keys, end_keys = starts + shift, ends + shift
    low = np.searchsorted(end_keys, first_keys + stride, side="left")
    high = np.searchsorted(first_keys, end_keys + stride, side="right")
    n_neighbours = np.maximum(high - low, 0)
    piece, in_range = ragged_places(n_neighbours)
    roots = _connect(starts.size, piece, low[piece] + in_range)
    is_root = roots == np.arange(roots.size)
    region_of_piece = (np.cumsum(is_root) - 1)[roots]
    areas_px = np.bincount(region_of_piece, weights=ends - starts).astype(np.int64)
    return Regions(starts, ends, region_of_piece, areas_px)


def remove_small_regions(
    masks: Sequence[Counts], image_hw: tuple[int, int], least_area_px: int
) -> list[Counts]:
    """Fills small holes and then removes small islands, as Meta's `remove_small_regions`.

    A hole is any region of the background, also one at the picture's edge. Where all islands of a
    mask are too small, the largest stays.

    Args:
        masks: Run lengths of masks of one picture.
        image_hw: Height and width of the picture.
        least_area_px: Regions of fewer pixels are small.

    Returns:
        The new run lengths of each; the very same array where nothing was small.
    """
    cleaned: list[Counts] = []
    group: list[Counts] = []
    n_pieces = 0
    for counts in masks:
        group.append(counts)
        n_pieces += counts.size + image_hw[1]
        if n_pieces >= _PIECES_AT_ONCE:
            cleaned += _without_small_regions(group, image_hw, least_area_px)
            group, n_pieces = [], 0
    return cleaned + _without_small_regions(group, image_hw, least_area_px)


def _without_small_regions(
    masks: Sequence[Counts], image_hw: tuple[int, int], least_area_px: int
) -> list[Counts]:
    """Cleans some masks together: as one mask of a wide picture, with a column between them."""
    if not masks:
        return []
    height, width = image_hw
    stride = height * (width + 1)
    holes = _regions_of_runs(*_side_by_side(map(_runs_of_zeros, masks), stride), height)
    is_filled = (holes.areas_px < least_area_px)[holes.region_of_piece]
    filled = np.concatenate([holes.starts[is_filled], holes.ends[is_filled]])
    starts, ends = _side_by_side(map(runs_of_ones, masks), stride)
    changes = without_doubles(np.sort(np.concatenate([starts, ends, filled])))
    islands = _regions_of_runs(changes[::2], changes[1::2], height)
    is_small = islands.areas_px < least_area_px
    # Regions are numbered from left to right, so those of a mask follow each other.
    mask_of_region = np.empty(is_small.size, np.int64)
    mask_of_region[islands.region_of_piece] = islands.starts // stride
    bounds = np.searchsorted(mask_of_region, np.arange(len(masks) + 1))
    for first, end in pairwise(bounds.tolist()):
        if first < end and is_small[first:end].all():
            is_small[first + islands.areas_px[first:end].argmax()] = False
    is_gone = is_small[islands.region_of_piece]
    gone = np.concatenate([islands.starts[is_gone], islands.ends[is_gone]])
    changes = without_doubles(np.sort(np.concatenate([changes, gone])))
    bounds = np.searchsorted(changes, stride * np.arange(len(masks) + 1))
    cleaned = list(masks)
    for index in np.unique(np.concatenate([filled, gone]) // stride).tolist():
        own = changes[bounds[index] : bounds[index + 1]] - index * stride
        cleaned[index] = counts_from_changes(own, height * width)
    return cleaned


def _side_by_side(
    runs: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]], stride: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places runs of several masks in one picture, `stride` positions from each to the next."""
    shifted = [(starts + at, ends + at) for at, (starts, ends) in zip(count(0, stride), runs)]
    starts, ends = (np.concatenate(column) for column in zip(*shifted, strict=True))
    return starts, ends


def keep_largest_region(counts: Counts, image_hw: tuple[int, int]) -> Counts:
    """Keeps a mask's largest region; of equal ones, the leftmost.

    Returns:
        The new run lengths; `counts` itself when there is nothing to remove.
    """
    regions = find_regions(counts, image_hw)
    is_kept = np.zeros(regions.areas_px.size, bool)
    if is_kept.size:
        is_kept[regions.areas_px.argmax()] = True
    return _keep(counts, image_hw, regions, is_kept)


def keep_clicked_regions(
    counts: Counts, image_hw: tuple[int, int], clicks_xy_px: Sequence[PointXy]
) -> Counts:
    """Keeps the regions that hold a click; for a click beside the mask, the nearest region.

    Args:
        counts: Run lengths of the mask.
        image_hw: Height and width of the picture.
        clicks_xy_px: At least one point; a point lies in the pixel that holds it.

    Returns:
        The new run lengths; `counts` itself when there is nothing to remove.
    """
    regions = find_regions(counts, image_hw)
    is_kept = np.zeros(regions.areas_px.size, bool)
    height, width = image_hw
    columns = regions.starts // height
    tops, bottoms = regions.starts % height, regions.ends - 1 - columns * height
    for x, y in clicks_xy_px if is_kept.size else ():
        across = columns - min(max(int(x), 0), width - 1)
        row = min(max(int(y), 0), height - 1)
        down = np.maximum(np.maximum(tops - row, row - bottoms), 0)
        is_kept[regions.region_of_piece[np.argmin(across**2 + down**2)]] = True
    return _keep(counts, image_hw, regions, is_kept)


def _keep(
    counts: Counts, image_hw: tuple[int, int], regions: Regions, is_kept: npt.NDArray[np.bool_]
) -> Counts:
    """Keeps some of the regions of a mask."""
    if is_kept.all():
        return counts
    gone = ~is_kept[regions.region_of_piece]
    return _with_flipped(counts, regions.starts[gone], regions.ends[gone], image_hw)


def _with_flipped(
    counts: Counts,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    image_hw: tuple[int, int],
) -> Counts:
    """Turns zeros into ones and ones into zeros between flat positions."""
    changes = np.concatenate([np.cumsum(counts[:-1], dtype=np.int64), starts, ends])
    changes.sort()
    return counts_from_changes(changes, image_hw[0] * image_hw[1])


def _runs_of_zeros(counts: Counts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    ends = np.cumsum(counts, dtype=np.int64)
    starts = ends - counts
    is_run = counts[0::2] > 0  # the first may be empty
    return starts[0::2][is_run], ends[0::2][is_run]


def _connect(
    n_nodes: int, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Finds the connected components of a graph: for each node, the least node of its component.

    Each round hangs every root onto the least root next to it and then shortens all paths: a few
    rounds do (S. Liu and R. Tarjan, Simple Concurrent Labeling Algorithms, 2019).
    """
    parent = np.arange(n_nodes)
    while left.size:
        low, high = np.minimum(left, right), np.maximum(left, right)
        np.minimum.at(parent, high, low)
        while True:
            grandparent = parent[parent]
            if np.array_equal(grandparent, parent):
                break
            parent = grandparent
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
    return parent
