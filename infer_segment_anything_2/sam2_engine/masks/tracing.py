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


def counts_from_logits(
    logits_hw: npt.NDArray[np.float32],
    upsampling: Upsampling,
    mask_threshold: float,
    crop_xy_px: tuple[int, int],
    image_hw: tuple[int, int],
) -> Counts:
    """Writes one mask's run lengths without ever drawing it.

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
    """Finds where enlarged lines change sides, zeros before and after each line.

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
