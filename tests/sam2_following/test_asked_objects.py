"""Which prompts count at a frame, and for which object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_following.asked_objects import (
    Asked,
    check_frames,
    due_at,
    missed,
    with_ids,
)

PLAIN = ObjectPrompt(((5.0, 6.0),))
THIRD = ObjectPrompt(((9.0, 9.0),), frame=3)


def test_a_prompt_counts_once_though_it_is_there_on_every_frame() -> None:
    assert due_at(1, [PLAIN, THIRD], frozenset(), prompt_frame=1) == [PLAIN]
    assert due_at(2, [PLAIN, THIRD], {PLAIN}, prompt_frame=1) == []
    assert due_at(3, [PLAIN, THIRD], {PLAIN}, prompt_frame=1) == [THIRD]


def test_what_is_drawn_later_counts_when_it_comes_and_what_names_a_past_frame_never() -> None:
    assert due_at(5, [PLAIN, THIRD], frozenset(), prompt_frame=0) == [PLAIN]


def test_ids_of_ended_objects_are_not_given_again() -> None:
    by_id, asked = with_ids([ObjectPrompt(((1.0, 1.0),), track_id=4), PLAIN], Asked())
    assert sorted(by_id) == [1, 4]
    later, _ = with_ids([THIRD], asked)
    assert list(later) == [5]


def test_two_prompts_of_a_frame_for_one_object_are_refused() -> None:
    twice = [ObjectPrompt(((x, 1.0),), track_id=2) for x in (1.0, 2.0)]
    with pytest.raises(PromptError, match="id 2"):
        with_ids(twice, Asked())


def test_a_frame_behind_the_last_is_refused_where_the_count_is_known() -> None:
    check_frames([THIRD], 4)
    check_frames([THIRD], None)
    with pytest.raises(PromptError, match="3 frames, 0 to 2"):
        check_frames([THIRD], 3)


class TestMissed:
    def test_are_those_of_frames_that_are_over(self) -> None:
        early = ObjectPrompt(points_xy_px=((1, 2),), frame=1)
        now, later = replace(early, frame=2), replace(early, frame=3)
        any_frame = replace(early, frame=None)
        assert missed(2, [early, now, later, any_frame], frozenset()) == [early]
        assert missed(2, [early], frozenset({early})) == []
