"""Writes frames into a video file that is whole or not there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import DependencyError, ExportError, first_line

if TYPE_CHECKING:
    from av.container import OutputContainer

__all__ = ["VideoWriter", "opened_video"]

_TICKS_PER_S = 90_000
_CODECS = ("libx264", "mpeg4")  # whatever the build of FFmpeg brings, the best first
_OPTIONS = {"libx264": {"crf": "18", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}
_RATE = 30  # for the encoder's planning; every frame has a time of its own


@contextlib.contextmanager
def opened_video(path: Path) -> Iterator[VideoWriter]:
    """A writer of an MP4 file, which is put in its place at the end.

    Also after an exception, with the frames until then: what was done is kept. Without any frame
    there is no file.

    Raises:
        DependencyError: PyAV is not installed.
        ExportError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}.part.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = VideoWriter(temporary)
        try:
            yield writer
        finally:
            try:
                writer.close()
                if temporary.exists():
                    temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except (OSError, _av().FFmpegError) as error:
        raise ExportError(
            f"Cannot write {path}: {getattr(error, 'strerror', None) or first_line(error)}; choose "
            "a folder that can be written to and has space."
        ) from error


class VideoWriter:
    """Encodes frames as they come: H.264, each shown at its own time.

    Args:
        path: An MP4 file, made with the first frame.
    """

    def __init__(self, path: Path) -> None:
        self._av = _av()
        self._path = path
        self._container: OutputContainer | None = None
        self._stream: Any = None
        self._last_tick = -1

    def write(self, image_rgb_hwc: npt.NDArray[np.uint8], time_s: float) -> None:
        """Adds a frame.

        Args:
            image_rgb_hwc: H x W x 3 uint8, of one size throughout. An odd side gets one more line
                of pixels, which the encoder needs.
            time_s: When it is shown, later than the one before.
        """
        even = np.pad(
            image_rgb_hwc, [(0, s % 2) for s in image_rgb_hwc.shape[:2]] + [(0, 0)], "edge"
        )
        if self._container is None:
            self._open(even.shape[0], even.shape[1])
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        self._last_tick = max(self._last_tick + 1, round(time_s * _TICKS_PER_S))
        frame.pts, frame.time_base = self._last_tick, Fraction(1, _TICKS_PER_S)
        self._mux(frame)

    def close(self) -> None:
        """Ends the file."""
        if self._container is not None:
            self._mux(None)
            self._container.close()
            self._container = None

    def _open(self, height: int, width: int) -> None:
        codec = next((name for name in _CODECS if name in self._av.codecs_available), _CODECS[-1])
        self._container = self._av.open(str(self._path), "w")
        self._stream = self._container.add_stream(codec, rate=_RATE, options=_OPTIONS[codec])
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)

    def _mux(self, frame: Any) -> None:
        if self._container is not None:
            self._container.mux(self._stream.encode(frame))


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DependencyError(
            f"Videos are written by PyAV, which does not load: {error}; install it: pip install av"
        ) from error
    return av
