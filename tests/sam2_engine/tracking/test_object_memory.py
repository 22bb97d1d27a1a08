"""What is remembered, and for how long."""

from __future__ import annotations

import torch

from infer_segment_anything_2.sam2_engine.settings import MemoryRule
from infer_segment_anything_2.sam2_engine.tracking.object_memory import (
    FrameMemory,
    FramePointer,
    ObjectMemory,
    TrackerState,
)


def frame_memory(frame: int) -> FrameMemory:
    return FrameMemory(frame, torch.zeros(8), torch.zeros(4, 2, dtype=torch.bfloat16))


def followed(
    memory: ObjectMemory, frames: range, rule: MemoryRule = "meta", remembered: bool = True
) -> ObjectMemory:
    for frame in frames:
        one = frame_memory(frame)
        pointer = FramePointer(frame, one.pointer_c)
        memory = memory.with_tracked(pointer, one if remembered else None, rule)
    return memory


def prompted_at(*frames: int, most: int = 8) -> ObjectMemory:
    memory = ObjectMemory(1)
    for frame in frames:
        memory = memory.with_prompted(frame_memory(frame), most, "meta")
    return memory


class TestBounds:
    def test_are_the_same_after_20_and_300_frames(self) -> None:
        sizes = []
        for last in (20, 300):
            memory = followed(prompted_at(0), range(1, last))
            sizes.append(TrackerState(last, (1, 1), (memory,)).nbytes)
        assert sizes[0] == sizes[1]

    def test_six_maps_and_fifteen_pointers(self) -> None:
        memory = followed(prompted_at(0), range(1, 40))
        assert [one.frame for one in memory.recent] == list(range(34, 40))
        assert [one.frame for one in memory.pointers] == list(range(25, 40))
        assert [one.frame for one in memory.prompted] == [0]

    def test_of_many_prompted_frames_the_first_and_the_nearest_stay(self) -> None:
        memory = prompted_at(0, 10, 20, 30, 40, most=3)
        assert [one.frame for one in memory.prompted] == [0, 30, 40]

    def test_a_prompted_frame_given_up_counts_as_tracked(self) -> None:
        memory = prompted_at(0, 10, 12, most=2)
        assert [one.frame for one in memory.prompted] == [0, 12]
        assert [one.frame for one in memory.recent] == [10]
        assert [one.frame for one in memory.pointers] == [10]


class TestRecent:
    def test_counts_frames_not_memories(self) -> None:
        memory = followed(prompted_at(0), range(1, 5))
        memory = memory.with_prompted(frame_memory(5), 8, "meta")
        assert [distance for distance, _ in memory.recent_by_distance(6, "meta")] == [5, 4, 3, 2]

    def test_confident_memories_are_kept_however_old(self) -> None:
        memory = followed(prompted_at(0), range(1, 10), "confident")
        memory = followed(memory, range(10, 40), "confident", remembered=False)
        assert [one.frame for one in memory.recent] == list(range(4, 10))
        recent = memory.recent_by_distance(40, "confident")
        assert [distance for distance, _ in recent] == [6, 5, 4, 3, 2, 1]


class TestState:
    def test_without_forgets_objects_and_nothing_else(self) -> None:
        state = TrackerState(9, (4, 5), (ObjectMemory(3), ObjectMemory(1), ObjectMemory(7)))
        assert state.without([1, 99]).object_ids == (3, 7)
        assert state.without([1]).frame_count == 9
        assert state.object_ids == (3, 1, 7)
