"""Follows objects from frame to frame, as parameters say: what a frame is asked, and what it gives.

:func:`follow` is a function of a frozen state, as ``Engine.track`` is: a paused frame that is run
again starts from the state before it, and a video that stopped goes on from the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.request import tracking_settings
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_following.asked_objects import (
    Asked,
    check_frames,
    due_at,
    missed,
    names_of,
    with_ids,
)
from infer_segment_anything_2.sam2_following.detections import matched
from infer_segment_anything_2.sam2_results.outcome import Segmentation, Track, VideoFacts
from infer_segment_anything_2.sam2_results.painting import instance_colours
from infer_segment_anything_2.segmentation import OnStage, Segmenter, provenance

if TYPE_CHECKING:  # what loads torch
    from infer_segment_anything_2.sam2_engine.engine import Engine
    from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
    from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame

__all__ = ["Followed", "VideoFrame", "VideoState", "follow"]


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame, and all that is prompted in the video as far as is known.

    Attributes:
        image_rgb_hwc: Its pixels, uint8.
        prompts: Typed and drawn ones, of this frame or others, in pixels of the frame.
        detections: What a detector found in this frame; None where there is no detector.
        n_frames: Of the whole video, None where that is not known.
    """

    image_rgb_hwc: npt.NDArray[np.uint8]
    prompts: tuple[ObjectPrompt, ...] = ()
    detections: tuple[ObjectPrompt, ...] | None = None
    n_frames: int | None = None


@dataclass(frozen=True, eq=False)
class VideoState:
    """Where a video stands; ``VideoState()`` is the beginning.

    Attributes:
        frame: The number of the next frame.
        tracker: What the engine remembers, None before the first frame.
        asked: The prompts that have counted.
        names: Class name and colour of each object, as far as prompts gave any.
        absent_for: For how many frames in a row each absent object is so.
        found: What was found last, for frames that are not looked at.
    """

    frame: int = 0
    tracker: TrackerState | None = None
    asked: Asked = field(default_factory=Asked)
    names: Mapping[int, ObjectPrompt] = field(default_factory=dict)
    absent_for: Mapping[int, int] = field(default_factory=dict)
    found: TrackedFrame | None = None


@dataclass(frozen=True, eq=False)
class Followed:
    """What a frame gave.

    Attributes:
        segmentation: Its masks, with the facts of the video.
        state: For the next frame.
        tracked: What the engine gave; ``object_index`` of its masks is the object's id.
    """

    segmentation: Segmentation
    state: VideoState
    tracked: TrackedFrame


def follow(
    segmenter: Segmenter,
    state: VideoState,
    frame: VideoFrame,
    parameters: Parameters,
    on_progress: OnStage | None = None,
) -> Followed:
    """Finds the tracked and the prompted objects in the next frame of a video.

    Args:
        segmenter: Keeps the network.
        state: Behind the frame before; never changed.
        frame: The next one.
        parameters: Settings; its prompts are not read, those of the frame are.
        on_progress: Called between steps of work.

    Raises:
        SegmentAnythingError: A prompt, the weights or the device is unusable.
    """
    from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState

    parameters = parameters.with_preset()
    check_frames(frame.prompts, frame.n_frames)
    engine = segmenter.load_for_video(parameters, on_progress)
    before = state.tracker or TrackerState()
    due = due_at(state.frame, frame.prompts, state.asked.done, parameters.prompt_frame)
    if _is_everything_asked(state, frame, parameters):
        due = _everything(segmenter, frame, parameters, on_progress)
    by_id, asked = with_ids(due, state.asked)
    by_id, notes = _bounded(by_id, before, parameters.max_objects)
    if late := missed(state.frame, frame.prompts, state.asked.done):
        asked = replace(asked, done=asked.done | frozenset(late))
        notes += [_past(prompt, state.frame) for prompt in late]
    settings = tracking_settings(parameters, frame.n_frames)
    if _is_passed_over(state, frame, by_id, parameters) and state.found is not None:
        tracked = replace(state.found, prompted_ids=frozenset())
    else:
        tracked = engine.track(before, frame.image_rgb_hwc, by_id, settings)
        detected, asked = _by_detector(state, frame, parameters, tracked, asked)
        if detected:
            detected, more = _bounded({**detected, **by_id}, before, parameters.max_objects)
            by_id, notes = detected, [*notes, *more]
            tracked = engine.track(before, frame.image_rgb_hwc, by_id, settings)
    names = names_of(state.names, by_id)
    absent_for = _absences(state.absent_for, tracked)
    found = _segmentation(engine, frame, state.frame, tracked, by_id, names, absent_for, parameters)
    tracker = tracked.state
    if parameters.forget_after:
        tracker = tracker.without(
            number for number, n in absent_for.items() if n >= parameters.forget_after
        )
    following = VideoState(state.frame + 1, tracker, asked, names, absent_for, tracked)
    return Followed(replace(found, notes=tuple(notes)), following, tracked)


def _is_passed_over(
    state: VideoState,
    frame: VideoFrame,
    by_id: Mapping[int, ObjectPrompt],
    parameters: Parameters,
) -> bool:
    """Whether this is a frame between those that are looked at."""
    if by_id or (state.frame - parameters.prompt_frame) % parameters.frame_step == 0:
        return False
    is_anybody_followed = state.found is not None and bool(state.found.presence)
    looks_at_boxes = not is_anybody_followed or _matches_boxes(state, parameters)
    return not (frame.detections and looks_at_boxes)


