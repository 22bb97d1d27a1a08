"""What a search of everything mode found, kept to be filtered again and again.

Thresholds are tuned on one picture, run after run; but what takes the time, the network, does not
depend on them. So the masks and scores are kept as they were before the filters, and every run
that only filters otherwise goes through the same functions on the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from infer_segment_anything_2.sam2_engine.everything.crop_candidates import CropCandidates
from infer_segment_anything_2.sam2_engine.everything.filter_counts import (
    FilterCounts,
    SharpeningCounts,
)
from infer_segment_anything_2.sam2_engine.everything.sharpening import Answers
from infer_segment_anything_2.sam2_engine.everything.tiles import join_tiles
from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers
from infer_segment_anything_2.sam2_engine.masks.cleaning import clean
from infer_segment_anything_2.sam2_engine.masks.duplicates import without_duplicates
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.shared_pixels import SharedPixels
from infer_segment_anything_2.sam2_engine.masks.worked_out import WorkedOut
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    GridSettings,
    TileSettings,
)

__all__ = ["Candidates", "GenerationResult", "cleaned", "search_key"]

# What acts on masks that are there already; all else in `GridSettings` decides which there are.
_FILTERS = frozenset(
    {
        "pred_iou_thresh",
        "stability_score_thresh",
        "box_nms_thresh",
        "crop_nms_thresh",
        "duplicates",
        "sharpen",
    }
)
# These decide which points are left out, where any are.
_CHOOSE_POINTS = frozenset({"pred_iou_thresh", "stability_score_thresh", "stability_score_offset"})
# Acts on logits that are there already, where all of them are.
_OFFSET = "stability_score_offset"
# Stabilities at so many other offsets are kept beside the search's own.
_MOST_OFFSETS = 4


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """What everything mode found.

    Attributes:
        masks: In Meta's order: by predicted IoU, with crops those of the smallest crops first.
        filter_counts: What became of the others.
        sharpening: What a second look at the masks gave; None where there was none.
    """

    masks: MaskSet
    filter_counts: FilterCounts
    sharpening: SharpeningCounts | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """All masks that a search found above its own thresholds, before any duplicate goes.

    Made by ``Engine.candidates``. Frozen: what was found never changes. Safe from several threads.

    Attributes:
        image_hw: Height and width of the picture.
        settings: Of the search; ``pred_iou_thresh`` and ``stability_score_thresh`` are floors.
        tiles: In which the picture was searched, or None.
        of_crops: What each crop or tile gave, in the order of the search; None without points.
        device: Of the network.
        answers: What a second look at the masks gave so far; see :mod:`.everything.sharpening`.
        worked_out: What was compared and cleaned so far; see :mod:`.masks.worked_out`.
    """

    image_hw: tuple[int, int]
    settings: GridSettings
    tiles: TileSettings | None
    of_crops: tuple[CropCandidates | None, ...]
    device: torch.device
    answers: Answers = field(default_factory=Answers, repr=False)
    worked_out: WorkedOut = field(default_factory=WorkedOut, repr=False)
    _at_offset: dict[float, tuple[CropCandidates | None, ...]] = field(
        default_factory=dict, repr=False
    )

    def __len__(self) -> int:
        """Number of masks above the floor of the predicted IoU."""
        return sum(len(crop) for crop in self.of_crops if crop is not None)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now: facts, logits, masks once wanted, what is known of them."""
        of_crops = sum(crop.nbytes for crop in self.of_crops if crop is not None)
        return of_crops + self.answers.nbytes + self.worked_out.nbytes

    @property
    def n_points(self) -> int:
        """Grid points that were asked."""
        return sum(crop.n_points for crop in self.of_crops if crop is not None)

    def serves(self, settings: GridSettings) -> bool:
        """Whether :meth:`filtered` can answer these settings.

        It can when they differ from those of the search in the filters only
        (``pred_iou_thresh``, ``stability_score_thresh``, ``box_nms_thresh``, ``crop_nms_thresh``,
        ``duplicates``), and no threshold is below its floor. And also in
        ``stability_score_offset``, where the floor of the stability is 0 and the logits of all
        masks fitted into the memory (so not with crops whose edges drop masks). With
        ``adaptive_points`` it is the first two and the offset that decide which points are asked:
        they must be the same.
        """
        mine = self.settings
        return (
            search_key(mine) == search_key(settings)
            and max(settings.pred_iou_thresh, 0) >= max(mine.pred_iou_thresh, 0)
            and max(settings.stability_score_thresh, 0) >= max(mine.stability_score_thresh, 0)
            and (
                settings.stability_score_offset == mine.stability_score_offset
                or all(crop is None or crop.has_all_logits for crop in self.of_crops)
            )
        )

    def filtered(
        self, settings: GridSettings, cleaning: CleaningSettings | None = None
    ) -> GenerationResult:
        """Finds what a fresh run with these settings finds: the same masks, order and counts.

        On a CPU they are the same bit for bit, also the scores. ``settings.sharpen`` is left to
        ``Engine.generate``: it needs the network.

        Args:
            settings: Any that :meth:`serves` says yes to.
            cleaning: What is done to the finished masks; nothing if None.

        Returns:
            The masks, each with its scores, and how many masks every filter left
            (``filter_counts.lost_to()`` tells how many each took).

        Raises:
            ValueError: The settings need another search.
        """
        if not self.serves(settings):
            raise ValueError(
                f"Kept candidates answer settings that filter otherwise than {self.settings}, "
                f"with thresholds not below, got {settings}; search again."
            )
        found, counts, shared = [], FilterCounts(), self.worked_out.shared
        for crop in self._crops_at(settings.stability_score_offset):
            if crop is None:
                found.append(MaskSet.empty(self.image_hw))
                continue
            masks, crop_counts = crop.filtered(settings, shared)
            found.append(masks)
            counts = counts.plus(crop_counts)
        if self.tiles is None:
            masks, counts = _join_crops(found, counts, settings, shared)
        else:
            masks, counts = join_tiles(found, counts, self.image_hw, settings, self.tiles, shared)
        result = GenerationResult(replace(masks, object_index=np.arange(len(masks))), counts)
        return result if cleaning is None else cleaned(result, cleaning, self.worked_out)

    def _crops_at(self, offset: float) -> tuple[CropCandidates | None, ...]:
        """What the crops gave, with the stability at an offset."""
        if offset == self.settings.stability_score_offset:
            return self.of_crops
        known = self._at_offset.get(offset)
        if known is None:
            with PromptWorkers(self.device) as workers:
                known = tuple(
                    None if crop is None else crop.with_offset(offset, workers)
                    for crop in self.of_crops
                )
            while len(self._at_offset) >= _MOST_OFFSETS:
                self._at_offset.pop(next(iter(self._at_offset)), None)
            self._at_offset[offset] = known
        return known


