"""Following objects: what stays as it was, what comes back, what is left undone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from statistics import median

import numpy as np
import pytest
import torch

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.settings import TrackingSettings
from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame, Tracker
from tests.networks import nano_network
from tests.videos import Image, clip, rough_nano_network, rough_network, track_clip

BOX = ObjectPrompt(box_xyxy_px=(14.0, 17.0, 38.0, 41.0))
POINT = ObjectPrompt(points_xy_px=((58.0, 48.0),), labels=(1,))
CORRECTION = ObjectPrompt(points_xy_px=((60.0, 50.0), (20.0, 20.0)), labels=(1, 0))
ONE_BY_ONE = TrackingSettings(batch_objects=1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Many small products: several threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return Tracker(rough_nano_network())


@pytest.fixture(scope="module")
def frames() -> list[Image]:
    return clip(6)


def step(
    tracker: Tracker,
    state: TrackerState,
    frame: Image,
    prompts: dict[int, ObjectPrompt] | None = None,
    settings: TrackingSettings = ONE_BY_ONE,
) -> TrackedFrame:
    return tracker.track(
        lambda: embed_image(rough_nano_network(), frame),
        (frame.shape[0], frame.shape[1]),
        state,
        prompts or {},
        settings,
    )


def digest(value: object) -> str:
    """Of all numbers in a value of dataclasses, tuples and mappings."""
    found = hashlib.sha256()

    def visit(part: object) -> None:
        if isinstance(part, torch.Tensor):
            found.update(part.contiguous().view(torch.uint8).numpy().tobytes())
        elif isinstance(part, np.ndarray):
            found.update(part.tobytes())
        elif isinstance(part, dict):
            visit(tuple(part.items()))
        elif isinstance(part, (tuple, list)):
            for item in part:
                visit(item)
        elif is_dataclass(part):
            for field in fields(part):
                visit(getattr(part, field.name))
        else:
            found.update(repr(part).encode())

    visit(value)
    return found.hexdigest()


class TestState:
    def test_is_never_changed(self, tracker: Tracker, frames: list[Image]) -> None:
        first = step(tracker, TrackerState(), frames[0], {7: BOX, 3: POINT})
        before = digest(first.state)
        second = step(tracker, first.state, frames[1], {3: CORRECTION, 9: POINT})
        step(tracker, second.state, frames[2])
        assert digest(first.state) == before
        assert digest(second.state) != before

    def test_a_frame_run_again_gives_the_same(self, tracker: Tracker, frames: list[Image]) -> None:
        state = step(tracker, TrackerState(), frames[0], {7: BOX, 3: POINT}).state
        once, again = (step(tracker, state, frames[1]) for _ in range(2))
        assert digest(once) == digest(again)

    def test_going_back_and_prompting_changes_what_follows_only(
        self, tracker: Tracker, frames: list[Image]
    ) -> None:
        states = [step(tracker, TrackerState(), frames[0], {7: BOX}).state]
        for frame in frames[1:4]:
            states.append(step(tracker, states[-1], frame).state)
        corrected = step(tracker, states[1], frames[2], {7: CORRECTION})
        assert digest(step(tracker, states[2], frames[3]).state) == digest(states[3])
        assert digest(step(tracker, corrected.state, frames[3]).state) != digest(states[3])

    def test_several_videos_in_turn_do_not_meet(
        self, tracker: Tracker, frames: list[Image]
    ) -> None:
        other = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames[:3]]
        alone = digest(track_clip(rough_nano_network(), frames[:3], {0: {7: BOX}}, ONE_BY_ONE))
        here, there = TrackerState(), TrackerState()
        in_turn = []
        for number in range(3):
            prompts = {} if number else {7: BOX}
            in_turn.append(step(tracker, here, frames[number], prompts))
            here = in_turn[-1].state
            there = step(tracker, there, other[number], prompts).state
        assert digest(in_turn) == alone

    def test_shares_its_tensors_with_the_next(self, tracker: Tracker, frames: list[Image]) -> None:
        first = step(tracker, TrackerState(), frames[0], {7: BOX}).state
        second = step(tracker, first, frames[1]).state
        prompted = [state.objects[0].prompted[0].features_nc for state in (first, second)]
        assert prompted[0] is prompted[1]

    def test_holds_no_tensor_of_other_objects(self, tracker: Tracker, frames: list[Image]) -> None:
        together = TrackingSettings(batch_objects=8)
        state = step(tracker, TrackerState(), frames[0], {7: BOX, 3: POINT}).state
        state = step(tracker, state, frames[1], settings=together).state
        alone = step(tracker, TrackerState(), frames[0], {7: BOX}).state
        alone = step(tracker, alone, frames[1]).state
        assert state.without([3]).nbytes == alone.nbytes

    def test_a_forgotten_object_leaves_the_others_as_they_are(
        self, tracker: Tracker, frames: list[Image]
    ) -> None:
        both = step(tracker, TrackerState(), frames[0], {7: BOX, 3: POINT}).state
        alone = step(tracker, TrackerState(), frames[0], {3: POINT}).state
        after = [step(tracker, state, frames[1]) for state in (both.without([7]), alone)]
        assert digest(after[0]) == digest(after[1])


class TestObjects:
    def test_are_named_by_their_ids_in_the_order_of_first_prompts(
        self, tracker: Tracker, frames: list[Image]
    ) -> None:
        first = step(tracker, TrackerState(), frames[0], {7: BOX, 3: POINT})
        second = step(tracker, first.state, frames[1], {3: CORRECTION, 5: POINT})
        assert first.masks.object_index.tolist() == [7, 3]
        assert second.masks.object_index.tolist() == [7, 3, 5]
        assert second.prompted_ids == {3, 5}
        assert second.state.object_ids == (7, 3, 5)

    def test_keep_their_ids_through_absence(self) -> None:
        frames = clip(8)
        prompts = {0: {7: BOX, 3: POINT, 5: ObjectPrompt(box_xyxy_px=(70.0, 50.0, 110.0, 90.0))}}
        seen = track_clip(rough_nano_network(), frames, prompts)
        middle = median(value for frame in seen[1:] for value in frame.presence.values())
        shy = rough_network(nano_network(), presence=-middle)
        tracked = track_clip(shy, frames, prompts)
        present = [set(frame.masks.object_index.tolist()) for frame in tracked]
        assert any(ids < {7, 3, 5} for ids in present)
        for frame, ids in zip(tracked, present, strict=True):
            assert tuple(frame.presence) == frame.state.object_ids == (7, 3, 5)
            assert ids == {one for one, logit in frame.presence.items() if logit > 0}
        for one in (7, 3, 5):
            logits_hw = [frame.low_res_logits[one] for frame in tracked if frame.presence[one] <= 0]
            assert all(bool((logits == -1024).all()) for logits in logits_hw)

    def test_a_mask_is_taken_as_it_is(self, tracker: Tracker, frames: list[Image]) -> None:
        mask_hw = np.zeros((96, 128), bool)
        mask_hw[24:60, 40:80] = True
        first = step(
            tracker, TrackerState(), frames[0], {7: ObjectPrompt(mask=PromptMask(mask_hw))}
        )
        assert np.count_nonzero(first.masks.rles[0].decode() != mask_hw) <= 2 * (36 + 40)
        assert first.masks.predicted_iou[0] == 1

    def test_masks_have_the_size_of_the_frame(self, tracker: Tracker, frames: list[Image]) -> None:
        tracked = step(tracker, TrackerState(), frames[0][:90], {7: BOX})
        assert tracked.masks.image_hw == (90, 128)


class TestRules:
    def test_confident_forgets_frames_without_the_object(self) -> None:
        absent = rough_network(nano_network(), presence=-1000.0)
        settings = TrackingSettings(memory_rule="confident")
        prompts = {0: {7: ObjectPrompt(mask=PromptMask(np.ones((96, 128), bool)))}}
        for memory_rule, remembered in (("confident", 0), ("meta", 3)):
            settings = TrackingSettings(memory_rule=memory_rule)  # type: ignore[arg-type]
            memory = track_clip(absent, clip(4), prompts, settings)[-1].state.objects[0]
            assert len(memory.recent) == remembered
            assert len(memory.pointers) == 3

    def test_absent_objects_share_one_memory(self) -> None:
        absent = rough_network(nano_network(), presence=-1000.0)
        state = track_clip(absent, clip(2), {0: {7: BOX, 3: POINT}})[-1].state
        recent = [memory.recent[0].features_nc for memory in state.objects]
        assert recent[0] is recent[1]


class TestNothingToDo:
    def test_encodes_nothing(self, tracker: Tracker) -> None:
        def embed() -> None:
            raise AssertionError("encoded")

        tracked = tracker.track(embed, (96, 128), TrackerState(), {}, ONE_BY_ONE)  # type: ignore[arg-type]
        assert len(tracked.masks) == 0
        assert tracked.state.frame_count == 1


class TestMistakes:
    def test_another_size(self, tracker: Tracker, frames: list[Image]) -> None:
        state = step(tracker, TrackerState(), frames[0], {7: BOX}).state
        with pytest.raises(PromptError) as caught:
            step(tracker, state, frames[1][:48])
        assert str(caught.value) == (
            "A tracked video changed its size: expected a frame of 128x96, got 128x48. Start it "
            "with a new state, and prompt the objects again."
        )

    def test_an_empty_prompt(self, tracker: Tracker, frames: list[Image]) -> None:
        with pytest.raises(PromptError) as caught:
            step(tracker, TrackerState(), frames[0], {7: ObjectPrompt()})
        assert str(caught.value) == (
            "The prompt of object 7 is empty: expected points, a box or a mask, got none of them. "
            "Leave the object out where nothing is to be said of it."
        )
