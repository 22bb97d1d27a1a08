"""A part of a picture that the network sees on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PicturePart"]


@dataclass(frozen=True)
class PicturePart:
    """A part of a picture.

    Attributes:
        box_xyxy_px: Left, top, and one past right and bottom; at least one pixel.
    """

    box_xyxy_px: tuple[int, int, int, int]

    @property
    def xy_px(self) -> tuple[int, int]:
        """The upper left pixel."""
        return self.box_xyxy_px[:2]

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        left, top, right, bottom = self.box_xyxy_px
        return bottom - top, right - left

    def cut(self, image_hwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Returns the part of a picture, as a view."""
        left, top, right, bottom = self.box_xyxy_px
        return image_hwc[top:bottom, left:right]
