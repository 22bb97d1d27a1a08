"""The decoder's weights folded for low-rank pictures: made once, in float64, rounded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.image_updates import (
    ReadingWeights,
    WritingWeights,
)
from infer_segment_anything_2.sam2_engine.decoder.mask_upscaling import MaskUpscaling

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["FoldedWeights", "fold_weights"]


@dataclass(frozen=True, eq=False)
class FoldedWeights:
    """What `FastMaskDecoder` computes with, on the network's device.

    Attributes:
        readings: Per block the tokens' and the picture's attention, then the final attention.
        writings: Per block what the picture takes from the tokens.
        upscaling: From the rewritten picture to masks.
        last_offset_c: The constant of every position after the last block.
        mask_basis_rc: Of the space in which mask prompts lie; see `_mask_prompt_basis`.
        no_mask_c: The dense embedding of a prompt without a mask, in the network's precision.
        positions_bchw: The picture's position codes, in the network's precision.
        output_tokens_tc: The tokens that carry the answers, in the network's precision.
    """

    readings: tuple[ReadingWeights, ...]
    writings: tuple[WritingWeights, ...]
    upscaling: MaskUpscaling
    last_offset_c: Tensor
    mask_basis_rc: Tensor
    no_mask_c: Tensor
    positions_bchw: Tensor
    output_tokens_tc: Tensor


@torch.no_grad()
def fold_weights(model: SAM2Base, dtype: torch.dtype, in_bulk: bool) -> FoldedWeights:
    """Folds the weights of every level.

    Args:
        model: Meta's network in evaluation mode, with high-resolution features.
        dtype: Of the products with the picture.
        in_bulk: How masks will be upscaled.
    """
    encoder: Any = model.sam_prompt_encoder
    decoder: Any = model.sam_mask_decoder
    no_mask_c = encoder.no_mask_embed.weight.detach()[0]
    positions_bchw = encoder.get_dense_pe().to(no_mask_c.dtype)
    mask_basis_rc = _mask_prompt_basis(encoder)
    readings, writings, offset_c = _fold_levels(
        decoder.transformer, positions_bchw, mask_basis_rc, dtype
    )
    device = no_mask_c.device
    return FoldedWeights(
        readings=readings,
        writings=writings,
        upscaling=MaskUpscaling(decoder.output_upscaling, offset_c, dtype, in_bulk),
        last_offset_c=_rounded(offset_c, device, dtype),
        mask_basis_rc=_rounded(mask_basis_rc, device, dtype),
        no_mask_c=no_mask_c,
        positions_bchw=positions_bchw,
        output_tokens_tc=_output_tokens(decoder),
    )


def _fold_levels(
    transformer: Any, positions_bchw: Tensor, mask_basis_rc: Tensor, dtype: torch.dtype
) -> tuple[tuple[ReadingWeights, ...], tuple[WritingWeights, ...], Tensor]:
    """The weights of all blocks and of the final attention, and the constant after them."""
    device = positions_bchw.device
    positions_nc = _double(positions_bchw)[0].flatten(1).T
    offset_c = torch.zeros_like(positions_nc[0])
    writings_hec: list[Tensor] = []
    readings: list[ReadingWeights] = []
    writings: list[WritingWeights] = []
    for layer in transformer.layers:
        tokens_look, image_looks = (
            layer.cross_attn_token_to_image,
            layer.cross_attn_image_to_token,
        )
        for attention, match in (
            (tokens_look, tokens_look.k_proj),
            (image_looks, image_looks.q_proj),
        ):
            readings.append(_reading(attention, match, positions_nc, offset_c, device, dtype))
        writings_hec = [
            _centred(w) for w in (*writings_hec, _writing_matrix(image_looks, offset_c))
        ]
        mask_basis_rc = _centred(mask_basis_rc)
        gain_c = _double(layer.norm4.weight)
        writings.append(
            WritingWeights(
                tuple(_rounded(w, device, dtype) for w in writings_hec),
                _rounded(mask_basis_rc, device, dtype),
                _rounded(gain_c, device, dtype),
                float(layer.norm4.eps),
            )
        )
        writings_hec = [w * gain_c for w in writings_hec]
        mask_basis_rc = mask_basis_rc * gain_c
        offset_c = _double(layer.norm4.bias)
    final = transformer.final_attn_token_to_image
    readings.append(_reading(final, final.k_proj, positions_nc, offset_c, device, dtype))
    return tuple(readings), tuple(writings), offset_c


def _reading(
    attention: Any,
    match: Any,
    positions_nc: Tensor,
    offset_c: Tensor,
    device: torch.device,
    dtype: torch.dtype,
) -> ReadingWeights:
    match_dc, value_dc = _double(match.weight), _double(attention.v_proj.weight)
    match_dn = match_dc @ (positions_nc + offset_c).T + _double(match.bias)[:, None]
    value_d = value_dc @ offset_c + _double(attention.v_proj.bias)
    parts = (match_dc, match_dn, value_dc, value_d)
    heads = (attention.num_heads, -1)
    return ReadingWeights(*(_rounded(part.unflatten(0, heads), device, dtype) for part in parts))


def _rounded(folded: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return folded.to(device, dtype).contiguous()


def _output_tokens(decoder: Any) -> Tensor:
    """The tokens that carry the answers: object score (where there is one), IoU, masks."""
    kinds = [decoder.iou_token, decoder.mask_tokens]
    if decoder.pred_obj_scores:
        kinds.insert(0, decoder.obj_score_token)
    return torch.cat([kind.weight.detach() for kind in kinds])


def _mask_prompt_basis(encoder: Any) -> Tensor:
    """An orthonormal basis of all (dense embedding - no-mask embedding), r x C, float64 on CPU."""
    last = encoder.mask_downscaling[-1]
    directions_cr = _double(last.weight)[:, :, 0, 0]
    offset_c = _double(last.bias) - _double(encoder.no_mask_embed.weight)[0]
    basis_cr: Tensor = torch.linalg.qr(torch.cat((directions_cr, offset_c[:, None]), dim=1)).Q
    return basis_cr.T


def _writing_matrix(attention: Any, offset_c: Tensor) -> Tensor:
    """From a token's value (and a one) to channels, h x e x c.

    The one brings c and the bias: spread over the heads, as each head's weights sum to one.
    """
    heads = attention.num_heads
    values_hdc = _double(attention.out_proj.weight).T.unflatten(0, (heads, -1))
    constant_c = (offset_c + _double(attention.out_proj.bias)) / heads
    return torch.cat((values_hdc, constant_c.expand(heads, 1, -1)), dim=1)


def _centred(channels_last: Tensor) -> Tensor:
    return channels_last - channels_last.mean(-1, keepdim=True)


def _double(tensor: Tensor) -> Tensor:
    """A weight for folding: float64 on the CPU (not every device has it)."""
    return tensor.detach().cpu().double()
