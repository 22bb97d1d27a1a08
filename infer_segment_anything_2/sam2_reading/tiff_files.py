"""TIFF files: any layout and depth, missing values, and where the picture lies on a map."""

from __future__ import annotations

import lzma
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tifffile import PHOTOMETRIC, PLANARCONFIG, TiffFile, TiffFileError, TiffPage

from infer_segment_anything_2.errors import first_line

__all__ = [
    "Georeference",
    "TiffContent",
    "TiffError",
    "georeference_of",
    "is_tiff",
    "misread_by_ikomia",
    "read_tiff",
]

_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What tifffile and its decoders raise for damaged files and unknown compressions; those of
# imagecodecs are RuntimeErrors.
_READING_ERRORS = (
    TiffFileError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)
# Other colours (palettes, CMYK, YCbCr, CIELAB) are Pillow's trade.
_OURS = frozenset({PHOTOMETRIC.RGB, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE})
_ALPHA = frozenset({1, 2})  # of ExtraSamples; 0 is anything else, such as infrared
_COLOURS = 3
_NO_PAGES = 0b101  # of NewSubfileType: reduced pictures, and masks

_ORIENTATION = 274
_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION, _GEO_KEYS = 33550, 33922, 34264, 34735
_GDAL_NODATA = 42113
_RASTER_TYPE, _GEOGRAPHIC_CRS, _PROJECTED_CRS = 1025, 2048, 3072  # geo keys
_PIXEL_IS_POINT = 2
_USER_DEFINED = 32767


class TiffError(Exception):
    """tifffile cannot read a file.

    Attributes:
        may_be_read_otherwise: Whether another reader may; not colours of more than 8 bits, of
            which Pillow makes noise or black.
    """

    def __init__(self, message: str, *, may_be_read_otherwise: bool = True) -> None:
        super().__init__(message)
        self.may_be_read_otherwise = may_be_read_otherwise


@dataclass(frozen=True)
class Georeference:
    """Where a picture lies on a map.

    Attributes:
        affine: A to F, as rasterio's ``dataset.transform``: x = A * column + B * row + C and
            y = D * column + E * row + F, of the upper left corner of a pixel.
        crs: The reference system as "EPSG:32631"; None where the file names none by a code.
    """

    affine: tuple[float, float, float, float, float, float]
    crs: str | None


class TiffContent(NamedTuple):
    """What the first page of a TIFF holds; see :class:`.picture_files.PictureContent`."""

    pixels_hwc: npt.NDArray[Any]
    notes: tuple[str, ...]
    nodata: float | None
    georeference: Georeference | None


