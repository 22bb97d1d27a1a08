"""One way to put points, boxes and masks to the decoder, and to choose among its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.hardware.transfer import to_device

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam.prompt_encoder import PromptEncoder

__all__ = [
    "BOX_CORNER_LABELS",
    "SINGLE_MASK_TOKEN",
    "PromptEmbedder",
    "clamped",
    "ranked_tokens",
    "single_mask_is_stable",
]

# The labels of a box's corners in the prompt encoder; Meta calls them points 2 and 3.
BOX_CORNER_LABELS = (2, 3)
SINGLE_MASK_TOKEN = 0
# sam2_image_predictor: logits handed on as a mask prompt are clamped to this.
_LOGIT_CLAMP = 32.0

# sam2.build_sam: dynamic_multimask_stability_delta and dynamic_multimask_stability_thresh
_SINGLE_MASK_OFFSET = 0.05
_SINGLE_MASK_STABILITY = 0.98


class PromptEmbedder:
    """The network's prompt encoder, called as Meta's predictors call it.

    Args:
        prompt_encoder: Of the network whose decoder gets the tokens.

    Attributes:
        mask_size_hw: Height and width of the logits of a mask prompt, and of the decoder's answers.
    """

    def __init__(self, prompt_encoder: PromptEncoder) -> None:
        self._encoder = prompt_encoder
        self.mask_size_hw: tuple[int, int] = prompt_encoder.mask_input_size

    @torch.no_grad()
    def points(self, points_bn2_px: Tensor, labels_bn: Tensor, image_hw: tuple[int, int]) -> Tensor:
        """Tokens of points and corners, B x tokens x C.

        Args:
            points_bn2_px: Float32 x and y in pixels of the picture (or crop) that is asked about;
                the two corners of a box stand before its points.
            labels_bn: int32: 1 on the object, 0 on the background, 2 and 3 a box's corners.
            image_hw: Height and width of that picture.
        """
        if not points_bn2_px.shape[1]:
            # A mask alone: Meta gives no token at all, not even the padding.
            return points_bn2_px.new_empty(len(points_bn2_px), 0, self._encoder.embed_dim)
        height, width = image_hw
        # Divided by the picture and multiplied by the input one after the other, as Meta does: the
        # product of the two factors rounds differently.
        size_xy = to_device(np.array([width, height]), points_bn2_px.device)
        input_bn2 = points_bn2_px / size_xy * self._encoder.input_image_size[0]
        sparse_bnc, _ = self._encoder(points=(input_bn2, labels_bn), boxes=None, masks=None)
        sparse: Tensor = sparse_bnc
        return sparse

    @torch.no_grad()
    def masks(self, logits_bhw: Tensor, *, clamp: bool = True) -> Tensor:
        """Dense embeddings of mask prompts, B x C x h x w.

        Args:
            logits_bhw: Of the size `mask_size_hw`.
            clamp: As Meta's predictors do with answers; not with masks that are taken as they are.
        """
        masks_b1hw = (clamped(logits_bhw) if clamp else logits_bhw)[:, None]
        _, dense_bchw = self._encoder(points=None, boxes=None, masks=masks_b1hw)
        dense: Tensor = dense_bchw
        return dense


def clamped(logits: Tensor) -> Tensor:
    """Logits as Meta's predictor hands them on to be a mask prompt."""
    return logits.clamp(-_LOGIT_CLAMP, _LOGIT_CLAMP)


def ranked_tokens(iou_bm: Tensor) -> Tensor:
    """The tokens of the three candidates of each prompt, best predicted IoU first: int64, B x 3."""
    return iou_bm[:, 1:].argsort(dim=1, descending=True, stable=True) + 1


def single_mask_is_stable(logits_khw: Tensor) -> Tensor:
    """Tells which masks of the single-mask token are good enough as they are: bool, k.

    Meta's `MaskDecoder._get_stability_scores`, with the values that `build_sam2` sets.
    """
    inner_k = (logits_khw > _SINGLE_MASK_OFFSET).sum(dim=(1, 2)).float()
    outer_k = (logits_khw > -_SINGLE_MASK_OFFSET).sum(dim=(1, 2)).float()
    return torch.where(outer_k > 0, inner_k / outer_k, 1.0) >= _SINGLE_MASK_STABILITY
