"""The search of everything mode in one crop of a picture.

Chunks of grid points are decoded in threads side by side. What passes the thresholds is kept as
small logits, while there is room, so that only masks that someone wants are written as run lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.everything.adaptive_points import (
    AdaptivePoints,
    Answers,
    Cover,
    cover_of,
)
from infer_segment_anything_2.sam2_engine.everything.crop_candidates import (
    CropCandidates,
    LogitRoom,
    MaskWriter,
    Scored,
    is_stable,
)
from infer_segment_anything_2.sam2_engine.everything.crops import (
    Crop,
    is_near_inner_edge,
)
from infer_segment_anything_2.sam2_engine.everything.proposals import Proposer
from infer_segment_anything_2.sam2_engine.hardware.memory import (
    Halving,
    free_bytes,
)
from infer_segment_anything_2.sam2_engine.hardware.transfer import to_device, to_host
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from infer_segment_anything_2.sam2_engine.settings import GridSettings, OnProgress

__all__ = ["CropSearch", "SearchProgress"]

_REMEDY = (
    "Lower points_per_batch, set use_m2m to False, take a smaller model, or close what else uses "
    "the device."
)
# Prompts decoded together on a CPU: few enough for the intermediate tensors to stay in the cache.
_CPU_POINTS_PER_CHUNK = 8
# In bulk, for each of `points_per_batch`: so many take less memory than one in Meta's code.
_BULK_FACTOR = 4
# An output token for each of four masks, predicted IoU and object score, the point, its padding.
_TOKENS_OF_POINT = 8
# Tensors of `FastMaskDecoder.tensor_bytes` that stand side by side while a chunk is searched.
_TENSORS_AT_PEAK = 8
# Of the free memory: other programs want some too.
_PART_OF_FREE = 0.5


def _points_per_chunk(decoder: FastMaskDecoder, image: PreparedImage, points_per_batch: int) -> int:
    """How many points to decode together at first."""
    if not decoder.in_bulk:
        return min(_CPU_POINTS_PER_CHUNK, points_per_batch)
    most, free = _BULK_FACTOR * points_per_batch, free_bytes(decoder.device)
    if free is None:
        return most
    bytes_per_point = _TENSORS_AT_PEAK * decoder.tensor_bytes(image, _TOKENS_OF_POINT)
    return max(1, min(most, int(_PART_OF_FREE * free) // bytes_per_point))


class SearchProgress:
    """Counts the points that are done.

    Args:
        total: Of all crops.
        on_progress: Is told.
    """

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._done, self._total = 0, total
        self._on_progress = on_progress

    def add(self, n_points: int) -> None:
        """Tells that so many more are done."""
        self._done += n_points
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


class _Found(NamedTuple):
    """What a chunk of points gave.

    Attributes:
        n_points: Of the chunk.
        n_proposed: Masks that the network proposed for them.
        scored: The facts of those above the predicted IoU.
        point_k: int64: the place in the chunk of the point that gave each.
        kept: int64: the places in ``scored`` of those that passed all filters.
        masks: Of these: logits, float32, h x w, on the network's device, or run lengths where there
            is no room for logits.
        answers: What later points are chosen by; None where all are asked.
    """

    n_points: int
    n_proposed: int
    scored: Scored
    point_k: npt.NDArray[np.int64]
    kept: npt.NDArray[np.int64]
    masks: Sequence[Tensor | Rle]
    answers: Answers | None


class CropSearch:
    """The search in one crop.

    Args:
        decoder: Of the network.
        image: The crop's features.
        crop: Where it lies.
        image_hw: Height and width of the whole picture.
        settings: The grid, and the thresholds below which nothing is kept.
        room: For the logits of what is kept.
        points_per_side: Of the crop's regular grid, to leave out points that are not needed; None
            to ask all.
    """

    def __init__(
        self,
        decoder: FastMaskDecoder,
        image: PreparedImage,
        crop: Crop,
        image_hw: tuple[int, int],
        settings: GridSettings,
        room: LogitRoom,
        points_per_side: int | None = None,
    ) -> None:
        self._decoder = decoder
        self._crop = crop
        self._image_hw = image_hw
        self._settings = settings
        self._room = room
        self._points_per_side = points_per_side
        self._proposer = Proposer(decoder, image, crop.hw, settings)
        upsampling = Upsampling(
            decoder.prompts.mask_size_hw, crop.hw, decoder.device, decoder.in_bulk
        )
        self._writer = MaskWriter(crop, image_hw, upsampling, settings.mask_threshold)
        most = _points_per_chunk(decoder, image, settings.points_per_batch)
        self._parts = Halving(most, decoder.device, "decode one point at a time", _REMEDY)

    def run(
        self,
        points_xy_px: npt.NDArray[np.float32],
        workers: PromptWorkers,
        progress: SearchProgress,
    ) -> CropCandidates:
        """Searches at some points.

        Args:
            points_xy_px: n x 2 in pixels of the crop, at least one.
            workers: Do the work.
            progress: Is told after each chunk.
        """
        if self._points_per_side is None:
            of_all = self._decoded(points_xy_px, workers, progress)
            return self._all_of(of_all, np.arange(len(points_xy_px)), n_skipped=0)
        adaptive = AdaptivePoints(
            points_xy_px, self._crop.hw, self._points_per_side, self._settings
        )
        found: list[_Found] = []
        asked: list[npt.NDArray[np.int64]] = []
        for points, n_skipped in adaptive.rounds():
            progress.add(n_skipped)
            some = self._decoded(points_xy_px[points], workers, progress)
            adaptive.learn(points, [one.answers for one in some if one.answers is not None])
            found += some
            asked.append(points)
        all_asked = np.concatenate(asked)
        return self._all_of(found, all_asked, len(points_xy_px) - len(all_asked))

    def _decoded(
        self,
        points_xy_px: npt.NDArray[np.float32],
        workers: PromptWorkers,
        progress: SearchProgress,
    ) -> list[_Found]:
        """What some points gave, chunk by chunk."""
        chunks = [
            points_xy_px[start : start + self._parts.most]
            for start in range(0, len(points_xy_px), self._parts.most)
        ]
        found: list[_Found] = []
        for chunk, some in zip(chunks, workers.map(self.propose, chunks), strict=True):
            found.extend(some)
            progress.add(len(chunk))
        return found

    @torch.no_grad()
    def propose(self, points_xy_px: npt.NDArray[np.float32]) -> list[_Found]:
        """Decodes points and filters their masks, in parts if the memory does not suffice.

        Safe to be called from several threads.
        """
        return self._parts.run(self._propose, points_xy_px)

    def _propose(self, points_xy_px: npt.NDArray[np.float32]) -> _Found:
        settings = self._settings
        asked = self._proposer.ask(points_xy_px, settings.pred_iou_thresh, self._parts.most)
        proposals = asked.proposals
        scores = score(
            proposals.logits_khw,
            self._writer.upsampling,
            settings.mask_threshold,
            settings.stability_score_offset,
        )
        # Together, as each piece costs a stop; float64 holds both exactly.
        facts = to_host(torch.cat((scores.stability[:, None], scores.boxes_xyxy_px.double()), 1))
        stability, boxes = facts[:, 0].astype(np.float32), facts[:, 1:].astype(np.int64)
        is_cut = np.zeros(len(boxes), bool)
        if not self._crop.keeps_cut_masks:
            in_image = np.add(boxes, self._crop.xy_px * 2, dtype=np.int64)
            is_cut = is_near_inner_edge(in_image, self._crop, self._image_hw)
        kept = np.flatnonzero(is_stable(stability, settings.stability_score_thresh) & ~is_cut)
        scored = Scored(
            points_xy_px=points_xy_px[proposals.point_k],
            slot=proposals.slot_k,
            iou=proposals.iou_k,
            stability=stability,
            boxes_xyxy_px=boxes,
            is_cut=is_cut,
        )
        on_device = to_device(kept, self._decoder.device)
        logits_khw = proposals.logits_khw.index_select(0, on_device)
        answers = None
        if self._points_per_side is not None:
            cover = cover_of(logits_khw, self._points_per_side, settings.mask_threshold)
            best_iou_b = to_host(asked.best_iou_b)
            answers = _answers(best_iou_b, proposals.point_k, scored, kept, cover)
        masks: Sequence[Tensor | Rle] = logits_khw.unbind()
        if not self._room.take(logits_khw.nbytes):
            masks = self._writer.write(logits_khw)
        return _Found(
            *(len(points_xy_px), asked.n_proposed, scored, proposals.point_k, kept),
            masks,
            answers,
        )

    def _all_of(
        self, found: list[_Found], asked: npt.NDArray[np.int64], n_skipped: int
    ) -> CropCandidates:
        """Puts what the chunks gave into the order of the grid.

        Args:
            found: Of chunks, one after the other.
            asked: The places in the grid of the points in them.
            n_skipped: Points that were not asked.
        """
        first_point = np.cumsum([0, *(some.n_points for some in found)])
        point_k = np.concatenate(
            [start + some.point_k for start, some in zip(first_point, found, strict=False)]
        )
        order = np.argsort(asked[point_k], kind="stable")
        place_of = np.empty_like(order)
        place_of[order] = np.arange(len(order))
        logits_hw: dict[int, Tensor] = {}
        rles: dict[int, Rle] = {}
        start = 0
        for some in found:
            places = place_of[start + some.kept].tolist()
            for place, mask in zip(places, some.masks, strict=True):
                if isinstance(mask, Rle):
                    rles[place] = mask
                else:
                    logits_hw[place] = mask
            start += len(some.scored.iou)
        columns = zip(*(some.scored for some in found), strict=True)
        return CropCandidates(
            n_points=sum(some.n_points for some in found),
            n_proposed=sum(some.n_proposed for some in found),
            scored=Scored._make(np.concatenate(column)[order] for column in columns),
            logits_hw=logits_hw,
            rles=rles,
            writer=self._writer,
            n_skipped=n_skipped,
        )


def _answers(
    best_iou_n: npt.NDArray[np.float32],
    point_k: npt.NDArray[np.int64],
    scored: Scored,
    kept: npt.NDArray[np.int64],
    cover: Cover,
) -> Answers:
    """What later points are chosen by."""
    is_candidate_k = np.zeros(len(point_k), bool)
    is_candidate_k[kept] = True
    return Answers(
        best_iou_n,
        point_k,
        scored.stability,
        is_candidate_k,
        scored.iou[kept],
        scored.boxes_xyxy_px[kept],
        cover,
    )
