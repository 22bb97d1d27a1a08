"""Masks of objects that have features of their own, by Meta's decoder.

``FastMaskDecoder`` shares one picture among many prompts; here each object's memories have
rewritten the picture, so nothing is shared and Meta's own transformer is the faster one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.decoder.prompting import (
    BOX_CORNER_LABELS,
    PromptEmbedder,
    single_mask_is_stable,
)
from infer_segment_anything_2.sam2_engine.image.embedding import Embedding

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam2_base import SAM2Base

__all__ = ["ABSENT_LOGIT", "Answers", "MaskHeads"]

ABSENT_LOGIT = -1024.0
"""Of every pixel of an object that is not there: Meta's ``NO_OBJ_SCORE``."""

_PADDING_LABEL = -1
# SAM2Base._use_mask_as_output: a mask prompt's logits inside, and minus that outside.
_CERTAIN_LOGIT = 10.0


@dataclass(frozen=True, eq=False)
class Answers:
    """The decoder's answers about n objects.

    Attributes:
        logits_nhw: Float32, n x 4h x 4w, ``ABSENT_LOGIT`` throughout where an object is absent.
        predicted_iou_n: Float32.
        presence_n: Float32, logits: above 0 the object is there.
        pointers_nc: Float32, n x C.
    """

    logits_nhw: Tensor
    predicted_iou_n: Tensor
    presence_n: Tensor
    pointers_nc: Tensor

    @property
    def is_there(self) -> bool:
        """Whether all of the objects are there."""
        return bool((self.presence_n > 0).all())

    def row(self, index: int) -> Answers:
        """The answer about one object, n = 1."""
        one = slice(index, index + 1)
        return Answers(
            self.logits_nhw[one],
            self.predicted_iou_n[one],
            self.presence_n[one],
            self.pointers_nc[one],
        )


