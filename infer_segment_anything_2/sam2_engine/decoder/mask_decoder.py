"""Meta's mask decoder, with the same answers for a fraction of the arithmetic.

`FastMaskDecoder` computes what `sam2.modeling.sam.mask_decoder.MaskDecoder.predict_masks` does, in
three steps that a caller can separate: `prepare` (once per picture), `decode` (tokens, predicted
IoU), `mask_logits` (the masks that are wanted). What is saved, and why the result is the same:

1. All prompts of a picture share its projections: they are made once, in `prepare`.
2. Image-side weights are applied to the few tokens instead of the many positions, and the pictures
   that the prompts rewrite are never made: `image_updates` explains how.
3. Predicted IoU needs the tokens only. Upscaling is done for the chosen pairs of prompt and mask
   token, in `mask_upscaling`.
4. After the last attention only the output tokens count: the prompt's own tokens skip it.

Multiply-adds per image position and prompt of one point (8 tokens), official networks: 328
thousand in Meta's transformer, 54 here; 98 in Meta's upscaling, 65 here.

A prompt with many tokens rewrites the picture at a high rank, where the low-rank form costs more
than it saves. Above `MOST_LOW_RANK_TOKENS` Meta's own transformer is called.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.folding import fold_weights
from infer_segment_anything_2.sam2_engine.decoder.image_updates import (
    Block,
    ImageState,
    ReadingWeights,
    SharedNorm,
    SharedReading,
    gather_values,
    match_scores,
    statistics_dtype,
    write_and_norm,
)
from infer_segment_anything_2.sam2_engine.decoder.mask_upscaling import (
    SharedUpscaling,
)
from infer_segment_anything_2.sam2_engine.decoder.prompting import PromptEmbedder
from infer_segment_anything_2.sam2_engine.hardware.devices import wants_bulk
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["MOST_LOW_RANK_TOKENS", "DecodedPrompts", "FastMaskDecoder", "PreparedImage"]

MOST_LOW_RANK_TOKENS = 26
"""Tokens (outputs, points and corners together) up to which the low-rank form is faster."""

_BYTES_AT_ONCE = 4 << 20
"""Of one tensor of a chunk of prompts, if not in bulk: 4 of one point in an official network.

Larger ones would leave the caches, and fresh ones would be page-faulted at each allocation.
"""


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What all prompts of one picture share. Only `FastMaskDecoder` looks inside.

    Attributes:
        embedding: The picture's features.
        readings: Per block the tokens' and the picture's attention, then the final attention.
        norms: Per block the norm of the picture.
        upscaling: For `mask_logits`.
    """

    embedding: Embedding
    readings: tuple[SharedReading, ...]
    norms: tuple[SharedNorm, ...]
    upscaling: SharedUpscaling


