"""Networks of official shape that draw blobs, for want of Meta's weights.

With random weights every mask is noise: its box is the whole picture, so one of thousands survives
the suppression. Here a few random weights are replaced, such that the picture finds the point that
was asked for by its position, and the layers behind it are fitted, one after the other by least
squares, to draw a disc around it. The outcome is not beautiful (an IoU with the disc of about one
half), but like masks of trained weights in what counts here: connected areas of several sizes,
steep at their edges, duplicates among neighbours, predicted IoU and stability that differ.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from skimage import data
from torch import Tensor

from infer_segment_anything_2.sam2_engine.image.embedding import Embedding, embed_image
from infer_segment_anything_2.sam2_engine.network.building import build_network
from infer_segment_anything_2.sam2_engine.weights.checkpoints import get_checkpoint

# Of the discs, in sides of the picture; and the disc of each mask token.
_RADII = (0.06, 0.12, 0.25)
_DISC_OF_TOKEN = (1, 0, 1, 2)
_N_FITTED_POINTS = 12
_STEEPNESS = 12.0
_HIGHEST_LOGIT = 8.0


@cache
@torch.no_grad()
def blob_network(name: str = "sam2.1_hiera_tiny") -> SAM2Base:
    """A network that draws blobs; always the same. Nobody may change it."""
    network = build_network(get_checkpoint(name))
    random = torch.Generator().manual_seed(0)
    for key, tensor in sorted(network.state_dict().items()):
        _fill(key, tensor, random)
    _let_points_be_found(network, random)
    embedding = _quieten_the_picture(network)
    _fit_discs(network, embedding, random)
    return network


def _fill(key: str, tensor: Tensor, random: torch.Generator) -> None:
    """Random numbers that keep activations near 1: steeper ones would enlarge every rounding."""
    is_norm = "norm" in key or key.endswith("output_upscaling.1.weight")
    is_code = any(word in key for word in ("embed", "token", "positional"))
    if key.endswith("bias"):
        tensor.normal_(0, 0.02, generator=random)
    elif is_norm and tensor.ndim == 1:
        tensor.fill_(1)
    elif tensor.ndim < 2 or (is_code and not key.endswith("proj.weight")):
        tensor.normal_(0, 1, generator=random)
    else:
        tensor.normal_(0, 1 / math.sqrt(tensor[0].numel()), generator=random)


def _let_points_be_found(network: SAM2Base, random: torch.Generator) -> None:
    """Positions ask where the point is: by sine and cosine of the same frequencies."""
    encoder: Any = network.sam_prompt_encoder
    decoder: Any = network.sam_mask_decoder
    frequencies_2f = encoder.pe_layer.positional_encoding_gaussian_matrix
    n_frequencies = frequencies_2f.shape[1]
    slow_first = frequencies_2f.norm(dim=0).argsort()
    label_c = encoder.point_embeddings[1].weight[0]
    encoder.no_mask_embed.weight.zero_()
    network.no_mem_embed.zero_()
    for layer, strength in zip(decoder.transformer.layers, (1.0, 0.1), strict=True):
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):  # a token attends itself
            linear = getattr(layer.self_attn, projection)
            linear.weight.copy_(torch.eye(len(linear.weight)))
            linear.bias.zero_()
        layer.mlp.layers[-1].weight.mul_(0.3)
        layer.cross_attn_token_to_image.out_proj.weight.mul_(0.3)
        asking = layer.cross_attn_image_to_token
        pairs_dc = torch.zeros_like(asking.q_proj.weight)
        for row, frequency in enumerate(slow_first[::2]):
            pairs_dc[2 * row, frequency] = 1
            pairs_dc[2 * row + 1, n_frequencies + frequency] = 1
        asking.q_proj.weight.copy_(pairs_dc)
        asking.k_proj.weight.copy_(pairs_dc)
        # Only what is labelled as a point answers.
        answers_d = torch.randn(len(asking.v_proj.weight), generator=random)
        asking.v_proj.weight.copy_(torch.outer(answers_d, label_c / label_c.norm()))
        asking.v_proj.bias.zero_()
        asking.out_proj.weight.mul_(strength)
    decoder.iou_prediction_head.layers[-1].weight.mul_(1.5)


def _quieten_the_picture(network: SAM2Base) -> Embedding:
    """Scale the features, so that the picture makes outlines ragged and no more."""
    decoder: Any = network.sam_mask_decoder
    neck: Any = network.image_encoder.neck
    photo = data.astronaut()
    for _ in range(2):  # biases, which are not scaled, leave a little to the second pass
        loud = embed_image(network, photo)
        down = 0.3 / float(loud.image_embed_bchw.std())
        for level in neck.convs:
            level.conv.weight.mul_(down)
            level.conv.bias.mul_(down)
        projections = (decoder.conv_s0, decoder.conv_s1)
        for projection, feature in zip(projections, loud.high_res_feats, strict=True):
            projection.weight.mul_(0.2 / float(feature.std()) / down)
    return embed_image(network, photo)


def _fit_discs(network: SAM2Base, embedding: Embedding, random: torch.Generator) -> None:
    """Fit both transposed convolutions and the mask tokens' vectors to discs around points."""
    decoder: Any = network.sam_mask_decoder
    first, norm, activation1, second, activation2 = decoder.output_upscaling
    points_b2 = torch.rand(_N_FITTED_POINTS, 2, generator=random)
    picture_bchw = _rewritten_picture(network, embedding, points_b2)
    side = 4 * picture_bchw.shape[-1]
    discs = [_discs(points_b2, radius, side) for radius in _RADII]
    s0, s1 = embedding.high_res_feats

    _set_channels(first, [_fit(picture_bchw, disc[:, 2::4, 2::4]) for disc in discs])
    middle_bchw = activation1(norm(first(picture_bchw) + s1))
    _set_channels(second, [_fit(middle_bchw, disc[:, 1::2, 1::2]) for disc in discs])
    constant = 2 * len(_RADII)
    second.weight[:, constant] = 0
    second.bias[constant] = 2
    final_bchw = activation2(second(middle_bchw) + s0)
    readouts = [_fit_without_offset(final_bchw[..., ::2, ::2], disc[:, ::2, ::2]) for disc in discs]
    for mlp, disc in zip(decoder.output_hypernetworks_mlps, _DISC_OF_TOKEN, strict=True):
        mlp.layers[-1].weight.mul_(0.05)
        mlp.layers[-1].bias.copy_(_HIGHEST_LOGIT * readouts[disc])


