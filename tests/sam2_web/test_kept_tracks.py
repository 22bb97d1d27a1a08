"""What is kept of followed videos: found by what it depends on, and bounded."""

from __future__ import annotations

from dataclasses import replace

import torch

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.tracking.object_memory import (
    FrameMemory,
    ObjectMemory,
    TrackerState,
)
from infer_segment_anything_2.sam2_following.frame_following import VideoState
from infer_segment_anything_2.sam2_web.kept_tracks import Course, KeptAnswers, KeptStates


def prompt(frame: int, x: float = 9, track_id: int = 1) -> ObjectPrompt:
    return ObjectPrompt(((x, 9),), frame=frame, track_id=track_id)


def course(*prompts: ObjectPrompt, video: int = 0, max_objects: int = 64) -> Course:
    return Course.of(video, Parameters(max_objects=max_objects), prompts)


def state(frame: int, nbytes: int = 8) -> VideoState:
    memory = FrameMemory(frame, torch.zeros(1), torch.zeros(nbytes - 4, dtype=torch.uint8))
    return VideoState(frame, TrackerState(frame, (9, 9), (ObjectMemory(1, (memory,)),)))


class TestStates:
    def test_the_nearest_is_the_last_one_on_the_same_course(self) -> None:
        kept = KeptStates()
        asked = course(prompt(2), prompt(20))
        for frame in (3, 4, 9):
            kept.put(asked, state(frame))
        assert kept.nearest(asked, 8).frame == 4
        assert kept.nearest(asked, 30).frame == 9
        assert kept.nearest(asked, 3).tracker is not None
        # What is prompted later does not matter, what was prompted before does.
        assert kept.nearest(course(prompt(2), prompt(9)), 9).frame == 9
        for other in (
            course(prompt(2, x=8)),
            course(prompt(2), prompt(3)),
            course(prompt(2), video=1),
            course(prompt(2), max_objects=1),
        ):
            assert kept.nearest(other, 9).frame < 9

    def test_nothing_needs_to_be_followed_before_the_first_prompt(self) -> None:
        start = KeptStates().nearest(course(prompt(70)), 90)
        assert start.frame == 70
        assert start.tracker is not None
        assert start.tracker.frame_count == 70
        assert KeptStates().nearest(course(prompt(70)), 50).frame == 50
        assert KeptStates().nearest(course(), 50).frame == 50

    def test_those_before_prompted_frames_stay_longest(self) -> None:
        kept = KeptStates(most=4)
        asked = course(prompt(0), prompt(3), prompt(5))
        for frame in range(1, 12):
            kept.put(asked, state(frame))
        assert len(kept) == 4
        assert [kept.nearest(asked, frame).frame for frame in (4, 8, 11)] == [3, 5, 11]

    def test_bytes_are_bounded_and_shared_memories_count_once(self) -> None:
        kept = KeptStates(limit_bytes=1000)
        for frame in range(1, 12):
            kept.put(course(prompt(0)), state(frame, 300))
        assert len(kept) == 3
        shared = state(1, 300)
        kept = KeptStates(limit_bytes=1000)
        for frame in range(1, 12):
            kept.put(course(prompt(0)), replace(shared, frame=frame))
        assert len(kept) == 11
        kept.put(course(prompt(0)), state(20, 5000))  # the last one is always there
        assert kept.nearest(course(prompt(0)), 20).frame == 20


class TestAnswers:
    def test_names_do_not_matter_but_all_prompts_until_the_frame_do(self) -> None:
        kept = KeptAnswers()
        kept.put(course(prompt(2)), 5, b"five")
        assert kept.get(course(replace(prompt(2), category="dog", name="x")), 5) == b"five"
        assert kept.get(course(prompt(2), prompt(6)), 5) == b"five"
        assert kept.get(course(prompt(2), prompt(5)), 5) is None
        assert kept.get(course(prompt(2)), 4) is None

    def test_the_oldest_go_when_there_are_too_many(self) -> None:
        kept = KeptAnswers(limit_bytes=10)
        for frame in range(4):
            kept.put(course(), frame, b"1234")
            kept.get(course(), 0)
        assert [kept.get(course(), frame) is not None for frame in range(4)] == [
            *(True, False),
            *(False, True),
        ]
        kept.put(course(), 3, b"12345678901")
        assert all(kept.get(course(), frame) is None for frame in range(4))
