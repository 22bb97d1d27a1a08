"""Photographs that training never sees, with outlines set by hand.

The outlines and what the pictures are (origin, SHA-256, licence) lie in
`photographs/outlines.json`. The pictures themselves come with installed Python packages, or with
Debian packages that `make training-pictures` fetches.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.fetch_pictures import PICTURES, unpacked_folder
from training.opencv import cv2

LONGEST_SIDE_PX = 1024
_OUTLINES = Path(__file__).resolve().parent / "photographs" / "outlines.json"
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Photograph:
    """A photograph and the masks of some of its objects.

    Attributes:
        name: As in the file of outlines.
        image_hwc: RGB, uint8; its longer side is at most 1024 pixels.
        masks: HxW, bool, by the object's name.
    """

    name: str
    image_hwc: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]


def photographs(pictures: Path = PICTURES) -> Iterator[Photograph]:
    """Reads all photographs with their outlines.

    Args:
        pictures: Where Debian's packages are unpacked.

    Raises:
        FileNotFoundError: A picture is not there; the message says how to get it.
        ValueError: A picture is another one than the outlines were drawn on.
    """
    for name, entry in json.loads(_OUTLINES.read_text()).items():
        path = _picture_path(entry["package"], entry["file"], pictures)
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise ValueError(f"{path} is not the picture that {_OUTLINES.name} was made for.")
        image = Image.open(path).convert("RGB")
        scale = min(LONGEST_SIDE_PX / max(image.size), 1)
        size = (round(image.width * scale), round(image.height * scale))
        if size != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        masks = {what: mask_of(rings, size[::-1]) for what, rings in entry["objects"].items()}
        yield Photograph(name, np.asarray(image), masks)


def _picture_path(package: str, file: str, pictures: Path) -> Path:
    module = importlib.util.find_spec(package) if package.isidentifier() else None
    if module is not None and module.origin is not None:
        return Path(module.origin).parent / file
    path = unpacked_folder(pictures, package) / file
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; run `make training-pictures`.")
    return path


def mask_of(rings: list[list[list[float]]], hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Fills polygons: pixels whose centre lies inside an odd number of them.

    Args:
        rings: Closed polygons of (x, y) in pixels.
        hw: Height and width of the mask.
    """
    mask_hw = np.zeros(hw, np.uint8)
    fixed = [np.round(np.array(ring) * (1 << _SUBPIXEL_BITS)).astype(np.int32) for ring in rings]
    cv2.fillPoly(mask_hw, fixed, 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return mask_hw.astype(bool)
