"""Pictures on the disk: finding them by what a command line names, and reading them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from infer_segment_anything_2.errors import ImageError

__all__ = ["read_picture"]

_MOST_PIXELS = 500_000_000
# What Pillow raises for damaged files of one format or another.
_READING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError)
# Pillow's modes whose array is a picture as it stands; the others become RGB first.
_PLAIN_MODES = frozenset({"1", "L", "LA", "RGB", "RGBA", "I", "F"})


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Reads a picture as a camera or scanner meant it: upright, colours as RGB.

    Grey pictures of 16 bits, 32 bits and floats keep their values. Colour pictures of 16 bits per
    channel come with 8 (Pillow reads no more). Of several pages or frames, the first is read.

    Returns:
        H x W, or H x W x 2 to 4 channels (grey and alpha, RGB, RGB and alpha).

    Raises:
        ImageError: It is no picture, damaged, or cannot be read.
    """
    try:
        with _large_pictures(), Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            is_plain = picture.mode in _PLAIN_MODES or picture.mode.startswith("I;16")
            return np.asarray(picture if is_plain else picture.convert("RGB"))
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is no picture that can be read, expected one such as PNG, JPEG or TIFF; "
            "convert it to PNG."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The picture {path} says that it has more pixels than the {_MOST_PIXELS // 10**6} "
            "million that are expected at most; cut it into parts, or save it again if it is "
            "damaged."
        ) from error
    except _READING_ERRORS as error:
        # An OSError's own text would name the path again.
        reason = getattr(error, "strerror", None) or error
        raise ImageError(
            f"The picture {path} cannot be read, expected a whole picture file, got: {reason}. "
            "Correct the path, or copy or save it again."
        ) from error


@contextmanager
def _large_pictures() -> Iterator[None]:
    """Raises Pillow's limit, which guards servers against strangers' files, not users' own.

    Some limit stays: a damaged file that claims to be huge would take all memory, and minutes.
    """
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _MOST_PIXELS // 2  # Pillow warns above it, and refuses at its double
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd tags and the like do not make it unreadable
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
