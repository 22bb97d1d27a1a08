"""What came out for one picture: masks by rank, notes, settings, and all of it as JSON types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import counted
from infer_segment_anything_2.prompts import (
    ObjectPrompt,
)
from infer_segment_anything_2.sam2_engine.everything.filter_counts import (
    FilterCounts,
    SharpeningCounts,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.records import categories_of, records

__all__ = ["Segmentation", "Track", "VideoFacts"]


@dataclass(frozen=True)
class Track:
    """An object of a video in one of its frames.

    Attributes:
        track_id: Its number in the video, from 1; never given to another object.
        presence: The network's logit that it is there: above 0 it is.
        state: "prompted" in this frame, "tracked" into it, or "absent".
        absent_for: For how many frames in a row it has been absent.
    """

    track_id: int
    presence: float
    state: str
    absent_for: int


@dataclass(frozen=True)
class VideoFacts:
    """What a frame's result knows of the video.

    Attributes:
        frame_index: The frame's number, from 0 at the first that was run.
        tracks: One per object of the result.
    """

    frame_index: int
    tracks: tuple[Track, ...]


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
        video: In a tracked video what is known of its objects, else None. Masks are of objects
            that are there; ``objects`` and ``video.tracks`` hold the absent ones too.
        sharpening: What a second look at the masks of everything mode gave, None without one.
    """

    image_rgb_hwc: npt.NDArray[np.uint8]
    ranked: tuple[MaskSet, MaskSet, MaskSet]
    objects: tuple[ObjectPrompt, ...] | None
    filter_counts: FilterCounts | None
    notes: tuple[str, ...]
    settings: dict[str, Any]
    video: VideoFacts | None = None
    sharpening: SharpeningCounts | None = None

    @property
    def headline(self) -> str:
        """A few words that say what was found."""
        if self.filter_counts is not None:
            return counted(len(self.ranked[0]), "mask")
        return self.summary if self.objects else "nothing was prompted"

    @property
    def summary(self) -> str:
        """One line that says what was found and what was dropped."""
        if self.filter_counts is not None:
            told = (self.filter_counts, self.sharpening)
            return ", ".join(str(counts) for counts in told if counts is not None)
        n_asked, n_left = len(self.objects or ()), len(self.ranked[0])
        if self.video is not None:
            seen = counted(n_left, "object")
            return f"Frame {self.video.frame_index}: {seen}, {n_asked - n_left} absent"
        if not n_asked:
            return "Nothing was prompted: the task in front found nothing in this picture"
        asked = counted(n_asked, "object")
        if n_left == n_asked:
            return f"{asked}, predicted IoU {_range(self.ranked[0].predicted_iou)}"
        return (
            f"{asked}, {n_left} shown: the others' masks lie outside of "
            "min_mask_area and max_mask_area, or overlap hides them"
        )

    def categories(self, masks: MaskSet) -> list[str]:
        """The class name of each mask; in a video with the number of its object."""
        names = categories_of(masks, self.objects)
        if self.video is None:
            return names
        tracks = self.video.tracks
        numbers = [tracks[owner].track_id for owner in masks.object_index.tolist()]
        return [f"{name} #{number}" for name, number in zip(names, numbers, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, in JSON types: one record per mask, and the summary."""
        return {
            "masks": [
                {**record, "rank": rank, **self._of_track(record["object"])}
                for rank, masks in enumerate(self.ranked, start=1)
                for record in records(masks, self.objects)
            ],
            **self._of_video(),
            "image": {
                "height": self.image_rgb_hwc.shape[0],
                "width": self.image_rgb_hwc.shape[1],
            },
            "summary": self.summary,
            "filter_counts": None if self.filter_counts is None else _explained(self.filter_counts),
            "sharpening": None if self.sharpening is None else self.sharpening._asdict(),
            "notes": list(self.notes),
            "settings": self.settings,
        }

    def _of_track(self, owner: int) -> dict[str, Any]:
        """What a mask's record has in a video."""
        if self.video is None:
            return {}
        frame = {"frame_index": self.video.frame_index}
        return {**frame, **_track_record(self.video.tracks[owner])}

    def _of_video(self) -> dict[str, Any]:
        """What the records have in a video: its frame, and the objects that are absent."""
        if self.video is None:
            return {}
        return {
            "frame_index": self.video.frame_index,
            "absent": [
                {**_track_record(track), "absent_for": track.absent_for}
                for track in self.video.tracks
                if track.state == "absent"
            ],
        }


def _track_record(track: Track) -> dict[str, Any]:
    return {"track_id": track.track_id, "presence": track.presence, "state": track.state}


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
