"""Logits of small masks that the tests of this folder share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

CPU = torch.device("cpu")

# (logits, picture): as wide as in life, odd ratios, reductions, both at once, and the smallest
SIZES = [
    pytest.param((256, 256), (1200, 1800), id="landscape"),
    pytest.param((256, 256), (1001, 333), id="portrait"),
    pytest.param((64, 64), (256, 256), id="whole ratio"),
    pytest.param((256, 256), (256, 256), id="same size"),
    pytest.param((256, 256), (97, 130), id="tiny picture"),
    pytest.param((64, 64), (7, 500), id="reduced and enlarged"),
    pytest.param((64, 64), (500, 63), id="enlarged and reduced"),
    pytest.param((64, 64), (1, 1), id="one pixel"),
    pytest.param((64, 64), (1, 300), id="one line"),
]

THRESHOLDS = [
    pytest.param(0.0, 1.0, id="default"),
    pytest.param(-0.7, 1.0, id="other threshold"),
    pytest.param(0.3, 0.25, id="other offset"),
    pytest.param(0.0, 0.0, id="no offset"),
]


def some_logits(hw: tuple[int, int]) -> Tensor:
    """Blobs of several sizes, noise, and all kinds of flat ones."""
    random = torch.Generator().manual_seed(0)
    noise = 3 * torch.randn(2, *hw, generator=random)
    y, x = (torch.linspace(-1, 1, n) for n in hw)
    far = torch.hypot(y[:, None] - 0.2, x[None, :] + 0.3)
    blobs = torch.stack([20 * (size - far) for size in (0.02, 0.2, 0.7, 2.5)])
    coarse = torch.randn(3, 1, 6, 6, generator=random)
    hills = 4 * functional.interpolate(coarse, hw, mode="bicubic")[:, 0]
    flat = torch.stack([torch.full(hw, value) for value in (-9.0, 0.0, 0.5, 9.0)])
    return torch.cat([blobs, hills, flat, noise])


def enlarged(logits: Tensor, hw: tuple[int, int]) -> Tensor:
    return functional.interpolate(logits[:, None], hw, mode="bilinear", align_corners=False)[:, 0]
