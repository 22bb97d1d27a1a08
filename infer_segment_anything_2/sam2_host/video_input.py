"""What the host's input tells of a video: its traps are all here.

The host's position is the number of frames that were read: the frame's own number before its
picture is fetched, and one more after; behind other tasks on the same input it is one too high from
the start. So it is read first, and only differences of it mean anything.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ikomia import dataprocess

from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_following.frame_sequence import FrameSeen, picture_digest

__all__ = ["frame_count", "frame_number", "is_video", "seen_frame"]


def is_video(picture_input: dataprocess.CImageIO) -> bool:
    """Whether the input is a frame of a video or a stream."""
    return hasattr(picture_input, "get_current_pos")


def frame_number(picture_input: dataprocess.CImageIO) -> int | None:
    """The number of a video's frame by the host's count, None of a picture."""
    return int(picture_input.get_current_pos()) if is_video(picture_input) else None


def frame_count(picture_input: dataprocess.CImageIO) -> int | None:
    """How many frames the video has by its own word, None where it says nothing."""
    if not is_video(picture_input):
        return None
    return int(picture_input.get_video_frame_count()) or None


def seen_frame(
    picture_input: dataprocess.CImageIO,
) -> tuple[npt.NDArray[np.uint8], FrameSeen]:
    """The frame's picture as 8-bit RGB, and what tells it from others.

    Raises:
        ImageError: There is no picture, or none that can be used.
    """
    position = frame_number(picture_input)
    image_rgb_hwc = to_rgb8(picture_input.get_image())
    height, width = image_rgb_hwc.shape[:2]
    source, digest = picture_input.source_file_path, picture_digest(image_rgb_hwc)
    return image_rgb_hwc, FrameSeen(source, position, (height, width), digest)
