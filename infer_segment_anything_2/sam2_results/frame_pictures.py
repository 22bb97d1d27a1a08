"""Pictures of the frames of a tracked video: painted over, and as DAVIS has them.

The masks of a frame are a ``MaskSet`` whose ``object_index`` is the object's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.painting import (
    instance_colours,
    paint_labels,
    paint_overlay,
)
from infer_segment_anything_2.sam2_results.whole_files import remove_file, write_whole

__all__ = ["MOST_DAVIS_ID", "check_ids", "paint_frame", "remove_davis", "write_davis_frame"]

MOST_DAVIS_ID = 255
"""A palette has so many colours beside the background's."""

_SMALLEST_TEXT_PX = 10
_LINES_OF_TEXT = 24  # as many lines would fit on the frame


def paint_frame(
    image_rgb_hwc: npt.NDArray[np.uint8],
    masks: MaskSet,
    categories: Mapping[int, str] | None = None,
    *,
    opacity: float = 0.5,
) -> npt.NDArray[np.uint8]:
    """Paints the objects of a frame, each in the colour of its id, with its number beside it.

    Args:
        image_rgb_hwc: The frame; left as it is.
        masks: The objects in it.
        categories: Class names by object id, which stand before the numbers.
        opacity: 0 = only outlines, 1 = the picture is hidden under the masks.

    Returns:
        H x W x 3 uint8.
    """
    if not len(masks):
        return image_rgb_hwc.copy()
    ids = masks.object_index
    colours_rgb = instance_colours(int(ids.max()) + 1)[ids]
    painted = paint_overlay(image_rgb_hwc, masks, opacity=opacity, colours_rgb=colours_rgb)
    picture = Image.fromarray(painted)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(_SMALLEST_TEXT_PX, min(picture.size) // _LINES_OF_TEXT))
    for object_id, rle, box in zip(ids.tolist(), masks.rles, masks.boxes_xyxy_px, strict=True):
        if not rle.area_px:
            continue
        name = (categories or {}).get(object_id, "")
        words = f"{name} #{object_id}" if name else f"#{object_id}"
        _, _, width, height = draw.textbbox((0, 0), words, font=font, stroke_width=1)
        left = max(1, min(int(box[0]), picture.width - int(width)))
        top = max(0, int(box[1]) - int(height))
        draw.text((left, top), words, "white", font, stroke_width=1, stroke_fill="black")
    return np.asarray(picture)


def write_davis_frame(folder: Path, number: int, masks: MaskSet) -> None:
    """Writes ``00012.png`` for frame 12: 0 = background, else the object's id, in DAVIS' colours.

    Where objects overlap, the smaller one is on top.

    Args:
        folder: Where it goes.
        number: Of the frame.
        masks: The objects in it.

    Raises:
        ExportError: An object's id is not within 1 to 255, or the file cannot be written.
    """
    check_ids(masks.object_index.tolist(), 1, MOST_DAVIS_ID, "A palette PNG")
    values = np.concatenate([[0], masks.object_index]).astype(np.uint8)
    picture = Image.fromarray(values[paint_labels(masks)])
    picture.putpalette(_davis_palette().tobytes())
    write_whole(folder / f"{number:05d}.png", lambda file: picture.save(file, format="PNG"))


def remove_davis(folder: Path) -> None:
    """Removes the frames that :func:`write_davis_frame` wrote; other files stay.

    Raises:
        ExportError: A file cannot be removed.
    """
    for file in folder.glob("[0-9]*.png"):
        if file.stem.isdecimal():
            remove_file(file)


def check_ids(ids: Iterable[int], least: int, most: int, what: str) -> None:
    """Makes sure that a format can hold the objects.

    Raises:
        ExportError: An id is not within ``least`` to ``most``.
    """
    wrong = [one for one in ids if not least <= one <= most]
    if wrong:
        raise ExportError(
            f"{what} holds objects with ids from {least} to {most}, got {wrong[0]}; give it a "
            "smaller id, or choose another format."
        )


def _davis_palette() -> npt.NDArray[np.uint8]:
    """The colours of PASCAL VOC and DAVIS: the bits of a number, dealt out to red, green, blue."""
    number = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((number >> (3 * bit + channel) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette
