"""Runs lengths of binary masks, as COCO and pycocotools write them.

A mask's pixels are read column by column (top to bottom, then left to right). ``counts[0]`` is the
number of leading zeros, which may be 0; then runs of ones and of zeros take turns, all longer
than 0. Every function here is pure.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Counts",
    "area_px",
    "bounding_box_xyxy_px",
    "compress",
    "counts_from_changes",
    "cut_at_columns",
    "decode",
    "decode_in_box",
    "decompress",
    "draw",
    "encode",
    "place_in_image",
    "ragged_places",
    "runs_of_ones",
    "without_doubles",
]

Counts = npt.NDArray[np.uint32]

# One character of COCO's string: 5 bits of a number and "more follows", moved to printable ASCII.
_BITS = 5
_LOW_BITS = 0x1F
_SIGN_BIT = 0x10
_MORE = 0x20
_FIRST_CHARACTER = 48
# A difference of two uint32 takes 33 bits with its sign: seven characters.
_MOST_CHARACTERS = 7

# Up to this size, a mask that is drawn column by column is turned quickly.
_FITS_CACHE_PX = 1_000_000
# From this width on, one call for each row is quicker than one for all.
_WIDE_PX = 256


def encode(mask_hw: npt.NDArray[np.bool_]) -> Counts:
    """Writes a mask as run lengths.

    Args:
        mask_hw: bool, H x W, at least one pixel.

    Returns:
        uint32 run lengths that sum up to H * W.

    >>> encode(np.array([[False, True], [False, True]])).tolist()
    [2, 2]
    """
    flat = mask_hw.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        changes = np.concatenate(([0], changes))
    return counts_from_changes(changes, flat.size)


def counts_from_changes(changes: npt.NDArray[np.int64], n_pixels: int) -> Counts:
    """Turns the places where a mask changes into run lengths.

    Args:
        changes: int64, ascending flat column-major positions in 0..n_pixels: the pixel there
            differs from the one before it (before the first pixel all is zero). A place named
            twice changes nothing.
        n_pixels: H * W.

    >>> counts_from_changes(np.array([1, 3, 3, 4]), 6).tolist()
    [1, 3, 2]
    """
    changes = without_doubles(changes)
    edges = np.empty(np.searchsorted(changes, n_pixels) + 2, np.int64)
    edges[0], edges[1:-1], edges[-1] = 0, changes[: edges.size - 2], n_pixels
    return (edges[1:] - edges[:-1]).astype(np.uint32)


def without_doubles(changes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The places of ascending changes that are named an odd number of times, each once.

    >>> without_doubles(np.array([1, 3, 3, 4, 4, 4])).tolist()
    [1, 4]
    """
    if changes.size < 2 or np.all(changes[1:] > changes[:-1]):
        return changes
    group_starts = np.flatnonzero(np.diff(changes, prepend=changes[0] - 1))
    odd = np.diff(group_starts, append=changes.size) % 2 == 1
    return np.asarray(changes[group_starts[odd]])


