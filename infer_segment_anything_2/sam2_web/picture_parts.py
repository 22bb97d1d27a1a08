"""Parts of pictures for the browser: small where the part is large."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from infer_segment_anything_2.errors import ParameterError

__all__ = ["part_jpeg"]

_JPEG_QUALITY = 90


def part_jpeg(
    image_rgb_hwc: npt.NDArray[np.uint8], box_xyxy_px: tuple[int, int, int, int], most_px: int
) -> bytes:
    """A part of a picture as JPEG, shrunk where its longer side has more than ``most_px``.

    Args:
        image_rgb_hwc: The picture, uint8.
        box_xyxy_px: Left, top, right, bottom of the part; right and bottom are outside of it.
        most_px: Of the longer side of what is given back.

    Raises:
        ParameterError: The part lies outside.
    """
    height, width = image_rgb_hwc.shape[:2]
    left, top, right, bottom = box_xyxy_px
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ParameterError(
            f"The part {list(box_xyxy_px)} is not within the picture of {width} x {height} "
            "pixels; ask for one that is."
        )
    part = Image.fromarray(image_rgb_hwc[top:bottom, left:right])
    if max(part.size) > most_px:
        part.thumbnail((most_px, most_px), Image.Resampling.BOX, reducing_gap=None)
    written = io.BytesIO()
    part.save(written, "JPEG", quality=_JPEG_QUALITY)
    return written.getvalue()
