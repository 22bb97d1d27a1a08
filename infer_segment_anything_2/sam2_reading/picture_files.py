"""Pictures on the disk: what they hold, what there is to say about it, and where they lie."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_reading.tiff_files import (
    Georeference,
    TiffError,
    is_tiff,
    read_tiff,
)

__all__ = ["Georeference", "PictureContent", "read_picture", "read_picture_file"]

_MOST_PIXELS = 500_000_000
# What Pillow raises for damaged files of one format or another.
_READING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError)
# Pillow's modes whose array is a picture as it stands; the others become RGB first.
_PLAIN_MODES = frozenset({"1", "L", "LA", "RGB", "RGBA", "I", "F"})
# How Pillow unpacks 16 bits per channel of a PNG: to the upper byte, and how to the lower one.
_LOWER_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_CODESTREAM = b"\xff\x4f\xff\x51"  # where the head of a JPEG 2000 begins
_DEPTH_OFFSET = 42  # of its first channel, from there
_PPM_HEAD = re.compile(rb"P6(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_MOST_OF_8_BITS = 255
_BITS_PER_SAMPLE = 258  # of TIFF's tags


@dataclass(frozen=True, eq=False)
class PictureContent:
    """What a picture file holds.

    Attributes:
        pixels_hwc: H x W, or H x W x 2 to 4 channels (grey and alpha, RGB, RGB and alpha), of the
            file's own type; a masked array where values are missing by the file's own word.
        notes: One sentence for each thing that was left out or done otherwise than one may expect.
        nodata: The value that the file names as missing.
        georeference: Where the picture lies on a map.
    """

    pixels_hwc: npt.NDArray[Any]
    notes: tuple[str, ...] = ()
    nodata: float | None = None
    georeference: Georeference | None = None


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Reads the pixels of a picture; see :func:`read_picture_file`.

    Raises:
        ImageError: It is no picture, damaged, or cannot be read.
    """
    return read_picture_file(path).pixels_hwc


