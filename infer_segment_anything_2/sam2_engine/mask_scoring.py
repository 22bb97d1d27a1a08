"""Scores, boxes and run lengths of masks, straight from the network's small logits.

Meta enlarges every candidate's logits (256 x 256) to the picture's size before it looks at them.
But a bilinear value lies between the four samples around it. So only where the samples around a
cell lie on both sides of a threshold do the cell's pixels have to be computed; all other cells
count whole. The results are those of enlarging first, at a small part of the work and in memory
that does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops.boxes import batched_nms

from infer_segment_anything_2.sam2_engine.mask_set import Rle
from infer_segment_anything_2.sam2_engine.rle import (
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
# Pixels computed at a time; bounds the memory for masks of nothing but edges.
_PIXELS_AT_ONCE = 2_000_000
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
        """Return weights per cell: n_samples x most pixels of a cell x 2; nan beyond its pixels."""
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


class _Tables(NamedTuple):
    """An axis as tensors, for `score`."""

    first_pixel: Tensor
    n_pixels: Tensor
    weights: Tensor

    @classmethod
    def on(cls, device: torch.device, axis: _Axis) -> _Tables:
        return cls(
            torch.as_tensor(axis.first_pixel[:-1], device=device),
            torch.as_tensor(axis.n_pixels_of_cell, device=device),
            torch.as_tensor(axis.weight_table(), device=device),
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
        mask_threshold,
        mask_threshold + stability_offset,
    )
    levels = _levels(logits_nhw, thresholds)
    lowest, highest = _range_of_cells(levels)
    is_flat = lowest == highest
    tally = _Tally.of_flat_cells(lowest * (is_flat & upsampling.has_pixels), upsampling)
    for cells, values in _pixels_of_cells(logits_nhw, ~is_flat & upsampling.has_pixels, upsampling):
        tally.add_pixels(cells, values, thresholds, upsampling)
    return tally.scores()


def _levels(logits: Tensor, thresholds: tuple[float, ...]) -> Tensor:
    """Count the thresholds (ascending) that lie below each value: uint8."""
    levels = torch.zeros(logits.shape, dtype=torch.uint8, device=logits.device)
    for threshold in thresholds:
        levels += logits > threshold
    return levels


def _range_of_cells(samples_nhw: Tensor) -> tuple[Tensor, Tensor]:
    """Return least and greatest of each cell's four samples; beyond the edge, the edge's own."""
    lowest = highest = samples_nhw
    for axis in (1, 2):
        n_cells = samples_nhw.shape[axis]
        here = slice(0, n_cells - 1)
        low_next, high_next = (side.narrow(axis, 1, n_cells - 1) for side in (lowest, highest))
        index = (slice(None), here) if axis == 1 else (slice(None), slice(None), here)
        lowest, highest = lowest.clone(), highest.clone()
        lowest[index] = torch.minimum(lowest[index], low_next)
        highest[index] = torch.maximum(highest[index], high_next)
    return lowest, highest


class _Cells(NamedTuple):
    """Some cells: the mask, row and column of each (int64, n)."""

    mask: Tensor
    row: Tensor
    column: Tensor


def _pixels_of_cells(
    logits_nhw: Tensor, chosen: Tensor, upsampling: Upsampling
) -> Iterator[tuple[_Cells, Tensor]]:
    """Compute all pixels of the chosen cells, some cells at a time.

    Args:
        logits_nhw: float32, n x h x w.
        chosen: bool, n x h x w.
        upsampling: To the crop's size.

    Yields:
        Cells, and their values: float32, cells x most rows x most columns of a cell; nan where a
        cell has fewer.
    """
    row_weights, column_weights = upsampling.row_tables.weights, upsampling.column_tables.weights
    n_rows, n_columns = logits_nhw.shape[1:]
    pixels_per_cell = row_weights.shape[1] * column_weights.shape[1]
    cells_at_once = max(1, _PIXELS_AT_ONCE // pixels_per_cell)
    flat_logits = logits_nhw.reshape(-1)
    for places in torch.split(torch.nonzero(chosen.reshape(-1))[:, 0], cells_at_once):
        column = places % n_columns
        row = places.div(n_columns, rounding_mode="floor") % n_rows
        mask = places.div(n_rows * n_columns, rounding_mode="floor")
        to_right = (column < n_columns - 1).long()
        to_below = (row < n_rows - 1).long() * n_columns
        # In the order of torch's own kernel: along x first, then along y.
        along_x = column_weights[column]
        lines = [
            flat_logits[line][:, None] * along_x[..., 0]
            + flat_logits[line + to_right][:, None] * along_x[..., 1]
            for line in (places, places + to_below)
        ]
        along_y = row_weights[row][:, :, None]
        values = lines[0][:, None] * along_y[..., 0] + lines[1][:, None] * along_y[..., 1]
        yield _Cells(mask, row, column), values


class _Tally:
    """Pixel counts and outermost pixels of n masks, filled in steps.

    Attributes:
        n_above_n2: float64, n x 2: pixels above the lowest and above the highest threshold.
        first_xy_n2: int64, n x 2: least column and row of a pixel above the middle threshold.
        last_xy_n2: int64, n x 2: the greatest.
    """

    def __init__(self, n_above_n2: Tensor, first_xy_n2: Tensor, last_xy_n2: Tensor) -> None:
        self.n_above_n2 = n_above_n2
        self.first_xy_n2 = first_xy_n2
        self.last_xy_n2 = last_xy_n2

    @classmethod
    def of_flat_cells(cls, levels_nhw: Tensor, upsampling: Upsampling) -> _Tally:
        """Count cells whose pixels all have one level; level 0 adds nothing."""
        rows, columns = upsampling.row_tables, upsampling.column_tables
        n_above = []
        for level in (0, 2):
            # float32 counts one line of pixels exactly; a whole picture may need more digits
            per_row = (levels_nhw > level).float() @ columns.n_pixels.float()
            n_above.append(per_row.double() @ rows.n_pixels.double())
        in_mask = levels_nhw > 1
        extents = [
            _outermost_pixels(in_mask.any(dim=1), columns),
            _outermost_pixels(in_mask.any(dim=2), rows),
        ]
        first_xy, last_xy = (torch.stack(ends, dim=1) for ends in zip(*extents, strict=True))
        return cls(torch.stack(n_above, dim=1), first_xy, last_xy)

    def add_pixels(
        self, cells: _Cells, values: Tensor, thresholds: tuple[float, ...], upsampling: Upsampling
    ) -> None:
        """Count the pixels of single cells (as `_pixels_of_cells` yields them)."""
        for i, threshold in enumerate((thresholds[0], thresholds[2])):
            per_cell = (values > threshold).sum(dim=(1, 2), dtype=torch.float64)
            self.n_above_n2[:, i].index_add_(0, cells.mask, per_cell)
        in_mask = values > thresholds[1]
        for i, (table, cell, other_axis) in enumerate(
            [(upsampling.column_tables, cells.column, 1), (upsampling.row_tables, cells.row, 2)]
        ):
            hit = in_mask.any(dim=other_axis)
            pixel = table.first_pixel[cell][:, None] + torch.arange(hit.shape[1], device=hit.device)
            first = torch.where(hit, pixel, _FAR).amin(dim=1)
            last = torch.where(hit, pixel, -1).amax(dim=1)
            self.first_xy_n2[:, i].scatter_reduce_(0, cells.mask, first, "amin")
            self.last_xy_n2[:, i].scatter_reduce_(0, cells.mask, last, "amax")

    def scores(self) -> MaskScores:
        """Return what was found; counts are divided in float32, as Meta does."""
        unions, intersections = self.n_above_n2.float().unbind(dim=1)
        boxes = torch.cat([self.first_xy_n2, self.last_xy_n2], dim=1)
        is_empty = self.last_xy_n2[:, :1] < 0
        return MaskScores(intersections / unions, torch.where(is_empty, 0, boxes))


# Beyond any picture's pixels.
_FAR = 2**40


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
    weights = rows.weight_table()[cell]
    above, below = lines_xh[line[inside], cell], lines_xh[line[inside], cell + 1]
    values = above[:, None] * weights[..., 0] + below[:, None] * weights[..., 1]
    n_ones = np.count_nonzero(values > threshold, axis=1)
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
        torch.as_tensor(boxes_xyxy_px).float(),
        torch.as_tensor(scores),
        torch.zeros(len(boxes_xyxy_px), dtype=torch.int64),
        iou_threshold,
    ).numpy()
    return kept
