"""A picture of noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
