"""What became of objects over a whole video: masks by object and frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle

if TYPE_CHECKING:
    from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame

__all__ = ["Masklets", "Sighting", "SightingKind"]

SightingKind = Literal["prompted", "tracked", "absent"]


@dataclass(frozen=True)
class Sighting:
    """One object in one frame.

    Attributes:
        kind: Whether it was "prompted" there, or "tracked", or is "absent".
        presence: Logit of its being there, above 0 where it is.
        rle: Its mask; None where it is absent.
        box_xyxy_px: Its outermost pixels, inclusive; None where it is absent.
        predicted_iou: The network's own estimate of the mask's quality; nan where it is absent.
    """

    kind: SightingKind
    presence: float
    rle: Rle | None
    box_xyxy_px: tuple[int, int, int, int] | None
    predicted_iou: float


@dataclass(frozen=True, eq=False)
class Masklets:
    """Every object's sightings; run lengths only, no tensors.

    Attributes:
        image_hw: Height and width of the frames in pixels.
        by_object: Per object id its sightings by the number of the frame.
    """

    image_hw: tuple[int, int]
    by_object: Mapping[int, Mapping[int, Sighting]]

    @staticmethod
    def of(frames: Mapping[int, TrackedFrame]) -> Masklets:
        """Gathers tracked frames of one video, at least one, by their numbers in it.

        Raises:
            ValueError: There is no frame, or their sizes differ.
        """
        sizes = {frame.masks.image_hw for frame in frames.values()}
        if len(sizes) != 1:
            raise ValueError(f"Expected frames of one size, got {sorted(sizes)}.")
        by_object: dict[int, dict[int, Sighting]] = {}
        for number, frame in sorted(frames.items()):
            rows = {int(one): row for row, one in enumerate(frame.masks.object_index)}
            for object_id in frame.presence:
                sighting = _sighting(frame, object_id, rows.get(object_id))
                by_object.setdefault(object_id, {})[number] = sighting
        return Masklets(
            sizes.pop(),
            MappingProxyType({one: MappingProxyType(seen) for one, seen in by_object.items()}),
        )

    def joined(self, other: Masklets) -> Masklets:
        """These and others of the same video, such as those of the other direction.

        Where both have an object in a frame, the other's sighting counts.

        Raises:
            ValueError: The frames' sizes differ.
        """
        if self.image_hw != other.image_hw:
            raise ValueError(f"Expected frames of {self.image_hw}, got {other.image_hw}.")
        by_object = {}
        for one in (*self.by_object, *other.by_object):
            seen = {**self.by_object.get(one, {}), **other.by_object.get(one, {})}
            by_object[one] = MappingProxyType(dict(sorted(seen.items())))
        return Masklets(self.image_hw, MappingProxyType(by_object))


def _sighting(frame: TrackedFrame, object_id: int, row: int | None) -> Sighting:
    presence = frame.presence[object_id]
    if row is None:
        return Sighting("absent", presence, None, None, float("nan"))
    left, top, right, bottom = map(int, frame.masks.boxes_xyxy_px[row])
    return Sighting(
        "prompted" if object_id in frame.prompted_ids else "tracked",
        presence,
        frame.masks.rles[row],
        (left, top, right, bottom),
        float(frame.masks.predicted_iou[row]),
    )