@dataclass(frozen=True, eq=False)
class DecodedPrompts:
    """The decoder's answer to B prompts, before any mask is made.

    Attributes:
        iou_bm: Predicted IoU per mask token (the single-mask token first), B x M.
        object_score_logits_b1: B x 1.
        mask_tokens_bmc: The mask tokens' outputs, B x M x C.
        hyper_bmo: The vectors to multiply the upscaled picture with, B x M x C/8.
        images: The rewritten pictures of `prompts_at_once` prompts each: low-rank, or in full
            (B x N x C, without c).
        prompts_at_once: See `images`.
    """

    iou_bm: Tensor
    object_score_logits_b1: Tensor
    mask_tokens_bmc: Tensor
    hyper_bmo: Tensor
    images: tuple[ImageState | Tensor, ...]
    prompts_at_once: int

    def __len__(self) -> int:
        """Number of prompts."""
        return len(self.iou_bm)

    def images_of(self, prompts: list[int]) -> ImageState | Tensor:
        """The rewritten pictures of prompts of one chunk."""
        image = self.images[prompts[0] // self.prompts_at_once]
        places = [prompt % self.prompts_at_once for prompt in prompts]
        return image[places] if isinstance(image, Tensor) else image.select(places)


class FastMaskDecoder:
    """The mask decoder of one network, with its weights folded, and its prompt encoder.

    Nothing is kept between calls, so several threads may use one decoder at once.

    Args:
        model: Meta's network in evaluation mode, with high-resolution features (as all official
            ones). Later changes of its weights are not seen.
        dtype: Of the products with the picture. Tokens, norms, softmaxes and predicted IoU stay in
            the network's own precision.
        in_bulk: Few operations on all prompts together, as a GPU wants, or many on a few prompts
            each, as a CPU does; what the device wants if None. The masks are the same.

    Attributes:
        device: Where it computes.
        in_bulk: See above; also what is done with the masks goes by it.
        prompts: Turns points, corners and masks into what :meth:`decode` takes.
    """

    def __init__(
        self, model: SAM2Base, dtype: torch.dtype = torch.float32, in_bulk: bool | None = None
    ) -> None:
        self._decoder: Any = model.sam_mask_decoder
        self._transformer: Any = self._decoder.transformer
        self._dtype = dtype
        self.device: torch.device = self._decoder.iou_token.weight.device
        self.in_bulk = wants_bulk(self.device) if in_bulk is None else in_bulk
        self.prompts = PromptEmbedder(model.sam_prompt_encoder)
        self._no_memory_c11 = torch.zeros(1, 1, 1, device=self.device)
        if model.directly_add_no_mem_embed:
            self._no_memory_c11 = model.no_mem_embed.detach().reshape(-1, 1, 1)
        self._weights = fold_weights(model, dtype, self.in_bulk)

    @torch.no_grad()
    def prepare(self, embedding: Embedding) -> PreparedImage:
        """Makes what all prompts of a single picture share: no frame stands before it.

        About 2 GFLOP and 50 MB for official networks.

        Args:
            embedding: The picture's features, without ``no_mem_embed``: that is added here.
        """
        single_chw = embedding.image_embed_bchw[0] + self._no_memory_c11
        image_cn = single_chw.flatten(1) + self._weights.no_mask_c[:, None]
        image_cn = image_cn.to(self._dtype)
        readings, norms = [], []
        for level, writing in enumerate(self._weights.writings):
            for reading in self._weights.readings[2 * level : 2 * level + 2]:
                readings.append(reading.prepare(image_cn, level))
            centred_cn = image_cn - image_cn.mean(0)
            norms.append(writing.prepare(centred_cn))
            image_cn = centred_cn * writing.gain_c[:, None]
        readings.append(self._weights.readings[-1].prepare(image_cn, len(norms)))
        s0_1chw, s1_1chw = embedding.high_res_feats
        height, width = embedding.image_embed_bchw.shape[-2:]
        upscaling = self._weights.upscaling.prepare(image_cn, s0_1chw, s1_1chw, (height, width))
        return PreparedImage(embedding, tuple(readings), tuple(norms), upscaling)

    @torch.no_grad()
    def decode(
        self, image: PreparedImage, sparse_bnc: Tensor, dense_bchw: Tensor | None = None
    ) -> DecodedPrompts:
        """Runs the transformer and the heads, but no upscaling.

        Keeps 2 MB per prompt (official networks, one point) until the answer is dropped.

        Args:
            image: The picture.
            sparse_bnc: The prompts as Meta's prompt encoder embeds points and boxes, B x n x C.
            dense_bchw: The mask prompts as Meta's prompt encoder embeds them, B x C x h x w; None
                where there are none. Other tensors are not valid: a space of 17 dimensions is
                assumed, that of the encoder's last convolution and its "no mask" vector.
        """
        sparse_bnc = sparse_bnc.to(self._weights.output_tokens_tc.dtype)
        outputs_btc = self._weights.output_tokens_tc.expand(len(sparse_bnc), -1, -1)
        tokens_btc = torch.cat((outputs_btc, sparse_bnc), dim=1)
        low_rank = tokens_btc.shape[1] <= MOST_LOW_RANK_TOKENS
        transform = self._transform if low_rank else self._transform_in_full
        at_once = self._prompts_at_once(image, tokens_btc)
        outputs, images = [], []
        for start in range(0, len(tokens_btc), at_once):
            chunk = slice(start, start + at_once)
            dense_chunk = None if dense_bchw is None else dense_bchw[chunk]
            outputs_chunk, image_chunk = transform(image, tokens_btc[chunk], dense_chunk)
            outputs.append(outputs_chunk[:, : outputs_btc.shape[1]])
            images.append(image_chunk)
        return self._heads(torch.cat((outputs_btc[:0], *outputs)), tuple(images), at_once)

    @torch.no_grad()
    def mask_logits(
        self,
        image: PreparedImage,
        decoded: DecodedPrompts,
        prompt_index_k: npt.NDArray[np.int64],
        token_index_k: npt.NDArray[np.int64],
    ) -> Tensor:
        """Makes the masks of chosen pairs of prompt and mask token.

        Args:
            image: The picture that was given to `decode`.
            decoded: The answer of `decode`.
            prompt_index_k: Integers in 0 ... B - 1, any order.
            token_index_k: Integers in 0 ... M - 1; 0 is the single-mask token.

        Returns:
            Logits, K x 4h x 4w, float32 (float64 for a float64 network).
        """
        height, width = image.upscaling.position_hw
        logits_khw = decoded.iou_bm.new_empty(len(prompt_index_k), 4 * height, 4 * width)
        if self.in_bulk and len(logits_khw):
            return self._weights.upscaling.mask_logits_in_bulk(
                image.upscaling,
                decoded.images[0],
                decoded.hyper_bmo.to(self._dtype),
                prompt_index_k,
                token_index_k,
            )
        tokens_of: dict[int, list[int]] = {}
        rows_of: dict[int, list[int]] = {}
        chosen = zip(prompt_index_k.tolist(), token_index_k.tolist(), strict=True)
        for row, (prompt, token) in enumerate(chosen):
            tokens_of.setdefault(prompt, []).append(token)
            rows_of.setdefault(prompt, []).append(row)
        at_once = self._weights.upscaling.prompts_at_once(image.upscaling)
        for prompts in _groups(sorted(tokens_of), decoded.prompts_at_once, at_once):
            # All tokens, wanted or not: products of other shapes round in another way, and a mask
            # must not depend on which others of its point a threshold lets pass.
            hyper_pko = decoded.hyper_bmo[prompts].to(self._dtype)
            rewritten = decoded.images_of(prompts)
            masks_pkhw = self._weights.upscaling.mask_logits(image.upscaling, rewritten, hyper_pko)
            for prompt, masks_khw in zip(prompts, masks_pkhw, strict=True):
                for row, token in zip(rows_of[prompt], tokens_of[prompt], strict=True):
                    logits_khw[row] = masks_khw[token]
        return logits_khw

    def tensor_bytes(self, image: PreparedImage, tokens: int) -> int:
        """Bytes of one tensor of one prompt of so many tokens; decoding it takes some of them."""
        rows, positions = tokens * self._transformer.num_heads, len(image.upscaling.image_nk)
        n_bytes: int = rows * positions * self._dtype.itemsize
        return n_bytes

    def _prompts_at_once(self, image: PreparedImage, tokens_btc: Tensor) -> int:
        """How many prompts to decode together."""
        prompts, tokens, _ = tokens_btc.shape
        if self.in_bulk:
            return max(prompts, 1)
        return max(_BYTES_AT_ONCE // self.tensor_bytes(image, tokens), 1)

    def _transform(
        self, image: PreparedImage, tokens_btc: Tensor, dense_bchw: Tensor | None
    ) -> tuple[Tensor, ImageState]:
        """The two-way transformer: the output tokens, and the rewritten pictures."""
        state = ImageState(
            tokens_btc.new_ones(1, 1, 1, dtype=statistics_dtype(self._dtype)),
            () if dense_bchw is None else (self._mask_block(dense_bchw),),
        )
        queries_btc = tokens_btc
        for level, layer in enumerate(self._transformer.layers):
            queries_btc, state = self._block(image, level, layer, queries_btc, tokens_btc, state)
        outputs = self._weights.output_tokens_tc.shape[0]
        queries_btc = queries_btc[:, :outputs]
        attended_btc = self._tokens_look_at_image(
            self._transformer.final_attn_token_to_image,
            queries_btc + tokens_btc[:, :outputs],
            state,
            self._weights.readings[-1],
            image.readings[-1],
        )
        return self._transformer.norm_final_attn(queries_btc + attended_btc), state

    def _block(
        self,
        image: PreparedImage,
        level: int,
        layer: Any,
        queries_btc: Tensor,
        tokens_btc: Tensor,
        state: ImageState,
    ) -> tuple[Tensor, ImageState]:
        """One two-way block: tokens among themselves, tokens to image, MLP, image to tokens."""
        if layer.skip_first_layer_pe:
            queries_btc = layer.self_attn(q=queries_btc, k=queries_btc, v=queries_btc)
        else:
            placed_btc = queries_btc + tokens_btc
            queries_btc = queries_btc + layer.self_attn(q=placed_btc, k=placed_btc, v=queries_btc)
        queries_btc = layer.norm1(queries_btc)
        queries_btc = queries_btc + self._tokens_look_at_image(
            layer.cross_attn_token_to_image,
            queries_btc + tokens_btc,
            state,
            self._weights.readings[2 * level],
            image.readings[2 * level],
        )
        queries_btc = layer.norm2(queries_btc)
        queries_btc = layer.norm3(queries_btc + layer.mlp(queries_btc))

        attention = layer.cross_attn_image_to_token
        keys_btd = attention.k_proj(queries_btc + tokens_btc)
        scores_bthn = match_scores(
            state,
            self._weights.readings[2 * level + 1],
            image.readings[2 * level + 1],
            self._split_heads(keys_btd * _softmax_scale(attention), attention),
        )
        state = write_and_norm(
            state,
            scores_bthn.softmax(1),
            self._split_heads(attention.v_proj(queries_btc), attention),
            self._weights.writings[level],
            image.norms[level],
        )
        return queries_btc, state

    def _tokens_look_at_image(
        self,
        attention: Any,
        placed_btc: Tensor,
        state: ImageState,
        weights: ReadingWeights,
        shared: SharedReading,
    ) -> Tensor:
        """A cross attention from the tokens (with their own codes added) to the image."""
        queries_btd = attention.q_proj(placed_btc) * _softmax_scale(attention)
        queries_bthd = self._split_heads(queries_btd, attention)
        attention_bthn = match_scores(state, weights, shared, queries_bthd).softmax(-1)
        values_btd = gather_values(state, weights, shared, attention_bthn)
        attended_btc: Tensor = attention.out_proj(values_btd.to(placed_btc.dtype))
        return attended_btc

    def _split_heads(self, vectors_btd: Tensor, attention: Any) -> Tensor:
        return vectors_btd.to(self._dtype).view(*vectors_btd.shape[:2], attention.num_heads, -1)

    def _mask_block(self, dense_bchw: Tensor) -> Block:
        """The mask prompts' dense embeddings in the coordinates of their small space."""
        change_bcn = dense_bchw.flatten(2) - self._weights.no_mask_c[:, None]
        basis_rc = self._weights.mask_basis_rc
        coefficients_brn = basis_rc.to(change_bcn.dtype) @ change_bcn
        return Block(coefficients_brn.to(self._dtype), basis_rc[None], None)

    def _transform_in_full(
        self, image: PreparedImage, tokens_btc: Tensor, dense_bchw: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Meta's own transformer: its tokens, and the rewritten pictures without c."""
        if dense_bchw is None:
            dense_bchw = self._weights.no_mask_c[:, None, None].expand(len(tokens_btc), -1, 1, 1)
        single_bchw = image.embedding.image_embed_bchw + self._no_memory_c11
        image_bchw = single_bchw.to(tokens_btc.dtype) + dense_bchw
        positions_bchw = self._weights.positions_bchw.expand_as(image_bchw)
        queries_btc, image_bnc = self._transformer(image_bchw, positions_bchw, tokens_btc)
        return queries_btc, image_bnc.to(self._dtype) - self._weights.last_offset_c

    def _heads(
        self, outputs_btc: Tensor, images: tuple[ImageState | Tensor, ...], at_once: int
    ) -> DecodedPrompts:
        """Predicted IoU, object scores and the vectors of the masks, as Meta's decoder."""
        decoder = self._decoder
        first = int(decoder.pred_obj_scores)
        mask_tokens_bmc = outputs_btc[:, first + 1 : first + 1 + decoder.num_mask_tokens]
        iou_bm = decoder.iou_prediction_head(outputs_btc[:, first])
        heads = decoder.output_hypernetworks_mlps
        hyper = [
            head(token_bc) for head, token_bc in zip(heads, mask_tokens_bmc.unbind(1), strict=True)
        ]
        if decoder.pred_obj_scores:
            object_score_logits_b1 = decoder.pred_obj_score_head(outputs_btc[:, 0])
        else:  # Meta's constant for "the object is there"
            object_score_logits_b1 = iou_bm.new_full((len(iou_bm), 1), 10.0)
        return DecodedPrompts(
            iou_bm, object_score_logits_b1, mask_tokens_bmc, torch.stack(hyper, 1), images, at_once
        )


def _groups(prompts: list[int], chunk: int, size: int) -> Iterator[list[int]]:
    """Splits ascending prompts into groups of at most a size, each from one chunk of prompts."""
    for _, of_chunk in itertools.groupby(prompts, lambda prompt: prompt // chunk):
        members = list(of_chunk)
        for start in range(0, len(members), size):
            yield members[start : start + size]


def _softmax_scale(attention: Any) -> float:
    return float((attention.internal_dim // attention.num_heads) ** -0.5)
