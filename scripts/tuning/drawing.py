"""Strips and plots for `docs/tuning.md`, drawn with Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Plot", "below", "beside", "outlined", "panel", "save_small", "with_title"]

Rgb = tuple[int, int, int]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

PAPER: Rgb = (255, 255, 255)
INK: Rgb = (20, 20, 20)
_GAP_PX = 6
_TEXT_PX = 14
_LINE_PX = 20
_MOST_BYTES = 300_000


def _font(size_px: int = _TEXT_PX) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def panel(picture_hwc: Picture, caption: str, width_px: int) -> Image.Image:
    """A picture scaled to a width, with a line of text above."""
    height_px = round(picture_hwc.shape[0] * width_px / picture_hwc.shape[1])
    small = Image.fromarray(picture_hwc).resize((width_px, height_px), Image.Resampling.LANCZOS)
    return with_title(small, caption)


def with_title(picture: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text above."""
    canvas = Image.new("RGB", (picture.width, picture.height + _LINE_PX), PAPER)
    ImageDraw.Draw(canvas).text((1, 1), text, fill=INK, font=_font())
    canvas.paste(picture, (0, _LINE_PX))
    return canvas


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row."""
    width = sum(picture.width for picture in pictures) + _GAP_PX * (len(pictures) - 1)
    canvas = Image.new("RGB", (width, max(picture.height for picture in pictures)), PAPER)
    left = 0
    for picture in pictures:
        canvas.paste(picture, (left, 0))
        left += picture.width + _GAP_PX
    return canvas


def below(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures under one another, with a white frame."""
    width = max(picture.width for picture in pictures) + 2 * _GAP_PX
    height = sum(picture.height for picture in pictures) + _GAP_PX * (len(pictures) + 1)
    canvas = Image.new("RGB", (width, height), PAPER)
    top = _GAP_PX
    for picture in pictures:
        canvas.paste(picture, (_GAP_PX, top))
        top += picture.height + _GAP_PX
    return canvas


def outlined(picture_hwc: Picture, masks: Sequence[tuple[Mask, Rgb]]) -> Picture:
    """The picture with two pixels wide outlines of masks of its size."""
    drawn = picture_hwc.copy()
    for mask_hw, colour in masks:
        drawn[mask_hw & ~_eroded(_eroded(mask_hw))] = colour
    return drawn


def _eroded(mask_hw: Mask) -> Mask:
    framed = np.pad(mask_hw, 1)
    inner = framed[1:-1, 1:-1].copy()
    for neighbours in (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:]):
        inner &= neighbours
    return inner


class Plot:
    """A line over a field, with horizontal rules.

    Args:
        size_px: Width and height.
        y_range: Least and greatest value that is shown.
    """

    def __init__(self, size_px: tuple[int, int], y_range: tuple[float, float]) -> None:
        self.picture = Image.new("RGB", size_px, (244, 244, 244))
        self._draw = ImageDraw.Draw(self.picture)
        self._low, self._high = y_range

    def _y_px(self, value: float) -> float:
        part = (np.clip(value, self._low, self._high) - self._low) / (self._high - self._low)
        return float((1 - part) * (self.picture.height - 1))

    def rule(self, value: float, colour: Rgb, text: str) -> None:
        """Draws a horizontal line with its name."""
        y = self._y_px(value)
        self._draw.line([(0, y), (self.picture.width, y)], fill=colour, width=2)
        self._draw.text((4, y - _TEXT_PX - 3), text, fill=colour, font=_font(_TEXT_PX - 1))

    def line(self, values: npt.NDArray[np.floating], colour: Rgb = INK) -> None:
        """Draws values from the left end to the right one."""
        xs = np.linspace(0, self.picture.width - 1, len(values))
        points = [(float(x), self._y_px(float(y))) for x, y in zip(xs, values, strict=True)]
        self._draw.line(points, fill=colour, width=2)


def save_small(picture: Image.Image, path: Path) -> None:
    """Writes a JPEG of less than 300 kB.

    Raises:
        ValueError: It is larger even at a poor quality.
    """
    for quality in (76, 68, 60, 52):
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=quality, optimize=True, progressive=True)
        if written.tell() < _MOST_BYTES:
            path.write_bytes(written.getvalue())
            return
    raise ValueError(f"{path} does not fit into {_MOST_BYTES} bytes; make it smaller.")
