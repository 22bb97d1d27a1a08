"""Video files for tests: written by PyAV, damaged and turned by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Frames = Sequence[npt.NDArray[np.uint8]]

_MILLISECOND = Fraction(1, 1000)
_FRAME_MS = 40


def write_clip(
    path: Path,
    frames: Frames,
    *,
    codec: str = "libx264",
    times_ms: Sequence[int] | None = None,
    key_every: int = 4,
) -> Path:
    """Writes frames of even sides, 25 per second if no times are given."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream(codec, rate=25, options={"g": str(key_every), "bf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _MILLISECOND
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number * _FRAME_MS if times_ms is None else times_ms[number]
            frame.time_base = _MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets_of(path: Path) -> list[tuple[int, int]]:
    """Where each frame's data begins in the file, and how long it is."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.pos is not None]


def turned(path: Path, height: int) -> Path:
    """A copy whose matrix says that it is to be shown turned by a quarter, as phones write it."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 4 * 2
    one = 1 << 16
    content[matrix : matrix + 36] = struct.pack(
        ">9i", 0, one, 0, -one, 0, 0, height * one, 0, 1 << 30
    )
    copy = path.with_stem(f"{path.stem}_turned")
    copy.write_bytes(content)
    return copy