class MaskHeads:
    """The prompt encoder, the mask decoder and the pointers of one network.

    Nothing is kept between calls.

    Args:
        network: Meta's network in evaluation mode, of an official kind: with presence, pointers
            and high-resolution features.

    Attributes:
        prompts: Turns points, corners and masks into tokens.
    """

    @torch.no_grad()
    def __init__(self, network: SAM2Base) -> None:
        self._network: Any = network
        self.prompts = PromptEmbedder(network.sam_prompt_encoder)
        encoder: Any = network.sam_prompt_encoder
        self._places_1chw = encoder.get_dense_pe()
        padding = torch.zeros(1, 1, 2, device=network.device)
        labels = torch.full((1, 1), _PADDING_LABEL, dtype=torch.int32, device=network.device)
        self._no_points_1nc, self._no_mask_1chw = encoder((padding, labels), None, None)

    def follow(self, features_bchw: Tensor, image: Embedding) -> Answers:
        """Finds B objects without any prompt, each in features of its own."""
        return self._answer(
            features_bchw,
            image,
            self._no_points_1nc.expand(len(features_bchw), -1, -1),
            self._no_mask_1chw,
            best_of_three=self._asks_for_three(0),
            prefer_stable=False,
        )

    def prompt(
        self,
        features_1chw: Tensor,
        image: Embedding,
        prompt: ObjectPrompt,
        start_logits_hw: Tensor | None,
        prefer_stable: bool,
    ) -> Answers:
        """Finds one object by points and box, from an earlier answer where there is one."""
        box = prompt.box_xyxy_px
        corners = [] if box is None else [box[:2], box[2:]]
        labels = [*BOX_CORNER_LABELS[: len(corners)], *prompt.labels]
        device = features_1chw.device
        points_1n2 = torch.tensor([[*corners, *prompt.points_xy_px]], device=device)
        labels_1n = torch.tensor([labels], dtype=torch.int32, device=device)
        sparse_1nc = self.prompts.points(points_1n2, labels_1n, image.image_hw)
        dense_1chw = self._no_mask_1chw
        if start_logits_hw is not None:
            dense_1chw = self.prompts.masks(start_logits_hw[None].to(device))
        return self._answer(
            features_1chw,
            image,
            sparse_1nc,
            dense_1chw,
            best_of_three=self._asks_for_three(len(labels)),
            prefer_stable=prefer_stable,
        )

    def accept(self, image: Embedding, given: PromptMask) -> Answers:
        """Takes an object's mask as it is; the decoder only makes the pointer."""
        network = self._network
        side = network.image_size
        mask = torch.from_numpy(given.mask_hw).to(self._places_1chw.device)
        mask_11hw = mask[None, None].float()
        if mask.shape != (side, side):
            mask_11hw = (_shrunk(mask_11hw, (side, side)) >= 0.5).float()
        dense_1chw = self.prompts.masks(network.mask_downsample(mask_11hw)[:, 0], clamp=False)
        decoded = self._answer(
            image.image_embed_bchw,
            image,
            self._no_points_1nc,
            dense_1chw,
            best_of_three=False,
            prefer_stable=False,
        )
        is_there_11 = mask_11hw.any().float().view(1, 1)
        logits_11hw = mask_11hw * (2 * _CERTAIN_LOGIT) - _CERTAIN_LOGIT
        return Answers(
            _shrunk(logits_11hw, (side // 4, side // 4))[:, 0],
            torch.ones_like(decoded.predicted_iou_n),
            (is_there_11 * (2 * _CERTAIN_LOGIT) - _CERTAIN_LOGIT)[:, 0],
            self._where_there(decoded.pointers_nc, is_there_11),
        )

    def _asks_for_three(self, points: int) -> bool:
        """Whether so many points (a box has two) leave open which of three masks is meant."""
        network = self._network
        fewest, most = network.multimask_min_pt_num, network.multimask_max_pt_num
        return bool(network.multimask_output_in_sam and fewest <= points <= most)

    def _answer(
        self,
        features_bchw: Tensor,
        image: Embedding,
        sparse_bnc: Tensor,
        dense_1chw: Tensor,
        *,
        best_of_three: bool,
        prefer_stable: bool,
    ) -> Answers:
        """``SAM2Base._forward_sam_heads``, but nothing is scaled up yet."""
        logits_bmhw, iou_bm, tokens_bmc, presence_b1 = self._network.sam_mask_decoder.predict_masks(
            image_embeddings=features_bchw,
            image_pe=self._places_1chw,
            sparse_prompt_embeddings=sparse_bnc,
            dense_prompt_embeddings=dense_1chw,
            repeat_image=False,
            high_res_features=list(image.high_res_feats),
        )
        objects = torch.arange(len(features_bchw), device=features_bchw.device)
        best = 1 + iou_bm[:, 1:].argmax(dim=1)
        single = torch.zeros_like(best)
        chosen = best if best_of_three else single
        if prefer_stable and not best_of_three:
            chosen = torch.where(single_mask_is_stable(logits_bmhw[:, 0]), single, best)
        shown = best if best_of_three and self._network.use_multimask_token_for_obj_ptr else single
        is_there_b1 = presence_b1 > 0
        pointers_bc = self._network.obj_ptr_proj(tokens_bmc[objects, shown])
        return Answers(
            logits_bmhw[objects, chosen].where(is_there_b1[:, :, None], ABSENT_LOGIT).float(),
            iou_bm[objects, chosen].float(),
            presence_b1[:, 0].float(),
            self._where_there(pointers_bc, is_there_b1.to(pointers_bc.dtype)).float(),
        )

    def _where_there(self, pointers_bc: Tensor, is_there_b1: Tensor) -> Tensor:
        """Pointers; where objects are absent, the one for that."""
        if self._network.fixed_no_obj_ptr:
            pointers_bc = is_there_b1 * pointers_bc
        replaced: Tensor = pointers_bc + (1 - is_there_b1) * self._network.no_obj_ptr
        return replaced


def _shrunk(map_bchw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return F.interpolate(map_bchw, size_hw, mode="bilinear", align_corners=False, antialias=True)
