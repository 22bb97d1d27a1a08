"""Masks as pictures: a label map, distinct colours, an overlay.

Every mask is painted inside its own box, one after the other, so memory does not grow with their
number. Where masks overlap, the smaller is on top; of equal ones, the better ranked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, mask_in_box

__all__ = ["colours_of", "instance_colours", "paint_labels", "paint_overlay"]

_BAND_ROWS = 256


def paint_labels(mask_set: MaskSet) -> npt.NDArray[np.integer]:
    """Paints the masks into one label map.

    Returns:
        H x W: 0 = background, k = the mask at index k - 1. uint8 for up to 255 masks, uint16 for
        up to 65,535, int32 beyond. A mask that smaller ones cover wholly is not seen in it.
    """
    labels_hw = np.zeros(mask_set.image_hw, dtype=_label_type(len(mask_set)))
    areas_px = np.array([rle.area_px for rle in mask_set.rles], dtype=np.int64)
    for place, index in enumerate(np.argsort(areas_px, kind="stable")[::-1].tolist()):
        mask_hw, (left, top) = mask_in_box(mask_set.rles[index])
        height, width = mask_hw.shape
        part_hw = labels_hw[top : top + height, left : left + width]
        if place == 0:  # the largest, on nothing yet: a product takes a fraction of the time
            np.multiply(mask_hw, part_hw.dtype.type(index + 1), out=part_hw)
        else:
            part_hw[mask_hw] = index + 1
    return labels_hw


def _label_type(count: int) -> type[np.integer]:
    if count <= np.iinfo(np.uint8).max:
        return np.uint8
    return np.uint16 if count <= np.iinfo(np.uint16).max else np.int32


def instance_colours(count: int) -> npt.NDArray[np.uint8]:
    """Colours that differ well from each other: always the same, a longer list begins as a shorter.

    Hue, saturation and brightness each advance by an irrational step, so that any number of
    colours spreads evenly (a Kronecker sequence).

    Returns:
        RGB, count x 3 uint8; bright enough to be seen on a dark picture.
    """
    index = np.arange(count, dtype=np.float64)
    hue = index * (np.sqrt(5) - 1) / 2 % 1
    saturation = 1 - 0.5 * (index * np.sqrt(2) % 1)
    brightness = 1 - 0.4 * (index * np.sqrt(3) % 1)
    sextant = (hue[:, None] * 6 + np.array([5.0, 3.0, 1.0])) % 6  # HSV to RGB, one channel each
    dip = np.clip(np.minimum(sextant, 4 - sextant), 0, 1)
    rgb = brightness[:, None] * (1 - saturation[:, None] * dip)
    colours: npt.NDArray[np.uint8] = np.round(rgb * 255).astype(np.uint8)
    return colours


def colours_of(
    mask_set: MaskSet, objects: Sequence[ObjectPrompt] | None = None
) -> npt.NDArray[np.uint8]:
    """The colour of each mask: that of its object where the prompt brought one, else its own.

    Returns:
        RGB, N x 3 uint8.
    """
    colours = instance_colours(len(mask_set))
    if objects is not None:
        for index, owner in enumerate(mask_set.object_index.tolist()):
            given = objects[owner].colour_rgb
            if given is not None:
                colours[index] = given
    return colours


def paint_overlay(
    image_rgb_hwc: npt.NDArray[np.uint8],
    mask_set: MaskSet,
    *,
    opacity: float = 0.5,
    colours_rgb: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Paints every mask in its own colour over the picture, with a solid outline.

    Args:
        image_rgb_hwc: The picture, H x W x 3 uint8; left as it is.
        mask_set: Masks of a picture of this size.
        opacity: 0 = only outlines, 1 = the picture is hidden under the masks.
        colours_rgb: One per mask, N x 3; those of :func:`instance_colours` when left out.

    Returns:
        H x W x 3 uint8.
    """
    labels_hw = paint_labels(mask_set)
    of_masks = instance_colours(len(mask_set)) if colours_rgb is None else colours_rgb
    colours = np.concatenate([np.zeros((1, 3), np.uint8), of_masks])
    painted = image_rgb_hwc.copy()
    for top in range(0, len(labels_hw), _BAND_ROWS):  # a band at a time: flat memory
        band = labels_hw[top : top + _BAND_ROWS]
        picture = painted[top : top + _BAND_ROWS]
        strength = np.where(_outline(labels_hw, top), 1.0, opacity).astype(np.float32)
        strength[band == 0] = 0
        blend = picture + strength[..., None] * (colours[band].astype(np.float32) - picture)
        picture[:] = np.round(blend).astype(np.uint8)
    return painted


def _outline(labels_hw: npt.NDArray[np.integer], top: int) -> npt.NDArray[np.bool_]:
    """Pixels of a band whose left, right, upper or lower neighbour has another label; bool."""
    start, stop = max(top - 1, 0), min(top + _BAND_ROWS + 1, len(labels_hw))
    region = labels_hw[start:stop]
    outline = np.zeros(region.shape, dtype=bool)
    down = region[1:] != region[:-1]
    across = region[:, 1:] != region[:, :-1]
    outline[1:] |= down
    outline[:-1] |= down
    outline[:, 1:] |= across
    outline[:, :-1] |= across
    return outline[top - start :][:_BAND_ROWS]
