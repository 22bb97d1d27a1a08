"""What the search of one crop proposed, before any duplicate goes: filtered as often as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.everything.crops import Crop
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.hardware.forking import ProcessLock
from infer_segment_anything_2.sam2_engine.hardware.transfer import to_host
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.masks.duplicates import (
    non_maximum_suppression,
    without_duplicates,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.scoring import score
from infer_segment_anything_2.sam2_engine.masks.shared_pixels import SharedPixels
from infer_segment_anything_2.sam2_engine.masks.upsampling import Upsampling
from infer_segment_anything_2.sam2_engine.masks.writing import rles_from_logits
from infer_segment_anything_2.sam2_engine.settings import GridSettings

__all__ = ["CropCandidates", "LogitRoom", "MaskWriter", "Scored", "is_above", "is_stable"]

# No IoU is above.
_KEEPS_ALL = 1.0
# Scored together again.
_MASKS_PER_CHUNK = 16


def is_above(iou: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """Which predicted IoUs pass; Meta's generator does not filter at all at 0 or below."""
    return iou > np.float32(threshold) if threshold > 0 else np.ones(iou.shape, bool)


def is_stable(stability: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """Which stabilities pass; at 0 or below all do, also unknown ones."""
    return stability >= np.float32(threshold) if threshold > 0 else np.ones(len(stability), bool)


class LogitRoom:
    """The memory that the small logits of one search may take; safe from several threads.

    Args:
        limit_bytes: Of all crops together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._lock = ProcessLock()

    def take(self, nbytes: int) -> bool:
        """Whether there is room for so many bytes more; then they are taken."""
        with self._lock:
            fits = nbytes <= self._left
            if fits:
                self._left -= nbytes
            return fits


@dataclass(frozen=True, eq=False)
class MaskWriter:
    """Writes masks of a crop as run lengths of the whole picture.

    Attributes:
        crop: Where the masks were found.
        image_hw: Height and width of the whole picture.
        upsampling: From the logits to the crop's size.
        mask_threshold: A pixel belongs to the mask when its logit is above.
    """

    crop: Crop
    image_hw: tuple[int, int]
    upsampling: Upsampling
    mask_threshold: float

    def write(self, logits_nhw: Tensor) -> list[Rle]:
        """Returns the masks of some logits."""
        return rles_from_logits(
            logits_nhw, self.upsampling, self.mask_threshold, self.crop.xy_px, self.image_hw
        )

    def write_each(self, logits_hw: Sequence[Tensor]) -> list[Rle]:
        """Returns the masks of single logits, one after the other, or all together in bulk.

        In this thread: a mask takes a millisecond of many small steps, for each of which two
        threads would wait for each other. They took three times as long as one.
        """
        if self.upsampling.in_bulk:
            return self.write(torch.stack(list(logits_hw))) if logits_hw else []
        return [rle for logits in logits_hw for rle in self.write(logits[None])]


class Scored(NamedTuple):
    """Facts of k masks that a crop's points gave, in the order of the search; on the CPU.

    Attributes:
        points_xy_px: float32, k x 2, in the crop.
        slot: int64, k: which of the point's masks.
        iou: float32, k.
        stability: float32, k.
        boxes_xyxy_px: int64, k x 4, in the crop.
        is_cut: bool, k: whether the crop's edge cuts the mask, and such masks go.
    """

    points_xy_px: npt.NDArray[np.float32]
    slot: npt.NDArray[np.int64]
    iou: npt.NDArray[np.float32]
    stability: npt.NDArray[np.float32]
    boxes_xyxy_px: npt.NDArray[np.int64]
    is_cut: npt.NDArray[np.bool_]


class CropCandidates:
    """All masks of one crop that passed the search's own thresholds, and the facts of the others.

    Nothing that was found changes any more; masks are written when they are first wanted.

    Args:
        n_points: Grid points that were asked.
        n_proposed: Masks that the network proposed for them.
        scored: Those above the search's predicted IoU.
        logits_hw: Of those that passed all the search's filters, by their place in ``scored``; on
            the network's device.
        rles: Of the same, where there was no room for logits.
        writer: For the masks of the logits.
        n_skipped: Grid points that were left out.
    """

    def __init__(
        self,
        n_points: int,
        n_proposed: int,
        scored: Scored,
        logits_hw: dict[int, Tensor],
        rles: dict[int, Rle],
        writer: MaskWriter,
        n_skipped: int = 0,
    ) -> None:
        self.n_points = n_points
        self.n_skipped = n_skipped
        self.n_proposed = n_proposed
        self.scored = scored
        self._logits_hw = logits_hw
        self._rles = rles
        self._writer = writer

    def __len__(self) -> int:
        """Number of masks above the search's predicted IoU."""
        return len(self.scored.iou)

    @property
    def nbytes(self) -> int:
        """Bytes that facts, logits and run lengths take now."""
        return (
            sum(column.nbytes for column in self.scored)
            + sum(logits.nbytes for logits in self._logits_hw.values())
            + sum(rle.counts.nbytes for rle in list(self._rles.values()))
        )

    @property
    def has_all_logits(self) -> bool:
        """Whether the logits of every mask are still there."""
        return len(self._logits_hw) == len(self)

    def with_offset(self, stability_offset: float, workers: PromptWorkers) -> CropCandidates:
        """The same masks with their stability at another offset; shares all else with this one.

        Args:
            stability_offset: As ``GridSettings.stability_score_offset``.
            workers: Compute it.
        """
        writer = self._writer

        def stability_of(places: range) -> npt.NDArray[np.float32]:
            scores = score(
                torch.stack([self._logits_hw[place] for place in places]),
                writer.upsampling,
                writer.mask_threshold,
                stability_offset,
            )
            return to_host(scores.stability)

        chunks = [
            range(start, min(start + _MASKS_PER_CHUNK, len(self)))
            for start in range(0, len(self), _MASKS_PER_CHUNK)
        ]
        stability = np.concatenate([np.empty(0, np.float32), *workers.map(stability_of, chunks)])
        return CropCandidates(
            self.n_points,
            self.n_proposed,
            self.scored._replace(stability=stability),
            self._logits_hw,
            self._rles,
            writer,
            self.n_skipped,
        )

    def filtered(
        self, settings: GridSettings, shared: SharedPixels
    ) -> tuple[MaskSet, FilterCounts]:
        """Filters the masks; returns those that are left, in the picture's pixels, best first.

        Args:
            settings: Their thresholds are at least those of the search, the rest is the same.
            shared: What is known of pairs of masks of the picture; grows.
        """
        scored = self.scored
        passes_iou = is_above(scored.iou, settings.pred_iou_thresh)
        passes_both = passes_iou & is_stable(scored.stability, settings.stability_score_thresh)
        left = np.flatnonzero(passes_both & ~scored.is_cut)
        by_box = settings.duplicates == "box"
        best_first = non_maximum_suppression(
            scored.boxes_xyxy_px[left],
            scored.iou[left],
            settings.box_nms_thresh if by_box else _KEEPS_ALL,
            self._writer.image_hw,
        )
        masks = self._mask_set(left[best_first])
        if not by_box:
            masks = masks.select(
                without_duplicates(
                    masks,
                    masks.predicted_iou,
                    settings.box_nms_thresh,
                    settings.duplicates,
                    shared,
                )
            )
        counts = FilterCounts(
            points=self.n_points,
            proposed=self.n_proposed,
            after_iou=int(passes_iou.sum()),
            after_stability=int(passes_both.sum()),
            after_crop_edge=len(left),
            after_box_nms=len(masks),
            skipped=self.n_skipped,
        )
        return masks, counts

    def _mask_set(self, kept: npt.NDArray[np.int64]) -> MaskSet:
        found = Scored._make(column[kept] for column in self.scored)
        crop = self._writer.crop
        (left, top), (height, width) = crop.xy_px, crop.hw
        return MaskSet(
            image_hw=self._writer.image_hw,
            rles=self._written([int(index) for index in kept]),
            boxes_xyxy_px=np.add(found.boxes_xyxy_px, (left, top) * 2, dtype=np.int64),
            predicted_iou=found.iou,
            stability_score=found.stability,
            # Added in float32, as Meta does.
            points_xy_px=(found.points_xy_px + np.array([left, top], np.float32)).astype(float),
            crop_boxes_xywh_px=np.tile(np.array([left, top, width, height]), (len(kept), 1)),
            object_index=np.arange(len(kept)),
        )

    def _written(self, indices: list[int]) -> tuple[Rle, ...]:
        """The masks at some places in ``scored``."""
        new = [index for index in indices if index not in self._rles]
        logits = [self._logits_hw[index] for index in new]
        self._rles.update(zip(new, self._writer.write_each(logits), strict=True))
        return tuple(self._rles[index] for index in indices)
