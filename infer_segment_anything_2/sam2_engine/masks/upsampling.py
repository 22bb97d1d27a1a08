"""Where the pixels of a picture lie between the logits of a small mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.hardware.devices import wants_bulk
from infer_segment_anything_2.sam2_engine.hardware.transfer import to_device

__all__ = ["AxisTables", "Upsampling"]

# Lines of pixels that `score` computes at a time: bounds the memory for masks of nothing but edges,
# and keeps what is computed in the cache.
_LINES_AT_ONCE = 100_000
# In bulk: of a million cells of a picture of 1800 x 1200; 0.3 GB.
_LINES_IN_BULK = 8_000_000


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
        """Places pixels as `torch.nn.functional.interpolate(align_corners=False)` does."""
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

    @cached_property
    def weights_2pn(self) -> npt.NDArray[np.float32]:
        """Weights per cell: 2 x most pixels of a cell x n_samples; nan past its pixels."""
        n_pixels_of_cell = self.n_pixels_of_cell
        table = np.full((2, n_pixels_of_cell.max(), n_pixels_of_cell.size), np.nan, np.float32)
        pixel_in_cell = np.arange(self.cell_of_pixel.size) - self.first_pixel[self.cell_of_pixel]
        table[:, pixel_in_cell, self.cell_of_pixel] = self.weight_of_pixel.T
        return table


class Upsampling:
    """The bilinear enlargement (or reduction) of logits to a picture or crop, made once for all.

    Args:
        logits_hw: Height and width of the logits.
        crop_hw: Height and width that the masks shall have.
        device: Where the logits to be scored are.
        in_bulk: Few operations on all masks together, as a GPU wants, or many on what fits into a
            CPU's cache; what the device wants if None. What is found is the same.
    """

    def __init__(
        self,
        logits_hw: tuple[int, int],
        crop_hw: tuple[int, int],
        device: torch.device,
        in_bulk: bool | None = None,
    ) -> None:
        self.in_bulk = wants_bulk(device) if in_bulk is None else in_bulk
        self.rows = _Axis.between(logits_hw[0], crop_hw[0])
        self.columns = _Axis.between(logits_hw[1], crop_hw[1])
        self.row_tables = AxisTables.on(device, self.rows)
        self.column_tables = AxisTables.on(device, self.columns)
        # False for cells that fall between two pixels, when masks are made smaller.
        self.has_pixels = (self.row_tables.n_pixels[:, None] * self.column_tables.n_pixels) > 0
        lines = _LINES_IN_BULK if self.in_bulk else _LINES_AT_ONCE
        self.cells_at_once = max(1, lines // len(self.column_tables.weights_p2n))


class AxisTables(NamedTuple):
    """An axis as tensors, for `score`.

    Attributes:
        first_pixel: int64, n: of each cell.
        n_pixels: int64, n.
        weights_p2n: float32, most pixels of a cell x 2 x n, as `_Axis.weights_2pn`.
    """

    first_pixel: Tensor
    n_pixels: Tensor
    weights_p2n: Tensor

    @classmethod
    def on(cls, device: torch.device, axis: _Axis) -> AxisTables:
        """The tables of an axis on a device."""
        return cls(
            to_device(axis.first_pixel[:-1], device),
            to_device(axis.n_pixels_of_cell, device),
            to_device(axis.weights_2pn, device).transpose(0, 1).contiguous(),
        )