def search_key(settings: GridSettings) -> str:
    """Names the searches that may answer some settings: the same for all that differ in filters."""
    only_filter = _FILTERS | {_OFFSET}
    if settings.skips_points:
        only_filter -= _CHOOSE_POINTS
    values = []
    for part in fields(GridSettings):
        if part.name not in only_filter:
            value = getattr(settings, part.name)
            if part.name == "point_grids" and value is not None:
                value = tuple(grid.tolist() for grid in value)
            values.append(f"{part.name}={value!r}")
    return ", ".join(values)


def _join_crops(
    found: Sequence[MaskSet], counts: FilterCounts, settings: GridSettings, shared: SharedPixels
) -> tuple[MaskSet, FilterCounts]:
    """Drops duplicates between the crops of a picture."""
    masks = MaskSet.concatenate(found)
    if len(found) > 1:
        # Prefer what smaller crops show, as Meta does: they show it larger.
        areas_px = masks.crop_boxes_xywh_px[:, 2:].prod(axis=1).astype(np.float32)
        scores = np.float32(1) / areas_px
        masks = masks.select(
            without_duplicates(masks, scores, settings.crop_nms_thresh, settings.duplicates, shared)
        )
    counts = counts.reach("after_seams", counts.after_box_nms)
    return masks, counts.reach("after_crop_nms", len(masks))


def cleaned(
    result: GenerationResult, settings: CleaningSettings, worked_out: WorkedOut
) -> GenerationResult:
    """Cleans what was found, and goes on with the account of it."""
    cleaning = clean(result.masks, settings, worked_out=worked_out)
    counts = (
        result.filter_counts.reach("after_area", cleaning.after_area)
        .reach("after_cleaning", cleaning.after_duplicates)
        .reach("shown", cleaning.after_overlap)
    )
    return replace(result, masks=cleaning.masks, filter_counts=counts)
