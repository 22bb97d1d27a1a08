"""Run lengths of many masks together, found where the logits are: what `tracing` does, for a GPU.

Only the places where masks change travel to the host, a few kilobytes for each mask.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.hardware.transfer import to_device, to_host
from infer_segment_anything_2.sam2_engine.masks.rle import Counts, counts_from_changes
from infer_segment_anything_2.sam2_engine.masks.upsampling import AxisTables, Upsampling

__all__ = ["counts_in_bulk"]

# Samples of all masks, enlarged along x, at a time: 70 masks of 1800 columns, 0.3 GB.
_SAMPLES_AT_ONCE = 2**25


def counts_in_bulk(
    logits_nhw: Tensor,
    upsampling: Upsampling,
    mask_threshold: float,
    crop_xy_px: tuple[int, int],
    image_hw: tuple[int, int],
) -> list[Counts]:
    """Writes the run lengths of masks; equal to `counts_from_logits` of each.

    Two stops for each group of masks.

    Args:
        logits_nhw: float32, n x h x w, on any device.
        upsampling: To the crop's size, on the same device.
        mask_threshold: A pixel belongs to the mask when its logit is above.
        crop_xy_px: Where the crop's upper left pixel lies in the picture.
        image_hw: Height and width of the picture.
    """
    if not len(logits_nhw):
        return []
    (left, top), height = crop_xy_px, image_hw[0]
    places = height * image_hw[1] + 1  # a change may stand behind the last pixel
    columns = _Columns.of(upsampling, logits_nhw.device)
    masks_at_once = max(1, _SAMPLES_AT_ONCE // (len(columns.cell_x) * logits_nhw.shape[1]))
    found: list[Counts] = []
    for some_nhw in torch.split(logits_nhw, masks_at_once):
        lines_nxh = columns.enlarge(some_nhw)
        line, row = _changes_down_lines(lines_nxh, upsampling.row_tables, mask_threshold)
        column, mask = line % lines_nxh.shape[1], line // lines_nxh.shape[1]
        place = (column + left) * height + row + top
        mask_of, place_of = divmod(to_host(mask * places + place), places)
        ends = np.searchsorted(mask_of, np.arange(1, len(some_nhw)))
        found.extend(
            counts_from_changes(changes, places - 1) for changes in np.split(place_of, ends)
        )
    return found


class _Columns(NamedTuple):
    """How the pixels of a line lie between its samples.

    Attributes:
        cell_x: int64, a pixel's left sample.
        next_x: int64, its right one.
        weight_2x1: float32.
    """

    cell_x: Tensor
    next_x: Tensor
    weight_2x1: Tensor

    @classmethod
    def of(cls, upsampling: Upsampling, device: torch.device) -> _Columns:
        """The columns of an enlargement on a device."""
        axis = upsampling.columns
        last = len(axis.first_pixel) - 2
        return cls(
            to_device(axis.cell_of_pixel, device),
            to_device(np.minimum(axis.cell_of_pixel + 1, last), device),
            to_device(axis.weight_of_pixel, device).T[:, :, None],
        )

    def enlarge(self, logits_nhw: Tensor) -> Tensor:
        """Enlarges masks along x only: n x pixels x h."""
        samples_nwh = logits_nhw.mT.contiguous()
        # Multiplied and added one after the other, as numpy does: a fused sum rounds otherwise.
        lines_nxh = samples_nwh.index_select(1, self.cell_x) * self.weight_2x1[0]
        lines_nxh += samples_nwh.index_select(1, self.next_x).mul_(self.weight_2x1[1])
        return lines_nxh


def _changes_down_lines(
    lines_nxh: Tensor, rows: AxisTables, threshold: float
) -> tuple[Tensor, Tensor]:
    """Finds where enlarged lines change sides, zeros before and after each line.

    Args:
        lines_nxh: float32.
        rows: How pixels lie between the samples of a line.
        threshold: A pixel is one when above.

    Returns:
        Line (of n x) and pixel of each change, both int64, in reading order; a pixel may be named
        twice, which is no change.
    """
    n_samples = lines_nxh.shape[2]
    is_one = lines_nxh > threshold
    changes = is_one.new_empty(*is_one.shape[:2], n_samples + 1)  # place k: before sample k
    changes[..., 0] = is_one[..., 0]
    torch.ne(is_one[..., 1:], is_one[..., :-1], out=changes[..., 1:-1])
    changes[..., -1] = is_one[..., -1]
    place = torch.nonzero(changes.view(-1))[:, 0]
    line, gap = place // (n_samples + 1), place % (n_samples + 1)

    cell = (gap - 1).clamp_(min=0)
    samples, start = lines_nxh.view(-1), line * n_samples
    above_k = samples.index_select(0, start + cell)
    below_k = samples.index_select(0, start + (cell + 1).clamp_(max=n_samples - 1))
    weights_p2k = rows.weights_p2n.index_select(2, cell)
    values_pk = above_k * weights_p2k[:, 0]
    values_pk += below_k * weights_p2k[:, 1]
    n_ones = (values_pk > threshold).sum(dim=0)
    first_pixel = rows.first_pixel.index_select(0, cell)
    end_pixel = first_pixel + rows.n_pixels.index_select(0, cell)
    pixel = torch.where(above_k > threshold, first_pixel + n_ones, end_pixel - n_ones)
    # Before the first sample and behind the last one there is nothing to interpolate.
    pixel = torch.where(gap == 0, 0, pixel)
    n_rows = rows.first_pixel[-1] + rows.n_pixels[-1]
    return line, torch.where(gap == n_samples, n_rows, pixel)
