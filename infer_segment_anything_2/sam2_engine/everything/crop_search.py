"""The search of the automatic mode in one crop of a picture.

Chunks of grid points are decoded in threads side by side; what passes the filters waits, as small
logits, for the suppression of duplicates, and only what is left is written as run lengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import (
    DecodedPrompts,
    FastMaskDecoder,
    PreparedImage,
)
from infer_segment_anything_2.sam2_engine.decoder.prompting import single_mask_is_stable
from infer_segment_anything_2.sam2_engine.everything.crops import (
    Crop,
    is_near_inner_edge,
)
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.hardware.memory import is_out_of_memory, out_of_memory
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

if TYPE_CHECKING:  # importing sam2 initialises Hydra; `network.building` knows how to do without
    from sam2.modeling.sam.prompt_encoder import PromptEncoder

__all__ = ["CropSearch", "SearchProgress"]

_REMEDY = (
    "Lower points_per_batch, set use_m2m to False, take a smaller model, or close what else uses "
    "the device."
)
# Prompts decoded together on a CPU: few enough for the intermediate tensors to stay in the cache.
# A GPU takes as many as it is allowed to.
_CPU_POINTS_PER_CHUNK = 8
# sam2_image_predictor: logits handed on as a mask prompt are clamped to this.
_LOGIT_CLAMP = 32.0
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


class _Prompts(NamedTuple):
    """Grid points as the network takes them.

    Attributes:
        coordinates_b12: float32, in the network's input pixels.
        labels_b1: int32, all 1: "this belongs to it".
        sparse_bnc: What the prompt encoder makes of the two.
    """

    coordinates_b12: Tensor
    labels_b1: Tensor
    sparse_bnc: Tensor

    def take(self, rows: Tensor) -> _Prompts:
        return _Prompts(*(column[rows] for column in self))


class _Proposals(NamedTuple):
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
        prompt_encoder: The network's.
        decoder: Made for the same network.
        image: The crop's features.
        crop: Where it lies.
        image_hw: Height and width of the whole picture.
        settings: The grid and the filters.
    """

    def __init__(
        self,
        prompt_encoder: PromptEncoder,
        decoder: FastMaskDecoder,
        image: PreparedImage,
        crop: Crop,
        image_hw: tuple[int, int],
        settings: GridSettings,
    ) -> None:
        self._prompt_encoder = prompt_encoder
        self._decoder = decoder
        self._image = image
        self._crop = crop
        self.image_hw = image_hw
        self._settings = settings
        self._device = prompt_encoder.no_mask_embed.weight.device
        self._upsampling = Upsampling(prompt_encoder.mask_input_size, crop.hw, self._device)
        is_cpu = self._device.type == "cpu"
        most = settings.points_per_batch
        self._points_per_chunk = min(_CPU_POINTS_PER_CHUNK, most) if is_cpu else most

    def run(
        self,
        points_xy_px: npt.NDArray[np.float32],
        workers: PromptWorkers,
        progress: SearchProgress,
    ) -> tuple[MaskSet, FilterCounts]:
        """Search at some points; return masks in the whole picture's pixels, best first.

        Args:
            points_xy_px: n x 2 in pixels of the crop, at least one.
            workers: Do the work.
            progress: Is told after each chunk.
        """
        chunks = [
            points_xy_px[start : start + self._points_per_chunk]
            for start in range(0, len(points_xy_px), self._points_per_chunk)
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
        """Decode points and filter their masks, in halves if the memory does not suffice.

        Safe to be called from several threads.
        """
        if len(points_xy_px) <= self._points_per_chunk:
            try:
                return [self._propose(points_xy_px)]
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(points_xy_px) == 1:
                    raise out_of_memory(
                        self._device, "decode one point at a time", _REMEDY, error
                    ) from error
        middle = (len(points_xy_px) + 1) // 2
        self._points_per_chunk = min(self._points_per_chunk, middle)
        return self.propose(points_xy_px[:middle]) + self.propose(points_xy_px[middle:])

    def _propose(self, points_xy_px: npt.NDArray[np.float32]) -> _Candidates:
        settings = self._settings
        n_proposed, proposals = self._decode(points_xy_px, settings.pred_iou_thresh)
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
        on_device = torch.as_tensor(kept, device=self._device)
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

    def _decode(
        self, points_xy_px: npt.NDArray[np.float32], iou_threshold: float
    ) -> tuple[int, _Proposals]:
        """Ask the network; return how many masks it proposes, and those above the threshold."""
        prompts = self._encode(points_xy_px)
        decoded = self._decoder.decode(self._image, prompts.sparse_bnc, None)
        multimask = self._settings.multimask_output
        n_masks = decoded.iou_bm.shape[1] - 1 if multimask else 1
        n_proposed = n_masks * len(points_xy_px)
        if not self._settings.use_m2m:
            return n_proposed, self._choose(decoded, multimask, iou_threshold)
        return n_proposed, self._refine(
            prompts, self._choose(decoded, multimask, iou_threshold=0.0), iou_threshold
        )

    def _encode(self, points_xy_px: npt.NDArray[np.float32]) -> _Prompts:
        height, width = self._crop.hw
        points_b2 = torch.as_tensor(points_xy_px, device=self._device)
        # Divided and multiplied one after the other, as Meta does: one factor rounds differently.
        unit_b2 = points_b2 / torch.tensor([width, height], device=self._device)
        coordinates_b12 = unit_b2[:, None] * self._prompt_encoder.input_image_size[0]
        labels_b1 = torch.ones(len(points_b2), 1, dtype=torch.int32, device=self._device)
        sparse_bnc, _ = self._prompt_encoder((coordinates_b12, labels_b1), None, None)
        return _Prompts(coordinates_b12, labels_b1, sparse_bnc)

    def _choose(self, decoded: DecodedPrompts, multimask: bool, iou_threshold: float) -> _Proposals:
        """Make the masks whose predicted IoU is above the threshold; 0 takes all."""
        iou_bm = decoded.iou_bm.float()
        if not multimask:
            return self._choose_single(decoded, iou_bm, iou_threshold)
        point_k, slot_k = torch.nonzero(_is_above(iou_bm[:, 1:], iou_threshold)).unbind(1)
        logits_khw = self._decoder.mask_logits(self._image, decoded, point_k, slot_k + 1)
        return _Proposals(point_k, slot_k, iou_bm[point_k, slot_k + 1], logits_khw)

    def _choose_single(
        self, decoded: DecodedPrompts, iou_bm: Tensor, iou_threshold: float
    ) -> _Proposals:
        """Take the single-mask token, or the best of the others where its mask is unstable."""
        best_b1 = iou_bm[:, 1:].argmax(dim=1, keepdim=True) + 1
        iou_b2 = torch.cat([iou_bm[:, :1], iou_bm.gather(1, best_b1)], dim=1)
        choices = 2 if self._settings.prefer_stable else 1
        # Only where one of the two would pass does it matter which one it is.
        is_open_b = _is_above(iou_b2[:, :choices], iou_threshold).any(dim=1)
        point_k = torch.nonzero(is_open_b)[:, 0]
        token_k = torch.zeros_like(point_k)
        logits_khw = self._decoder.mask_logits(self._image, decoded, point_k, token_k)
        if self._settings.prefer_stable:
            is_stable_k = single_mask_is_stable(logits_khw)
            token_k = torch.where(is_stable_k, 0, best_b1[point_k, 0])
        passes = _is_above(iou_bm[point_k, token_k], iou_threshold)
        point_k, token_k, logits_khw = (x[passes] for x in (point_k, token_k, logits_khw))
        (other,) = torch.nonzero(token_k, as_tuple=True)
        logits_khw[other] = self._decoder.mask_logits(
            self._image, decoded, point_k[other], token_k[other]
        )
        return _Proposals(point_k, torch.zeros_like(point_k), iou_bm[point_k, token_k], logits_khw)

    def _refine(self, prompts: _Prompts, first: _Proposals, iou_threshold: float) -> _Proposals:
        """Give each mask back to the decoder together with its point, a chunk at a time."""
        refined = []
        for start in range(0, len(first.point_k), self._points_per_chunk):
            part = slice(start, start + self._points_per_chunk)
            again = prompts.take(first.point_k[part])
            masks_b1hw = first.logits_khw[part, None].clamp(-_LOGIT_CLAMP, _LOGIT_CLAMP)
            _, dense_bchw = self._prompt_encoder(None, None, masks_b1hw)
            decoded = self._decoder.decode(self._image, again.sparse_bnc, dense_bchw)
            chosen = self._choose(decoded, multimask=False, iou_threshold=iou_threshold)
            of_part = chosen.point_k + start
            refined.append(
                chosen._replace(point_k=first.point_k[of_part], slot_k=first.slot_k[of_part])
            )
        return _Proposals(*(torch.cat(columns) for columns in zip(*refined, strict=True)))

    def encode(self, logits_hw: npt.NDArray[np.float32]) -> Rle:
        """Write a mask of the crop as one of the whole picture."""
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
        """Return the logits of one mask (`slot`) of a point, h x w, when they were not kept."""
        _, proposals = self._decode(point_xy_px[None], iou_threshold=0.0)
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
        """Put some on the pile."""
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
        """Return a candidate's mask in the whole picture."""
        if index in self._rles:
            return self._rles[index]
        logits_hw = self._logits[index]
        if logits_hw is None:
            scored = self.scored()
            logits_hw = self._search.decode_again(
                scored.points_xy_px[index], int(scored.slot[index])
            )
        return self._search.encode(logits_hw)


def _is_above(iou: Tensor, threshold: float) -> Tensor:
    """Tell which pass; Meta's generator does not filter at all at 0 or below."""
    return iou > threshold if threshold > 0 else torch.ones_like(iou, dtype=torch.bool)
