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

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.image_updates import ImageState, statistics_dtype
from infer_segment_anything_2.sam2_engine.hardware.transfer import to_device

_POSITIONS_AT_ONCE = 1024
"""Of all prompts: a step's tensors (3 MB for official networks) stay near a CPU's core."""

_PROMPTS_IN_BULK = 64
"""1 GB in float32 for official networks; launches are few beside the work by then."""


@dataclass(frozen=True, slots=True)
class SharedUpscaling:
    """What upscaling needs of one picture, shared by all its prompts.

    Attributes:
        image_nk: E through the first convolution.
        fixed_nk: c through it, its bias, and the features of stride 8 in cell order.
        features_mk: The features of stride 4 and the bias of the second convolution; one row
            per cell of the first, m = 4 n.
        raster_m: Where each pixel of the rows that are upscaled together stands in cell order;
            empty in bulk.
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
        in_bulk: Whether :meth:`mask_logits_in_bulk` will be called, or :meth:`mask_logits`.
    """

    def __init__(self, layers: Any, offset_c: Tensor, dtype: torch.dtype, in_bulk: bool) -> None:
        first, norm, self._activation1, second, self._activation2 = layers
        device = first.weight.device
        self._in_bulk = in_bulk
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
        """Prepares a picture: E of the last level and the features of stride 4 and 8."""
        dtype = self._first_ck.dtype
        s1_nk = _to_cells(s1_1chw[0].to(dtype), position_hw)
        s0_nk = _to_cells(s0_1chw[0].to(dtype), position_hw)
        rows = 0 if self._in_bulk else _rows_at_once(position_hw)
        return SharedUpscaling(
            image_cn.T @ self._first_ck,
            s1_nk.add_(self._first_fixed_k),
            s0_nk.view(4 * len(s1_nk), -1).add_(self._second_bias_k),
            _cells_of_raster(rows, position_hw[1], image_cn.device),
            position_hw,
        )

    def prompts_at_once(self, shared: SharedUpscaling) -> int:
        """How many prompts `mask_logits` should be called for."""
        return max(_POSITIONS_AT_ONCE // len(shared.image_nk), 1)

    def mask_logits(
        self, shared: SharedUpscaling, image: ImageState | Tensor, hyper_pko: Tensor
    ) -> Tensor:
        """The masks of p prompts.

        Args:
            shared: The picture's part.
            image: The rewritten pictures: a state of p prompts, or p x n x c, without c.
            hyper_pko: One vector per wanted mask, the same number for each prompt.

        Returns:
            Logits, p x k x 4h x 4w, at least float32.
        """
        height, width = shared.position_hw
        positions = height * width
        step = len(shared.raster_m) // 16
        folded_prk = self._folded(image)
        logits_pkm = hyper_pko.new_empty(
            *hyper_pko.shape[:2], 16 * positions, dtype=statistics_dtype(hyper_pko.dtype)
        )
        for start in range(0, positions, step):
            rows = slice(start, start + step)
            if isinstance(image, ImageState):
                first_pnk = _first_of_state(shared, image, folded_prk, rows)
            else:
                first_pnk = torch.matmul(image[:, rows], self._first_ck) + shared.fixed_nk[rows]
            cells = slice(4 * rows.start, 4 * rows.stop)
            upscaled_pmo = self._second(first_pnk, shared.features_mk[cells])
            pixels = slice(16 * rows.start, 16 * rows.stop)
            for logits_km, hyper_ko, upscaled_mo in zip(
                logits_pkm, hyper_pko, upscaled_pmo, strict=True
            ):
                cells_km = (hyper_ko @ upscaled_mo.T).to(logits_km.dtype)
                logits_km[:, pixels] = cells_km.index_select(1, shared.raster_m)
        return logits_pkm.view(*hyper_pko.shape[:2], 4 * height, 4 * width)

    def mask_logits_in_bulk(
        self,
        shared: SharedUpscaling,
        image: ImageState | Tensor,
        hyper_bmo: Tensor,
        prompts_k: npt.NDArray[np.int64],
        tokens_k: npt.NDArray[np.int64],
    ) -> Tensor:
        """The masks of chosen pairs, in groups of prompts: about 20 operations a group, no stop.

        Args:
            shared: The picture's part.
            image: The rewritten pictures of all b prompts.
            hyper_bmo: The vectors of all m masks of all prompts.
            prompts_k: The prompts of the wanted masks, in any order.
            tokens_k: Their mask tokens.

        Returns:
            Logits, k x 4h x 4w, at least float32.
        """
        height, width = shared.position_hw
        logits_khw = hyper_bmo.new_empty(
            len(prompts_k), 4 * height, 4 * width, dtype=statistics_dtype(hyper_bmo.dtype)
        )
        order_k = np.argsort(prompts_k, kind="stable")
        distinct, place_k = np.unique(prompts_k[order_k], return_inverse=True)
        row_k = place_k % _PROMPTS_IN_BULK * hyper_bmo.shape[1] + tokens_k[order_k]
        sent = to_device(np.concatenate((distinct, row_k)), hyper_bmo.device)
        prompts, rows = sent[: len(distinct)], sent[len(distinct) :]
        for start in range(0, len(distinct), _PROMPTS_IN_BULK):
            first, end = np.searchsorted(place_k, (start, start + _PROMPTS_IN_BULK)).tolist()
            prompts_p = prompts[start : start + _PROMPTS_IN_BULK]
            upscaled_pmo = self._upscaled(shared, _gathered(image, prompts_p))
            # All tokens, wanted or not: one product for the group.
            all_ptm = torch.bmm(hyper_bmo.index_select(0, prompts_p), upscaled_pmo.mT)
            wanted_km = all_ptm.flatten(0, 1).index_select(0, rows[first:end])
            _put_in_raster(wanted_km, logits_khw[first:end], shared.position_hw)
        if np.array_equal(prompts_k, prompts_k[order_k]):
            return logits_khw
        return logits_khw.index_select(0, to_device(np.argsort(order_k), logits_khw.device))

    def _upscaled(self, shared: SharedUpscaling, image: ImageState | Tensor) -> Tensor:
        """The whole enlarged pictures of some prompts: p x 16 n x channels, in cell order."""
        if isinstance(image, ImageState):
            first_pnk = _first_of_state(shared, image, self._folded(image), slice(None))
        else:
            first_pnk = torch.matmul(image, self._first_ck) + shared.fixed_nk
        return self._second(first_pnk, shared.features_mk)

    def _folded(self, image: ImageState | Tensor) -> list[Tensor]:
        """The blocks' bases through the first convolution."""
        if isinstance(image, Tensor):
            return []
        prompts = len(image.scale_b1n)
        return [
            (block.basis_brc @ self._first_ck).expand(prompts, -1, -1) for block in image.blocks
        ]

    def _second(self, first_pnk: Tensor, features_mk: Tensor) -> Tensor:
        """All that follows the first convolution, for some positions: p x cells x channels."""
        prompts, channels = len(first_pnk), self._norm_gain.shape
        cells_pmc = first_pnk.view(prompts, -1, *channels)
        cells_pmc = F.layer_norm(
            cells_pmc, channels, self._norm_gain, self._norm_bias, self._epsilon
        )
        cells_pmk = torch.baddbmm(
            features_mk.expand(prompts, -1, -1),
            _activated(self._activation1, cells_pmc),
            self._second_ck.expand(prompts, -1, -1),
        )
        return _activated(self._activation2, cells_pmk).view(prompts, 4 * len(features_mk), -1)


def _first_of_state(
    shared: SharedUpscaling, image: ImageState, folded_prk: list[Tensor], rows: slice
) -> Tensor:
    """The first convolution of some positions of rewritten pictures, which are never made."""
    scale_pn1 = image.scale_b1n[:, :, rows].to(shared.image_nk.dtype).mT
    first_pnk = torch.addcmul(shared.fixed_nk[rows], shared.image_nk[rows], scale_pn1)
    for block, basis_prk in zip(image.blocks, folded_prk, strict=True):
        _add_product(first_pnk, block.coefficients_brn[:, :, rows].mT, basis_prk)
    return first_pnk


def _activated(activation: Any, values: Tensor) -> Tensor:
    """An activation of values that are not needed any more: GELU in place, which saves memory."""
    if isinstance(activation, torch.nn.GELU) and activation.approximate == "none":
        activated: Tensor = torch.ops.aten.gelu_(values)
    else:
        activated = activation(values)
    return activated


def _add_product(sum_pnk: Tensor, left_pnr: Tensor, right_prk: Tensor) -> None:
    """`baddbmm_`, which in bfloat16 on a CPU takes twice the time for a single matrix."""
    if len(sum_pnk) == 1:
        sum_pnk[0].addmm_(left_pnr[0], right_prk[0])
    else:
        sum_pnk.baddbmm_(left_pnr, right_prk)


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


def _rows_at_once(position_hw: tuple[int, int]) -> int:
    """How many rows of the picture to upscale together: a divisor of their number."""
    height, width = position_hw
    fitting = range(max(min(_POSITIONS_AT_ONCE // width, height), 1), 0, -1)
    return next(rows for rows in fitting if height % rows == 0)


def _gathered(image: ImageState | Tensor, prompts_p: Tensor) -> ImageState | Tensor:
    if isinstance(image, ImageState):
        return image.gather(prompts_p)
    return image.index_select(0, prompts_p)


def _put_in_raster(cells_km: Tensor, logits_khw: Tensor, position_hw: tuple[int, int]) -> None:
    """Copies masks from cell order into raster order."""
    height, width = position_hw
    raster_k = logits_khw.view(len(logits_khw), height, 2, 2, width, 2, 2)  # k, y, dy, ey, x, ...
    cells_k = cells_km.view(len(cells_km), height, width, 2, 2, 2, 2)  # k, y, x, dy, dx, ey, ex
    raster_k.copy_(cells_k.permute(0, 1, 3, 5, 2, 4, 6))


def _cells_of_raster(height: int, width: int, device: torch.device) -> Tensor:
    """Where each pixel of some rows of a mask, in raster order, stands in cell order."""
    cells = torch.arange(16 * height * width, device=device).view(height, width, 2, 2, 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten()  # y, dy, ey, x, dx, ex
