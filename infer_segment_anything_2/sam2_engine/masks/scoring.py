"""Scores, boxes and run lengths of masks, straight from the network's small logits.

Meta enlarges every candidate's logits (256 x 256) to the picture's size before it looks at them.
But a bilinear value lies between the four samples around it. So only where the samples around a
cell lie on both sides of a threshold do the cell's pixels have to be computed; all other cells
count whole. The results are those of enlarging first, at a small part of the work and in memory
that does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops.boxes import batched_nms

from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
    bounding_box_xyxy_px,
    counts_from_changes,
)

__all__ = [
    "MaskScores",
    "Upsampling",
    "counts_from_logits",
    "non_maximum_suppression",
    "score",
    "single_mask_is_stable",
    "upsampled_mask",
]

# sam2.build_sam: dynamic_multimask_stability_delta and dynamic_multimask_stability_thresh
_SINGLE_MASK_OFFSET = 0.05
_SINGLE_MASK_STABILITY = 0.98
# Lines of pixels that `score` computes at a time: bounds the memory for masks of nothing but edges,
# and keeps what is computed in the cache.
_LINES_AT_ONCE = 100_000
# Samples of one row of logits, enlarged, at a time, for the same reason.
_SAMPLES_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class _Axis:
    """How the pixels of one axis lie between its samples.

    Cell k reaches from sample k to sample k + 1; the last cell, from the last sample to itself.

    Attributes:
        first_pixel: int64, n_samples + 1: cell k owns pixels first_pixel[k]..first_pixel[k + 1] - 1
            (none, one or many).
        cell_of_pixel: int64, n_pixels.
        weight_of_pixel: float32, n_pixels x 2: weights of a pixel's two samples.
    """

    first_pixel: npt.NDArray[np.int64]
    cell_of_pixel: npt.NDArray[np.int64]
    weight_of_pixel: npt.NDArray[np.float32]

    @classmethod
    def between(cls, n_samples: int, n_pixels: int) -> _Axis:
        """Place pixels as `torch.nn.functional.interpolate(align_corners=False)` does."""
        scale = np.float32(n_samples) / np.float32(n_pixels)
        place = scale * (np.arange(n_pixels, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
        place = np.maximum(place, np.float32(0))
        cell = np.minimum(place.astype(np.int64), n_samples - 1)
        to_next = np.minimum(place - cell.astype(np.float32), np.float32(1))
        return cls(
            first_pixel=np.searchsorted(cell, np.arange(n_samples + 1)),
            cell_of_pixel=cell,
            weight_of_pixel=np.stack([np.float32(1) - to_next, to_next], axis=1),
        )

    @property
    def n_pixels_of_cell(self) -> npt.NDArray[np.int64]:
        """int64, n_samples."""
        return np.diff(self.first_pixel)

    def weight_table(self) -> npt.NDArray[np.float32]:
        """Return weights per cell: n_samples x most pixels of a cell x 2; nan past its pixels."""
        n_pixels_of_cell = self.n_pixels_of_cell
        table = np.full((n_pixels_of_cell.size, n_pixels_of_cell.max(), 2), np.nan, np.float32)
        pixel_in_cell = np.arange(self.cell_of_pixel.size) - self.first_pixel[self.cell_of_pixel]
        table[self.cell_of_pixel, pixel_in_cell] = self.weight_of_pixel
        return table


class Upsampling:
    """The bilinear enlargement (or reduction) of logits to a picture or crop, made once for all.

    Args:
        logits_hw: Height and width of the logits.
        crop_hw: Height and width that the masks shall have.
        device: Where the logits to be scored are.
    """

    def __init__(
        self, logits_hw: tuple[int, int], crop_hw: tuple[int, int], device: torch.device
    ) -> None:
        self.rows = _Axis.between(logits_hw[0], crop_hw[0])
        self.columns = _Axis.between(logits_hw[1], crop_hw[1])
        self.row_tables = _Tables.on(device, self.rows)
        self.column_tables = _Tables.on(device, self.columns)
        # False for cells that fall between two pixels, when masks are made smaller.
        self.has_pixels = (self.row_tables.n_pixels[:, None] * self.column_tables.n_pixels) > 0
        self.cells_at_once = max(1, _LINES_AT_ONCE // len(self.column_tables.weights_p2n))


class _Tables(NamedTuple):
    """An axis as tensors, for `score`.

    Attributes:
        first_pixel: int64, n: of each cell.
        n_pixels: int64, n.
        weights_p2n: float32, most pixels of a cell x 2 x n, as `_Axis.weight_table`.
    """

    first_pixel: Tensor
    n_pixels: Tensor
    weights_p2n: Tensor

    @classmethod
    def on(cls, device: torch.device, axis: _Axis) -> _Tables:
        return cls(
            torch.as_tensor(axis.first_pixel[:-1], device=device),
            torch.as_tensor(axis.n_pixels_of_cell, device=device),
            torch.as_tensor(axis.weight_table(), device=device).permute(1, 2, 0).contiguous(),
        )


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
    """Count the thresholds that lie below each value, as float."""
    levels = _above(logits, thresholds[0])
    flags = torch.empty_like(levels)
    for threshold in thresholds[1:]:
        levels += _above(logits, threshold, out=flags)
    return levels


def _range_of_cells(samples_nhw: Tensor) -> tuple[Tensor, Tensor]:
    """Return least and greatest of each cell's four samples; beyond the edge, the edge's own."""
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
    """Compute all pixels of some cells.

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
    """Return the first and last pixel that is hit in each cell.

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
        """Count cells whose pixels all have one level; level 0 adds nothing."""
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
        """Add the findings of single cells to their masks'."""
        by_xy = mask_k[:, None].expand(-1, 2)
        self._found.n_above_k2.index_add_(0, mask_k, cells.n_above_k2)
        self._found.first_xy_k2.scatter_reduce_(0, by_xy, cells.first_xy_k2, "amin")
        self._found.last_xy_k2.scatter_reduce_(0, by_xy, cells.last_xy_k2, "amax")

    def scores(self) -> MaskScores:
        """Return what was found; counts are divided in float32, as Meta does."""
        unions, intersections = self._found.n_above_k2.float().unbind(dim=1)
        boxes = torch.cat([self._found.first_xy_k2, self._found.last_xy_k2], dim=1)
        is_empty = self._found.last_xy_k2[:, :1] < 0
        return MaskScores(intersections / unions, torch.where(is_empty, 0, boxes))


