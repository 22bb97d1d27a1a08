"""What a long video costs: the state that is kept does not grow."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_following.frame_following import (
    VideoFrame,
    VideoState,
    follow,
)
from infer_segment_anything_2.segmentation import Segmenter

PARAMETERS = Parameters(model_name="sam2_demo_nano")
BOX = ObjectPrompt(box_xyxy_px=(10.0, 10.0, 40.0, 40.0))


def frame(number: int) -> np.ndarray:
    picture = np.full((64, 96, 3), 50, np.uint8)
    left = 10 + number % 40
    picture[10:40, left : left + 30] = (220, 180, 60)
    return picture


@pytest.mark.slow
def test_state_is_as_large_at_the_end_as_behind_the_first_frames() -> None:
    segmenter, state, sizes = Segmenter(asks_again=False), VideoState(), {}
    for number in range(300):
        followed = follow(segmenter, state, VideoFrame(frame(number), (BOX,)), PARAMETERS)
        state = followed.state
        assert state.tracker is not None
        sizes[number] = state.tracker.nbytes
    assert sizes[299] == sizes[40] > sizes[1]
    assert state.frame == 300
