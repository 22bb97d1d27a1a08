"""One video after the other through one task: which state a frame starts from."""

from __future__ import annotations

from dataclasses import replace

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_following.frame_following import (
    Followed,
    VideoFrame,
    VideoState,
    follow,
)
from infer_segment_anything_2.sam2_following.frame_sequence import (
    FrameSeen,
    Step,
    passed_over,
    step_between,
)
from infer_segment_anything_2.segmentation import OnStage, Segmenter

__all__ = ["VideoSession"]

_GAP = "Frames of the video were passed over; objects are followed across them."


class VideoSession:
    """Holds the states before and behind the last frame; all else is in them.

    Args:
        segmenter: Keeps the network.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._model: object = None
        self._seen: FrameSeen | None = None
        self._before = self._after = VideoState()

    def forget(self) -> None:
        """Lets the next frame be the first of a video."""
        self._seen = None
        self._before = self._after = VideoState()

    def step(self, seen: FrameSeen) -> Step:
        """What a frame would be to the last one."""
        return step_between(self._seen, seen)

    def number_of(self, seen: FrameSeen) -> int:
        """The number that a frame would have in its video."""
        return self._start(seen).frame

    def follow(
        self,
        seen: FrameSeen,
        frame: VideoFrame,
        parameters: Parameters,
        on_progress: OnStage | None = None,
    ) -> Followed:
        """Follows objects into a frame; when that fails, the frame may be given again.

        Args:
            seen: What tells the frame from the last one.
            frame: The frame.
            parameters: See :func:`.following.follow`.
            on_progress: Called between steps of work.

        Raises:
            SegmentAnythingError: See :func:`.following.follow`. What was followed before stays.
        """
        model = self._segmenter.load_for_video(parameters, on_progress).model
        if model is not self._model:  # what another network remembers means nothing to this one
            self.forget()
        start = self._start(seen)
        step = self.step(seen)
        followed = follow(self._segmenter, start, frame, parameters, on_progress)
        self._model, self._seen = model, seen
        self._before, self._after = start, followed.state
        if step == "gap":
            found = followed.segmentation
            return replace(followed, segmentation=replace(found, notes=(_GAP, *found.notes)))
        return followed

    def _start(self, seen: FrameSeen) -> VideoState:
        step = self.step(seen)
        if step == "first":
            return VideoState()
        if step == "same":
            return self._before
        return replace(self._after, frame=self._after.frame + passed_over(self._seen, seen))