def _outermost_pixels(has_cell: Tensor, axis: _Tables) -> tuple[Tensor, Tensor]:
    """Return first and last pixel (int64, n) of the cells marked in n x n_cells."""
    first = torch.where(has_cell, axis.first_pixel, _FAR).amin(dim=1)
    last = torch.where(has_cell, axis.first_pixel + axis.n_pixels - 1, -1).amax(dim=1)
    return first, last


def counts_from_logits(
    logits_hw: npt.NDArray[np.float32],
    upsampling: Upsampling,
    mask_threshold: float,
    crop_xy_px: tuple[int, int],
    image_hw: tuple[int, int],
) -> Counts:
    """Write one mask's run lengths without ever drawing it.

    The logits are enlarged along x only. Down a column of these, the mask changes once between two
    samples on different sides of the threshold, and nowhere else.

    Args:
        logits_hw: float32, h x w.
        upsampling: To the crop's size.
        mask_threshold: A pixel belongs to the mask when its logit is above.
        crop_xy_px: Where the crop's upper left pixel lies in the picture.
        image_hw: Height and width of the picture.

    Returns:
        Run lengths of the mask in the whole picture.
    """
    left, top = crop_xy_px
    columns = upsampling.columns
    samples_wh = np.ascontiguousarray(logits_hw.T)
    last = samples_wh.shape[0] - 1
    columns_at_once = max(1, _SAMPLES_AT_ONCE // samples_wh.shape[1])
    changes = []
    for start in range(0, columns.cell_of_pixel.size, columns_at_once):
        cell = columns.cell_of_pixel[start : start + columns_at_once]
        weight = columns.weight_of_pixel[start : start + columns_at_once]
        lines_xh = samples_wh[cell] * weight[:, :1]
        lines_xh += samples_wh[np.minimum(cell + 1, last)] * weight[:, 1:]
        line, row = _changes_down_lines(lines_xh, upsampling.rows, mask_threshold)
        changes.append((line + (start + left)) * image_hw[0] + row + top)
    return counts_from_changes(np.concatenate(changes), image_hw[0] * image_hw[1])


def _changes_down_lines(
    lines_xh: npt.NDArray[np.float32], rows: _Axis, threshold: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find where enlarged lines change sides, zeros before and after each line.

    Args:
        lines_xh: float32, lines x samples.
        rows: How pixels lie between the samples.
        threshold: A pixel is one when above.

    Returns:
        Line and pixel of each change, both int64, in reading order; a pixel may be named twice,
        which is no change.
    """
    n_lines, n_samples = lines_xh.shape
    is_one = np.zeros((n_lines, n_samples + 2), bool)
    is_one[:, 1:-1] = lines_xh > threshold
    line, gap = np.nonzero(is_one[:, 1:] != is_one[:, :-1])  # gap k lies before sample k
    starts_with_one = is_one[line, gap]
    inside = np.flatnonzero((gap > 0) & (gap < n_samples))
    cell = gap[inside] - 1
    first_pixel, end_pixel = rows.first_pixel[cell], rows.first_pixel[cell + 1]
    weights_2kp = rows.weight_table()[cell].transpose(2, 0, 1)
    above, below = lines_xh[line[inside], cell], lines_xh[line[inside], cell + 1]
    values_kp = above[:, None] * weights_2kp[0] + below[:, None] * weights_2kp[1]
    n_ones = np.count_nonzero(values_kp > threshold, axis=1)
    pixel = np.where(gap > 0, rows.first_pixel[-1], 0)
    pixel[inside] = np.where(starts_with_one[inside], first_pixel + n_ones, end_pixel - n_ones)
    return line, pixel


def upsampled_mask(
    logits_hw: Tensor, image_hw: tuple[int, int], mask_threshold: float
) -> tuple[Rle, tuple[int, int, int, int]]:
    """Enlarge one mask to the size of its picture.

    Args:
        logits_hw: float32, h x w, on any device.
        image_hw: Height and width of the picture.
        mask_threshold: A pixel belongs to the mask when its logit is above.

    Returns:
        The mask, and its box: outermost pixels, inclusive, x before y; 0 for an empty mask.
    """
    cpu = torch.device("cpu")
    upsampling = Upsampling((logits_hw.shape[0], logits_hw.shape[1]), image_hw, cpu)
    on_cpu = logits_hw.detach().to(cpu, torch.float32).numpy()
    counts = counts_from_logits(on_cpu, upsampling, mask_threshold, (0, 0), image_hw)
    return Rle(image_hw, counts), bounding_box_xyxy_px(counts, image_hw)


def single_mask_is_stable(logits_khw: Tensor) -> Tensor:
    """Tell which masks of the single-mask token are good enough as they are: bool, k.

    Meta's `MaskDecoder._get_stability_scores`, with the values that `build_sam2` sets.
    """
    inner_k = (logits_khw > _SINGLE_MASK_OFFSET).sum(dim=(1, 2)).float()
    outer_k = (logits_khw > -_SINGLE_MASK_OFFSET).sum(dim=(1, 2)).float()
    return torch.where(outer_k > 0, inner_k / outer_k, 1.0) >= _SINGLE_MASK_STABILITY


def non_maximum_suppression(
    boxes_xyxy_px: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], iou_threshold: float
) -> npt.NDArray[np.int64]:
    """Return the indices of the boxes to keep, best first.

    torchvision's `batched_nms` with one category, the very function that Meta's generator calls:
    so ties come out in the same order.

    Args:
        boxes_xyxy_px: int64, n x 4.
        scores: float32, n.
        iou_threshold: A box goes when its IoU with a better one that stays is above.
    """
    kept: npt.NDArray[np.int64] = batched_nms(
        # Copied: those of a mask set are read-only, which torch warns of.
        torch.tensor(boxes_xyxy_px, dtype=torch.float32),
        torch.tensor(scores),
        torch.zeros(len(boxes_xyxy_px), dtype=torch.int64),
        iou_threshold,
    ).numpy()
    return kept
