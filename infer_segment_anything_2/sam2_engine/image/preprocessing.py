"""From any picture to the network's input, equal to Meta's ``SAM2Transforms``.

Meta squashes a picture to a square, whatever its aspect ratio, by an anti-aliased bilinear
resize in float32, and normalises it with ImageNet's mean and deviation. The same here, in bands
of rows, so that a picture of 48 megapixels needs no float copy of itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from infer_segment_anything_2.errors import ImageError

__all__ = ["network_input", "to_rgb8"]

_MEAN_RGB = (0.485, 0.456, 0.406)
_DEVIATION_RGB = (0.229, 0.224, 0.225)

# Pixels that are float32 at any one time: 3 channels of 4 bytes make 48 MB.
_BAND_PIXELS = 4_000_000

_WHOLE = 100


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


def network_input(
    image_rgb_hwc: npt.NDArray[np.uint8], side_px: int, input_size_percent: int = _WHOLE
) -> Tensor:
    """Resizes and normalises a picture as ``sam2.utils.transforms.SAM2Transforms`` does.

    Args:
        image_rgb_hwc: H x W x 3.
        side_px: Side of the network's square input.
        input_size_percent: Below 100 the picture is shrunk to this much of its sides first, which
            takes away detail.

    Returns:
        1 x 3 x ``side_px`` x ``side_px``, float32, on the CPU.
    """
    # torch resizes along the width first and then along the height; so bands of rows give the
    # same first step, and the second one works on its small result.
    height, width = image_rgb_hwc.shape[:2]
    small_height, small_width = (
        max(1, round(side * input_size_percent / _WHOLE)) for side in (height, width)
    )
    rows_per_band = max(1, _BAND_PIXELS // width)
    narrow_bands = [
        _resize_width(
            _resize_width(_unit_range(image_rgb_hwc[top : top + rows_per_band]), small_width),
            side_px,
        )
        for top in range(0, height, rows_per_band)
    ]
    narrow = torch.cat(narrow_bands, dim=2)
    square = _resize_height(_resize_height(narrow, small_height), side_px)
    mean = torch.tensor(_MEAN_RGB).view(1, 3, 1, 1)
    deviation = torch.tensor(_DEVIATION_RGB).view(1, 3, 1, 1)
    return square.sub_(mean).div_(deviation)


def _unit_range(band_hwc: npt.NDArray[np.uint8]) -> Tensor:
    """1 x 3 x H x W float32 in 0 to 1, as torchvision's ``ToTensor``."""
    channels_first = band_hwc.transpose(2, 0, 1).astype(np.float32, order="C")
    return torch.from_numpy(channels_first).div_(255)[None]


def _resize_width(picture_bchw: Tensor, width: int) -> Tensor:
    return _resize(picture_bchw, (picture_bchw.shape[2], width))


def _resize_height(picture_bchw: Tensor, height: int) -> Tensor:
    return _resize(picture_bchw, (height, picture_bchw.shape[3]))


def _resize(picture_bchw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Anti-aliased bilinear resize."""
    if size_hw == tuple(picture_bchw.shape[2:]):
        return picture_bchw
    return F.interpolate(
        picture_bchw, size_hw, mode="bilinear", align_corners=False, antialias=True
    )


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
