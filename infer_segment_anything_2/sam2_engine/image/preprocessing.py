"""From any picture to the network's input, equal to Meta's ``SAM2Transforms``.

Meta squashes a picture to a square, whatever its aspect ratio, by an anti-aliased bilinear
resize in float32, and normalises it with ImageNet's mean and deviation. The same here, in bands
of rows, so that a picture of 48 megapixels needs no float copy of itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["network_input"]

_MEAN_RGB = (0.485, 0.456, 0.406)
_DEVIATION_RGB = (0.229, 0.224, 0.225)

# Pixels that are float32 at any one time: 3 channels of 4 bytes make 48 MB.
_BAND_PIXELS = 4_000_000

_WHOLE = 100


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
