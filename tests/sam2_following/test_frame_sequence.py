"""What a run is to the run before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infer_segment_anything_2.sam2_following.frame_sequence import (
    FrameSeen,
    Step,
    passed_over,
    picture_digest,
    step_between,
)

VIDEO = FrameSeen("clip.mp4", 4, (64, 96), 7)
CAMERA = FrameSeen("", None, (64, 96), 7)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (replace(VIDEO, position=5, digest=8), "next"),
        (replace(VIDEO, position=5), "next"),  # a still scene
        (replace(VIDEO, position=9), "gap"),
        (VIDEO, "same"),
        (replace(VIDEO, digest=8), "first"),
        (replace(VIDEO, position=3), "first"),
        (replace(VIDEO, position=5, source="other.mp4"), "first"),
        (replace(VIDEO, position=5, image_hw=(96, 64)), "first"),
        (replace(VIDEO, position=None), "first"),
    ],
)
def test_frame_of_a_video_is_told_by_differences_of_positions(now: FrameSeen, step: Step) -> None:
    assert step_between(VIDEO, now) == step


def test_first_run_begins_a_video() -> None:
    assert step_between(None, VIDEO) == "first"


def test_pictures_without_position_are_told_by_their_pixels() -> None:
    assert step_between(CAMERA, replace(CAMERA, digest=8)) == "next"
    assert step_between(CAMERA, CAMERA) == "same"


def test_one_pixel_makes_another_picture_whatever_the_layout() -> None:
    picture = np.zeros((5, 6, 3), np.uint8)
    other = picture.copy()
    other[2, 3, 1] = 1
    assert picture_digest(other) != picture_digest(picture)
    assert picture_digest(np.asfortranarray(other)) == picture_digest(other)


def test_frames_that_were_passed_over_are_counted() -> None:
    assert passed_over(VIDEO, replace(VIDEO, position=9)) == 4
    assert passed_over(VIDEO, replace(VIDEO, position=5)) == 0
    assert passed_over(CAMERA, CAMERA) == passed_over(None, VIDEO) == 0
