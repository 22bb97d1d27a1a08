"""A short clip with known truth: cut-outs of photos move over another photo.

All is made of pictures that scikit-image ships, so that nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage import data

__all__ = ["DrawnClip", "draw_clip"]

_HW = (192, 256)


@dataclass(frozen=True, eq=False)
class DrawnClip:
    """A clip and what is in it.

    Attributes:
        frames: Each H x W x 3 uint8, RGB.
        truth: Per object and frame its visible pixels, bool H x W.
    """

    frames: tuple[npt.NDArray[np.uint8], ...]
    truth: tuple[tuple[npt.NDArray[np.bool_], ...], ...]

    def box_xyxy_px(self, object_number: int, frame: int) -> tuple[int, int, int, int]:
        """The outermost pixels of an object in a frame, left, top, right, bottom."""
        y, x = np.nonzero(self.truth[object_number][frame])
        return int(x.min()), int(y.min()), int(x.max()), int(y.max())


@dataclass(frozen=True, eq=False)
class _CutOut:
    """A piece of a photo that moves in a line with a sway; its middle as a part of the frame."""

    picture_hwc: npt.NDArray[np.uint8]
    mask_hw: npt.NDArray[np.bool_]
    begin_xy: tuple[float, float]
    end_xy: tuple[float, float]
    sway: float

    def middle_xy(self, part: float) -> tuple[int, int]:
        x = self.begin_xy[0] + part * (self.end_xy[0] - self.begin_xy[0])
        y = self.begin_xy[1] + part * (self.end_xy[1] - self.begin_xy[1])
        return round(x * _HW[1]), round((y + self.sway * np.sin(2 * np.pi * part)) * _HW[0])


def draw_clip(n_frames: int = 24) -> DrawnClip:
    """Draws an astronaut's face that passes before a retina, over grass: 256 x 192 pixels."""
    ground = np.repeat(data.grass()[::2, ::2, np.newaxis][: _HW[0], : _HW[1]], 3, axis=2)
    cut_outs = (  # the later ones are in front
        _cut_out(data.retina()[150:1260:5, 150:1260:5], (0.72, 0.34), (0.30, 0.40), 0.05),
        _cut_out(data.astronaut()[20:190, 160:290], (0.22, 0.70), (0.76, 0.62), -0.08),
    )
    frames, truth = [], []
    for number in range(n_frames):
        frame = ground.copy()
        masks: list[npt.NDArray[np.bool_]] = []
        for cut_out in cut_outs:
            mask_hw = _paste(frame, cut_out, number / max(n_frames - 1, 1))
            masks = [behind & ~mask_hw for behind in masks]
            masks.append(mask_hw)
        frames.append(frame)
        truth.append(masks)
    return DrawnClip(tuple(frames), tuple(zip(*truth, strict=True)))


def _cut_out(
    picture_hwc: npt.NDArray[np.uint8],
    begin_xy: tuple[float, float],
    end_xy: tuple[float, float],
    sway: float,
) -> _CutOut:
    """The largest ellipse in a picture, a third of the size."""
    small = np.ascontiguousarray(picture_hwc[::3, ::3])
    height, width = small.shape[:2]
    y, x = np.mgrid[:height, :width]
    across, down = 2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1
    return _CutOut(small, across**2 + down**2 <= 1, begin_xy, end_xy, sway)


def _paste(frame: npt.NDArray[np.uint8], cut_out: _CutOut, part: float) -> npt.NDArray[np.bool_]:
    """Draws a cut-out into a frame, which it must lie in wholly; returns where it is."""
    height, width = cut_out.mask_hw.shape
    middle_x, middle_y = cut_out.middle_xy(part)
    rows = slice(middle_y - height // 2, middle_y - height // 2 + height)
    columns = slice(middle_x - width // 2, middle_x - width // 2 + width)
    mask_hw = np.zeros(_HW, dtype=bool)
    mask_hw[rows, columns] = cut_out.mask_hw
    frame[mask_hw] = cut_out.picture_hwc[cut_out.mask_hw]
    return mask_hw
