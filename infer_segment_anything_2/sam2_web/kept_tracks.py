"""What is kept of followed videos: states to go on from, and masks to be seen again.

Both are found by what they depend on (the video, the settings, the prompts so far), so they hold
for any tab that asks the same, and a correction leaves alone what lies before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_following.frame_following import VideoState

__all__ = ["Course", "KeptAnswers", "KeptStates", "state_at"]

_STATES = 48
_STATE_BYTES = 256 * 2**20
_ANSWER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Course:
    """All that decides about the masks of a video.

    Attributes:
        video: Its number on the page.
        parameters: Settings; without prompts.
        prompts: With frames and ids, in the order of frames; without names, which decide nothing.
    """

    video: int
    parameters: Parameters
    prompts: tuple[ObjectPrompt, ...]

    @classmethod
    def of(cls, video: int, parameters: Parameters, prompts: Sequence[ObjectPrompt]) -> Course:
        """The course that prompts of a run make.

        Args:
            video: Its number.
            parameters: Of the run.
            prompts: Fitted to the frames, with frames and ids, in the order of frames.
        """
        nameless = tuple(
            replace(one, name=f"Object {one.track_id}", category="", colour_rgb=None)
            for one in prompts
        )
        return cls(video, replace(parameters, input_objects=""), nameless)

    def before(self, frame: int) -> Course:
        """What of it has happened when a frame begins."""
        return replace(self, prompts=tuple(one for one in self.prompts if _at(one) < frame))

    def prompts_at(self, frame: int) -> tuple[ObjectPrompt, ...]:
        """The prompts of a frame."""
        return tuple(one for one in self.prompts if _at(one) == frame)

    @property
    def first(self) -> int | None:
        """The first prompted frame, None without prompts."""
        return min(map(_at, self.prompts), default=None)


def _at(prompt: ObjectPrompt) -> int:
    return prompt.frame or 0


def state_at(frame: int) -> VideoState:
    """The state before a frame when nothing was prompted in those before."""
    from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState

    return VideoState(frame, TrackerState(frame))


class KeptStates:
    """States before frames; safe from several threads.

    What stays are the last ones, and longer those before prompted frames: a correction starts from
    them.

    Args:
        most: How many are kept.
        limit_bytes: What their tensors may take, each counted once: neighbours share most.
    """

    def __init__(self, most: int = _STATES, limit_bytes: int = _STATE_BYTES) -> None:
        self._most = most
        self._limit_bytes = limit_bytes
        self._states: OrderedDict[_Key, tuple[VideoState, bool]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._states)

    def put(self, course: Course, state: VideoState) -> None:
        """Keeps the state before its frame."""
        key = _Key.of(course, state.frame)
        with self._lock:
            self._states.pop(key, None)
            self._states[key] = (state, bool(course.prompts_at(state.frame)))
            while len(self._states) > 1 and self._is_too_much():
                others = [key for key, (_, is_prompted) in self._states.items() if not is_prompted]
                del self._states[others[0] if len(others) > 1 else next(iter(self._states))]

    def nearest(self, course: Course, frame: int) -> VideoState:
        """The state from which a frame is reached in the fewest steps: before it, or earlier."""
        first = course.first
        start = state_at(frame if first is None else min(frame, first))
        with self._lock:
            for key in self._states:
                if start.frame < key.frame <= frame and key == _Key.of(course, key.frame):
                    start, _ = self._states[key]
        return start

    def _is_too_much(self) -> bool:
        from infer_segment_anything_2.sam2_engine.image.embedding_cache import tensor_bytes

        if len(self._states) > self._most:
            return True
        states = tuple(state for state, _ in self._states.values())
        return tensor_bytes(states) > self._limit_bytes


class KeptAnswers:
    """Masks of frames as they travel, the last ones; safe from several threads.

    Args:
        limit_bytes: Of all together.
    """

    def __init__(self, limit_bytes: int = _ANSWER_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._answers: OrderedDict[_Key, bytes] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    def put(self, course: Course, frame: int, packed: bytes) -> None:
        """Keeps the answer of a frame."""
        key = _Key.of(course, frame, with_its_own=True)
        with self._lock:
            self._nbytes += len(packed) - len(self._answers.pop(key, b""))
            self._answers[key] = packed
            while self._nbytes > self._limit_bytes:
                _, dropped = self._answers.popitem(last=False)
                self._nbytes -= len(dropped)

    def get(self, course: Course, frame: int) -> bytes | None:
        """The answer of a frame, None where it is not there."""
        key = _Key.of(course, frame, with_its_own=True)
        with self._lock:
            known = self._answers.pop(key, None)
            if known is not None:
                self._answers[key] = known
        return known


@dataclass(frozen=True)
class _Key:
    """A frame, and what has happened until it."""

    course: Course
    frame: int

    @classmethod
    def of(cls, course: Course, frame: int, *, with_its_own: bool = False) -> _Key:
        return cls(course.before(frame + with_its_own), frame)
