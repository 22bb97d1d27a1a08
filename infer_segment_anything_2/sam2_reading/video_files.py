"""Videos: the frames of a file, an address, a folder of pictures or a camera, one at a time.

Files are read by PyAV, not by OpenCV, which takes a damaged frame for the end of the video and
does not tell the times of frames that do not come at a steady rate.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import DependencyError, ImageError, first_line
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame as DecodedFrame
    from av.video.stream import VideoStream

__all__ = ["Camera", "ClipFrame", "FrameFolder", "Video", "VideoFile"]

_KEPT_BYTES = 128 * 2**20  # of frames that are decoded forwards to be had backwards
_QUARTER_DEG = 90
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame of a video.

    Attributes:
        number: Its place, counted from 0.
        time_s: When it is shown, in seconds from the first one; never less than the one before.
        image_rgb_hwc: H x W x 3 uint8, upright.
    """

    number: int
    time_s: float
    image_rgb_hwc: npt.NDArray[np.uint8]


class _Timeline(NamedTuple):
    """The frames of a file.

    Attributes:
        pts: Per frame its time as the file has it, None where it has none.
        times_s: Per frame its time in seconds.
        frame_bytes: Of a decoded frame.
    """

    pts: Sequence[int | None]
    times_s: Sequence[float]
    frame_bytes: int


class Video(Protocol):
    """Where frames come from.

    Attributes:
        name: What messages call it.
        stated_count: How many frames it says that it has, None where it does not say.
        is_live: Whether it goes on while it is read, so that there is no way back.
    """

    name: str
    stated_count: int | None
    is_live: bool

    def frames(self, first: int = 0) -> Iterator[ClipFrame]:
        """All frames from number ``first`` on.

        Raises:
            ImageError: A frame cannot be read, or some are missing at the end, or there is no frame
                ``first``; the message tells which.
        """
        ...

    def frames_backwards(self, last: int) -> Iterator[ClipFrame]:
        """The frames from number ``last`` back to the first.

        Raises:
            ImageError: As :meth:`frames`, or there is no such frame.
        """
        ...


class FrameFolder:
    """Pictures that are the frames of a video.

    Args:
        name: What messages call it.
        files: The pictures in their order, at least one.
        frames_per_second: When they are shown.
    """

    is_live = False

    def __init__(self, name: str, files: Sequence[Path], frames_per_second: float) -> None:
        self.name = name
        self.stated_count: int | None = len(files)
        self._files = tuple(files)
        self._rate = frames_per_second

    def frames(self, first: int = 0) -> Iterator[ClipFrame]:
        """All frames from one on; see :meth:`Video.frames`."""
        if first >= len(self._files):
            raise _no_frame(self.name, first, len(self._files))
        return map(self._read, range(first, len(self._files)))

    def frames_backwards(self, last: int) -> Iterator[ClipFrame]:
        """The frames back to the first; see :meth:`Video.frames_backwards`."""
        if last >= len(self._files):
            raise _no_frame(self.name, last, len(self._files))
        return map(self._read, range(last, -1, -1))

    def _read(self, number: int) -> ClipFrame:
        try:
            pixels = read_picture_file(self._files[number]).pixels_hwc
            return ClipFrame(number, number / self._rate, to_rgb8(pixels))
        except ImageError as error:
            raise ImageError(f"Frame {number} of {self.name}: {error}") from error


