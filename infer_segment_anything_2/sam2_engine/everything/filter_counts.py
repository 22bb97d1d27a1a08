"""The account that everything mode gives: how many masks each step left, or made sharper."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

__all__ = ["FilterCounts", "SharpeningCounts"]


class FilterCounts(NamedTuple):
    """How many points were asked, and how many masks each step left, in all crops together.

    Attributes:
        points: Grid points that were asked.
        proposed: Masks that the network proposed for them.
        after_iou: With enough predicted IoU.
        after_stability: And stable.
        after_crop_edge: And not cut by a crop's edge.
        after_box_nms: And no duplicates within their crop.
        after_seams: And, in tiles, not cut; parts of one object count once.
        after_crop_nms: And no duplicates between crops.
        after_area: And neither too small nor too large.
        after_cleaning: And not made duplicates by the cleaning of small regions.
        shown: And not hidden by others wholly.
        skipped: Grid points that were left out, with ``adaptive_points``.
    """

    points: int = 0
    proposed: int = 0
    after_iou: int = 0
    after_stability: int = 0
    after_crop_edge: int = 0
    after_box_nms: int = 0
    after_seams: int = 0
    after_crop_nms: int = 0
    after_area: int = 0
    after_cleaning: int = 0
    shown: int = 0
    skipped: int = 0

    def plus(self, other: FilterCounts) -> FilterCounts:
        """Adds up, count by count."""
        return FilterCounts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def reach(self, step: str, n_masks: int) -> FilterCounts:
        """Sets what a step left; nothing is lost by the later ones so far."""
        later = _STEPS[_STEPS.index(step) :]
        return self._replace(**dict.fromkeys(later, n_masks))

    def lost_to(self) -> dict[str, int]:
        """How many masks were lost to each parameter, in the order in which they act."""
        left = (self.proposed, *(getattr(self, step) for step in _STEPS))
        losses = (before - after for before, after in pairwise(left))
        return dict(zip(_KNOBS, losses, strict=True))

    def largest_loss(self) -> str:
        """The parameter to which most masks were lost, "" where none were."""
        losses = self.lost_to()
        knob = max(losses, key=losses.__getitem__)
        return knob if losses[knob] else ""

    def __str__(self) -> str:
        """What became of the points, in one line."""
        skipped = f" ({self.skipped} more were skipped)" if self.skipped else ""
        told = [f"{self.points} points{skipped}", f"{self.proposed} masks"]
        for (knob, lost), step in zip(self.lost_to().items(), _STEPS, strict=True):
            left = getattr(self, step)
            if lost or knob in _ALWAYS_TOLD:
                told.append(f"{left} after {knob}")
        told.append(f"{self.shown} shown")
        knob = self.largest_loss()
        most = f" (most were lost to {knob})" if knob else ""
        return ", ".join(told) + most


# The counts of masks that were left, in the order in which the steps act.
_STEPS = FilterCounts._fields[2:-1]


class SharpeningCounts(NamedTuple):
    """What the second look at the masks of a picture gave.

    Attributes:
        asked: Masks that were small enough.
        sharper: Those whose answer took their place.
        windows: In which they were asked: each is one encoding, unless it is remembered.
    """

    asked: int
    sharper: int
    windows: int

    def __str__(self) -> str:
        """What became of the masks, in a few words."""
        return f"{self.sharper} of {self.asked} small masks sharpened in {self.windows} windows"


# The plugin's parameter behind each step of `FilterCounts`, from `after_iou` on.
_KNOBS = (
    "iou_thresh",
    "stability_score_thresh",
    "crop_n_layers",
    "box_nms_thresh",
    "tile_size",
    "crop_nms_thresh",
    "min_mask_area and max_mask_area",
    "min_mask_region_area",
    "overlap",
)
_ALWAYS_TOLD = frozenset({"iou_thresh", "stability_score_thresh", "box_nms_thresh"})
