from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.picture_bank import load_bank, make_bank


def save_cutout(path: Path, pixels_hwc: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels_hwc, "RGBA").save(path)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Unpacked packages: a photograph, a drawing, a full frame, two sizes of a background."""
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (90, 120, 4), dtype=np.uint8)
    photo[..., 3] = 0
    photo[10:80, 20:100, 3] = 255
    photo[10:40, 20:50, 3] = 0
    drawing = np.full_like(photo, 200)
    drawing[..., 3] = photo[..., 3]
    frame = photo.copy()
    frame[..., 3] = 255
    save_cutout(tmp_path / "in/stamps/animals/photo.png", photo)
    save_cutout(tmp_path / "in/openclipart/drawing.png", drawing)
    save_cutout(tmp_path / "in/stamps/animals/frame.png", frame)
    for side in (800, 1200):
        path = tmp_path / f"in/wallpapers/sea/contents/images/{side}x{side}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return tmp_path


class TestMakeBank:
    def test_sorts_pictures_and_leaves_out_what_is_no_cutout(self, packages: Path) -> None:
        found = make_bank(packages / "in", packages / "bank", drawings=5)
        assert found == {"photo": 1, "drawn": 1, "background": 1}
        bank = load_bank(packages / "bank")
        assert bank.photos[0].shape == (70, 80, 4)
        assert bank.backgrounds[0].shape == (720, 720, 3)


class TestLoadBank:
    def test_a_missing_bank_says_how_to_make_it(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="make training-pictures"):
            load_bank(tmp_path)
