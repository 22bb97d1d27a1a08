"""Masks as polygons that follow the edges of pixels, so that filling them gives the mask back.

A pixel (x, y) is the unit square from (x, y) to (x + 1, y + 1). A border between mask and
background turns only at grid points; they are found in the whole mask at once, and from them alone
the rings are put together. (Contour finders that go through pixel centres lose half a pixel on
every side: a mask of one pixel has no area.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Polygon", "Ring", "drawn_in", "joined", "polygons_of"]

Ring = npt.NDArray[np.int64]
"""Corners x, y of a closed line in order, n x 2; the first is not repeated at the end."""

_AnyRing = TypeVar("_AnyRing", Ring, npt.NDArray[np.float64])

_MOST_DISTANCES = 100_000


@dataclass(frozen=True)
class Polygon:
    """One connected part of a mask; no line crosses another or itself.

    Attributes:
        outer: Its outline; clockwise on the screen (y downwards).
        holes: The outlines of its holes; counterclockwise.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


@dataclass(frozen=True)
class _Corners:
    """The grid points where a border turns; one where two borders meet is in it twice.

    Attributes:
        xy: Corners, n x 2, row by row.
        across: Index of the corner at the other end of the horizontal line, n.
        along: Index of the corner at the other end of the vertical line, n.
    """

    xy: npt.NDArray[np.int64]
    across: npt.NDArray[np.int64]
    along: npt.NDArray[np.int64]


def polygons_of(
    mask_hw: npt.NDArray[np.bool_], offset_xy: tuple[int, int] = (0, 0)
) -> list[Polygon]:
    """Traces a mask exactly.

    Pixels that touch only at a corner are different parts. The polygons are valid for the Simple
    Features standard: a ring visits no point twice, rings touch at most in points.

    Args:
        mask_hw: The mask, bool h x w.
        offset_xy: Where its left upper corner lies in the picture; added to all corners.

    Returns:
        One polygon per connected part, from top to bottom.
    """
    corners = _find_corners(mask_hw)
    rings = _trace(corners)
    origin = np.array(offset_xy, dtype=np.int64)
    xy = corners.xy
    firsts = [min(ring) for ring in rings]  # corners are in rows: the topmost, then leftmost
    is_outer = [bool(mask_hw[xy[first, 1], xy[first, 0]]) for first in firsts]
    outer_of: dict[int, int] = {}
    holes: dict[int, list[Ring]] = {}
    row_keys, ring_of_line = _lines_of(corners, rings, mask_hw.shape[1])
    for number in sorted(range(len(rings)), key=firsts.__getitem__):
        if is_outer[number]:
            outer_of[number] = number
            holes[number] = []
            continue
        # The pixel above a hole belongs to the part; so does the next border above that pixel.
        column, row = xy[firsts[number]]
        gaps = np.flatnonzero(~mask_hw[:row, column])
        edge_row = int(gaps[-1]) + 1 if len(gaps) else 0
        key = edge_row * (mask_hw.shape[1] + 1) + column
        line = int(np.searchsorted(row_keys, key, side="right")) - 1
        outer_of[number] = outer_of[ring_of_line[line]]
        holes[outer_of[number]].append(_oriented(xy[rings[number]], clockwise=False) + origin)
    return [
        Polygon(_oriented(xy[rings[number]], clockwise=True) + origin, tuple(own))
        for number, own in holes.items()
    ]


def _find_corners(mask_hw: npt.NDArray[np.bool_]) -> _Corners:
    """Finds where the border turns, and pairs the ends of each straight line."""
    pixels = np.pad(mask_hw, 1).view(np.uint8)
    upper_left, upper_right = pixels[:-1, :-1], pixels[:-1, 1:]
    lower_left, lower_right = pixels[1:, :-1], pixels[1:, 1:]
    odd = upper_left ^ upper_right ^ lower_left ^ lower_right
    crossing = (upper_left ^ upper_right) & (upper_left ^ lower_left) & (odd ^ 1)
    y, x = np.nonzero(odd | crossing)
    times = 1 + crossing[y, x].astype(np.int64)
    rising = np.repeat((crossing & upper_right)[y, x], times).astype(bool)
    xy = np.repeat(np.column_stack([x, y]).astype(np.int64), times, axis=0)
    # Of two corners at one point, the first in this order ends the line from the left, the second
    # begins the one to the right. Which of them takes the line from above keeps the parts apart.
    second = np.zeros(len(xy), dtype=bool)
    second[1:] = (xy[1:] == xy[:-1]).all(axis=1)
    rank = second ^ rising
    by_column = np.lexsort((rank, xy[:, 1], xy[:, 0]))
    return _Corners(xy, _partners(np.arange(len(xy))), _partners(by_column))


