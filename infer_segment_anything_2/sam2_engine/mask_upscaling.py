"""From the rewritten picture to mask logits, for chosen (prompt, token) pairs only.

Meta's decoder enlarges the picture of every prompt four times, by two transposed convolutions
(kernel 2, stride 2), and multiplies it with one vector per mask token:

    logits = hyper . gelu(dc2(gelu(norm(dc1(X) + s1))) + s0)

A transposed convolution whose stride is its kernel is a matrix product of each position with a
C x (4 * C') matrix: the four results are the cell that the position becomes. So the whole chain
runs on rows in cell order (position, then its 2 x 2 cells, then their 2 x 2 cells), and only the
finished logits, a small tensor, are put into raster order.

The first product never sees X either (see `image_updates`): a(n) (E dc1) + Z (W dc1).

Letters: p prompts at a time, n positions, k outputs of the first convolution = cells x channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from infer_segment_anything_2.sam2_engine.image_updates import ImageState

_POSITIONS_AT_ONCE = 1024
"""On a CPU: the tensors of one step (1.5 MB for official networks) stay near the core."""


@dataclass(frozen=True, slots=True)
class SharedUpscaling:
    """What upscaling needs of one picture, shared by all its prompts.

    Attributes:
        image_nk: E through the first convolution.
        fixed_nk: c through it, its bias, and the features of stride 8 in cell order.
        features_mk: The features of stride 4 and the bias of the second convolution; one row
            per cell of the first, m = 4 n.
        raster_m: Where each pixel of a mask stands in cell order.
        position_hw: Height and width of the picture of n positions.
    """

    image_nk: Tensor
    fixed_nk: Tensor
    features_mk: Tensor
    raster_m: Tensor
    position_hw: tuple[int, int]


class MaskUpscaling:
    """The two transposed convolutions as matrix products.

    Args:
        layers: Meta's `output_upscaling`: convolution, norm, activation, convolution, activation.
        offset_c: c of the picture's last level.
        dtype: Of the products.
    """

    def __init__(self, layers: Any, offset_c: Tensor, dtype: torch.dtype) -> None:
        first, norm, self._activation1, second, self._activation2 = layers
        device = first.weight.device
        first_ck = _as_matrix(first.weight)
        fixed_k = offset_c @ first_ck + first.bias.detach().cpu().double().repeat(4)
        self._first_ck = first_ck.to(device, dtype)
        self._first_fixed_k = fixed_k.to(device, dtype)
        self._second_ck = _as_matrix(second.weight).to(device, dtype)
        self._second_bias_k = second.bias.detach().repeat(4).to(dtype)
        self._norm_gain = norm.weight.detach().to(dtype)
        self._norm_bias = norm.bias.detach().to(dtype)
        self._epsilon = float(norm.eps)

    def prepare(
        self, image_cn: Tensor, s0_1chw: Tensor, s1_1chw: Tensor, position_hw: tuple[int, int]
    ) -> SharedUpscaling:
        """Prepare a picture: E of the last level and the features of stride 4 and 8."""
        dtype = self._first_ck.dtype
        s1_nk = _to_cells(s1_1chw[0].to(dtype), position_hw)
        s0_nk = _to_cells(s0_1chw[0].to(dtype), position_hw)
        return SharedUpscaling(
            image_cn.T @ self._first_ck,
            s1_nk.add_(self._first_fixed_k),
            s0_nk.view(4 * len(s1_nk), -1).add_(self._second_bias_k),
            _cells_of_raster(position_hw).to(image_cn.device),
            position_hw,
        )

    def mask_logits(
        self, shared: SharedUpscaling, image: ImageState | Tensor, hyper_ko: Tensor
    ) -> Tensor:
        """The masks of one prompt.

        Args:
            shared: The picture's part.
            image: The rewritten picture: a state of one prompt, or n x c, without c.
            hyper_ko: One vector per wanted mask.

        Returns:
            Logits, k x 4h x 4w.
        """
        positions = len(shared.image_nk)
        step = _POSITIONS_AT_ONCE if hyper_ko.device.type == "cpu" else positions
        if isinstance(image, ImageState):
            folded = [block.basis_brc[0] @ self._first_ck for block in image.blocks]
        logits_km = hyper_ko.new_empty(len(hyper_ko), 16 * positions)
        for start in range(0, positions, step):
            rows = slice(start, min(start + step, positions))
            if isinstance(image, ImageState):
                first_nk = _first_of_state(shared, image, folded, rows)
            else:
                first_nk = torch.addmm(shared.fixed_nk[rows], image[rows], self._first_ck)
            cells = slice(4 * rows.start, 4 * rows.stop)
            upscaled_mo = self._second(first_nk, shared.features_mk[cells])
            logits_km[:, 16 * rows.start : 16 * rows.stop] = hyper_ko @ upscaled_mo.T
        height, width = shared.position_hw
        logits_km = logits_km.index_select(1, shared.raster_m)
        return logits_km.view(-1, 4 * height, 4 * width)

    def _second(self, first_nk: Tensor, features_mk: Tensor) -> Tensor:
        """All that follows the first convolution, for some positions: cells x channels."""
        channels = self._norm_gain.shape
        cells_mc = first_nk.view(-1, *channels)
        cells_mc = F.layer_norm(cells_mc, channels, self._norm_gain, self._norm_bias, self._epsilon)
        cells_mk = torch.addmm(features_mk, self._activation1(cells_mc), self._second_ck)
        upscaled_mk: Tensor = self._activation2(cells_mk)
        return upscaled_mk.view(4 * len(upscaled_mk), -1)


def _first_of_state(
    shared: SharedUpscaling, image: ImageState, folded: list[Tensor], rows: slice
) -> Tensor:
    """The first convolution of some positions of a rewritten picture, never made."""
    scale_n1 = image.scale_b1n[0, :, rows].to(shared.image_nk.dtype).T
    first_nk = torch.addcmul(shared.fixed_nk[rows], shared.image_nk[rows], scale_n1)
    for block, folded_rk in zip(image.blocks, folded, strict=True):
        first_nk.addmm_(block.coefficients_brn[0, :, rows].T, folded_rk)
    return first_nk


def _as_matrix(weight_cokk: Tensor) -> Tensor:
    """The weight of a 2 x 2 transposed convolution as C x (cells * outputs), float64 on CPU."""
    return weight_cokk.detach().cpu().double().permute(0, 2, 3, 1).flatten(1)


def _to_cells(features_chw: Tensor, position_hw: tuple[int, int]) -> Tensor:
    """Features of a 2 or 4 times finer grid in cell order, n x (cells * channels)."""
    height, width = position_hw
    factor = features_chw.shape[-1] // width
    if factor == 2:
        rows_cyx = features_chw.view(-1, height, 2, width, 2)
        return rows_cyx.permute(1, 3, 2, 4, 0).reshape(height * width, -1)
    rows_cyx = features_chw.reshape(-1, height, 2, 2, width, 2, 2)  # c, y, dy, ey, x, dx, ex
    return rows_cyx.permute(1, 4, 2, 5, 3, 6, 0).reshape(height * width, -1)


def _cells_of_raster(position_hw: tuple[int, int]) -> Tensor:
    """Where each pixel of a mask, in raster order, stands in cell order."""
    height, width = position_hw
    cells = torch.arange(16 * height * width).view(height, width, 2, 2, 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten()  # y, dy, ey, x, dx, ex