def decode(counts: Counts, image_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Draws run lengths as a mask: bool, H x W, C order.

    >>> decode(np.array([2, 2], np.uint32), (2, 2)).tolist()
    [[False, True], [False, True]]
    """
    return draw(counts, image_hw).view(bool)


def draw(counts: Counts, image_hw: tuple[int, int], value: int = 1) -> npt.NDArray[np.uint8]:
    """Draws run lengths with a value of one's own: uint8, H x W, C order, 0 outside of the mask.

    >>> draw(np.array([2, 2], np.uint32), (2, 2), 255).tolist()
    [[0, 255], [0, 255]]
    """
    height, width = image_hw
    if height * width <= _FITS_CACHE_PX:
        of_runs = np.zeros(counts.size, np.uint8)
        of_runs[1::2] = value
        return np.ascontiguousarray(np.repeat(of_runs, counts).reshape(width, height).T)
    drawn_hw = np.zeros(image_hw, np.uint8)
    pieces, box = _pieces_in_box(counts, height)
    _fill(drawn_hw[box], pieces, value)
    return drawn_hw


def decode_in_box(
    counts: Counts, image_hw: tuple[int, int]
) -> tuple[npt.NDArray[np.bool_], tuple[int, int]]:
    """Draws only the part of a mask that holds any of it.

    Returns:
        The mask inside its tight box, bool h x w, C order (0 x 0 for an empty mask), and the box's
        left upper pixel (x, y).

    >>> decode_in_box(np.array([2, 2], np.uint32), (2, 2))[0].tolist()
    [[True], [True]]
    """
    pieces, (rows, columns) = _pieces_in_box(counts, image_hw[0])
    part_hw = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    _fill(part_hw, pieces, 1)
    return part_hw.view(bool), (columns.start, rows.start)


class _Pieces(NamedTuple):
    """The runs of ones, cut at the ends of columns: where in a box each begins and ends; int64."""

    column: npt.NDArray[np.int64]
    first_row: npt.NDArray[np.int64]
    end_row: npt.NDArray[np.int64]


def _pieces_in_box(counts: Counts, height: int) -> tuple[_Pieces, tuple[slice, slice]]:
    """The pieces of a mask, and its tight box: rows and columns."""
    starts, ends = runs_of_ones(counts)
    is_filled = ends > starts
    starts, ends, column = cut_at_columns(starts[is_filled], ends[is_filled], height)
    if not column.size:
        return _Pieces(column, starts, ends), (slice(0, 0), slice(0, 0))
    first_row, end_row = starts - column * height, ends - column * height
    left, top = int(column[0]), int(first_row.min())
    box = slice(top, int(end_row.max())), slice(left, int(column[-1]) + 1)
    return _Pieces(column - left, first_row - top, end_row - top), box


def _fill(box_hw: npt.NDArray[np.uint8], pieces: _Pieces, value: int) -> None:
    """Draws pieces into their box, which is all 0.

    First the places where the mask changes from one row to the next, then all rows from above:
    whole rows at a time, in the order in which they lie in the memory.
    """
    height, width = box_hw.shape
    ends_inside = pieces.end_row < height
    rows = np.concatenate([pieces.first_row, pieces.end_row[ends_inside]])
    columns = np.concatenate([pieces.column, pieces.column[ends_inside]])
    np.bitwise_xor.at(box_hw, (rows, columns), np.uint8(value))
    if width < _WIDE_PX:
        np.bitwise_xor.accumulate(box_hw, axis=0, out=box_hw)
        return
    for above, row in pairwise(box_hw):
        np.bitwise_xor(above, row, out=row)


def area_px(counts: Counts) -> int:
    """Counts the ones.

    >>> area_px(np.array([2, 3, 1], np.uint32))
    3
    """
    return int(counts[1::2].sum(dtype=np.int64))


def runs_of_ones(counts: Counts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns first and one-past-last flat column-major positions of each run of ones (int64).

    >>> [ends.tolist() for ends in runs_of_ones(np.array([2, 3, 1, 4], np.uint32))]
    [[2, 6], [5, 10]]
    """
    ends = np.cumsum(counts, dtype=np.int64)
    n_runs = counts.size // 2
    return ends[0::2][:n_runs], ends[1::2]


def bounding_box_xyxy_px(counts: Counts, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns the outermost pixels (inclusive) of a mask; all 0 for an empty mask, as Meta does.

    >>> bounding_box_xyxy_px(np.array([2, 2], np.uint32), (2, 2))
    (1, 0, 1, 1)
    """
    height = image_hw[0]
    starts, ends = runs_of_ones(counts)
    if not starts.size:
        return 0, 0, 0, 0
    lasts = ends - 1
    first_columns, last_columns = starts // height, lasts // height
    top, bottom = int((starts % height).min()), int((lasts % height).max())
    if np.any(
        first_columns != last_columns
    ):  # a run over a column's end has its last and first row
        top, bottom = 0, height - 1
    return int(first_columns[0]), top, int(last_columns[-1]), bottom


def ragged_places(
    lengths: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lists the rows and places of ragged rows.

    >>> [column.tolist() for column in ragged_places(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    row = np.repeat(np.arange(lengths.size), lengths)
    return row, np.arange(row.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def cut_at_columns(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], height: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cuts runs where a column ends: first and one-past-last position of each piece, its column."""
    first_columns, last_columns = starts // height, (ends - 1) // height
    run, piece = ragged_places(last_columns - first_columns + 1)
    column = first_columns[run] + piece
    piece_starts = np.maximum(starts[run], column * height)
    piece_ends = np.minimum(ends[run], (column + 1) * height)
    return piece_starts, piece_ends, column


def place_in_image(
    counts: Counts,
    window_hw: tuple[int, int],
    window_xy_px: tuple[int, int],
    image_hw: tuple[int, int],
) -> Counts:
    """Turns a window's mask into one of the whole picture, without drawing either.

    Args:
        counts: The window's run lengths.
        window_hw: Height and width of the window.
        window_xy_px: Where the window's upper left pixel lies in the picture.
        image_hw: Height and width of the picture, which holds the window wholly.

    Returns:
        The picture's run lengths: zeros outside of the window.

    >>> place_in_image(np.array([0, 2], np.uint32), (1, 2), (1, 1), (3, 3)).tolist()
    [4, 1, 2, 1, 1]
    """
    window_height, (left, top), image_height = window_hw[0], window_xy_px, image_hw[0]
    piece_starts, piece_ends, columns = cut_at_columns(*runs_of_ones(counts), window_height)
    shift = (columns + left) * image_height + top - columns * window_height
    changes = np.stack([piece_starts + shift, piece_ends + shift], axis=1).ravel()
    return counts_from_changes(changes, image_height * image_hw[1])


def compress(counts: Counts) -> str:
    """Writes run lengths as COCO's string, character for character as pycocotools does.

    From the third run on, the difference to the run before last is written; each signed number as
    5-bit digits, the lowest first.

    >>> compress(np.array([2, 2], np.uint32))
    '22'
    """
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2].astype(np.int64)
    shifts = _BITS * np.arange(_MOST_CHARACTERS)
    rests = numbers[:, None] >> shifts
    digits = rests & _LOW_BITS
    # A number ends with the digit after which nothing but copies of the digit's sign bit remain.
    nothing_left = (rests >> _BITS) == np.where(digits & _SIGN_BIT, -1, 0)
    n_digits = np.argmax(nothing_left, axis=1) + 1
    place = np.arange(_MOST_CHARACTERS)
    more = place < n_digits[:, None] - 1
    characters = (digits | np.where(more, _MORE, 0)) + _FIRST_CHARACTER
    used = place < n_digits[:, None]
    return bytes(characters[used].astype(np.uint8)).decode("ascii")


def decompress(text: str) -> Counts:
    """Reads COCO's string; the inverse of `compress`.

    >>> decompress("22").tolist()
    [2, 2]
    """
    characters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    is_last = characters & _MORE == 0
    lasts = np.flatnonzero(is_last)
    firsts = np.concatenate(([0], lasts[:-1] + 1))
    place = np.arange(characters.size) - np.repeat(firsts, lasts - firsts + 1)
    numbers = np.add.reduceat((characters & _LOW_BITS) << (_BITS * place), firsts)
    is_negative = characters[lasts] & _SIGN_BIT != 0
    numbers -= np.where(is_negative, np.int64(1) << (_BITS * (lasts - firsts + 1)), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers.astype(np.uint32)
