"""One way to put points, boxes and masks to the decoder, and to choose among its answers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["single_mask_is_stable"]

# sam2.build_sam: dynamic_multimask_stability_delta and dynamic_multimask_stability_thresh
_SINGLE_MASK_OFFSET = 0.05
_SINGLE_MASK_STABILITY = 0.98


def single_mask_is_stable(logits_khw: Tensor) -> Tensor:
    """Tell which masks of the single-mask token are good enough as they are: bool, k.

    Meta's `MaskDecoder._get_stability_scores`, with the values that `build_sam2` sets.
    """
    inner_k = (logits_khw > _SINGLE_MASK_OFFSET).sum(dim=(1, 2)).float()
    outer_k = (logits_khw > -_SINGLE_MASK_OFFSET).sum(dim=(1, 2)).float()
    return torch.where(outer_k > 0, inner_k / outer_k, 1.0) >= _SINGLE_MASK_STABILITY
