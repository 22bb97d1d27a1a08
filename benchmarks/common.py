"""What several benchmarks need: pictures and networks by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage import data, io, transform

Image = npt.NDArray[np.uint8]


def load_picture(name: str, megapixels: float) -> Image:
    """Load a picture, scaled to a size if one is wanted."""
    picture = io.imread(name) if Path(name).exists() else getattr(data, name)()
    if megapixels:
        scale = (megapixels * 1e6 / (picture.shape[0] * picture.shape[1])) ** 0.5
        hw = (round(picture.shape[0] * scale), round(picture.shape[1] * scale))
        picture = transform.resize(picture, hw, order=1, preserve_range=True).astype(np.uint8)
    return np.ascontiguousarray(picture[..., :3])
