import numpy as np
import pytest

from training.picture_bank import Bank


@pytest.fixture(scope="session")
def small_bank() -> Bank:
    """A bank of made-up cut-outs and backgrounds: no package is needed."""
    rng = np.random.default_rng(3)
    cutouts = []
    for _ in range(3):
        cutout = rng.integers(0, 256, (60, 80, 4), dtype=np.uint8)
        cutout[..., 3] = 255
        cutout[:10, :, 3] = 0
        cutouts.append(cutout)
    backgrounds = [rng.integers(0, 256, (720, 760, 3), dtype=np.uint8) for _ in range(2)]
    return Bank(cutouts, cutouts[:1], backgrounds)
