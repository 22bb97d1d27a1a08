"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sam2_batch.calls import HW


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three small pictures: two drawn discs, one grey."""
    folder = tmp_path / "photos"
    folder.mkdir()
    y, x = np.mgrid[: HW[0], : HW[1]]
    for number, name in enumerate(("a.png", "b.jpg", "c.png")):
        picture = np.full((*HW, 3), 40, np.uint8)
        picture[np.hypot(y - 24, x - 20 - 5 * number) < 12] = (220, 180, 60)
        Image.fromarray(picture[..., 0] if name == "c.png" else picture).save(folder / name)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
