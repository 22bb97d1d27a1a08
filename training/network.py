"""Meta's network for training: built from a config, run on many prompts a picture, saved small."""

from pathlib import Path
from typing import NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle

_MEAN_RGB = (0.485, 0.456, 0.406)
_STD_RGB = (0.229, 0.224, 0.225)
_LOGIT_LIMIT = 32.0
# What a single picture passes through; the memory of earlier frames is kept as it is.
_TRAINED = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")


class Embedding(NamedTuple):
    """Features of B pictures: Bx128x16x16, Bx16x64x64 and Bx32x32x32 for the nano config."""

    features: Tensor
    high_res_s0: Tensor
    high_res_s1: Tensor


class Decoded(NamedTuple):
    """Answers to N prompts.

    Attributes:
        logits: Nx4xhxw mask logits; the first mask is the single answer, then three candidates.
        scores: Nx4 predicted IoU, 0 to 1.
        presence: Nx1 logits of there being an object at all.
    """

    logits: Tensor
    scores: Tensor
    presence: Tensor


class _ShuffledUpscaling(nn.ConvTranspose2d):
    """A 2x2 stride-2 transposed convolution as a 1x1 convolution and a pixel shuffle.

    Equal to the parent class, and free of the hang of its backward pass on the CPU with two OpenMP
    threads (torch 2.15).
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        n_in, n_out, height, width = self.weight.shape
        kernel = self.weight.reshape(n_in, n_out * height * width).t()[:, :, None, None]
        bias = None if self.bias is None else self.bias.repeat_interleave(height * width)
        return pixel_shuffle(conv2d(x, kernel, bias), height)


def build_network(config_path: Path) -> SAM2Base:
    """Builds the network that a config describes, with fresh weights, ready to be trained."""
    network: SAM2Base = instantiate(OmegaConf.load(config_path).model, _recursive_=True)
    upscaling = network.sam_mask_decoder.output_upscaling
    for layer in upscaling:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.__class__ = _ShuffledUpscaling
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(_TRAINED))
    return network


def load_weights(network: SAM2Base, path: Path) -> None:
    """Loads a `{"model": state_dict}` file; every key must fit."""
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    network.load_state_dict(state, strict=True)


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Writes a `{"model": state_dict}` file in half precision, whole or not at all."""
    half = {
        k: v.detach().cpu().half() if v.is_floating_point() else v.cpu() for k, v in state.items()
    }
    partial = path.with_suffix(".partial")
    torch.save({"model": {k: v.contiguous() for k, v in half.items()}}, partial)
    partial.replace(path)


def normalise(images_u8_bhwc: Tensor) -> Tensor:
    """Turns BxHxWx3 RGB uint8 into the Bx3xHxW float32 that the encoder takes."""
    mean = torch.tensor(_MEAN_RGB, device=images_u8_bhwc.device)
    std = torch.tensor(_STD_RGB, device=images_u8_bhwc.device)
    return ((images_u8_bhwc.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def embed(network: SAM2Base, images_bchw: Tensor) -> Embedding:
    """Encodes normalised pictures as Meta's image predictor does."""
    s0, s1, features = network.forward_image(images_bchw)["backbone_fpn"]
    return Embedding(features + network.no_mem_embed.reshape(1, -1, 1, 1), s0, s1)


def decode(
    network: SAM2Base,
    embedding: Embedding,
    picture_of_n: Tensor,
    points_nkx2: Tensor,
    labels_nk: Tensor,
    previous_n1hw: Tensor | None = None,
    use_previous_n: Tensor | None = None,
) -> Decoded:
    """Answers N prompts on B pictures.

    Args:
        network: The network.
        embedding: Of the B pictures.
        picture_of_n: Index of the picture of each prompt.
        points_nkx2: K points (x, y) a prompt, in pixels of the network's input; a box is two.
        labels_nk: 1 foreground, 0 background, 2 and 3 the corners of a box.
        previous_n1hw: Logits of earlier answers, given as a prompt.
        use_previous_n: Which prompts take the earlier answer; all when None.

    Returns:
        The four masks of each prompt with their scores.
    """
    encoder = network.sam_prompt_encoder
    if previous_n1hw is not None:
        previous_n1hw = previous_n1hw.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
    sparse, dense = encoder((points_nkx2, labels_nk), None, previous_n1hw)
    if previous_n1hw is not None and use_previous_n is not None:
        nothing = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = torch.where(use_previous_n[:, None, None, None], dense, nothing)
    logits, scores, _, presence = network.sam_mask_decoder.predict_masks(
        image_embeddings=embedding.features[picture_of_n],
        image_pe=encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[
            embedding.high_res_s0[picture_of_n],
            embedding.high_res_s1[picture_of_n],
        ],
    )
    return Decoded(logits, scores, presence)
