"""What the network proposes at points of a crop: masks above a predicted IoU, in Meta's order.

Which they are is decided on the host, from 16 bytes a point: one stop for a chunk of points.
"""

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
from infer_segment_anything_2.sam2_engine.everything.crop_candidates import is_above
from infer_segment_anything_2.sam2_engine.hardware.transfer import to_device, to_host
from infer_segment_anything_2.sam2_engine.settings import GridSettings

__all__ = ["Asked", "Proposals", "Proposer"]


class Proposals(NamedTuple):
    """Masks that the decoder proposes, in Meta's order: by point, then by mask of the point.

    Attributes:
        point_k: int64, the number of the point in its chunk.
        slot_k: int64, which of the point's masks.
        iou_k: float32, predicted IoU.
        logits_khw: float32, on the network's device.
    """

    point_k: npt.NDArray[np.int64]
    slot_k: npt.NDArray[np.int64]
    iou_k: npt.NDArray[np.float32]
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
        points_b12 = to_device(points_xy_px, self._decoder.device)[:, None]
        labels_b1 = torch.ones(len(points_b12), 1, dtype=torch.int32, device=points_b12.device)
        return self._decoder.prompts.points(points_b12, labels_b1, self._crop_hw)

    def _choose(self, decoded: DecodedPrompts, multimask: bool, iou_threshold: float) -> Proposals:
        """Makes the masks whose predicted IoU is above the threshold; 0 takes all."""
        iou_bm = to_host(decoded.iou_bm.float())
        if not multimask:
            return self._choose_single(decoded, iou_bm, iou_threshold)
        point_k, slot_k = np.nonzero(is_above(iou_bm[:, 1:], iou_threshold))
        logits_khw = self._masks(decoded, point_k, slot_k + 1)
        return Proposals(point_k, slot_k, iou_bm[point_k, slot_k + 1], logits_khw)

    def _choose_single(
        self, decoded: DecodedPrompts, iou_bm: npt.NDArray[np.float32], iou_threshold: float
    ) -> Proposals:
        """Takes the single-mask token, or the best of the others where its mask is unstable."""
        best_b = ranked_tokens(torch.from_numpy(iou_bm))[:, 0].numpy()
        iou_b2 = np.stack([iou_bm[:, 0], iou_bm[np.arange(len(iou_bm)), best_b]], axis=1)
        choices = 2 if self._settings.prefer_stable else 1
        # Only where one of the two would pass does it matter which one it is.
        point_k = np.flatnonzero(is_above(iou_b2[:, :choices], iou_threshold).any(axis=1))
        token_k = np.full_like(point_k, SINGLE_MASK_TOKEN)
        logits_khw = self._masks(decoded, point_k, token_k)
        if self._settings.prefer_stable:
            is_stable_k = to_host(single_mask_is_stable(logits_khw))
            token_k = np.where(is_stable_k, SINGLE_MASK_TOKEN, best_b[point_k])
        passes = np.flatnonzero(is_above(iou_bm[point_k, token_k], iou_threshold))
        logits_khw = logits_khw.index_select(0, to_device(passes, logits_khw.device))
        point_k, token_k = point_k[passes], token_k[passes]
        other = np.flatnonzero(token_k)
        logits_khw.index_copy_(
            0,
            to_device(other, logits_khw.device),
            self._masks(decoded, point_k[other], token_k[other]),
        )
        return Proposals(point_k, np.zeros_like(point_k), iou_bm[point_k, token_k], logits_khw)

    def _masks(
        self,
        decoded: DecodedPrompts,
        point_k: npt.NDArray[np.int64],
        token_k: npt.NDArray[np.int64],
    ) -> Tensor:
        return self._decoder.mask_logits(self._image, decoded, point_k, token_k)

    def _refine(
        self, sparse_bnc: Tensor, first: Proposals, iou_threshold: float, points_at_once: int
    ) -> Proposals:
        """Gives each mask back to the decoder together with its point, a chunk at a time."""
        device = self._decoder.device
        refined: list[Proposals] = []
        for start in range(0, len(first.point_k), points_at_once):
            part = slice(start, start + points_at_once)
            dense_bchw = self._decoder.prompts.masks(first.logits_khw[part])
            points = to_device(first.point_k[part], device)
            of_points = sparse_bnc.index_select(0, points)
            decoded = self._decoder.decode(self._image, of_points, dense_bchw)
            chosen = self._choose(decoded, multimask=False, iou_threshold=iou_threshold)
            of_part = chosen.point_k + start
            refined.append(
                chosen._replace(point_k=first.point_k[of_part], slot_k=first.slot_k[of_part])
            )
        return Proposals(
            np.concatenate([some.point_k for some in refined]),
            np.concatenate([some.slot_k for some in refined]),
            np.concatenate([some.iou_k for some in refined]),
            torch.cat([some.logits_khw for some in refined]),
        )
