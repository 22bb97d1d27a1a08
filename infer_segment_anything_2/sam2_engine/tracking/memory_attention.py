"""What the network sees in a frame, rewritten by what it remembers of objects.

Computes what ``sam2.modeling.memory_attention.MemoryAttention`` does with the tokens of
``SAM2Base._prepare_memory_conditioned_features``, for several objects at once. What precedes the
first look at memories sees only the picture: it is computed once per frame, not once per object.
The rotary tables are made once, where Meta's modules replace theirs while they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from infer_segment_anything_2.sam2_engine.settings import MemoryRule
from infer_segment_anything_2.sam2_engine.tracking.object_memory import (
    POINTER_FRAMES,
    FramePointer,
    ObjectMemory,
)

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["FrameQuery", "MemoryAttention", "MemoryTokens"]


@dataclass(frozen=True, eq=False)
class MemoryTokens:
    """The memories of B objects as tokens, maps first, then pointers.

    Attributes:
        values_blc: Float32, B x L x C/4.
        places_blc: What tells where and when they are from; added to the keys only.
        pointer_tokens: How many of the L are of pointers; they have no place in the picture.
    """

    values_blc: Tensor
    places_blc: Tensor
    pointer_tokens: int

    @staticmethod
    def together(tokens: Sequence[MemoryTokens]) -> MemoryTokens:
        """Joins the tokens of objects that have equally many of each kind."""
        return MemoryTokens(
            torch.cat([one.values_blc for one in tokens]),
            torch.cat([one.places_blc for one in tokens]),
            tokens[0].pointer_tokens,
        )

    @property
    def kind(self) -> tuple[int, int]:
        """What objects must have in common to be computed together."""
        return self.values_blc.shape[1], self.pointer_tokens


@dataclass(frozen=True, eq=False)
class FrameQuery:
    """What all objects of a frame share in the first layer.

    Attributes:
        picture_1nc: The picture's tokens behind the self-attention.
        query_1hnd: What it asks the memories, by heads.
        image_hw: Height and width of the feature map.
    """

    picture_1nc: Tensor
    query_1hnd: Tensor
    map_hw: tuple[int, int]


class MemoryAttention:
    """The memory attention of one network; nothing is kept between calls.

    Args:
        network: Meta's network in evaluation mode.
    """

    @torch.no_grad()
    def __init__(self, network: SAM2Base) -> None:
        self._network: Any = network
        self._layers: Any = network.memory_attention.layers
        device = network.device
        side = network.image_size // network.backbone_stride
        self._rotation = self._layers[0].self_attn.compute_cis(end_x=side, end_y=side).to(device)
        neck: Any = network.image_encoder.neck
        self._picture_place_1nc = _tokens(
            neck.position_encoding(torch.zeros(1, network.hidden_dim, side, side, device=device))
        )
        memory_place_1nc = _tokens(
            network.memory_encoder.position_encoding(
                torch.zeros(1, network.mem_dim, side, side, device=device)
            )
        )
        # Of a memory so many frames back, prompted ones (0) as if they were the farthest.
        self._places_by_distance = [
            memory_place_1nc + network.maskmem_tpos_enc[distance - 1]
            for distance in range(network.num_maskmem)
        ]

    def tokens(
        self, memory: ObjectMemory, frame: int, rule: MemoryRule, frame_count: int | None
    ) -> MemoryTokens:
        """What a frame gets to see of one object's memory.

        Args:
            memory: With at least one prompted frame.
            frame: The number of the frame, later than all that is remembered.
            rule: Which tracked frames it looks back to.
            frame_count: Frames of the whole clip, if known.
        """
        maps = [(0, one) for one in memory.prompted]
        maps += memory.recent_by_distance(frame, rule)
        values = [one.features_nc[None].float() for _, one in maps]
        places = [self._places_by_distance[distance] for distance, _ in maps]
        span = min(POINTER_FRAMES, max(1, (frame_count or POINTER_FRAMES + 1) - 1))
        last = [one for one in reversed(memory.pointers) if frame - one.frame <= span]
        pointers: list[FramePointer] = [*memory.prompted, *last]
        pieces_1lc = torch.stack([one.pointer_c for one in pointers]).view(
            1, -1, self._network.mem_dim
        )
        values.append(pieces_1lc)
        places.append(self._pointer_places([frame - one.frame for one in pointers], span))
        return MemoryTokens(torch.cat(values, 1), torch.cat(places, 1), pieces_1lc.shape[1])

    def _pointer_places(self, distances: list[int], span: int) -> Tensor:
        """Where pointers stand in time, 1 x L x C/4: nowhere in networks of version 2.0."""
        network = self._network
        pieces = network.hidden_dim // network.mem_dim
        device = self._picture_place_1nc.device
        if not network.add_tpos_enc_to_obj_ptrs:
            return torch.zeros(1, pieces * len(distances), network.mem_dim, device=device)
        width = network.hidden_dim if network.proj_tpos_enc_in_obj_ptrs else network.mem_dim
        waves_nc = _sine_waves(torch.tensor(distances, device=device) / span, width)
        places_nc: Tensor = network.obj_ptr_tpos_proj(waves_nc)
        return places_nc.repeat_interleave(pieces, dim=0)[None]

    def prepare(self, image_embed_1chw: Tensor) -> FrameQuery:
        """Computes what all objects share.

        Args:
            image_embed_1chw: The picture's features, without the "no memory" vector.
        """
        picture_1nc = _tokens(image_embed_1chw)
        if self._network.memory_attention.pos_enc_at_input:
            picture_1nc = picture_1nc + 0.1 * self._picture_place_1nc
        picture_1nc = self._look_at_picture(self._layers[0], picture_1nc)
        height, width = image_embed_1chw.shape[-2:]
        return FrameQuery(picture_1nc, self._query(self._layers[0], picture_1nc), (height, width))

    def remember(self, frame: FrameQuery, tokens: MemoryTokens) -> Tensor:
        """Rewrites the picture's features by the memories of B objects: B x C x h x w."""
        picture_bnc, query_bhnd = frame.picture_1nc, frame.query_1hnd
        keys_blc = tokens.values_blc + tokens.places_blc
        for number, layer in enumerate(self._layers):
            if number:
                picture_bnc = self._look_at_picture(layer, picture_bnc)
                query_bhnd = self._query(layer, picture_bnc)
            attention = layer.cross_attn_image
            looked_bnc = self._attend(
                attention,
                query_bhnd.expand(len(keys_blc), -1, -1, -1),
                _heads(attention, attention.k_proj(keys_blc)),
                _heads(attention, attention.v_proj(tokens.values_blc)),
                tokens.pointer_tokens,
            )
            picture_bnc = picture_bnc + looked_bnc
            hidden_bnd = layer.activation(layer.linear1(layer.norm3(picture_bnc)))
            picture_bnc = picture_bnc + layer.linear2(hidden_bnd)
        picture_bnc = self._network.memory_attention.norm(picture_bnc)
        rewritten_bchw: Tensor = picture_bnc.transpose(1, 2).unflatten(2, frame.map_hw)
        return rewritten_bchw

    def _look_at_picture(self, layer: Any, picture_bnc: Tensor) -> Tensor:
        attention, normed_bnc = layer.self_attn, layer.norm1(picture_bnc)
        asked_bnc = normed_bnc + self._picture_place_1nc if layer.pos_enc_at_attn else normed_bnc
        query_bhnd = self._rotated(_heads(attention, attention.q_proj(asked_bnc)))
        key_bhnd = _heads(attention, attention.k_proj(asked_bnc))
        value_bhnd = _heads(attention, attention.v_proj(normed_bnc))
        return picture_bnc + self._attend(attention, query_bhnd, key_bhnd, value_bhnd, 0)

    def _query(self, layer: Any, picture_bnc: Tensor) -> Tensor:
        attention, asked_bnc = layer.cross_attn_image, layer.norm2(picture_bnc)
        if layer.pos_enc_at_cross_attn_queries:
            asked_bnc = asked_bnc + self._picture_place_1nc
        return self._rotated(_heads(attention, attention.q_proj(asked_bnc)))

    def _attend(
        self,
        attention: Any,
        query_bhnd: Tensor,
        key_bhld: Tensor,
        value_bhld: Tensor,
        unplaced: int,
    ) -> Tensor:
        """Attention; the last ``unplaced`` keys are not rotated."""
        placed = key_bhld.shape[2] - unplaced
        key_bhld[:, :, :placed] = self._rotated(key_bhld[:, :, :placed])
        read_bhnd = scaled_dot_product_attention(query_bhnd, key_bhld, value_bhld)
        attended: Tensor = attention.out_proj(read_bhnd.transpose(1, 2).flatten(2))
        return attended

    def _rotated(self, vectors_bhld: Tensor) -> Tensor:
        """Rotary positions; L is one map of the picture's places, or several in a row."""
        pairs_bhmnk = torch.view_as_complex(
            vectors_bhld.float().unflatten(3, (-1, 2)).unflatten(2, (-1, len(self._rotation)))
        )
        rotated_bhmnk2 = torch.view_as_real(pairs_bhmnk * self._rotation)
        rotated: Tensor = rotated_bhmnk2.flatten(4).flatten(2, 3).to(vectors_bhld.dtype)
        return rotated


def _heads(attention: Any, vectors_bnc: Tensor) -> Tensor:
    by_head_bhnd: Tensor = vectors_bnc.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
    return by_head_bhnd


def _tokens(map_bchw: Tensor) -> Tensor:
    return map_bchw.flatten(2).transpose(1, 2)


def _sine_waves(places_n: Tensor, width: int) -> Tensor:
    """Meta's ``get_1d_sine_pe``: n x width."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=places_n.device)
    angles_nh = places_n[:, None] / 10000 ** (2 * (steps // 2) / half)
    return torch.cat([angles_nh.sin(), angles_nh.cos()], dim=1)
