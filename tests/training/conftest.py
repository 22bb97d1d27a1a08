from pathlib import Path

import numpy as np
import pytest

from training.picture_bank import Bank
from training.train import Settings


@pytest.fixture(scope="session")
def small_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled network's config at 256 pixels: four times as fast."""
    folder = tmp_path_factory.mktemp("config")
    text = Settings(run_dir=folder).config.read_text()
    assert "image_size: 512" in text
    path = folder / "small.yaml"
    path.write_text(
        text.replace("image_size: 512", "image_size: 256").replace("[32, 32]", "[16, 16]")
    )
    return path


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
