"""What the network sees in a picture: made once, used by every prompt."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["Embedding", "embed_image"]


@dataclass(frozen=True, eq=False)
class Embedding:
    """The image features that the mask decoder works on.

    Attributes:
        image_embed_bchw: 1 x C x h x w, stride 16.
        high_res_feats: 1 x C/8 x 4h x 4w and 1 x C/4 x 2h x 2w, after the decoder's projections.
        image_hw: Height and width in pixels of the picture that prompts and masks refer to.
        digest: Identifies the picture's content and the settings it was embedded with.
    """

    image_embed_bchw: Tensor
    high_res_feats: tuple[Tensor, Tensor]
    image_hw: tuple[int, int]
    digest: str = ""


@torch.no_grad()
def embed_image(
    network: SAM2Base,
    image_rgb_hwc: npt.NDArray[np.uint8],
    *,
    input_size_percent: int = 100,
    precision: torch.dtype = torch.float32,
    digest: str = "",
) -> Embedding:
    """Runs the image encoder, as ``SAM2ImagePredictor.set_image`` does.

    Args:
        network: Meta's network in evaluation mode.
        image_rgb_hwc: H x W x 3.
        input_size_percent: Shrinks the picture to this much of its sides first.
        precision: float32, or a half precision for the encoder's matrix products.
        digest: Passed on.

    Returns:
        Float32 features on the network's device.
    """
    device = network.device
    pixels = network_input(image_rgb_hwc, network.image_size, input_size_percent).to(device)
    context = (
        contextlib.nullcontext()
        if precision == torch.float32
        else torch.autocast(device.type, dtype=precision)
    )
    with context:
        levels = network.forward_image(pixels)["backbone_fpn"]
    high_res_0, high_res_1, image_embed = (level.float() for level in levels[-3:])
    return Embedding(
        image_embed_bchw=image_embed,
        high_res_feats=(high_res_0, high_res_1),
        image_hw=(image_rgb_hwc.shape[0], image_rgb_hwc.shape[1]),
        digest=digest,
    )