class VideoFile:
    """A video file, or an address that a video comes from.

    Args:
        address: Its path or URL.

    Raises:
        DependencyError: PyAV is not installed.
        ImageError: It cannot be opened, or holds no video.
    """

    def __init__(self, address: str) -> None:
        self.name = address
        with self._opened() as (container, stream):
            self.is_live = container.duration is None and not stream.frames
            self.stated_count: int | None = stream.frames or None

    def frames(self, first: int = 0) -> Iterator[ClipFrame]:
        """All frames from one on; see :meth:`Video.frames`. Those before it are decoded, too."""
        number = -1
        with self._opened() as (container, stream):
            for number, (decoded, time_s) in enumerate(self._timed(container, stream)):
                if number >= first:
                    yield ClipFrame(number, time_s, _upright(decoded))
        if number < 0:
            raise ImageError(f"The video {self.name} has no frame that can be read; save it again.")
        if number < first:
            raise _no_frame(self.name, first, number + 1)

    def frames_backwards(self, last: int) -> Iterator[ClipFrame]:
        """The frames back to the first; see :meth:`Video.frames_backwards`.

        They are decoded in stretches of bounded memory, each from a point where a decoder can
        begin, after all were decoded once to know their times.
        """
        line = self._timeline(last)
        stop = last + 1
        while stop > 0:
            first = max(0, stop - max(1, _KEPT_BYTES // line.frame_bytes))
            frames = self._between(first, stop, line)
            while frames:
                stop -= 1
                yield ClipFrame(stop, line.times_s[stop], frames.pop())

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        av = _av()
        try:
            container = av.open(self.name, metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ImageError(
                f"The video {self.name} cannot be opened, expected a video file such as MP4, got: "
                f"{_reason(error)}. Correct the path, or save it again as MP4."
            ) from error
        with container:
            if not container.streams.video:
                raise ImageError(
                    f"{self.name} holds no video, expected one, got {len(container.streams)} "
                    "streams of other kinds; give another file."
                )
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream

    def _timed(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[DecodedFrame, float]]:
        """Decoded frames with their times from the first; without times, at the stream's rate."""
        first_s, last_s = 0.0, 0.0
        step_s = float(1 / (stream.average_rate or _USUAL_RATE))
        for number, decoded in enumerate(self._decoded(container, stream)):
            if number == 0:
                first_s = decoded.time or 0.0
            shown_s = number * step_s if decoded.time is None else decoded.time - first_s
            last_s = max(last_s, shown_s)
            yield decoded, last_s

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[DecodedFrame]:
        """Decoded frames; one that cannot be is an error that tells its number."""
        number, n_left_out, trouble = 0, 0, ""
        for packet in self._packets(container, stream):
            n_left_out += packet.is_discard
            try:
                some = packet.decode()
            except _av().FFmpegError as error:
                trouble = _reason(error)
                some = _delayed(stream)
            for decoded in some:
                if decoded.is_corrupt:
                    raise self._unreadable(number, "a damaged frame")
                yield decoded
                number += 1
            if trouble:
                raise self._unreadable(number, trouble)
        is_exact = "mp4" in container.format.name  # others count what shows nothing, too
        if is_exact and number + n_left_out < stream.frames:
            raise self._unreadable(
                number, f"the end of the file, though it says that it has {stream.frames} frames"
            )

    def _packets(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[Packet[VideoStream]]:
        n_packets = 0
        try:
            for packet in container.demux(stream):
                yield packet
                n_packets += 1
        except _av().FFmpegError as error:
            raise self._unreadable(n_packets, _reason(error)) from error

    def _unreadable(self, number: int, got: str) -> ImageError:
        return ImageError(
            f"The video {self.name} cannot be read at frame {number}, expected a whole frame, got: "
            f"{got}. Copy it or save it again."
        )

    def _timeline(self, last: int) -> _Timeline:
        with self._opened() as (container, stream):
            pts: list[int | None] = []
            times_s: list[float] = []
            for decoded, time_s in self._timed(container, stream):
                pts.append(decoded.pts)
                times_s.append(time_s)
                if len(pts) > last:
                    return _Timeline(pts, times_s, decoded.width * decoded.height * 3)
        raise _no_frame(self.name, last, len(pts))

    def _between(self, first: int, stop: int, line: _Timeline) -> list[npt.NDArray[np.uint8]]:
        """Frames ``first`` to ``stop`` - 1, decoded from where a decoder can begin before them."""
        wanted = line.pts[first:stop]
        if None not in wanted:
            frames = self._sought(first, wanted)
            if len(frames) == len(wanted):
                return frames
        with self._opened() as (container, stream):  # no times, or no index: from the beginning
            decoded = itertools.islice(self._decoded(container, stream), stop)
            return [_upright(one) for number, one in enumerate(decoded) if number >= first]

    def _sought(self, first: int, wanted: Sequence[int | None]) -> list[npt.NDArray[np.uint8]]:
        """The frames of these times; fewer where seeking does not lead to them."""
        frames: list[npt.NDArray[np.uint8]] = []
        with self._opened() as (container, stream):
            av = _av()
            try:
                container.seek(int(wanted[0] or 0), stream=stream)
                for decoded in container.decode(stream):
                    if decoded.pts == wanted[len(frames)]:
                        frames.append(_upright(decoded))
                        if len(frames) == len(wanted):
                            break
            except av.FFmpegError:
                return []
        return frames


class Camera:
    """A camera of this machine, read by OpenCV.

    Args:
        index: Its number, 0 for the first.

    Raises:
        DependencyError: OpenCV is not installed.
        ImageError: There is no such camera.
    """

    is_live = True
    stated_count: int | None = None

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        try:
            import cv2
        except ImportError as error:
            raise DependencyError(
                f"A camera is read by OpenCV, which does not load: {error}; install it: pip "
                "install opencv-python-headless"
            ) from error
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise ImageError(
                f"There is no camera {index} that can be opened; correct its number, or give a "
                "video file, a folder of frames or an address."
            )

    def frames(self, first: int = 0) -> Iterator[ClipFrame]:
        """All frames from now on but the first so many; see :meth:`Video.frames`."""
        begun_s = time.monotonic()
        number = 0
        try:
            while True:
                is_there, picture_bgr_hwc = self._capture.read()
                if not is_there:
                    raise ImageError(f"The {self.name} gave no frame {number}; plug it in again.")
                image_rgb_hwc = np.ascontiguousarray(picture_bgr_hwc[..., ::-1])
                if number >= first:
                    yield ClipFrame(number, time.monotonic() - begun_s, image_rgb_hwc)
                number += 1
        finally:
            self._capture.release()

    def frames_backwards(self, last: int) -> Iterator[ClipFrame]:
        """There is no way back."""
        raise ImageError(f"The {self.name} cannot be read backwards from frame {last}.")


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DependencyError(
            f"Video files are read by PyAV, which does not load: {error}; install it: pip install "
            "av"
        ) from error
    return av


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)


def _delayed(stream: VideoStream) -> list[DecodedFrame]:
    """The frames that a decoder still holds, as it puts them in order."""
    try:
        return stream.codec_context.decode(None)
    except _av().FFmpegError:
        return []


def _upright(decoded: DecodedFrame) -> npt.NDArray[np.uint8]:
    image_rgb_hwc = decoded.to_ndarray(format="rgb24")
    quarter_turns = round(decoded.rotation / _QUARTER_DEG) % 4
    return np.ascontiguousarray(np.rot90(image_rgb_hwc, quarter_turns))


def _no_frame(name: str, number: int, count: int) -> ImageError:
    return ImageError(
        f"The video {name} has no frame {number}, expected one of 0 to {count - 1}; correct the "
        "frame."
    )
