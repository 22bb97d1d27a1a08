"""What the network proposes at points of a crop: masks above a predicted IoU, in Meta's order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    DecodedPrompts,
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.decoder.prompting import (
    SINGLE_MASK_TOKEN,
    ranked_tokens,
    single_mask_is_stable,
)
from infer_segment_anything_2.sam2_engine.settings import GridSettings

__all__ = ["Asked", "Proposals", "Proposer"]


class Proposals(NamedTuple):
    """Masks that the decoder proposes, in Meta's order: by point, then by mask of the point.

    Attributes:
        point_k: int64, the number of the point in its chunk.
        slot_k: int64, which of the point's masks.
        iou_k: float32, predicted IoU.
        logits_khw: float32.
    """

    point_k: Tensor
    slot_k: Tensor
    iou_k: Tensor
    logits_khw: Tensor


class Asked(NamedTuple):
    """What b points gave.

    Attributes:
        n_proposed: Masks that the network proposes.
        best_iou_b: float32: the best predicted IoU of each point, before any refinement.
        proposals: The masks above the threshold.
    """

    n_proposed: int
    best_iou_b: Tensor
    proposals: Proposals


class Proposer:
    """Asks the network at points of one crop; safe from several threads.

    Args:
        decoder: Of the network.
        image: The crop's features, prepared by ``decoder``.
        crop_hw: Height and width of the crop in pixels.
        settings: Which masks of a point are wanted.
    """

    def __init__(
        self,
        decoder: FastMaskDecoder,
        image: PreparedImage,
        crop_hw: tuple[int, int],
        settings: GridSettings,
    ) -> None:
        self._decoder = decoder
        self._image = image
        self._crop_hw = crop_hw
        self._settings = settings

    def ask(
        self, points_xy_px: npt.NDArray[np.float32], iou_threshold: float, points_at_once: int
    ) -> Asked:
        """Asks at some points.

        Args:
            points_xy_px: n x 2 in pixels of the crop, at least one.
            iou_threshold: Masks with a predicted IoU not above are left out; 0 keeps all.
            points_at_once: With ``use_m2m``, so many masks are decoded together again.
        """
        sparse_bnc = self._embed(points_xy_px)
        decoded = self._decoder.decode(self._image, sparse_bnc, None)
        multimask = self._settings.multimask_output
        n_masks = decoded.iou_bm.shape[1] - 1 if multimask else 1
        n_proposed = n_masks * len(points_xy_px)
        best_iou_b = self._best_iou(decoded.iou_bm.float())
        if not self._settings.use_m2m:
            proposals = self._choose(decoded, multimask, iou_threshold)
            return Asked(n_proposed, best_iou_b, proposals)
        first = self._choose(decoded, multimask, iou_threshold=0.0)
        refined = self._refine(sparse_bnc, first, iou_threshold, points_at_once)
        return Asked(n_proposed, best_iou_b, refined)

    def _best_iou(self, iou_bm: Tensor) -> Tensor:
        """The best predicted IoU of the masks that may be taken."""
        if self._settings.multimask_output:
            return iou_bm[:, 1:].amax(dim=1)
        may_be_other = self._settings.prefer_stable
        return iou_bm.amax(dim=1) if may_be_other else iou_bm[:, SINGLE_MASK_TOKEN]

    def _embed(self, points_xy_px: npt.NDArray[np.float32]) -> Tensor:
        points_b12 = torch.as_tensor(points_xy_px, device=self._decoder.device)[:, None]
        labels_b1 = torch.ones(len(points_b12), 1, dtype=torch.int32, device=points_b12.device)
        return self._decoder.prompts.points(points_b12, labels_b1, self._crop_hw)

    def _choose(self, decoded: DecodedPrompts, multimask: bool, iou_threshold: float) -> Proposals:
        """Makes the masks whose predicted IoU is above the threshold; 0 takes all."""
        iou_bm = decoded.iou_bm.float()
        if not multimask:
            return self._choose_single(decoded, iou_bm, iou_threshold)
        point_k, slot_k = torch.nonzero(_is_above(iou_bm[:, 1:], iou_threshold)).unbind(1)
        logits_khw = self._decoder.mask_logits(self._image, decoded, point_k, slot_k + 1)
        return Proposals(point_k, slot_k, iou_bm[point_k, slot_k + 1], logits_khw)

    def _choose_single(
        self, decoded: DecodedPrompts, iou_bm: Tensor, iou_threshold: float
    ) -> Proposals:
        """Takes the single-mask token, or the best of the others where its mask is unstable."""
        best_b1 = ranked_tokens(iou_bm)[:, :1]
        iou_b2 = torch.cat([iou_bm[:, :1], iou_bm.gather(1, best_b1)], dim=1)
        choices = 2 if self._settings.prefer_stable else 1
        # Only where one of the two would pass does it matter which one it is.
        is_open_b = _is_above(iou_b2[:, :choices], iou_threshold).any(dim=1)
        point_k = torch.nonzero(is_open_b)[:, 0]
        token_k = torch.full_like(point_k, SINGLE_MASK_TOKEN)
        logits_khw = self._decoder.mask_logits(self._image, decoded, point_k, token_k)
        if self._settings.prefer_stable:
            is_stable_k = single_mask_is_stable(logits_khw)
            token_k = torch.where(is_stable_k, SINGLE_MASK_TOKEN, best_b1[point_k, 0])
        passes = _is_above(iou_bm[point_k, token_k], iou_threshold)
        point_k, token_k, logits_khw = (x[passes] for x in (point_k, token_k, logits_khw))
        (other,) = torch.nonzero(token_k, as_tuple=True)
        logits_khw[other] = self._decoder.mask_logits(
            self._image, decoded, point_k[other], token_k[other]
        )
        return Proposals(point_k, torch.zeros_like(point_k), iou_bm[point_k, token_k], logits_khw)

    def _refine(
        self, sparse_bnc: Tensor, first: Proposals, iou_threshold: float, points_at_once: int
    ) -> Proposals:
        """Gives each mask back to the decoder together with its point, a chunk at a time."""
        refined = []
        for start in range(0, len(first.point_k), points_at_once):
            part = slice(start, start + points_at_once)
            dense_bchw = self._decoder.prompts.masks(first.logits_khw[part])
            decoded = self._decoder.decode(self._image, sparse_bnc[first.point_k[part]], dense_bchw)
            chosen = self._choose(decoded, multimask=False, iou_threshold=iou_threshold)
            of_part = chosen.point_k + start
            refined.append(
                chosen._replace(point_k=first.point_k[of_part], slot_k=first.slot_k[of_part])
            )
        return Proposals(*(torch.cat(columns) for columns in zip(*refined, strict=True)))


def _is_above(iou: Tensor, threshold: float) -> Tensor:
    """Which pass; Meta's generator does not filter at all at 0 or below."""
    return iou > threshold if threshold > 0 else torch.ones_like(iou, dtype=torch.bool)
