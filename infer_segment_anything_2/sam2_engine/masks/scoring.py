"""Scores, boxes and run lengths of masks, straight from the network's small logits.

Meta enlarges every candidate's logits (256 x 256) to the picture's size before it looks at them.
But a bilinear value lies between the four samples around it. So only where the samples around a
cell lie on both sides of a threshold do the cell's pixels have to be computed; all other cells
count whole. The results are those of enlarging first, at a small part of the work and in memory
that does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.masks.upsampling import (
    AxisTables,
    Upsampling,
)

__all__ = ["MaskScores", "score"]


class MaskScores(NamedTuple):
    """What `score` finds out about n masks.

    Attributes:
        stability: float32, n; nan where even the larger mask is empty.
        boxes_xyxy_px: int64, n x 4: outermost pixels, inclusive, in the crop; 0 for empty masks.
    """

    stability: Tensor
    boxes_xyxy_px: Tensor


def score(
    logits_nhw: Tensor, upsampling: Upsampling, mask_threshold: float, stability_offset: float
) -> MaskScores:
    """Rate masks and find their boxes as if their logits had been enlarged first.

    Equal to Meta's `calculate_stability_score` and `batched_mask_to_box` of
    `F.interpolate(logits)`; a pixel whose value is within float32 rounding of a threshold may
    fall on its other side.

    Args:
        logits_nhw: float32, n x h x w.
        upsampling: To the crop's size.
        mask_threshold: A pixel belongs to the mask when its logit is above.
        stability_offset: How far, at least 0, the stability's two thresholds lie from that one.
    """
    thresholds = (
        mask_threshold - stability_offset,
        mask_threshold + stability_offset,
        mask_threshold,
    )
    lowest, highest = _range_of_cells(_levels(logits_nhw, sorted(thresholds)))
    is_flat = lowest == highest
    tally = _Tally.of_flat_cells(lowest.mul_(is_flat & upsampling.has_pixels), upsampling)
    places = torch.nonzero((~is_flat & upsampling.has_pixels).reshape(-1))[:, 0]
    for some in torch.split(places, upsampling.cells_at_once):
        tally.add(*_look_into_cells(logits_nhw, some, upsampling, thresholds))
    return tally.scores()


# A float tensor as the result of a comparison saves torch a slow conversion, here and below.
def _above(values: Tensor, threshold: float, out: Tensor | None = None) -> Tensor:
    """1.0 where a value is above a threshold, else 0.0."""
    return torch.gt(values, threshold, out=torch.empty_like(values) if out is None else out)


def _levels(logits: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Counts the thresholds that lie below each value, as float."""
    levels = _above(logits, thresholds[0])
    flags = torch.empty_like(levels)
    for threshold in thresholds[1:]:
        levels += _above(logits, threshold, out=flags)
    return levels


def _range_of_cells(samples_nhw: Tensor) -> tuple[Tensor, Tensor]:
    """Returns least and greatest of each cell's four samples; beyond the edge, the edge's own."""
    lowest = highest = samples_nhw
    for axis in (1, 2):
        lowest = torch.minimum(lowest, _following(lowest, axis))
        highest = torch.maximum(highest, _following(highest, axis))
    return lowest, highest


def _following(samples: Tensor, axis: int) -> Tensor:
    """Each sample's next one along an axis; the last sample is its own."""
    last = samples.shape[axis] - 1
    return torch.cat([samples.narrow(axis, 1, last), samples.narrow(axis, last, 1)], dim=axis)


class _Findings(NamedTuple):
    """What is known of k masks or cells.

    Attributes:
        n_above_k2: float64: pixels above the lowest and above the highest threshold.
        first_xy_k2: int64: least column and row of a pixel above the middle threshold.
        last_xy_k2: int64: the greatest; -1 where there is none.
    """

    n_above_k2: Tensor
    first_xy_k2: Tensor
    last_xy_k2: Tensor


# Beyond any picture's pixels.
_FAR = 2**40
# The place of the mask's own threshold among the three.
_MASK = 2