def _partners(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Pairs the first with the second, the third with the fourth, ... of an order."""
    partner = np.empty_like(order)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner


def _trace(corners: _Corners) -> list[list[int]]:
    """Follows the lines from corner to corner, each ring once, cut where it meets itself."""
    across, along = corners.across.tolist(), corners.along.tolist()
    points = list(map(tuple, corners.xy.tolist()))
    seen = [False] * len(points)
    rings: list[list[int]] = []
    for start in range(len(points)):
        if seen[start]:
            continue
        loop: list[int] = []
        corner = start
        while not seen[corner]:
            other = across[corner]
            seen[corner] = seen[other] = True
            loop += [corner, other]
            corner = along[other]
        rings += _cut(loop, points)
    return rings


def _cut(loop: list[int], points: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Cuts a loop that visits a point twice into rings that do not."""
    if len({points[corner] for corner in loop}) == len(loop):
        return [loop]
    rings: list[list[int]] = []
    path: list[int] = []
    place: dict[tuple[int, ...], int] = {}
    for corner in loop:
        point = points[corner]
        if point in place:
            begin = place[point]
            rings.append(path[begin:])
            for left in path[begin + 1 :]:
                del place[points[left]]
            del path[begin + 1 :]
        else:
            place[point] = len(path)
            path.append(corner)
    return [*rings, path]


def _lines_of(
    corners: _Corners, rings: list[list[int]], width: int
) -> tuple[npt.NDArray[np.int64], dict[int, int]]:
    """Tells which ring each horizontal line belongs to.

    Returns:
        The left ends of all horizontal lines as y * (width + 1) + x, ascending; and the number of
        the ring by the position in that list.
    """
    keys = corners.xy[:, 1] * (width + 1) + corners.xy[:, 0]
    row_keys = keys[0::2]
    ring_of_line: dict[int, int] = {}
    for number, ring in enumerate(rings):
        ends = corners.xy[ring]
        flat = ends[:, 1] == np.roll(ends[:, 1], -1)
        left = np.minimum(keys[ring], np.roll(keys[ring], -1))[flat]
        positions = np.searchsorted(row_keys, left, side="right") - 1
        ring_of_line.update(dict.fromkeys(positions.tolist(), number))
    return row_keys, ring_of_line


def _oriented(ring: Ring, *, clockwise: bool) -> Ring:
    x, y = ring[:, 0], ring[:, 1]
    twice_area = int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    return ring if (twice_area > 0) == clockwise else ring[::-1]


def drawn_in(ring: Ring, before_px: float, after_px: float) -> npt.NDArray[np.float64]:
    """Moves every line of a ring towards the mask.

    Args:
        ring: Of a :class:`Polygon`: its lines are level or upright, the mask to their right.
        before_px: How far lines to the left of the mask and above it are moved; with ``after_px``
            less than a pixel.
        after_px: The same for lines to its right and below it.

    Returns:
        As many corners as before, n x 2.
    """
    ahead = np.sign(np.roll(ring, -1, axis=0) - ring)
    behind = np.roll(ahead, 1, axis=0)
    # One of a corner's two lines is level and sets its y, the other is upright and sets its x.
    steps = ahead + behind
    inwards = np.column_stack([-steps[:, 1], steps[:, 0]])
    return ring.astype(np.float64) + np.where(inwards > 0, before_px, -after_px)


def joined(rings: Sequence[_AnyRing]) -> _AnyRing:
    """Joins several rings into one line, for formats that hold a single ring.

    A bridge of no width leads from each ring to the next and back, between their nearest corners.
    It adds no area under either rule of filling (even-odd or non-zero winding), as long as holes
    run against their outlines, as those of :class:`Polygon` do.
    """
    path = rings[0]
    for ring in rings[1:]:
        leave, enter = _nearest(path, ring)
        tour = np.concatenate([ring[enter:], ring[: enter + 1]])
        path = np.concatenate([path[: leave + 1], tour, path[leave:]])
    return path


def _nearest(path: _AnyRing, ring: _AnyRing) -> tuple[int, int]:
    """Indices of two near corners; the very nearest unless the lines are long.

    Of long lines only every n-th corner is looked at, and then those around the best two.
    """
    stride = math.ceil(math.sqrt(len(path) * len(ring) / _MOST_DISTANCES))
    leave, enter = _closest(path[::stride], ring[::stride])
    if stride == 1:
        return leave, enter
    path_from = max((leave - 1) * stride, 0)
    ring_from = max((enter - 1) * stride, 0)
    window = 2 * stride + 1
    leave, enter = _closest(path[path_from:][:window], ring[ring_from:][:window])
    return path_from + leave, ring_from + enter


def _closest(some: _AnyRing, others: _AnyRing) -> tuple[int, int]:
    apart = np.abs(some[:, None, 0] - others[None, :, 0])
    apart += np.abs(some[:, None, 1] - others[None, :, 1])
    row, column = divmod(int(apart.argmin()), len(others))
    return row, column
