"""Any picture as 8-bit RGB; numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import ImageError

__all__ = ["to_rgb8"]


def to_rgb8(image: object) -> npt.NDArray[np.uint8]:
    """Makes any picture an 8-bit RGB picture of the same height and width.

    Channels: one (H x W or H x W x 1) is grey, two are grey and alpha, three are RGB, four are RGB
    and alpha; alpha is dropped. Values: uint8 is taken as it is; bool is black and white; other
    integers, and floats, are taken as they are where all lie within 0 to 255 (floats within 0 to
    1 are scaled up), otherwise their range is stretched to 0 to 255. NaN counts as the darkest
    value, infinities as the darkest and brightest.

    Args:
        image: The picture, never changed.

    Returns:
        H x W x 3 RGB; shares memory with ``image`` when that is such a picture already.

    Raises:
        ImageError: It is not a picture of numbers with 1 to 4 channels and at least one pixel.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"The input holds no picture (got {type(image).__name__}); give an array of height x "
            "width, or height x width x channels, or a readable picture file."
        )
    shape = " x ".join(str(length) for length in image.shape) or "no dimensions"
    if image.size == 0:
        raise ImageError(f"The picture has no pixels (shape {shape}); give at least 1 x 1.")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 2, 3, 4):
        raise ImageError(
            f"The picture has the shape {shape}, expected height x width or height x width x 1, 2, "
            "3 or 4 channels; pick the bands to use and give those."
        )
    if image.dtype.kind not in "biuf":
        raise ImageError(
            f"The picture has values of type {image.dtype}, expected integers, floats or booleans; "
            "convert it first."
        )
    # asarray: a matrix or a masked array has ways of its own.
    image_hwc = np.asarray(image).reshape(image.shape[0], image.shape[1], channels)
    colours = image_hwc[..., : 3 if channels >= 3 else 1]
    levels = _to_8_bit(colours)
    return np.repeat(levels, 3, axis=2) if channels < 3 else np.ascontiguousarray(levels)


def _to_8_bit(values: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Values of any real type as 0 to 255; see :func:`to_rgb8` for the rules."""
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    # A long double may be too large for a double, which makes it infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        numbers: npt.NDArray[np.floating[Any]] = values.astype(
            np.float64 if values.dtype.itemsize > 2 else np.float32
        )
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    np.nan_to_num(numbers, copy=False, nan=low, posinf=high, neginf=low)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        numbers *= 255
    elif low < 0 or high > 255:
        _stretch(numbers, low, high)
    levels: npt.NDArray[np.uint8] = np.rint(numbers).astype(np.uint8)
    return levels


def _stretch(numbers: npt.NDArray[np.floating[Any]], low: float, high: float) -> None:
    """Maps low to high onto 0 to 255, in place; all to 0 where both are the same.

    Halved first: the span of the largest numbers is too large for a number.
    """
    half_span = high / 2 - low / 2
    numbers /= 2
    numbers -= low / 2
    if half_span > 0:
        numbers /= half_span
    numbers *= 255
