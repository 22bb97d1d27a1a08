"""Any picture as 8-bit RGB; numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import ImageError

__all__ = ["to_rgb8"]

_Values = npt.NDArray[np.floating[Any]]

# This share of the values may be clipped at either end.
_CLIPPED_SHARE = 0.001
# It is clipped where the range of all values is so many times as wide as that of the others.
_WIDER = 2
# A value that lies apart is a missing one only beside so many different others: pictures of a few
# levels (masks, labels) have nothing but values that lie apart.
_FEWEST_OTHERS = 16
# Files have one value for what is missing, some two.
_MOST_LONE_VALUES = 4
# Ranges are found on about so many values, evenly spread.
_SAMPLE = 2_000_000
_SAMPLE_OF_LEVELS = 2_000


def to_rgb8(image: object) -> npt.NDArray[np.uint8]:
    """Makes any picture an 8-bit RGB picture of the same height and width.

    Channels: one (H x W or H x W x 1) is grey, two are grey and alpha, three are RGB, four are RGB
    and alpha; alpha is dropped. Values: uint8 is taken as it is; bool is black and white; other
    integers, and floats that are whole numbers, are taken as they are where all lie within 0 to
    255; floats within 0 to 1 are scaled up; all else is stretched to 0 to 255.

    What is missing or far off does not count for the stretch: NaN, infinities, values that a
    masked array hides, a lowest or highest value further from the others than these are from each
    other (-9999 in a raster of heights), and 0.1 % of the values at either end where the range of
    all is more than twice that of the others (a star). NaN and hidden values come out as 0, others
    as the darkest or the brightest.

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
    shape_hwc = (image.shape[0], image.shape[1], channels)
    n_colours = 3 if channels >= 3 else 1
    hidden = None
    if isinstance(image, np.ma.MaskedArray) and image.mask is not np.ma.nomask:
        hidden = np.asarray(image.mask).reshape(shape_hwc)[..., :n_colours]
    # asarray: a matrix or a masked array has ways of its own.
    levels = _to_8_bit(np.asarray(image).reshape(shape_hwc)[..., :n_colours], hidden)
    return np.repeat(levels, 3, axis=2) if channels < 3 else np.ascontiguousarray(levels)


def _to_8_bit(
    values: npt.NDArray[np.generic], hidden: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.uint8]:
    """Values of any real type as 0 to 255; see :func:`to_rgb8` for the rules."""
    if values.dtype == np.uint8:
        return values.view(np.uint8)
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    # A long double may be too large for a double, which makes it infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        numbers: _Values = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    is_float = values.dtype.kind == "f"
    every = numbers[np.isfinite(numbers)] if is_float else numbers.ravel()
    seen = every if hidden is None else numbers[np.isfinite(numbers) & ~hidden]
    low, high = _range(seen[:: seen.size // _SAMPLE + 1])
    if is_float and low >= 0 and high <= 1:
        scale_low, scale_high = 0.0, 1.0
    elif _looks_like_8_bit(every, is_float=is_float):
        scale_low, scale_high = 0.0, 255.0
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    else:
        scale_low, scale_high = low, high
    if is_float:
        np.nan_to_num(numbers, copy=False, nan=low, posinf=high, neginf=low)
    if hidden is not None:
        numbers[hidden] = low
    np.clip(numbers, low, high, out=numbers)
    if (scale_low, scale_high) != (0.0, 255.0):
        _stretch(numbers, scale_low, scale_high)
    levels: npt.NDArray[np.uint8] = np.rint(numbers).astype(np.uint8)
    return levels


def _looks_like_8_bit(finite: _Values, *, is_float: bool) -> bool:
    """Tells whether these are levels of 8 bits in a wider type."""
    if not finite.size or finite.min() < 0 or finite.max() > 255:
        return not finite.size
    return not is_float or bool(np.array_equal(np.rint(finite), finite))


def _range(finite: _Values) -> tuple[float, float]:
    """The lowest and the highest value that count."""
    if not finite.size:
        return 0.0, 0.0
    for _ in range(_MOST_LONE_VALUES):
        others = _without_lone_end(finite)
        if others is finite:
            break
        finite = others
    return _robust_range(finite)


def _without_lone_end(finite: _Values) -> _Values:
    """Less the lowest or highest value, where it lies far from the others; else the same array."""
    for end, sign in ((finite.min(), 1), (finite.max(), -1)):
        others: _Values = finite[finite != end]
        levels = np.unique(others[:: others.size // _SAMPLE_OF_LEVELS + 1])
        if len(levels) < _FEWEST_OTHERS:
            continue
        low, high = _robust_range(others)
        near_end = low if sign > 0 else high
        # Halved: the span of the largest numbers is too large for a number.
        if sign * (near_end / 2 - float(end) / 2) > high / 2 - low / 2:
            return others
    return finite


def _robust_range(finite: _Values) -> tuple[float, float]:
    """The whole range, or that of all but some values at each end where that is far narrower."""
    low, high = float(finite.min()), float(finite.max())
    n_clipped = int(finite.size * _CLIPPED_SHARE)
    if not n_clipped:
        return low, high
    ends = (n_clipped, finite.size - 1 - n_clipped)
    ordered = np.partition(finite, ends)
    inner_low, inner_high = (float(ordered[end]) for end in ends)
    is_far_narrower = high / 2 - low / 2 > _WIDER * (inner_high / 2 - inner_low / 2) > 0
    return (inner_low, inner_high) if is_far_narrower else (low, high)


def _stretch(numbers: _Values, low: float, high: float) -> None:
    """Maps low to high onto 0 to 255, in place; all to 0 where both are the same.

    Halved first: the span of the largest numbers is too large for a number.
    """
    half_span = high / 2 - low / 2
    numbers /= 2
    numbers -= low / 2
    if half_span > 0:
        numbers /= half_span
    numbers *= 255
