"""One video of a run: read, tracked, shown frame by frame, and what became of it.

This step knows no terminal and no folder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infer_segment_anything_2.errors import (
    DeviceError,
    ExportError,
    ImageError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.settings import TrackingSettings
from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets, Sighting
from infer_segment_anything_2.sam2_reading.video_files import ClipFrame, Video
from infer_segment_anything_2.video_exports import frame_masks

if TYPE_CHECKING:  # what loads torch
    from infer_segment_anything_2.sam2_engine.engine import Engine
    from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame

__all__ = ["ShowFrame", "TrackRequest", "VideoDone", "track_video"]

ShowFrame = Callable[[ClipFrame, MaskSet], object]
"""Is given each frame with its masks, in order; ``object_index`` is the object's id."""

Prompts = Mapping[int, Mapping[int, ObjectPrompt]]
"""Per number of a frame what is prompted there, by object id."""

# What one video can do wrong at one of its frames; what was found before stays.
_OF_ONE_VIDEO = (ImageError, PromptError, DeviceError, ExportError)


@dataclass(frozen=True)
class TrackRequest:
    """What is asked of a video.

    Attributes:
        prompts_on: Gives the prompts, fitted to frames of this height and width.
        settings: How objects are followed.
        both_ways: Track each object also from its first prompt back to the first frame.
        frame_count: Track so many frames from the first on; None for all.
    """

    prompts_on: Callable[[tuple[int, int]], Prompts]
    settings: TrackingSettings
    both_ways: bool = False
    frame_count: int | None = None


@dataclass
class VideoDone:
    """What became of a video; it fills while the video is tracked.

    Attributes:
        image_hw: Height and width of its frames, (0, 0) before the first.
        times_s: When each frame that is done is shown, in seconds from the first.
        sightings: By object id and number of the frame.
        categories: Class names by object id.
        error: Why it ended before its end, None if it did not.
        was_stopped: Whether the user stopped it.
    """

    image_hw: tuple[int, int] = (0, 0)
    times_s: list[float] = field(default_factory=list)
    sightings: dict[int, dict[int, Sighting]] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    error: SegmentAnythingError | None = None
    was_stopped: bool = False

    @property
    def masklets(self) -> Masklets:
        """All that was found in the frames that are done; run lengths only."""
        n_frames = len(self.times_s)
        by_object = {
            object_id: {number: seen[number] for number in sorted(seen) if number < n_frames}
            for object_id, seen in self.sightings.items()
        }
        return Masklets(self.image_hw, by_object)

    def name_objects(self, prompts: Prompts) -> None:
        """Remembers the objects in the order of their first prompts, and their class names."""
        for number in sorted(prompts):
            for object_id, prompt in prompts[number].items():
                self.sightings.setdefault(object_id, {})
                self.categories[object_id] = prompt.category or self.categories.get(object_id, "")

    def masks_of(self, number: int) -> MaskSet:
        """The masks of a frame; ``object_index`` is the object's id."""
        here = {
            one: {number: seen[number]} for one, seen in self.sightings.items() if number in seen
        }
        return frame_masks(Masklets(self.image_hw, here), number)

    def _add(self, number: int, tracked: TrackedFrame) -> None:
        for object_id, seen in Masklets.of({number: tracked}).by_object.items():
            self.sightings.setdefault(object_id, {}).update(seen)


def track_video(
    video: Video,
    engine: Engine,
    request: TrackRequest,
    done: VideoDone,
    show: Sequence[ShowFrame] = (),
    on_frame: Callable[[], object] = lambda: None,
) -> None:
    """Tracks objects through a video, in bounded memory but for the run lengths.

    Backwards comes first, so that every frame can be shown with all its masks in one pass.

    Args:
        video: Its frames.
        engine: Whose network.
        request: Prompts and settings.
        done: An empty one, which fills. That a frame, a prompt, the device or a file fails, or that
            the user stops, is an outcome, not an exception: what was done until there is in it.
        show: Who is given each frame with its masks.
        on_frame: Called after each frame, of either direction.
    """
    settings = request.settings
    try:
        frames = video.frames()
        first = next(frames)
        done.image_hw = (first.image_rgb_hwc.shape[0], first.image_rgb_hwc.shape[1])
        prompts = request.prompts_on(done.image_hw)
        _check(prompts, video, request)
        done.name_objects(prompts)
        if request.both_ways:
            _track_backwards(video, engine, prompts, settings, done, on_frame)
        wanted = itertools.islice(itertools.chain([first], frames), request.frame_count)
        _track_forwards(wanted, engine, prompts, settings, done, show, on_frame)
        _check_reached(prompts, video, len(done.times_s))
    except _OF_ONE_VIDEO as error:
        done.error = error
    except KeyboardInterrupt:
        done.was_stopped = True


def _check(prompts: Prompts, video: Video, request: TrackRequest) -> None:
    if request.both_ways and video.is_live:
        raise PromptError(
            f"--both-ways needs a video that has an end, got {video.name}, which goes on while it "
            "is read; record it first, or leave --both-ways out."
        )
    counts = [count for count in (request.frame_count, video.stated_count) if count is not None]
    if counts:
        _check_reached(prompts, video, min(counts))


def _check_reached(prompts: Prompts, video: Video, frame_count: int) -> None:
    beyond = [number for number in prompts if number >= frame_count]
    if beyond:
        raise PromptError(
            f"There is a prompt for frame {min(beyond)} of {video.name}, expected one of the "
            f"{frame_count} frames that are tracked, 0 to {frame_count - 1}; correct its frame."
        )


def _track_forwards(
    frames: Iterator[ClipFrame],
    engine: Engine,
    prompts: Prompts,
    settings: TrackingSettings,
    done: VideoDone,
    show: Sequence[ShowFrame],
    on_frame: Callable[[], object],
) -> None:
    from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState

    state = TrackerState()
    for frame in frames:
        number = frame.number
        tracked = engine.track(state, frame.image_rgb_hwc, prompts.get(number, {}), settings)
        state = tracked.state
        done._add(number, tracked)
        masks = done.masks_of(number)
        for show_frame in show:
            show_frame(frame, masks)
        done.times_s.append(frame.time_s)
        on_frame()


def _track_backwards(
    video: Video,
    engine: Engine,
    prompts: Prompts,
    settings: TrackingSettings,
    done: VideoDone,
    on_frame: Callable[[], object],
) -> None:
    """Finds each object in the frames before its first prompt."""
    from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState

    firsts: dict[int, dict[int, ObjectPrompt]] = {}
    known: set[int] = set()
    for number in sorted(prompts):
        new = {one: prompt for one, prompt in prompts[number].items() if one not in known}
        if new:
            firsts[number] = new
        known.update(new)
    if not firsts or max(firsts) == 0:
        return
    state = TrackerState()
    for frame in video.frames_backwards(max(firsts)):
        tracked = engine.track(state, frame.image_rgb_hwc, firsts.get(frame.number, {}), settings)
        state = tracked.state
        done._add(frame.number, tracked)
        on_frame()
