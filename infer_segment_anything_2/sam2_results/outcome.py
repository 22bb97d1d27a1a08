"""What came out for one picture: masks by rank, notes, settings, and all of it as JSON types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import (
    ObjectPrompt,
)
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.records import categories_of, records

__all__ = ["Segmentation"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What came out for one picture.

    Attributes:
        image_rgb_hwc: The picture as 8-bit RGB.
        ranked: Three sets, best first; those of ranks that were not asked for are empty.
        objects: What was prompted, None in everything mode.
        filter_counts: What each filter left, None when prompted.
        notes: One sentence for each prompt that had to be put right.
        settings: What the result depends on: parameters, weights, device, precision.
    """

    image_rgb_hwc: npt.NDArray[np.uint8]
    ranked: tuple[MaskSet, MaskSet, MaskSet]
    objects: tuple[ObjectPrompt, ...] | None
    filter_counts: FilterCounts | None
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def headline(self) -> str:
        """A few words that say what was found."""
        if self.filter_counts is not None:
            return _counted(len(self.ranked[0]), "mask")
        return self.summary if self.objects else "nothing was prompted"

    @property
    def summary(self) -> str:
        """One line that says what was found and what was dropped."""
        if self.filter_counts is not None:
            return str(self.filter_counts)
        n_asked, n_left = len(self.objects or ()), len(self.ranked[0])
        if not n_asked:
            return "Nothing was prompted: the task in front found nothing in this picture"
        asked = _counted(n_asked, "object")
        if n_left == n_asked:
            return f"{asked}, predicted IoU {_range(self.ranked[0].predicted_iou)}"
        return (
            f"{asked}, {n_left} shown: the others' masks lie outside of "
            "min_mask_area and max_mask_area, or overlap hides them"
        )

    def categories(self, masks: MaskSet) -> list[str]:
        """The class name of each mask."""
        return categories_of(masks, self.objects)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, in JSON types: one record per mask, and the summary."""
        return {
            "masks": [
                {**record, "rank": rank}
                for rank, masks in enumerate(self.ranked, start=1)
                for record in records(masks, self.objects)
            ],
            "image": {
                "height": self.image_rgb_hwc.shape[0],
                "width": self.image_rgb_hwc.shape[1],
            },
            "summary": self.summary,
            "filter_counts": None if self.filter_counts is None else _explained(self.filter_counts),
            "notes": list(self.notes),
            "settings": self.settings,
        }


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _range(values: npt.NDArray[np.float32]) -> str:
    least, most = f"{values.min():.2f}", f"{values.max():.2f}"
    return least if least == most else f"{least} to {most}"


def _explained(counts: FilterCounts) -> dict[str, Any]:
    """How many masks each step left and each parameter took, in JSON types."""
    return {
        **counts._asdict(),
        "lost_to": counts.lost_to(),
        "largest_loss": counts.largest_loss(),
    }
