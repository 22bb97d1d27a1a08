"""From masks to the maps of features that are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["encode_memories"]


def encode_memories(
    network: SAM2Base,
    image_embed_1chw: Tensor,
    logits_nhw: Tensor,
    presence_n: Tensor,
    *,
    were_prompted: bool,
    binarise: bool,
) -> list[Tensor]:
    """Encodes what is to be remembered of n objects in one picture.

    Computes what ``SAM2Base._encode_new_memory`` does; the picture's own part is made once.

    Args:
        network: Meta's network in evaluation mode.
        image_embed_1chw: The picture's features, without the "no memory" vector.
        logits_nhw: The objects' masks, float32, n x 4h x 4w.
        presence_n: Above 0 where an object is there.
        were_prompted: Whether the masks are answers to prompts.
        binarise: Take such masks for black and white.

    Returns:
        Per object h * w x C/4 in bfloat16, each in memory of its own.
    """
    base: Any = network
    encoder = base.memory_encoder
    logits_n1hw = _enlarged(logits_nhw, base.image_size, in_threes=not were_prompted)
    is_sharp = were_prompted and binarise
    masks_n1hw = (logits_n1hw > 0).float() if is_sharp else logits_n1hw.sigmoid()
    masks_n1hw = masks_n1hw.mul_(base.sigmoid_scale_for_mem_enc)
    masks_n1hw = masks_n1hw.add_(base.sigmoid_bias_for_mem_enc)
    # Meta's lie in this order in memory, which convolutions round by; the encoder's do not.
    picture_1chw = encoder.pix_feat_proj(image_embed_1chw.contiguous())
    mixed_nchw = picture_1chw + encoder.mask_downsampler(masks_n1hw)
    features_nchw = encoder.out_proj(encoder.fuser(mixed_nchw))
    if base.no_obj_embed_spatial is not None:
        is_absent_n1 = 1 - (presence_n[:, None] > 0).float()
        features_nchw = features_nchw + (is_absent_n1 * base.no_obj_embed_spatial)[..., None, None]
    features_nlc = features_nchw.flatten(2).transpose(1, 2)
    return [one.to(torch.bfloat16, memory_format=torch.contiguous_format) for one in features_nlc]


def _enlarged(logits_nhw: Tensor, side: int, *, in_threes: bool) -> Tensor:
    """Scales masks up to n x 1 x side x side, rounded as Meta's.

    Meta scales up a tracked object's three masks before it chooses one. On a single thread PyTorch
    has a kernel of its own for three channels, which rounds otherwise. So three objects go as one
    picture.
    """
    count, height, width = logits_nhw.shape
    channels = 3 if in_threes else 1
    padding = -count % channels
    padded = torch.cat([logits_nhw, logits_nhw[:1].expand(padding, -1, -1)])
    large = F.interpolate(
        padded.view(-1, channels, height, width),
        (side, side),
        mode="bilinear",
        align_corners=False,
    )
    return large.view(-1, 1, side, side)[:count]
