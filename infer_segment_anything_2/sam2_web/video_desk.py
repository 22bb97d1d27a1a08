"""The videos on the page: their frames, and objects followed from frame to frame.

Each frame goes through :func:`follow`, as on the command line and in Ikomia, so the texts that are
taken along give the masks that were seen.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal, get_args

from infer_segment_anything_2.errors import ImageError, ParameterError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.request import objects_of
from infer_segment_anything_2.sam2_following.asked_objects import check_frames, in_time
from infer_segment_anything_2.sam2_following.frame_following import VideoFrame, follow
from infer_segment_anything_2.sam2_reading.video_files import Video
from infer_segment_anything_2.sam2_web.frame_shelf import FrameShelf
from infer_segment_anything_2.sam2_web.given_parameters import read_given
from infer_segment_anything_2.sam2_web.jobs import Jobs
from infer_segment_anything_2.sam2_web.kept_tracks import (
    Course,
    KeptAnswers,
    KeptStates,
    state_at,
)
from infer_segment_anything_2.sam2_web.picture_parts import part_jpeg
from infer_segment_anything_2.sam2_web.wire import packed
from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["REACHES", "VIDEO_SETTINGS", "PageVideo", "Reach", "VideoDesk"]

VIDEO_SETTINGS = ("memory_rule", "max_prompted_frames", "max_objects", "forget_after")
"""The parameters beside the prompts that a tab may set for a video."""

Reach = Literal["kept", "near", "all"]
"""How far to go for the masks of a frame: only look whether they are there; follow into it from the
frame before, or else ask its own prompts alone; follow through all frames in between."""
REACHES: tuple[Reach, ...] = get_args(Reach)

_OPEN_VIDEOS = 2
_STAGE = "frames"


@dataclass(frozen=True)
class PageVideo:
    """A video that the page offers.

    Attributes:
        path: Where it lies: a file, or a folder of frames.
        name: As the page calls it.
        result_name: What the names of its results begin with.
        open: Opens it; may raise ``ImageError`` or ``DependencyError``.
    """

    path: Path
    name: str
    result_name: str
    open: Callable[[], Video]


class VideoDesk:
    """Videos, and what is known of their frames.

    Args:
        videos: What is offered.
        parameters: What all runs start from.
        segmenter: Keeps the network.
        jobs: By which runs are watched and stopped.
    """

    def __init__(
        self, videos: Sequence[PageVideo], parameters: Parameters, segmenter: Segmenter, jobs: Jobs
    ) -> None:
        self.videos = tuple(videos)
        self.parameters = parameters
        self._segmenter = segmenter
        self._jobs = jobs
        self._shelves: OrderedDict[int, FrameShelf] = OrderedDict()
        self._states = KeptStates()
        self._answers = KeptAnswers()
        self._lock = Lock()

    def read(self, given: Mapping[str, object]) -> Parameters:
        """The parameters of a run, from those that a tab has set.

        Raises:
            ParameterError: A name or a value is wrong, or does not act on videos.
            PromptError: A prompt makes no sense in itself.
        """
        parameters = read_given(given, self.parameters)
        for key in given.keys() - {"input_objects", *VIDEO_SETTINGS}:
            raise ParameterError(
                f"{key} is not set for a video on the page, expected input_objects or one of "
                f"{', '.join(VIDEO_SETTINGS)}; leave it out.",
                key=key,
            )
        return parameters

    def shelf(self, number: int) -> FrameShelf:
        """A video's frames; the last videos stay open.

        Raises:
            DependencyError: What reads it is not installed.
            ImageError: It cannot be read, or has no end.
        """
        with self._lock:
            known = self._shelves.pop(number, None)
            if known is None:
                video = self.videos[number].open()
                if video.is_live:
                    raise ImageError(
                        f"The page shows videos that have an end, got {video.name}, which goes on "
                        "while it is read; record it first, and open the recording."
                    )
                known = FrameShelf(video)
            self._shelves[number] = known
            while len(self._shelves) > _OPEN_VIDEOS:
                self._shelves.popitem(last=False)
        return known

    def part_jpeg(
        self, number: int, frame: int, box_xyxy_px: tuple[int, int, int, int], most_px: int
    ) -> bytes:
        """A part of a frame; see :func:`.picture_parts.part_jpeg`.

        Raises:
            ImageError: It cannot be read.
            ParameterError: There is no such frame, or the part lies outside.
        """
        return part_jpeg(self._checked(number, frame).frame(frame), box_xyxy_px, most_px)

    def masks(
        self, number: int, frame: int, given: Mapping[str, object], job: str, reach: Reach
    ) -> bytes | None:
        """The masks of a frame, as :func:`.wire.packed` writes them.

        Args:
            number: Of the video.
            frame: Its number, from 0.
            given: The parameters that the tab has set, prompts of all frames among them.
            job: The name by which the run can be watched and stopped.
            reach: See :data:`Reach`.

        Returns:
            None where only kept masks are wanted, and there are none. Where the frame's own prompts
            were asked alone, the description says so (``alone``).

        Raises:
            SegmentAnythingError: Something is wrong, or the run was stopped.
        """
        parameters = self.read(given)
        shelf = self._checked(number, frame)
        course, notes = _course(number, shelf, parameters)
        known = self._answers.get(course, frame)
        if known is not None or reach == "kept":
            return known
        start = self._states.nearest(course, frame)
        is_alone = reach == "near" and start.frame < frame
        state = state_at(frame) if is_alone else start
        on_progress = self._jobs.watcher(job)
        answer = None
        try:
            for at in range(state.frame, frame + 1):
                on_progress(_STAGE, at - state.frame, frame + 1 - state.frame)
                began_s = time.perf_counter()
                asked = VideoFrame(
                    shelf.frame(at), course.prompts_at(at), n_frames=shelf.stated_count
                )
                followed = follow(self._segmenter, state, asked, parameters)
                state = followed.state
                took_ms = 1000 * (time.perf_counter() - began_s)
                told = notes if asked.prompts else ()
                answer = packed(followed.segmentation, took_ms, notes=told, alone=is_alone)
                if not is_alone:
                    self._answers.put(course, at, answer)
                    self._states.put(course, state)
        finally:
            self._jobs.forget(job)
        return answer

    def _checked(self, number: int, frame: int) -> FrameShelf:
        shelf = self.shelf(number)
        if frame >= shelf.count:
            raise ParameterError(
                f"The video {self.videos[number].name} has the frames 0 to {shelf.count - 1}, got "
                f"{frame}; go to one of those."
            )
        return shelf


def _course(
    number: int, shelf: FrameShelf, parameters: Parameters
) -> tuple[Course, tuple[str, ...]]:
    """What is asked of a video, and what had to be put right."""
    height, width = shelf.image_hw
    objects, notes = objects_of(parameters, (height, width))
    check_frames(objects, shelf.count)
    prompts = in_time(objects, parameters.prompt_frame)
    return Course.of(number, parameters.with_preset(), prompts), tuple(notes)