def read_picture_file(path: Path) -> PictureContent:
    """Reads a picture as a camera or scanner meant it: upright, colours as RGB.

    Values keep their type and range. Of several pages or frames the first is read, of more than
    four bands the first three; a note says so.

    Raises:
        ImageError: It is no picture, damaged, or cannot be read.
    """
    trouble = ""
    if path.is_symlink() and not path.exists():
        raise ImageError(
            f"{path} is a link to {path.readlink()}, where there is no file; correct or remove it."
        )
    try:
        if is_tiff(path):
            tiff = read_tiff(path, _MOST_PIXELS)
            if tiff is not None:
                return PictureContent(*tiff)
    except TiffError as error:
        trouble = str(error)
        if not error.may_be_read_otherwise:
            raise ImageError(
                f"The picture {path} cannot be read, expected a whole picture file, got: "
                f"{trouble}. Copy or save it again, or convert it to PNG."
            ) from error
    try:
        with _large_pictures(), Image.open(path) as opened:
            return _content(path, opened)
    except UnidentifiedImageError as error:
        told = f" ({trouble})" if trouble else ""
        raise ImageError(
            f"{path} is no picture that can be read{told}, expected one such as PNG, JPEG or "
            "TIFF; convert it to PNG."
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The picture {path} says that it has more pixels than the {_MOST_PIXELS // 10**6} "
            "million that are expected at most; cut it into parts, or save it again if it is "
            "damaged."
        ) from error
    except _READING_ERRORS as error:
        # An OSError's own text would name the path again.
        reason = trouble or getattr(error, "strerror", None) or error
        raise ImageError(
            f"The picture {path} cannot be read, expected a whole picture file, got: {reason}. "
            "Correct the path, or copy or save it again."
        ) from error


def _content(path: Path, opened: ImageFile.ImageFile) -> PictureContent:
    notes: tuple[str, ...] = ()
    deep = _deep_colours(path, opened)
    if deep is not None:
        pixels, notes = deep
    else:
        picture = ImageOps.exif_transpose(opened)
        is_plain = picture.mode in _PLAIN_MODES or picture.mode.startswith("I;16")
        pixels = np.asarray(picture if is_plain else picture.convert("RGB"))
        if pixels.dtype == np.uint8 and _bits_of_tiff(opened) > 8 and opened.mode != "P":
            notes = (
                f"The picture has {_bits_of_tiff(opened)} bits per channel in {opened.mode} "
                "colours, of which the upper 8 are read; to use all, convert it to RGB.",
            )
    n_frames = 1
    if opened.format != "MPO":  # a camera's second picture is a preview
        with contextlib.suppress(*_READING_ERRORS):  # the others may be damaged
            n_frames = getattr(opened, "n_frames", 1)
    if n_frames > 1:
        notes += (f"The file holds {n_frames} pictures; the first is used.",)
    return PictureContent(pixels, notes)


def _bits_of_tiff(opened: ImageFile.ImageFile) -> int:
    """Of the deepest channel of a TIFF, 0 for other pictures."""
    bits = getattr(opened, "tag_v2", {}).get(_BITS_PER_SAMPLE, (0,))
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _deep_colours(
    path: Path, opened: ImageFile.ImageFile
) -> tuple[npt.NDArray[Any], tuple[str, ...]] | None:
    """Colours of more than 8 bits, which Pillow would cut to 8; None for all other pictures."""
    if opened.format == "PNG":
        pixels = _png_of_16_bits(path, opened)
        return None if pixels is None else (pixels, ())
    if opened.format == "PPM" and opened.mode == "RGB":
        pixels = _ppm_of_16_bits(path)
        return None if pixels is None else (pixels, ())
    if opened.format == "JPEG2000" and opened.mode in {"LA", "RGB", "RGBA"}:
        return _jpeg2000_of_16_bits(path)
    return None


def _png_of_16_bits(path: Path, opened: ImageFile.ImageFile) -> npt.NDArray[np.uint16] | None:
    """Decodes twice, to the upper and to the lower byte of each channel."""
    raw_mode = opened.tile[0][3] if opened.tile else None
    raw_mode = raw_mode[0] if isinstance(raw_mode, tuple) else raw_mode
    if raw_mode == "LA;16B":
        # Its four bytes are unpacked as if they were four channels.
        bytes_hwc = _unpacked(path, "RGBA").astype(np.uint16)
        return np.asarray(bytes_hwc[..., 0::2] << 8 | bytes_hwc[..., 1::2], np.uint16)
    if raw_mode not in _LOWER_BYTE:
        return None
    upper = _unpacked(path, raw_mode).astype(np.uint16)
    upper <<= 8
    upper |= _unpacked(path, _LOWER_BYTE[raw_mode])
    return upper


def _unpacked(path: Path, raw_mode: str) -> npt.NDArray[np.uint8]:
    with Image.open(path) as opened:
        opened.tile = [tile._replace(args=raw_mode) for tile in opened.tile]
        return np.asarray(opened)


def _ppm_of_16_bits(path: Path) -> npt.NDArray[np.uint16] | None:
    content = path.read_bytes()
    head = _PPM_HEAD.match(content)
    if head is None:
        return None
    width, height, brightest = map(int, head.groups())
    if brightest <= _MOST_OF_8_BITS:
        return None
    values = np.frombuffer(content, ">u2", width * height * 3, head.end())
    return values.reshape(height, width, 3).astype(np.uint16)


def _jpeg2000_of_16_bits(path: Path) -> tuple[npt.NDArray[Any], tuple[str, ...]] | None:
    content = path.read_bytes()
    start = content.find(_CODESTREAM)
    if start < 0 or (content[start + _DEPTH_OFFSET] & 0x7F) < 8:  # the depth less one
        return None
    try:
        from imagecodecs import Jpeg2kError, jpeg2k_decode
    except ImportError:
        with Image.open(path) as opened:
            note = (
                "The picture has more than 8 bits per channel, of which the upper 8 are read; to "
                "read all: pip install imagecodecs"
            )
            return np.asarray(opened.convert("RGB")), (note,)
    try:
        return jpeg2k_decode(content), ()
    except Jpeg2kError as error:
        raise ValueError(str(error)) from error


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
