"""Where to look closer: the part of a picture around an object that is encoded by itself.

Pure functions. Windows lie on a coarse raster, so that nearly equal ones are equal: two objects
share an encoding, and so do two clicks on one object.
"""

from __future__ import annotations

import math

from infer_segment_anything_2.prompts import BoxXyxy
from infer_segment_anything_2.sam2_engine.image.part import PicturePart

__all__ = ["Window", "around", "cut_sides", "grown", "is_small", "window_around"]

# A window's side, as a multiple of the object's. Tighter ones lose the surroundings.
_TIMES = 2.0
# No side is shorter than this part of the other: the network squashes windows to a square.
_LEAST_ASPECT = 0.5
# An object of fewer pixels gets no larger by it: there is nothing more to see.
_LEAST_SIDE_PX = 32
# A window's sides lie on multiples of its size, rounded to a power of two, divided by this.
_RASTER = 8
# A window that cuts its mask grows on that side by this part of its length.
_GROWTH = 0.5
# ``auto`` looks closer at objects that take at most this part of the picture's sides: larger ones
# gain nothing, or lose with a network of finer input (`benchmarks/zoom.py`).
_SMALL = 0.25


class Window(PicturePart):
    """The part of a picture in which an object is asked for once more."""


def around(*boxes: BoxXyxy) -> BoxXyxy:
    """The smallest box that holds some boxes.

    >>> around((0, 5, 2, 6), (1, 1, 1, 1))
    (0, 1, 2, 6)
    """
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def is_small(box_xyxy_px: BoxXyxy, image_hw: tuple[int, int]) -> bool:
    """Whether an object is small in what the network sees, which is the picture made a square."""
    left, top, right, bottom = box_xyxy_px
    return max((right - left) / image_hw[1], (bottom - top) / image_hw[0]) <= _SMALL


def window_around(box_xyxy_px: BoxXyxy, image_hw: tuple[int, int]) -> Window:
    """Plans the window of an object: about twice its size, moved into the picture.

    Args:
        box_xyxy_px: Around the object, within the picture.
        image_hw: Height and width of the picture.

    >>> window_around((100, 100, 200, 164), (1000, 1000)).box_xyxy_px
    (48, 64, 240, 192)
    """
    left, top, right, bottom = box_xyxy_px
    width, height = _TIMES * (right - left), _TIMES * (bottom - top)
    longest = max(width, height, _LEAST_SIDE_PX)
    width, height = (max(side, _LEAST_ASPECT * longest) for side in (width, height))
    image_height, image_width = image_hw
    step = _step(longest)
    left, right = _span((left + right) / 2, width, step, image_width)
    top, bottom = _span((top + bottom) / 2, height, step, image_height)
    return Window((left, top, right, bottom))


def _step(side: float) -> float:
    """The raster's step of windows of a size, a power of two."""
    return max(1.0, float(2 ** math.floor(math.log2(side))) / _RASTER)


def _span(middle: float, length: float, step: float, limit: int) -> tuple[int, int]:
    """First and one-past-last place of a stretch on the raster, moved into 0 to ``limit``."""
    length = step * round(length / step)
    first = step * round((middle - length / 2) / step)
    first = max(0.0, min(first, limit - length))
    return int(first), min(int(first + length), limit)


def cut_sides(
    mask_box_xyxy_px: tuple[int, int, int, int], window: Window, image_hw: tuple[int, int]
) -> tuple[bool, bool, bool, bool]:
    """Tells at which sides (left, top, right, bottom) a window cuts a mask.

    Args:
        mask_box_xyxy_px: Outermost pixels of the mask, inclusive, in pixels of the window.
        window: In which the mask was found.
        image_hw: Height and width of the picture; nothing is cut at its border.
    """
    left, top, right, bottom = window.box_xyxy_px
    height, width = window.hw
    return (
        mask_box_xyxy_px[0] == 0 and left > 0,
        mask_box_xyxy_px[1] == 0 and top > 0,
        mask_box_xyxy_px[2] == width - 1 and right < image_hw[1],
        mask_box_xyxy_px[3] == height - 1 and bottom < image_hw[0],
    )


def grown(
    window: Window, sides: tuple[bool, bool, bool, bool], image_hw: tuple[int, int]
) -> Window:
    """The window with some sides (left, top, right, bottom) moved outwards, within the picture."""
    left, top, right, bottom = window.box_xyxy_px
    height, width = window.hw
    more_x, more_y = math.ceil(width * _GROWTH), math.ceil(height * _GROWTH)
    return Window(
        (
            max(0, left - more_x * sides[0]),
            max(0, top - more_y * sides[1]),
            min(image_hw[1], right + more_x * sides[2]),
            min(image_hw[0], bottom + more_y * sides[3]),
        )
    )
