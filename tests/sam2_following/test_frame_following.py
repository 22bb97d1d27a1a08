"""What a frame is asked and what it gives: frames passed over, and frames seen smaller."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_following.frame_following import (
    Followed,
    VideoFrame,
    VideoState,
    follow,
)
from infer_segment_anything_2.segmentation import Segmenter

BOX = ObjectPrompt(box_xyxy_px=(10.0, 10.0, 40.0, 40.0))
LATER = ObjectPrompt(box_xyxy_px=(60.0, 30.0, 80.0, 50.0), frame=4)


def picture(number: int) -> np.ndarray:
    pixels = np.full((64, 96, 3), 50, np.uint8)
    pixels[10:40, 10 + 3 * number : 40 + 3 * number] = (220, 180, 60)
    pixels[30:50, 60:80] = (40, 90, 220)
    return pixels


def parameters(**values: object) -> Parameters:
    return Parameters(model_name="sam2_demo_nano", cuda=False, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(asks_again=False)


def followed_through(
    segmenter: Segmenter,
    numbers: list[int],
    values: Parameters,
    prompts: tuple[ObjectPrompt, ...] = (BOX,),
    n_frames: int | None = None,
) -> list[Followed]:
    state, through = VideoState(), []
    for number in numbers:
        frame = VideoFrame(picture(number), prompts, n_frames=n_frames)
        through.append(follow(segmenter, state, frame, values))
        state = through[-1].state
    return through


class TestFrameStep:
    def test_gives_what_the_frames_alone_would_that_are_looked_at(
        self, segmenter: Segmenter
    ) -> None:
        stepped = followed_through(segmenter, list(range(6)), parameters(frame_step=2), n_frames=6)
        alone = followed_through(segmenter, [0, 2, 4], parameters(), n_frames=3)
        for one, other in zip(stepped[::2], alone, strict=True):
            assert one.tracked.masks.rles == other.tracked.masks.rles
            assert one.tracked.presence == other.tracked.presence

    def test_shows_the_last_masks_in_between(self, segmenter: Segmenter) -> None:
        through = followed_through(segmenter, list(range(4)), parameters(frame_step=3))
        first, *between, fourth = (one.tracked.masks.rles for one in through)
        assert between == [first, first]
        assert fourth != first
        facts = through[1].segmentation.video
        assert facts is not None and facts.frame_index == 1
        assert [track.state for track in facts.tracks] == ["tracked"]  # not prompted there

    def test_looks_where_something_is_prompted(self, segmenter: Segmenter) -> None:
        values = parameters(frame_step=5)
        through = followed_through(segmenter, list(range(6)), values, (BOX, LATER))
        assert [len(one.tracked.presence) for one in through] == [1, 1, 1, 1, 2, 2]
        assert through[4].tracked.prompted_ids == {2}


class TestTrackSize:
    def test_lets_the_network_see_less_and_find_the_same_object(self, segmenter: Segmenter) -> None:
        (full,) = followed_through(segmenter, [0], parameters())
        (small,) = followed_through(segmenter, [0], parameters(track_size="256"))
        (logits_hw,) = small.tracked.low_res_logits.values()
        assert tuple(logits_hw.shape) == (64, 64)
        one, other = (found.tracked.masks.to_dense()[0] for found in (full, small))
        assert (one & other).sum() > 0.8 * (one | other).sum()

    def test_is_left_again(self, segmenter: Segmenter) -> None:
        for size, side in (("256", 64), ("full", 128)):
            (found,) = followed_through(segmenter, [0], parameters(track_size=size))
            (logits_hw,) = found.tracked.low_res_logits.values()
            assert len(logits_hw) == side
