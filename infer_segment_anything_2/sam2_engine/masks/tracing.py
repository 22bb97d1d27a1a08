"""From small logits to the run lengths of the full-size mask, line by line."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.sam2_engine.masks.rle import (
    Counts,
    counts_from_changes,
)
from infer_segment_anything_2.sam2_engine.masks.upsampling import (
    Upsampling,
    _Axis,
)

__all__ = ["counts_from_logits"]

# Samples of one row of logits, enlarged, at a time, for the same reason.
_SAMPLES_AT_ONCE = 1_000_000
# Of a threshold: samples that are lower by so much stay below when they are weighed and rounded.
_ROUNDING = 1e-5


def counts_from_logits(
    logits_hw: npt.NDArray[np.float32],
    upsampling: Upsampling,
    mask_threshold: float,
    crop_xy_px: tuple[int, int],
    image_hw: tuple[int, int],
) -> Counts:
    """Writes one mask's run lengths without ever drawing it.

    The logits are enlarged along x only. Down a column of these, the mask changes once between two
    samples on different sides of the threshold, and nowhere else. What lies beside all samples
    above the threshold is not looked at: most masks take a small part of the picture.

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
    is_high = logits_hw > mask_threshold - _ROUNDING * abs(mask_threshold)
    first_row, end_row = _reach(np.flatnonzero(is_high.any(axis=1)), len(is_high))
    first_column, end_column = _reach(np.flatnonzero(is_high.any(axis=0)), is_high.shape[1])
    samples_wh = np.ascontiguousarray(logits_hw[first_row:end_row].T)
    last = samples_wh.shape[0] - 1
    columns_at_once = max(1, _SAMPLES_AT_ONCE // max(1, samples_wh.shape[1]))
    end_pixel = int(columns.first_pixel[end_column])
    changes = [np.empty(0, np.int64)]
    for start in range(int(columns.first_pixel[first_column]), end_pixel, columns_at_once):
        at_once = slice(start, min(start + columns_at_once, end_pixel))
        cell, weight = columns.cell_of_pixel[at_once], columns.weight_of_pixel[at_once]
        lines_xh = samples_wh[cell] * weight[:, :1]
        lines_xh += samples_wh[np.minimum(cell + 1, last)] * weight[:, 1:]
        line, row = _changes_down_lines(lines_xh, first_row, upsampling.rows, mask_threshold)
        changes.append((line + (start + left)) * image_hw[0] + row + top)
    return counts_from_changes(np.concatenate(changes), image_hw[0] * image_hw[1])


def _reach(high: npt.NDArray[np.int64], n_samples: int) -> tuple[int, int]:
    """The first and one past the last sample of a line that matter: high ones and their neighbours.

    So beyond them, and at each end that is not the line's own, all is low. Nothing high: (0, 0).
    """
    if not high.size:
        return 0, 0
    return max(int(high[0]) - 1, 0), min(int(high[-1]) + 2, n_samples)


def _changes_down_lines(
    lines_xh: npt.NDArray[np.float32], first_sample: int, rows: _Axis, threshold: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Finds where enlarged lines change sides, zeros before and after each line.

    Args:
        lines_xh: float32, lines x samples: all of the axis between which they change.
        first_sample: The place of the first of them on the axis.
        rows: How pixels lie between the axis's samples.
        threshold: A pixel is one when above.

    Returns:
        Line and pixel of each change, both int64, in reading order; a pixel may be named twice,
        which is no change.
    """
    n_lines, n_given = lines_xh.shape
    n_samples = rows.first_pixel.size - 1
    is_one = np.zeros((n_lines, n_given + 2), bool)
    is_one[:, 1:-1] = lines_xh > threshold
    flat = is_one.ravel()  # each line begins and ends with a zero: no change from line to line
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    starts_with_one = flat[changes]
    line, place = np.divmod(changes, n_given + 2)
    gap = place + first_sample  # gap k lies before sample k
    inside = np.flatnonzero((gap > 0) & (gap < n_samples))
    cell = gap[inside] - 1
    above = line[inside] * n_given + (cell - first_sample)
    samples, weights_2pn = lines_xh.ravel(), rows.weights_2pn
    values_pk = weights_2pn[0].take(cell, axis=1) * samples[above]
    values_pk += weights_2pn[1].take(cell, axis=1) * samples[above + 1]
    n_ones = np.count_nonzero(values_pk > threshold, axis=0)
    first_pixel, end_pixel = rows.first_pixel[cell], rows.first_pixel[cell + 1]
    pixel = np.where(gap > 0, rows.first_pixel[-1], 0)
    pixel[inside] = np.where(starts_with_one[inside], first_pixel + n_ones, end_pixel - n_ones)
    return line, pixel
