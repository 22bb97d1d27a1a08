"""The frames of a video by their numbers, in any order; the last ones stay in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_reading.video_files import ClipFrame, Video

__all__ = ["FrameShelf"]

_KEPT_BYTES = 128 * 2**20
_MOST_READERS = 2  # one that shows, one that follows


@dataclass
class _Reader:
    """A way through the video that goes on from frame ``following``."""

    frames: Iterator[ClipFrame]
    following: int


class FrameShelf:
    """Reads a video wherever someone looks; safe from several threads.

    Forwards it goes on from where it is; backwards it reads from the start again, unless the frame
    is still in memory.

    Args:
        video: Its frames; it must have an end.

    Raises:
        ImageError: Not even its first frame can be read.

    Attributes:
        count: How many frames there are to see.
        notes: What there is to say about the file.
    """

    def __init__(self, video: Video) -> None:
        self._video = video
        self._lock = Lock()
        self._kept: OrderedDict[int, npt.NDArray[np.uint8]] = OrderedDict()
        self._readers: list[_Reader] = []
        self.image_hw = self.frame(0).shape[:2]
        self.notes: tuple[str, ...] = ()
        self.count = video.stated_count or self._counted()

    @property
    def stated_count(self) -> int | None:
        """How many frames the file says that it has, None where it does not say."""
        return self._video.stated_count

    def frame(self, number: int) -> npt.NDArray[np.uint8]:
        """A frame's pixels, H x W x 3 uint8; nobody may change them.

        Raises:
            ImageError: It cannot be read.
        """
        with self._lock:
            known = self._kept.pop(number, None)
            if known is None:
                known = self._read(number)
            self._kept[number] = known
            while len(self._kept) > 1 and self._nbytes() > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return known

    def _nbytes(self) -> int:
        return sum(pixels.nbytes for pixels in self._kept.values())

    def _read(self, number: int) -> npt.NDArray[np.uint8]:
        before = [one for one in self._readers if one.following <= number]
        if before:
            reader = max(before, key=lambda one: one.following)
            self._readers.remove(reader)
        else:
            reader = _Reader(self._video.frames(number), number)
        for frame in reader.frames:
            reader.following = frame.number + 1
            if frame.number == number:
                self._readers = [*self._readers, reader][-_MOST_READERS:]
                frame.image_rgb_hwc.flags.writeable = False
                return frame.image_rgb_hwc
        raise ImageError(
            f"The video {self._video.name} has no frame {number}, expected one of 0 to "
            f"{reader.following - 1}; go to one of those."
        )

    def _counted(self) -> int:
        """Reads all frames to count them; stops where one cannot be read, and notes why."""
        number = 0
        try:
            for frame in self._video.frames():
                number = frame.number
        except ImageError as error:
            self.notes = (str(error),)
        return number + 1