def is_tiff(path: Path) -> bool:
    """Tells by the first bytes; False for what cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _HEADS
    except (OSError, ValueError):
        return False


def read_tiff(path: Path, most_pixels: int) -> TiffContent | None:
    """Reads the first page of a TIFF.

    Args:
        path: Of the file.
        most_pixels: A page that claims to have more is left to the other reader to refuse.

    Returns:
        Its content; None for colours that the other reader knows better.

    Raises:
        TiffError: It cannot be read; the text says why.
    """
    is_deep = False
    try:
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            is_deep = page.bitspersample > 8 and page.samplesperpixel > 1
            if page.photometric not in _OURS or page.imagewidth * page.imagelength > most_pixels:
                return None
            _check_is_whole(page, path.stat().st_size)
            return _content(tiff, page)
    except _READING_ERRORS as error:
        raise TiffError(first_line(error), may_be_read_otherwise=not is_deep) from error


def georeference_of(path: Path) -> Georeference | None:
    """Where a picture lies on a map by its own tags; None where it does not say, or is no TIFF."""
    if not is_tiff(path):
        return None
    try:
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            return _georeference(page) if page.tags.valueof(_ORIENTATION, 1) == 1 else None
    except _READING_ERRORS:
        return None


def misread_by_ikomia(path: Path) -> bool:
    """Tells whether the host's reader (OpenCV 4.12) takes a TIFF for another picture.

    That is so of bands of more than 8 bits in planes, which it reads as noise, and of three and
    more bands that are not tagged as colours, of which it reads one.
    """
    try:
        if not is_tiff(path):
            return False
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            is_deep = page.bitspersample > 8
            is_in_planes = page.planarconfig == PLANARCONFIG.SEPARATE
            is_untagged = page.photometric == PHOTOMETRIC.MINISBLACK
            return bool(
                page.samplesperpixel >= _COLOURS and is_deep and (is_in_planes or is_untagged)
            )
    except _READING_ERRORS:
        return False


def _check_is_whole(page: TiffPage, n_bytes: int) -> None:
    ends = (
        start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )
    if max(ends, default=0) > n_bytes:
        raise EOFError("the file ends before the picture does")


def _content(tiff: TiffFile, page: TiffPage) -> TiffContent:
    notes = []
    n_pages = sum(not (getattr(other, "subfiletype", 0) & _NO_PAGES) for other in tiff.pages)
    if tiff.imagej_metadata:  # large ones have a single page that all others follow
        n_pages = max(n_pages, int(tiff.imagej_metadata.get("images", 1)))
    if n_pages > 1:
        notes.append(f"The file holds {n_pages} pages; the first is used.")
    pixels = _in_order(page, notes)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        pixels = _inverted(pixels, page.bitspersample)
    pixels = _chosen_bands(page, pixels, notes)
    orientation = page.tags.valueof(_ORIENTATION, 1)
    pixels = _upright(pixels, orientation)
    nodata = _nodata(page)
    if nodata is not None:
        pixels = _with_hidden(pixels, nodata, notes)
    georeference = _georeference(page) if orientation == 1 else None
    return TiffContent(pixels, tuple(notes), nodata, georeference)


def _in_order(page: TiffPage, notes: list[str]) -> npt.NDArray[Any]:
    """The page as H x W or H x W x channels; of a volume the first slice."""
    pixels, axes = page.asarray(), page.axes
    if "Z" in axes:
        notes.append(f"The page is a volume of {page.imagedepth} slices; the first is used.")
        pixels = np.take(pixels, 0, axis=axes.index("Z"))
        axes = axes.replace("Z", "")
    return np.moveaxis(pixels, axes.index("S"), -1) if "S" in axes else pixels


def _inverted(pixels: npt.NDArray[Any], n_bits: int) -> npt.NDArray[Any]:
    """What is stored as "0 is white", as "0 is black"."""
    if pixels.dtype.kind == "b":
        return ~pixels
    if pixels.dtype.kind == "u":
        return np.asarray(pixels.dtype.type(2**n_bits - 1) - pixels)
    return pixels


def _chosen_bands(
    page: TiffPage, pixels_hwc: npt.NDArray[Any], notes: list[str]
) -> npt.NDArray[Any]:
    """One grey band or three colours, with an alpha channel where the file says that it is one."""
    n_bands = pixels_hwc.shape[2] if pixels_hwc.ndim == _COLOURS else 1
    n_colours = 1 if n_bands < _COLOURS else _COLOURS
    n_others = n_bands - n_colours
    if not n_others:
        return pixels_hwc
    is_alpha = n_others == 1 and bool(page.extrasamples) and page.extrasamples[-1] in _ALPHA
    if is_alpha:
        return pixels_hwc
    taken = "the first is used, as grey"
    if n_colours == _COLOURS:
        taken = "the first three are used, as red, green and blue"
    notes.append(
        f"The picture has {n_bands} bands; {taken}. To use others, write them to a file of three."
    )
    chosen = pixels_hwc[..., :n_colours]
    return chosen[..., 0] if n_colours == 1 else chosen


def _upright(pixels_hwc: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turns and mirrors by the values 1 to 8 of the tag of that name."""
    if orientation in {5, 6, 7, 8}:
        pixels_hwc = np.swapaxes(pixels_hwc, 0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels_hwc = pixels_hwc[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels_hwc = pixels_hwc[:, ::-1]
    return np.ascontiguousarray(pixels_hwc)


def _nodata(page: TiffPage) -> float | None:
    text = page.tags.valueof(_GDAL_NODATA)
    try:
        return None if text is None else float(str(text).strip(" \0"))
    except ValueError:
        return None


def _with_hidden(pixels_hwc: npt.NDArray[Any], nodata: float, notes: list[str]) -> npt.NDArray[Any]:
    """Hides what is missing by the file's own word, but in 8-bit pictures, which stay as they are.

    NaN needs no hiding.
    """
    kind = pixels_hwc.dtype.kind
    if pixels_hwc.dtype == np.uint8 or kind not in "iuf" or np.isnan(nodata):
        return pixels_hwc
    if kind == "f":
        with np.errstate(over="ignore"):
            is_missing = pixels_hwc == pixels_hwc.dtype.type(nodata)
    elif nodata.is_integer():
        is_missing = pixels_hwc == int(nodata)
    else:
        return pixels_hwc
    if not is_missing.any():
        return pixels_hwc
    notes.append(
        f"Values of {nodata:g} are missing ones by the file's own word "
        f"({is_missing.mean():.1%} of all); they are shown black."
    )
    return np.ma.masked_array(pixels_hwc, is_missing)


def _georeference(page: TiffPage) -> Georeference | None:
    keys = _geo_keys(page)
    affine = _affine(page)
    if affine is None:
        return None
    a, b, c, d, e, f = affine
    if keys.get(_RASTER_TYPE) == _PIXEL_IS_POINT:  # given for the middle of the pixel
        c, f = c - (a + b) / 2, f - (d + e) / 2
    code = keys.get(_PROJECTED_CRS, keys.get(_GEOGRAPHIC_CRS, _USER_DEFINED))
    crs = f"EPSG:{code}" if 0 < code < _USER_DEFINED else None
    return Georeference((a, b, c, d, e, f), crs)


def _affine(page: TiffPage) -> tuple[float, float, float, float, float, float] | None:
    matrix = page.tags.valueof(_TRANSFORMATION)
    if matrix is not None and len(matrix) >= 8:
        a, b, _, c, d, e, _, f = (float(number) for number in matrix[:8])
        return a, b, c, d, e, f
    scale, tie = page.tags.valueof(_PIXEL_SCALE), page.tags.valueof(_TIE_POINTS)
    if scale is None or tie is None or len(scale) < 2 or len(tie) < 6:
        return None
    column, row, _, x, y = (float(number) for number in tie[:5])
    width, height = float(scale[0]), float(scale[1])
    return width, 0.0, x - column * width, 0.0, -height, y + row * height


def _geo_keys(page: TiffPage) -> dict[int, int]:
    """The short values of the GeoKeyDirectory: (id, where, count, value) by fours."""
    directory = page.tags.valueof(_GEO_KEYS)
    if directory is None:
        return {}
    entries = np.array(directory[4:], int)
    entries = entries[: len(entries) // 4 * 4].reshape(-1, 4)
    return {int(key): int(value) for key, where, _, value in entries if where == 0}
