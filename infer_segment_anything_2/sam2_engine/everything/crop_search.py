"""The search of everything mode in one crop of a picture.

Chunks of grid points are decoded in threads side by side; what passes the filters waits, as small
logits, for the suppression of duplicates, and only what is left is written as run lengths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.everything.crops import (
    Crop,
    is_near_inner_edge,
)
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.everything.proposals import Proposer
from infer_segment_anything_2.sam2_engine.hardware.memory import (
    Halving,
)
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.masks.duplicates import (
    non_maximum_suppression,
    without_duplicates,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.tracing import counts_from_logits
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from infer_segment_anything_2.sam2_engine.settings import GridSettings, OnProgress

__all__ = ["CropSearch", "SearchProgress"]

_REMEDY = (
    "Lower points_per_batch, set use_m2m to False, take a smaller model, or close what else uses "
    "the device."
)
# Prompts decoded together on a CPU: few enough for the intermediate tensors to stay in the cache.
# A GPU takes as many as it is allowed to.
_CPU_POINTS_PER_CHUNK = 8
# Logits of candidates that wait for the suppression of duplicates, in one crop.
_MOST_WAITING_BYTES = 256 * 2**20
# No IoU is above.
_KEEPS_ALL = 1.0


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


class _Scored(NamedTuple):
    """Masks that passed all filters of their own, in the crop's pixels; on the CPU.

    Attributes:
        points_xy_px: float32, k x 2.
        slot: int64, k: which of the point's masks.
        iou: float32, k.
        stability: float32, k.
        boxes_xyxy_px: int64, k x 4.
    """

    points_xy_px: npt.NDArray[np.float32]
    slot: npt.NDArray[np.int64]
    iou: npt.NDArray[np.float32]
    stability: npt.NDArray[np.float32]
    boxes_xyxy_px: npt.NDArray[np.int64]


class _Candidates(NamedTuple):
    """What a chunk of points gave.

    Attributes:
        scored: The masks' facts.
        logits: float32, k x h x w.
        counts: How they were filtered.
    """

    scored: _Scored
    logits: npt.NDArray[np.float32]
    counts: FilterCounts


class CropSearch:
    """The search in one crop.

    Args:
        decoder: Of the network.
        image: The crop's features.
        crop: Where it lies.
        image_hw: Height and width of the whole picture.
        settings: The grid and the filters.
    """

    def __init__(
        self,
        decoder: FastMaskDecoder,
        image: PreparedImage,
        crop: Crop,
        image_hw: tuple[int, int],
        settings: GridSettings,
    ) -> None:
        self._decoder = decoder
        self._crop = crop
        self.image_hw = image_hw
        self._settings = settings
        self._proposer = Proposer(decoder, image, crop.hw, settings)
        self._upsampling = Upsampling(decoder.prompts.mask_size_hw, crop.hw, decoder.device)
        most = settings.points_per_batch
        if decoder.device.type == "cpu":
            most = min(_CPU_POINTS_PER_CHUNK, most)
        self._parts = Halving(most, decoder.device, "decode one point at a time", _REMEDY)

    def run(
        self,
        points_xy_px: npt.NDArray[np.float32],
        workers: PromptWorkers,
        progress: SearchProgress,
    ) -> tuple[MaskSet, FilterCounts]:
        """Searches at some points; returns masks in the whole picture's pixels, best first.

        Args:
            points_xy_px: n x 2 in pixels of the crop, at least one.
            workers: Do the work.
            progress: Is told after each chunk.
        """
        chunks = [
            points_xy_px[start : start + self._parts.most]
            for start in range(0, len(points_xy_px), self._parts.most)
        ]
        by_box = self._settings.duplicates == "box"
        pile = _Pile(self, self._settings.box_nms_thresh if by_box else _KEEPS_ALL)
        for chunk, candidates in zip(chunks, workers.map(self.propose, chunks), strict=True):
            for some in candidates:
                pile.add(some)
            progress.add(len(chunk))
        kept = pile.without_duplicates()
        scored = _Scored._make(column[kept] for column in pile.scored())
        masks = self._mask_set(scored, tuple(workers.map(pile.rle, kept)))
        if not by_box:
            masks = masks.select(
                without_duplicates(
                    masks,
                    masks.predicted_iou,
                    self._settings.box_nms_thresh,
                    self._settings.duplicates,
                )
            )
        return masks, pile.counts._replace(after_box_nms=len(masks))

    @torch.no_grad()
    def propose(self, points_xy_px: npt.NDArray[np.float32]) -> list[_Candidates]:
        """Decodes points and filters their masks, in parts if the memory does not suffice.

        Safe to be called from several threads.
        """
        return self._parts.run(self._propose, points_xy_px)

    def _propose(self, points_xy_px: npt.NDArray[np.float32]) -> _Candidates:
        settings = self._settings
        n_proposed, proposals = self._proposer.ask(
            points_xy_px, settings.pred_iou_thresh, self._parts.most
        )
        scores = score(
            proposals.logits_khw,
            self._upsampling,
            settings.mask_threshold,
            settings.stability_score_offset,
        )
        stability = scores.stability.cpu().numpy()
        boxes = scores.boxes_xyxy_px.cpu().numpy()
        is_stable = np.ones(len(boxes), bool)
        if settings.stability_score_thresh > 0:
            is_stable = stability >= np.float32(settings.stability_score_thresh)
        is_cut = np.zeros(len(boxes), bool)
        if not self._crop.keeps_cut_masks:
            is_cut = is_near_inner_edge(self._in_image(boxes), self._crop, self.image_hw)
        kept = np.flatnonzero(is_stable & ~is_cut)
        on_device = torch.as_tensor(kept, device=self._decoder.device)
        scored = _Scored(
            points_xy_px=points_xy_px[proposals.point_k[on_device].cpu().numpy()],
            slot=proposals.slot_k[on_device].cpu().numpy(),
            iou=proposals.iou_k[on_device].cpu().numpy(),
            stability=stability[kept],
            boxes_xyxy_px=boxes[kept],
        )
        counts = FilterCounts(
            points=len(points_xy_px),
            proposed=n_proposed,
            after_iou=len(boxes),
            after_stability=int(is_stable.sum()),
            after_crop_edge=len(kept),
        )
        return _Candidates(scored, proposals.logits_khw[on_device].cpu().numpy(), counts)

    def encode(self, logits_hw: npt.NDArray[np.float32]) -> Rle:
        """Writes a mask of the crop as one of the whole picture."""
        counts = counts_from_logits(
            logits_hw,
            self._upsampling,
            self._settings.mask_threshold,
            self._crop.xy_px,
            self.image_hw,
        )
        return Rle(self.image_hw, counts)

    @torch.no_grad()
    def decode_again(
        self, point_xy_px: npt.NDArray[np.float32], slot: int
    ) -> npt.NDArray[np.float32]:
        """The logits of one mask (`slot`) of a point, h x w, when they were not kept."""
        _, proposals = self._proposer.ask(point_xy_px[None], 0.0, self._parts.most)
        logits_hw: npt.NDArray[np.float32] = proposals.logits_khw[slot].cpu().numpy()
        return logits_hw

    def _in_image(self, boxes_xyxy_px: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.add(boxes_xyxy_px, self._crop.xy_px * 2, dtype=np.int64)

    def _mask_set(self, found: _Scored, rles: tuple[Rle, ...]) -> MaskSet:
        (left, top), (height, width) = self._crop.xy_px, self._crop.hw
        return MaskSet(
            image_hw=self.image_hw,
            rles=rles,
            boxes_xyxy_px=self._in_image(found.boxes_xyxy_px),
            predicted_iou=found.iou,
            stability_score=found.stability,
            # Added in float32, as Meta does.
            points_xy_px=(found.points_xy_px + np.array([left, top], np.float32)).astype(float),
            crop_boxes_xywh_px=np.tile(np.array([left, top, width, height]), (len(rles), 1)),
            object_index=np.arange(len(rles)),
        )


class _Pile:
    """Candidates of a crop that wait for the suppression of duplicates, in bounded memory.

    When there are too many logits to keep, duplicates lose theirs, and the others are written as
    run lengths at once: these will most likely be returned. Should a candidate be wanted after all
    (because the better one that it resembled is itself a duplicate), it is decoded again.

    Args:
        search: Encodes and decodes.
        nms_threshold: Of the boxes' IoU.
    """

    def __init__(self, search: CropSearch, nms_threshold: float) -> None:
        self._search = search
        self._nms_threshold = nms_threshold
        self._scored: list[_Scored] = []
        self._logits: list[npt.NDArray[np.float32] | None] = []
        self._rles: dict[int, Rle] = {}
        self._nbytes = 0
        self.counts = FilterCounts()

    def add(self, candidates: _Candidates) -> None:
        """Puts some on the pile."""
        self.counts = self.counts.plus(candidates.counts)
        self._scored.append(candidates.scored)
        self._logits.extend(candidates.logits)
        self._nbytes += candidates.logits.nbytes
        if self._nbytes > _MOST_WAITING_BYTES:
            for i in self.without_duplicates():
                self._rles[i] = self.rle(i)
            self._logits = [None] * len(self._logits)
            self._nbytes = 0

    def scored(self) -> _Scored:
        """All candidates."""
        return _Scored._make(np.concatenate(column) for column in zip(*self._scored, strict=True))

    def without_duplicates(self) -> list[int]:
        """Indices of those that stay, best first."""
        scored = self.scored()
        kept = non_maximum_suppression(
            scored.boxes_xyxy_px, scored.iou, self._nms_threshold, self._search.image_hw
        )
        return [int(i) for i in kept]

    def rle(self, index: int) -> Rle:
        """Returns a candidate's mask in the whole picture."""
        if index in self._rles:
            return self._rles[index]
        logits_hw = self._logits[index]
        if logits_hw is None:
            scored = self.scored()
            logits_hw = self._search.decode_again(
                scored.points_xy_px[index], int(scored.slot[index])
            )
        return self._search.encode(logits_hw)