def _rewritten_picture(network: SAM2Base, embedding: Embedding, points_b2: Tensor) -> Tensor:
    """What the transformer makes of the picture for each point, B x C x h x w."""
    encoder: Any = network.sam_prompt_encoder
    decoder: Any = network.sam_mask_decoder
    caught: list[Tensor] = []
    hook = decoder.transformer.register_forward_hook(lambda *call: caught.append(call[2][1]))
    for point_12 in points_b2[:, None]:
        labels_11 = torch.ones(1, 1, dtype=torch.int32)
        sparse, dense = encoder((point_12[None] * network.image_size, labels_11), None, None)
        decoder.predict_masks(
            embedding.image_embed_bchw,
            encoder.get_dense_pe(),
            sparse,
            dense,
            True,
            list(embedding.high_res_feats),
        )
    hook.remove()
    h, w = embedding.image_embed_bchw.shape[-2:]
    picture_bchw: Tensor = torch.cat(caught).transpose(1, 2).unflatten(-1, (h, w))
    return picture_bchw


def _discs(points_b2: Tensor, radius: float, side: int) -> Tensor:
    """1 inside, -1 outside, with a slope between, B x side x side."""
    along = (torch.arange(side) + 0.5) / side
    x, y = points_b2[:, 0, None, None], points_b2[:, 1, None, None]
    distance = torch.hypot(along[:, None] - y, along[None, :] - x)
    slope = _STEEPNESS / _HIGHEST_LOGIT
    return (slope * (radius - distance) / radius).clamp(-1, 1)


def _fit(features_bchw: Tensor, wanted_bhw: Tensor) -> tuple[Tensor, float]:
    """Least squares with an offset; inside and outside of the discs count alike."""
    features_nc = features_bchw.permute(0, 2, 3, 1).flatten(0, 2)
    features_nc = torch.cat([features_nc, torch.ones(len(features_nc), 1)], dim=1)
    inside_n = (wanted_bhw.flatten() > 0).float()
    weight_n = inside_n / inside_n.mean() + (1 - inside_n) / (1 - inside_n.mean())
    solution_c = _solve(features_nc, wanted_bhw.flatten(), weight_n)
    return solution_c[:-1], float(solution_c[-1])


def _fit_without_offset(features_bchw: Tensor, wanted_bhw: Tensor) -> Tensor:
    """Least squares; the outside, being larger, counts more."""
    features_nc = features_bchw.permute(0, 2, 3, 1).flatten(0, 2)
    weight_n = 1 + 2 * (wanted_bhw.flatten() > 0).float()
    return _solve(features_nc, wanted_bhw.flatten(), weight_n)


def _solve(features_nc: Tensor, wanted_n: Tensor, weight_n: Tensor) -> Tensor:
    weighted_cn = (features_nc * weight_n[:, None]).T
    gram_cc = weighted_cn @ features_nc
    gram_cc += 1e-4 * gram_cc.diagonal().mean() * torch.eye(len(gram_cc))
    solution_c: Tensor = torch.linalg.solve(gram_cc, weighted_cn @ wanted_n)
    return solution_c


def _set_channels(convolution: Any, fits: list[tuple[Tensor, float]]) -> None:
    """Put each fit into two channels, with both signs, as the activation behind cuts one off."""
    for i, (vector_c, offset) in enumerate(fits):
        for channel, sign in ((2 * i, 2.0), (2 * i + 1, -2.0)):
            convolution.weight[:, channel] = sign * vector_c[:, None, None]
            convolution.bias[channel] = sign * offset
