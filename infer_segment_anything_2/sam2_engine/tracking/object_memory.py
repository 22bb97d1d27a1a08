"""What is remembered of tracked objects: values that never change, within bounds.

A state shares its tensors with the state before it, so keeping the states of two frames costs one
frame's memory. To run a frame again, or to go back, start from an older state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor

from infer_segment_anything_2.sam2_engine.image.embedding_cache import tensor_bytes
from infer_segment_anything_2.sam2_engine.settings import MemoryRule

__all__ = [
    "POINTER_FRAMES",
    "RECENT_FRAMES",
    "FrameMemory",
    "FramePointer",
    "ObjectMemory",
    "TrackerState",
]

RECENT_FRAMES = 6
"""Tracked frames whose features are remembered: Meta's ``num_maskmem`` without the prompted one."""

POINTER_FRAMES = 15
"""Tracked frames whose pointers are remembered: Meta's ``max_obj_ptrs_in_encoder`` less one."""


@dataclass(frozen=True, eq=False)
class FramePointer:
    """One object in one frame, as a vector.

    Attributes:
        frame: Number of the frame, counted from 0.
        pointer_c: Float32, C: Meta's object pointer.
    """

    frame: int
    pointer_c: Tensor


@dataclass(frozen=True, eq=False)
class FrameMemory(FramePointer):
    """One object in one frame, as a map of features.

    Attributes:
        features_nc: Bfloat16 (as Meta keeps it, whatever the precision), h * w x C/4.
    """

    features_nc: Tensor


@dataclass(frozen=True, eq=False)
class ObjectMemory:
    """All that is remembered of one object.

    Attributes:
        object_id: The user's name for it.
        prompted: The frames on which it was prompted, in their order.
        recent: The last tracked frames, oldest first, at most ``RECENT_FRAMES``.
        pointers: The pointers of the last tracked frames, oldest first, at most
            ``POINTER_FRAMES``.
    """

    object_id: int
    prompted: tuple[FrameMemory, ...] = ()
    recent: tuple[FrameMemory, ...] = ()
    pointers: tuple[FramePointer, ...] = ()

    def with_prompted(self, memory: FrameMemory, most: int, rule: MemoryRule) -> ObjectMemory:
        """The memory after a frame on which the object was prompted.

        Args:
            memory: Of that frame, the last one.
            most: Prompted frames to keep, at least 2: the first and the nearest. Another one counts
                as tracked from then on, as in Meta's choice of conditioning frames.
            rule: Which tracked frames are kept.
        """
        prompted = (*self.prompted, memory)
        given_up = prompted[1 : len(prompted) - most + 1]
        pointers = [FramePointer(one.frame, one.pointer_c) for one in given_up]
        kept = replace(
            self,
            prompted=prompted[:1] + prompted[1 + len(given_up) :],
            recent=_in_order((*self.recent, *given_up)),
            pointers=_in_order((*self.pointers, *pointers)),
        )
        return kept._within_reach(memory.frame + 1, rule)

    def with_tracked(
        self, pointer: FramePointer, memory: FrameMemory | None, rule: MemoryRule
    ) -> ObjectMemory:
        """The memory after a frame on which the object was followed.

        Args:
            pointer: Of that frame, the last one.
            memory: Of that frame; None where it is not worth remembering.
            rule: Which tracked frames are kept.
        """
        kept = replace(
            self,
            recent=self.recent if memory is None else (*self.recent, memory),
            pointers=(*self.pointers, pointer),
        )
        return kept._within_reach(pointer.frame + 1, rule)

    def recent_by_distance(self, frame: int, rule: MemoryRule) -> list[tuple[int, FrameMemory]]:
        """The tracked frames that a frame looks back to, oldest first, each with its distance.

        The distance is that of the frames, 1 to ``RECENT_FRAMES``; with the rule "confident", which
        reaches back as far as need be, the place counted from the last one.
        """
        if rule == "confident":
            last = self.recent[-RECENT_FRAMES:]
            return list(zip(range(len(last), 0, -1), last, strict=True))
        distances = ((frame - one.frame, one) for one in self.recent)
        return [(distance, one) for distance, one in distances if distance <= RECENT_FRAMES]

    def _within_reach(self, frame: int, rule: MemoryRule) -> ObjectMemory:
        """The memory without what no frame from this one on can reach."""
        recent = (one for _, one in self.recent_by_distance(frame, rule))
        pointers = (one for one in self.pointers if frame - one.frame <= POINTER_FRAMES)
        return replace(self, recent=tuple(recent), pointers=tuple(pointers))


OneFrame = TypeVar("OneFrame", bound=FramePointer)


def _in_order(frames: Iterable[OneFrame]) -> tuple[OneFrame, ...]:
    return tuple(sorted(frames, key=lambda one: one.frame))


@dataclass(frozen=True, eq=False)
class TrackerState:
    """Where a video stands: what the next frame needs of all frames before.

    ``TrackerState()`` is the beginning.

    Attributes:
        frame_count: Frames seen so far, which is the number of the next one.
        image_hw: Height and width in pixels of the frames on which objects were prompted, (0, 0)
            before the first.
        objects: The tracked objects in the order of their first prompts.
    """

    frame_count: int = 0
    image_hw: tuple[int, int] = (0, 0)
    objects: tuple[ObjectMemory, ...] = ()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The tracked objects' ids in the order of their first prompts."""
        return tuple(memory.object_id for memory in self.objects)

    @property
    def nbytes(self) -> int:
        """Bytes that the state's tensors take, those shared with other states included."""
        return tensor_bytes(self)

    def without(self, object_ids: Iterable[int]) -> TrackerState:
        """The state in which some objects are not tracked any more; unknown ids do not matter."""
        forgotten = frozenset(object_ids)
        kept = tuple(one for one in self.objects if one.object_id not in forgotten)
        return replace(self, objects=kept)
