"""Masks as prompts, out of pictures and run lengths."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.prompts import (
    PromptMask,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.masks.rle import decompress
from infer_segment_anything_2.sam2_reading.object_entries import MaskSource
from infer_segment_anything_2.sam2_reading.picture_files import read_picture

__all__ = ["mask_from_picture", "read_mask"]

_COLOURS = 3


def mask_from_picture(picture: object) -> PromptMask | None:
    """Reads a black and white picture: what is brighter than half of the brightest is the object.

    Args:
        picture: H x W, or with channels (the brightest colour counts, an alpha channel does not).

    Returns:
        The mask; None for a picture without a bright pixel.

    Raises:
        ImageError: It is no picture.
    """
    if not isinstance(picture, np.ndarray) or picture.ndim not in (2, 3) or not picture.size:
        shape = getattr(picture, "shape", type(picture).__name__)
        raise ImageError(
            f"A mask must be a black and white picture of height x width, got {shape}; give one "
            "that is bright on the object and black elsewhere."
        )
    if picture.dtype.kind not in "biuf":
        raise ImageError(
            f"A mask must be a picture of numbers, got values of type {picture.dtype}; convert it."
        )
    levels = np.asarray(np.ma.filled(picture, 0))  # what is missing is no part of the object
    if levels.ndim == _COLOURS:
        n_colours = _COLOURS if levels.shape[2] >= _COLOURS else 1
        levels = levels[..., :n_colours].max(axis=2)
    if levels.dtype.kind == "f":
        levels = np.nan_to_num(levels)  # infinities become the largest numbers, NaN black
    brightest = levels.max()
    if not brightest > 0:
        return None
    return PromptMask(np.asarray(levels > brightest / 2))


def read_mask(source: MaskSource) -> PromptMask:
    """Fetches the mask of an entry of ``input_objects``.

    Raises:
        ImageError: It cannot be read, or no pixel of it is set.
        ValueError: Its run lengths do not fill its size.
    """
    if source.path:
        path = Path(source.path)
        with contextlib.suppress(RuntimeError):  # "~name" of somebody unknown is a plain name
            path = path.expanduser()
        mask = mask_from_picture(read_picture(path))
    else:
        counts = source.counts
        runs = decompress(counts) if isinstance(counts, str) else np.array(counts, np.uint32)
        mask = mask_from_picture(Rle(source.image_hw, runs).decode())
    if mask is None:
        raise ImageError("no pixel of it is set; expected at least one on the object.")
    return mask
