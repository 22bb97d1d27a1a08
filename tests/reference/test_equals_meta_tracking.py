"""Tracked masks against Meta's ``SAM2VideoPredictor`` on the same weights and input tensors."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.settings import TrackingSettings
from tests.blobs import blob_network
from tests.networks import nano_network
from tests.videos import (
    MetaTracker,
    Script,
    clip,
    embedding_of,
    encoded,
    meta_logits,
    our_logits,
    rough_nano_network,
    rough_network,
    track_clip,
)

Logits = dict[tuple[int, int], Tensor]

BATCH_TOLERANCE = 1e-5  # of the largest logit: those of the bundled network go to hundreds

BOX = ObjectPrompt(box_xyxy_px=(14.0, 17.0, 38.0, 41.0))
POINT = ObjectPrompt(points_xy_px=((58.0, 48.0),), labels=(1,))
POINTS = ObjectPrompt(points_xy_px=((90.0, 67.0), (10.5, 10.25)), labels=(1, 0))
BOX_AND_POINT = ObjectPrompt(((60.0, 50.0),), (0,), (70.0, 50.0, 110.0, 90.0))
LATER = ObjectPrompt(points_xy_px=((20.0, 20.0),), labels=(1,))


def mask_prompt(top: int, left: int) -> ObjectPrompt:
    mask_hw = np.zeros((96, 128), bool)
    mask_hw[top : top + 30, left : left + 40] = True
    return ObjectPrompt(mask=PromptMask(mask_hw))


FIRST = {7: BOX, 3: POINT, 1: POINTS, 2: BOX_AND_POINT, 5: mask_prompt(20, 40)}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Many small products: several threads would wait for each other, and round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def largest_difference(ours: Logits, theirs: Logits) -> float:
    assert ours.keys() == theirs.keys()
    return max(float((ours[key] - theirs[key]).abs().max()) for key in ours)


def one_by_one(n_frames: int, **options: Any) -> TrackingSettings:
    return TrackingSettings(batch_objects=1, frame_count=n_frames, **options)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param({0: FIRST}, id="boxes, points, negative points, a mask"),
        pytest.param({0: {7: BOX}, 3: {9: LATER, 8: mask_prompt(10, 10)}}, id="later objects"),
        pytest.param(
            {
                0: {7: BOX, 5: mask_prompt(20, 40)},
                2: {7: POINTS, 5: mask_prompt(40, 60)},
                3: {7: POINT},
                5: {5: BOX_AND_POINT},
            },
            id="corrections",
        ),
        pytest.param({2: {7: BOX}, 4: {7: POINT}}, id="nothing at first"),
    ],
)
def test_one_by_one_is_equal_bit_for_bit(script: Script) -> None:
    network, frames = rough_nano_network(), clip(7)
    theirs = meta_logits(network, frames, script)
    ours = our_logits(track_clip(network, frames, script, one_by_one(7)))
    assert largest_difference(ours, theirs) == 0


def test_objects_together_are_equal_but_for_rounding() -> None:
    network, frames = nano_network(), clip(6)
    script: Script = {0: FIRST, 2: {9: LATER}, 3: {7: POINTS}}
    theirs = meta_logits(network, frames, script)
    ours = our_logits(track_clip(network, frames, script, TrackingSettings(frame_count=6)))
    largest = max(float(logits.abs().max()) for logits in theirs.values())
    assert 0 < largest_difference(ours, theirs) <= BATCH_TOLERANCE * largest
    assert all(bool(((ours[key] > 0) == (theirs[key] > 0)).all()) for key in ours)


def test_a_clip_longer_than_the_memory_in_one_go() -> None:
    network, frames = rough_nano_network(), clip(19, 48, 64)
    prompt = ObjectPrompt(box_xyxy_px=(7.0, 8.0, 19.0, 21.0))
    theirs = MetaTracker(network, frames)
    theirs.prompt(0, 7, prompt)
    theirs.propagate()
    ours = track_clip(network, frames, {0: {7: prompt}}, TrackingSettings(batch_objects=1))
    assert largest_difference(our_logits(ours), theirs.logits()) == 0


def test_backwards_is_forwards_on_frames_in_reverse() -> None:
    network, frames = rough_nano_network(), clip(8)
    theirs = MetaTracker(network, frames)
    theirs.prompt(7, 7, BOX)
    theirs.propagate(start_frame_idx=7, reverse=True)
    ours = our_logits(track_clip(network, frames[::-1], {0: {7: BOX}}, one_by_one(8)))
    backwards = {(7 - frame, number): logits for (frame, number), logits in ours.items()}
    assert largest_difference(backwards, theirs.logits()) == 0


def test_absent_objects() -> None:
    frames, script = clip(7), {0: FIRST}
    seen = track_clip(rough_nano_network(), frames, script, one_by_one(7))
    middle = median(value for frame in seen[1:] for value in frame.presence.values())
    network = rough_network(nano_network(), presence=-middle)
    tracked = track_clip(network, frames, script, one_by_one(7))
    is_there = [value > 0 for frame in tracked[1:] for value in frame.presence.values()]
    assert any(is_there)
    assert not all(is_there)
    theirs = meta_logits(network, frames, script)
    assert largest_difference(our_logits(tracked), theirs) == 0


@pytest.mark.parametrize("wanted", [True, False])
def test_flags_of_post_processing(wanted: bool) -> None:
    network, frames = rough_nano_network(), clip(4)
    script: Script = {0: FIRST}
    theirs = meta_logits(
        network, frames, script, prefer_stable=wanted, binarize_mask_from_pts_for_mem_enc=wanted
    )
    settings = one_by_one(4, prefer_stable=wanted, binarise_prompted=wanted)
    assert (
        largest_difference(our_logits(track_clip(network, frames, script, settings)), theirs) == 0
    )
    other = one_by_one(4, prefer_stable=not wanted, binarise_prompted=not wanted)
    assert largest_difference(our_logits(track_clip(network, frames, script, other)), theirs) > 0


def test_the_length_of_a_short_clip_counts() -> None:
    network, frames = nano_network(), clip(5)
    theirs = meta_logits(network, frames, {0: {7: BOX}})
    untold = our_logits(track_clip(network, frames, {0: {7: BOX}}))
    assert largest_difference(untold, theirs) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam2.1_hiera_tiny", "sam2_hiera_tiny"])
def test_official_shapes(name: str) -> None:
    network = blob_network(name)
    frames = clip(3)
    script: Script = {0: {7: BOX}, 1: {3: POINT}}
    # One encoding for both, which takes nearly all of the time; that it is equal to Meta's is for
    # the tests of single pictures.
    features = [encoded(network, frame) for frame in frames]
    theirs = meta_logits(network, frames, script, features=features)
    embeddings = [embedding_of(frame, one) for frame, one in zip(frames, features, strict=True)]
    ours = our_logits(track_clip(network, frames, script, one_by_one(3), embeddings=embeddings))
    assert largest_difference(ours, theirs) == 0


class TestWhereMetaIsWrong:
    def test_a_correction_counts_where_tracking_goes_on_from_it(self) -> None:
        network, frames = rough_nano_network(), clip(6)
        lost, kept = (
            MetaTracker(network, frames, add_all_frames_to_correct_as_cond=as_prompted)
            for as_prompted in (False, True)
        )
        for theirs in (lost, kept):
            theirs.prompt(0, 7, BOX)
            theirs.propagate()
            theirs.prompt(3, 7, POINTS)
            theirs.propagate(start_frame_idx=3)
        uncorrected = our_logits(track_clip(network, frames, {0: {7: BOX}}, one_by_one(6)))
        assert largest_difference(uncorrected, lost.logits()) == 0
        script: Script = {0: {7: BOX}, 3: {7: POINTS}}
        ours = our_logits(track_clip(network, frames, script, one_by_one(6)))
        assert largest_difference(ours, kept.logits()) == 0
        assert not torch.equal(ours[5, 7], uncorrected[5, 7])

    def test_a_later_object_does_not_end_the_run(self) -> None:
        network, frames = rough_nano_network(), clip(4)
        theirs = MetaTracker(network, frames)
        theirs.prompt(0, 7, BOX)
        theirs.prompt(2, 3, POINT)
        with pytest.raises(RuntimeError, match="same dtype"):
            theirs.propagate()  # from frame 0 on, with a memory of the future and no pointer
        tracked = track_clip(network, frames, {0: {7: BOX}, 2: {3: POINT}})
        assert [tuple(frame.presence) for frame in tracked] == [(7,), (7,), (7, 3), (7, 3)]
