"""What several benchmarks need: pictures and networks by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from sam2.modeling.sam2_base import SAM2Base
from skimage import data, io, transform

from tests.blobs import blob_network
from tests.networks import nano_network

Image = npt.NDArray[np.uint8]


def load_picture(name: str, megapixels: float) -> Image:
    """Loads a picture, scaled to a size if one is wanted."""
    picture = io.imread(name) if Path(name).exists() else getattr(data, name)()
    if megapixels:
        scale = (megapixels * 1e6 / (picture.shape[0] * picture.shape[1])) ** 0.5
        hw = (round(picture.shape[0] * scale), round(picture.shape[1] * scale))
        picture = transform.resize(picture, hw, order=1, preserve_range=True).astype(np.uint8)
    return np.ascontiguousarray(picture[..., :3])


def network_named(name: str) -> SAM2Base:
    """Makes the bundled network, or an official one of which a few weights are fitted.

    Args:
        name: "nano", "sam2_demo_nano" or an official name.
    """
    return nano_network() if name in ("nano", "sam2_demo_nano") else blob_network(name)
