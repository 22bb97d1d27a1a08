"""The weights of the image encoder in a half precision, rounded once for all pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["cast_encoder"]


def cast_encoder(network: SAM2Base, precision: torch.dtype) -> None:
    """Rounds the weights of the encoder's products and convolutions, in place.

    Under autocast the features stay the same, bit for bit: it rounds the same weights in the same
    way, anew for every picture (600 of the 1,244 operations of the large encoder), and nothing
    else. Outside of autocast the encoder runs no longer.

    Args:
        network: Meta's; what ``forward_image`` runs is changed, all else stays in float32.
        precision: A half precision.
    """
    decoder: Any = network.sam_mask_decoder
    for part in (network.image_encoder, decoder.conv_s0, decoder.conv_s1):
        for module in part.modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
                module.to(precision)