def _matches_boxes(state: VideoState, parameters: Parameters) -> bool:
    """Whether a detector's boxes of this frame count where somebody is followed already."""
    return parameters.new_objects != "first" and state.frame % parameters.redetect_every == 0


def _past(prompt: ObjectPrompt, frame: int) -> str:
    return (
        f"{prompt.name or 'A prompt'} is for frame {prompt.frame}, which is over: frame {frame} is "
        "being run. It does not count; run the video again from its start, or prompt a later frame."
    )


def _is_everything_asked(state: VideoState, frame: VideoFrame, parameters: Parameters) -> bool:
    """Whether the first frame's every object is to be followed: ``track`` without any prompt."""
    return (
        parameters.video_mode == "track"
        and state.frame == parameters.prompt_frame
        and not frame.prompts
        and frame.detections is None
    )


def _everything(
    segmenter: Segmenter,
    frame: VideoFrame,
    parameters: Parameters,
    on_progress: OnStage | None,
) -> list[ObjectPrompt]:
    """All that is found in a frame, as mask prompts, the best rated first."""
    unprompted = replace(
        parameters, input_point="", input_point_label="", input_box="", input_objects=""
    )
    found = segmenter.segment(frame.image_rgb_hwc, unprompted, on_progress=on_progress)
    best = found.ranked[0].rles[: parameters.max_objects]
    return [ObjectPrompt(mask=PromptMask(rle.decode())) for rle in best]


def _bounded(
    by_id: Mapping[int, ObjectPrompt], tracker: TrackerState, most: int
) -> tuple[dict[int, ObjectPrompt], list[str]]:
    """Leaves out new objects that would be too many; corrections always count."""
    tracked = set(tracker.object_ids)
    new = [number for number in sorted(by_id) if number not in tracked]
    left_out = new[max(most - len(tracked), 0) :]
    notes = []
    if left_out:
        notes.append(
            f"{len(left_out)} of {len(new)} new objects are not followed, as {most} are followed "
            "at most; raise max_objects to follow more."
        )
    return {number: prompt for number, prompt in by_id.items() if number not in left_out}, notes


def _by_detector(
    state: VideoState,
    frame: VideoFrame,
    parameters: Parameters,
    tracked: TrackedFrame,
    asked: Asked,
) -> tuple[dict[int, ObjectPrompt], Asked]:
    """What a detector's boxes of this frame prompt, by the objects' ids."""
    if not frame.detections or state.frame < parameters.prompt_frame:
        return {}, asked
    known: dict[int, ObjectPrompt] = {}
    if not tracked.presence:  # nobody is followed yet
        is_due = parameters.new_objects != "first" or asked.next_id == 1
        new = list(frame.detections) if is_due else []
    elif not _matches_boxes(state, parameters):
        return {}, asked
    else:
        known, new = matched(frame.detections, tracked.masks, parameters.match_iou)
    added, after = with_ids(new, asked)
    corrected = known if parameters.new_objects == "every" else {}
    # A detector's boxes are others on each frame: that they were seen need not be remembered.
    return {**corrected, **added}, replace(after, done=asked.done)


def _absences(before: Mapping[int, int], tracked: TrackedFrame) -> dict[int, int]:
    """For how many frames in a row each absent object is so, this one included."""
    return {
        number: before.get(number, 0) + 1
        for number, presence in tracked.presence.items()
        if presence <= 0
    }


def _segmentation(
    engine: Engine,
    frame: VideoFrame,
    number: int,
    tracked: TrackedFrame,
    by_id: Mapping[int, ObjectPrompt],
    names: Mapping[int, ObjectPrompt],
    absent_for: Mapping[int, int],
    parameters: Parameters,
) -> Segmentation:
    """The frame as other pictures' results are, and what is known of each track."""
    ids = list(tracked.presence)
    colours = instance_colours(max(ids, default=0)).tolist()
    nothing = ObjectPrompt()
    objects = [
        replace(
            by_id.get(one, nothing),
            category=names.get(one, nothing).category,
            colour_rgb=names.get(one, nothing).colour_rgb or tuple(colours[one - 1]),
            mask=None,
        )
        for one in ids
    ]
    tracks = tuple(
        Track(one, presence, _kind(one, presence, tracked), absent_for.get(one, 0))
        for one, presence in tracked.presence.items()
    )
    rows = {one: row for row, one in enumerate(ids)}
    index = [rows[int(one)] for one in tracked.masks.object_index]
    masks = replace(tracked.masks, object_index=np.array(index, np.int64))
    empty = MaskSet.empty(masks.image_hw)
    return Segmentation(
        image_rgb_hwc=frame.image_rgb_hwc,
        ranked=(masks, empty, empty),
        objects=tuple(objects),
        filter_counts=None,
        notes=(),
        settings=provenance(engine.model, parameters),
        video=VideoFacts(number, tracks),
    )


def _kind(number: int, presence: float, tracked: TrackedFrame) -> str:
    if presence <= 0:
        return "absent"
    return "prompted" if number in tracked.prompted_ids else "tracked"
