"""The host's graphics, and its picture of a mask, as prompts and regions."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ikomia import core, dataprocess

from infer_segment_anything_2.prompts import ColourRgb, DrawnBox, DrawnPoint, Polygon

__all__ = ["drawn_prompts", "drawn_regions", "is_fed", "mask_prompt"]

_LOGGER = logging.getLogger("ikomia.infer_segment_anything_2")
_LABEL_TYPES = frozenset({core.IODataType.IMAGE_LABEL, core.IODataType.VIDEO_LABEL})
_FEWEST_CORNERS = 3
# The host's name of graphics that a task in front made; those drawn or set are "GraphicsInput".
_NAME_OF_FED_GRAPHICS = "GraphicsOutput"


def is_fed(graphics: dataprocess.CGraphicsInput) -> bool:
    """Whether a task in front made them: if it finds nothing, nothing is asked, not everything."""
    return bool(graphics.name == _NAME_OF_FED_GRAPHICS)


def drawn_prompts(
    graphics: dataprocess.CGraphicsInput,
) -> tuple[list[DrawnPoint], list[DrawnBox]]:
    """Reads the points and rectangles among graphics; the other items prompt no object.

    The items' own coordinates count: the bounding rectangle of a point is shifted by its size.
    """
    points, boxes = [], []
    for item in graphics.get_items():
        category = item.get_category()
        if item.get_type() == core.GraphicsItem.POINT:
            points.append(DrawnPoint((item.point.x, item.point.y), category))
        elif item.get_type() == core.GraphicsItem.RECTANGLE:
            corners = (item.x, item.y, item.x + item.width, item.y + item.height)
            boxes.append(DrawnBox(corners, category, _chosen_colour(item.property.pen_color)))
    return points, boxes


def drawn_regions(graphics: dataprocess.CGraphicsInput) -> list[Polygon]:
    """Reads the polygons among graphics: where everything is searched for."""
    return [
        tuple((corner.x, corner.y) for corner in item.points)
        for item in graphics.get_items()
        if item.get_type() == core.GraphicsItem.POLYGON and len(item.points) >= _FEWEST_CORNERS
    ]


def mask_prompt(mask_input: dataprocess.CImageIO) -> npt.NDArray[np.generic] | None:
    """The picture at the mask input, None where there is none, or labels that prompt nothing."""
    if not mask_input.is_data_available():
        return None
    if mask_input.data_type in _LABEL_TYPES:
        # The host connects any segmentation task to it, besides the instances' boxes to input 1:
        # all its classes in one picture, the background perhaps among them.
        _LOGGER.info("Input 2 holds labels, which prompt nothing; give a mask.")
        return None
    picture: npt.NDArray[np.generic] = mask_input.get_image()
    return picture


def _chosen_colour(pen_rgba: Sequence[int]) -> ColourRgb | None:
    """The colour of a pen, None of the pen that an item has when nobody chose one."""
    if list(pen_rgba) == list(core.GraphicsRectProperty().pen_color):
        return None
    red, green, blue = pen_rgba[:3]
    return red, green, blue