def _look_into_cells(
    logits_nhw: Tensor, places: Tensor, upsampling: Upsampling, thresholds: Sequence[float]
) -> tuple[Tensor, _Findings]:
    """Computes all pixels of some cells.

    Args:
        logits_nhw: float32, n x h x w.
        places: int64, k: flat places of the cells in n x h x w, all with a pixel.
        upsampling: To the crop's size.
        thresholds: The stability's two, then (at `_MASK`) the mask's.

    Returns:
        The mask of each cell (int64, k) and what was found in each cell.
    """
    n_rows, n_columns = logits_nhw.shape[1:]
    rows, columns = upsampling.row_tables, upsampling.column_tables
    column = places % n_columns
    line = places.div(n_columns, rounding_mode="floor")
    row, mask = line % n_rows, line.div(n_rows, rounding_mode="floor")
    # Cells last: a pixel of all cells is one stretch of memory. x before y, as in torch's kernel.
    samples = logits_nhw.reshape(-1)
    to_right = (column < n_columns - 1).long()
    to_below = (row < n_rows - 1).long() * n_columns
    along_x = columns.weights_p2n.index_select(2, column)
    upper_pk, lower_pk = (
        samples.index_select(0, start) * along_x[:, 0]
        + samples.index_select(0, start + to_right) * along_x[:, 1]
        for start in (places, places + to_below)
    )
    n_above = [torch.zeros_like(upper_pk) for _ in thresholds]
    values_pk, flags_pk = torch.empty_like(upper_pk), torch.empty_like(upper_pk)
    line_hits = []
    for weights_2k in rows.weights_p2n.index_select(2, row):
        torch.mul(upper_pk, weights_2k[0], out=values_pk)
        values_pk.addcmul_(lower_pk, weights_2k[1])
        for n_above_pk, threshold in zip(n_above, thresholds, strict=True):
            n_above_pk += _above(values_pk, threshold, out=flags_pk)
        line_hits.append(flags_pk.amax(dim=0))
    ends = [
        _ends(n_above[_MASK].clamp(max=1), columns.first_pixel[column]),
        _ends(torch.stack(line_hits), rows.first_pixel[row]),
    ]
    return mask, _Findings(
        torch.stack([n_above_pk.sum(dim=0).double() for n_above_pk in n_above[:_MASK]], dim=1),
        *(torch.stack(xy, dim=1) for xy in zip(*ends, strict=True)),
    )


def _ends(hits_pk: Tensor, first_pixel_k: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first and last pixel that is hit in each cell.

    Args:
        hits_pk: 1.0 where a pixel is hit, else 0.0.
        first_pixel_k: int64, the number of each cell's first pixel in the picture.
    """
    rank_p1 = torch.arange(1, len(hits_pk) + 1, device=hits_pk.device)[:, None].to(hits_pk)
    last = (hits_pk * rank_p1).amax(dim=0).long() - 1
    first = len(hits_pk) - (hits_pk * rank_p1.flip(0)).amax(dim=0).long()
    is_missed = last < 0
    return (
        (first + first_pixel_k).masked_fill_(is_missed, _FAR),
        (last + first_pixel_k).masked_fill_(is_missed, -1),
    )


class _Tally:
    """What is known of n masks, filled in steps.

    Args:
        found: Of flat cells, to begin with.
    """

    def __init__(self, found: _Findings) -> None:
        self._found = found

    @classmethod
    def of_flat_cells(cls, levels_nhw: Tensor, upsampling: Upsampling) -> _Tally:
        """Counts cells whose pixels all have one level; level 0 adds nothing."""
        rows, columns = upsampling.row_tables, upsampling.column_tables
        flags_nhw = torch.empty_like(levels_nhw)
        n_above = []
        for level in (0, 2):
            # float32 counts one line of pixels exactly; a whole picture may need more digits
            per_row = _above(levels_nhw, level, out=flags_nhw) @ columns.n_pixels.to(flags_nhw)
            n_above.append(per_row.double() @ rows.n_pixels.double())
        extents = [
            _outermost_pixels(levels_nhw.amax(dim=1) > 1, columns),
            _outermost_pixels(levels_nhw.amax(dim=2) > 1, rows),
        ]
        first_xy, last_xy = (torch.stack(ends, dim=1) for ends in zip(*extents, strict=True))
        return cls(_Findings(torch.stack(n_above, dim=1), first_xy, last_xy))

    def add(self, mask_k: Tensor, cells: _Findings) -> None:
        """Adds the findings of single cells to their masks'."""
        by_xy = mask_k[:, None].expand(-1, 2)
        self._found.n_above_k2.index_add_(0, mask_k, cells.n_above_k2)
        self._found.first_xy_k2.scatter_reduce_(0, by_xy, cells.first_xy_k2, "amin")
        self._found.last_xy_k2.scatter_reduce_(0, by_xy, cells.last_xy_k2, "amax")

    def scores(self) -> MaskScores:
        """Returns what was found; counts are divided in float32, as Meta does."""
        unions, intersections = self._found.n_above_k2.float().unbind(dim=1)
        boxes = torch.cat([self._found.first_xy_k2, self._found.last_xy_k2], dim=1)
        is_empty = self._found.last_xy_k2[:, :1] < 0
        return MaskScores(intersections / unions, torch.where(is_empty, 0, boxes))


def _outermost_pixels(has_cell: Tensor, axis: AxisTables) -> tuple[Tensor, Tensor]:
    """Returns first and last pixel (int64, n) of the cells marked in n x n_cells."""
    first = torch.where(has_cell, axis.first_pixel, _FAR).amin(dim=1)
    last = torch.where(has_cell, axis.first_pixel + axis.n_pixels - 1, -1).amax(dim=1)
    return first, last
