"""One video of a run: read, tracked, shown frame by frame, and what became of it.

This step knows no terminal and no folder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from infer_segment_anything_2.errors import (
    DeviceError,
    ExportError,
    ImageError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.request import objects_of
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets, Sighting
from infer_segment_anything_2.sam2_following.asked_objects import in_time
from infer_segment_anything_2.sam2_following.frame_following import (
    Followed,
    VideoFrame,
    VideoState,
    follow,
)
from infer_segment_anything_2.sam2_reading.video_files import ClipFrame, Video
from infer_segment_anything_2.segmentation import Segmenter
from infer_segment_anything_2.video_exports import frame_masks

if TYPE_CHECKING:  # what loads torch
    from infer_segment_anything_2.sam2_engine.tracking.tracker import TrackedFrame

__all__ = ["ShowFrame", "TrackRequest", "VideoDone", "track_video"]

ShowFrame = Callable[[ClipFrame, MaskSet], object]
"""Is given each frame with its masks, in order; ``object_index`` is the object's id."""

# What one video can do wrong at one of its frames; what was found before stays.
_OF_ONE_VIDEO = (ImageError, PromptError, DeviceError, ExportError)


@dataclass(frozen=True)
class TrackRequest:
    """What is asked of a video.

    Attributes:
        parameters: Prompts and settings.
        both_ways: Track each object also from its first prompt back to the first frame.
        frame_count: Track so many frames from the first on; None for all.
        check_ids: Is told the objects' ids before the first frame; may raise ``ExportError``.
        tell: Is told what had to be put right, a sentence at a time.
    """

    parameters: Parameters
    both_ways: bool = False
    frame_count: int | None = None
    check_ids: Callable[[Sequence[int]], object] = lambda _: None
    tell: Callable[[str], object] = lambda _: None


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
            for object_id, seen in sorted(self.sightings.items())
        }
        return Masklets(self.image_hw, by_object)

    def masks_of(self, number: int) -> MaskSet:
        """The masks of a frame; ``object_index`` is the object's id."""
        here = {
            one: {number: seen[number]}
            for one, seen in sorted(self.sightings.items())
            if number in seen
        }
        return frame_masks(Masklets(self.image_hw, here), number)

    def add(self, number: int, tracked: TrackedFrame) -> None:
        """Takes in what was found in a frame."""
        for object_id, seen in Masklets.of({number: tracked}).by_object.items():
            self.sightings.setdefault(object_id, {}).update(seen)


def track_video(
    video: Video,
    segmenter: Segmenter,
    request: TrackRequest,
    done: VideoDone,
    show: Sequence[ShowFrame] = (),
    on_frame: Callable[[], object] = lambda: None,
) -> None:
    """Tracks objects through a video, in bounded memory but for the run lengths.

    Backwards comes first, so that every frame can be shown with all its masks in one pass.

    Args:
        video: Its frames.
        segmenter: Keeps the network.
        request: What is asked.
        done: An empty one, which fills. That a frame, a prompt, the device or a file fails, or that
            the user stops, is an outcome, not an exception: what was done until there is in it.
        show: Who is given each frame with its masks.
        on_frame: Called after each frame, of either direction.
    """
    try:
        frames = video.frames()
        first = next(frames)
        done.image_hw = (first.image_rgb_hwc.shape[0], first.image_rgb_hwc.shape[1])
        prompts = _prompts(request, done.image_hw)
        n_frames = _frame_count(video, request)
        _check_reached(prompts, video, n_frames)
        run = _Run(segmenter, request, n_frames, done, on_frame)
        if request.both_ways:
            run.backwards(video, prompts)
        wanted = itertools.islice(itertools.chain([first], frames), request.frame_count)
        run.forwards(wanted, prompts, show)
        _check_reached(prompts, video, len(done.times_s))
    except _OF_ONE_VIDEO as error:
        done.error = error
    except KeyboardInterrupt:
        done.was_stopped = True


@dataclass(frozen=True)
class _Run:
    """One direction after the other, each from a state of its own."""

    segmenter: Segmenter
    request: TrackRequest
    n_frames: int | None
    done: VideoDone
    on_frame: Callable[[], object]

    def forwards(
        self,
        frames: Iterable[ClipFrame],
        prompts: Sequence[ObjectPrompt],
        show: Sequence[ShowFrame],
    ) -> None:
        for frame, followed in self._followed(frames, prompts):
            for note in followed.segmentation.notes:
                self.request.tell(note)
            for object_id, known in followed.state.names.items():
                self.done.categories[object_id] = known.category
            self.done.add(frame.number, followed.tracked)
            masks = self.done.masks_of(frame.number)
            for show_frame in show:
                show_frame(frame, masks)
            self.done.times_s.append(frame.time_s)
            self.on_frame()

    def backwards(self, video: Video, prompts: Sequence[ObjectPrompt]) -> None:
        """Finds each object in the frames before its first prompt."""
        firsts: dict[int | None, ObjectPrompt] = {}
        for prompt in prompts:  # in the order of frames
            firsts.setdefault(prompt.track_id, prompt)
        last = max(prompt.frame or 0 for prompt in firsts.values())
        if last == 0:
            return
        reversed_prompts = [replace(one, frame=last - (one.frame or 0)) for one in firsts.values()]
        for frame, followed in self._followed(video.frames_backwards(last), reversed_prompts):
            self.done.add(frame.number, followed.tracked)
            self.on_frame()

    def _followed(
        self, frames: Iterable[ClipFrame], prompts: Sequence[ObjectPrompt]
    ) -> Iterator[tuple[ClipFrame, Followed]]:
        state = VideoState()
        for frame in frames:
            given = VideoFrame(frame.image_rgb_hwc, tuple(prompts), n_frames=self.n_frames)
            followed = follow(self.segmenter, state, given, self.request.parameters)
            state = followed.state
            yield frame, followed


def _prompts(request: TrackRequest, image_hw: tuple[int, int]) -> list[ObjectPrompt]:
    """All prompts with their frames and their objects' ids, in the order of frames."""
    objects, notes = objects_of(request.parameters, image_hw)
    for note in notes:
        request.tell(note)
    prompts = in_time(objects, request.parameters.prompt_frame)
    request.check_ids(list(dict.fromkeys(one.track_id or 0 for one in prompts)))
    return prompts


def _frame_count(video: Video, request: TrackRequest) -> int | None:
    """How many frames there are to be, None where that is not known."""
    counts = [count for count in (request.frame_count, video.stated_count) if count is not None]
    return min(counts, default=None)


def _check_reached(prompts: Sequence[ObjectPrompt], video: Video, n_frames: int | None) -> None:
    beyond = [one.frame for one in prompts if n_frames is not None and (one.frame or 0) >= n_frames]
    if beyond and n_frames is not None:
        raise PromptError(
            f"There is a prompt for frame {beyond[0]} of {video.name}, expected one of the "
            f"{n_frames} frames that are tracked, 0 to {n_frames - 1}; correct its frame."
        )
