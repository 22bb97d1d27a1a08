"""What a run is to the runs before: the first frame of a video, the next one, the same again.

Hosts do not tell when a video begins. They number frames, but some count those that were read, so
only differences of positions are trusted; pictures that come one by one have no position at all.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["FrameSeen", "Step", "passed_over", "picture_digest", "step_between"]

Step = Literal["first", "next", "same", "gap"]
"""``first``: a video begins. ``next``: its next frame. ``same``: the frame of the run before.
``gap``: a later frame; those between were never seen."""


@dataclass(frozen=True)
class FrameSeen:
    """A frame, as far as it tells frames apart.

    Attributes:
        source: The file or address that it is from, "" where that is not known.
        position: Its number by the host's count, None where it has none.
        image_hw: Height and width in pixels.
        digest: Of its pixels.
    """

    source: str
    position: int | None
    image_hw: tuple[int, int]
    digest: int


def step_between(before: FrameSeen | None, now: FrameSeen) -> Step:
    """What a frame is to the one of the run before.

    Another source, another size, and a position that fell begin a video.
    """
    if before is None or (before.source, before.image_hw) != (now.source, now.image_hw):
        return "first"
    if before.position is None or now.position is None:
        if before.position is not now.position:
            return "first"
        return "same" if before.digest == now.digest else "next"
    if now.position < before.position:
        return "first"
    if now.position == before.position:
        return "same" if before.digest == now.digest else "first"
    return "next" if now.position == before.position + 1 else "gap"


def passed_over(before: FrameSeen | None, now: FrameSeen) -> int:
    """How many frames between two of one video were never seen."""
    if before is None or before.position is None or now.position is None:
        return 0
    return max(now.position - before.position - 1, 0)


def picture_digest(image_hwc: npt.NDArray[np.generic]) -> int:
    """Tells pictures apart; of all their bytes, but quick."""
    return zlib.crc32(np.ascontiguousarray(image_hwc).view(np.uint8).data)
