"""Prompts against a picture: kept within it, clipped a little beyond it, refused else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import (
    BOXES_EXAMPLE,
    POINTS_EXAMPLE,
    BoxXyxy,
    ObjectPrompt,
    PointXy,
    Polygon,
    PromptMask,
    holds,
    listed,
    ordered,
)

__all__ = ["fit_regions", "fit_to_image"]

# A point this far beyond the border is taken as rounding and clipped; further out is a mistake.
_POINT_SLACK_PX = 1.0

# How far fractions for pixels may be from 0 to 1, and the largest picture in which they are pixels.
_FRACTION_SLACK = 0.1
_SMALLEST_PX = 2

# How far the proportions of a mask may be from the picture's before it is worth a word.
_MOST_STRETCH = 1.05


def fit_to_image(
    objects: Sequence[ObjectPrompt], image_hw: tuple[int, int]
) -> tuple[list[ObjectPrompt], list[str]]:
    """Clips objects to the picture.

    Args:
        objects: Objects in pixels of the picture.
        image_hw: The picture's height and width in pixels.

    Returns:
        The objects with every coordinate within 0 to width and 0 to height, and one sentence for
        each thing that was changed.

    Raises:
        PromptError: A coordinate is not a finite number, a box has no area or lies wholly outside,
            a point lies more than a pixel outside, or what points at an object are parts of the
            picture (0 to 1) instead of pixels: a mask made from that would be silently wrong.
    """
    fitted: list[ObjectPrompt] = []
    notes: list[str] = []
    for prompt in objects:
        try:
            fitted.append(_fit_one(prompt, image_hw, notes))
        except PromptError as error:
            if not prompt.name:
                raise
            raise PromptError(f"{prompt.name}: {error}", key=prompt.key) from error
    return fitted, notes


def fit_regions(
    regions: Sequence[Polygon], image_hw: tuple[int, int]
) -> tuple[Polygon, ...] | None:
    """Checks regions of interest against a picture; None when there are none.

    Raises:
        PromptError: One lies wholly outside of the picture, is given in parts of it (0 to 1)
            instead of pixels, or a number is not finite.
    """
    height, width = image_hw
    for region in regions:
        xs, ys = zip(*region, strict=True)
        if not all(map(math.isfinite, (*xs, *ys))):
            raise PromptError(
                f"A region of interest must be of finite numbers, got {list(region[:4])}; give the "
                "corners in pixels of the original picture.",
                key="region_of_interest",
            )
        if _lie_in_first_pixel(region, image_hw, _FRACTION_SLACK):
            corners = (min(xs), min(ys), max(xs), max(ys))
            raise PromptError(
                _fractions("A region of interest within", corners, image_hw),
                key="region_of_interest",
            )
        if max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height:
            raise PromptError(
                f"A region of interest from x {min(xs):g} to {max(xs):g} and y {min(ys):g} to "
                f"{max(ys):g} lies outside the picture, which is {width} wide and {height} high; "
                "give it in pixels of the original picture.",
                key="region_of_interest",
            )
    return tuple(regions) or None


def _fit_one(prompt: ObjectPrompt, image_hw: tuple[int, int], notes: list[str]) -> ObjectPrompt:
    _refuse_fractions(prompt, image_hw)
    box = prompt.box_xyxy_px
    clipped_box = None if box is None else _clip_box(box, image_hw, notes)
    points = tuple(_clip_point(point, image_hw, notes) for point in prompt.points_xy_px)
    if prompt.mask is not None:
        _tell_stretching(prompt.mask, image_hw, notes)
    return replace(prompt, points_xy_px=points, box_xyxy_px=clipped_box)


def _refuse_fractions(prompt: ObjectPrompt, image_hw: tuple[int, int]) -> None:
    """Refuses a box within the first pixel, and points that all are, unless in whole numbers.

    (0, 0) and (1, 1) are pixels that one may point at, and so is (0.5, 0.5) in a box around it;
    a box there holds less than a pixel, a detector's rounding of 0 and 1 included.
    """
    box, points = prompt.box_xyxy_px, prompt.points_xy_px
    if box is not None and _lie_in_first_pixel([box[:2], box[2:]], image_hw, _FRACTION_SLACK):
        raise PromptError(_fractions("Box", box, image_hw), key="input_box")
    if not points or not _lie_in_first_pixel(points, image_hw):
        return
    parts = [point for point in points if any(number % 1 for number in point)]
    if parts and (box is None or not any(holds(box, point) for point in points)):
        raise PromptError(_fractions("Point", parts[0], image_hw), key="input_point")


def _lie_in_first_pixel(
    points: Sequence[tuple[float, ...]], image_hw: tuple[int, int], slack: float = 0
) -> bool:
    """Whether all points are from 0 to 1, which in a picture larger than 2 x 2 are no pixels."""
    numbers = [number for point in points for number in point]
    return min(image_hw) > _SMALLEST_PX and all(-slack <= n <= 1 + slack for n in numbers)


def _fractions(noun: str, numbers: Sequence[float], image_hw: tuple[int, int]) -> str:
    height, width = image_hw
    in_pixels = [n * side for n, side in zip(numbers, (width, height) * 2, strict=False)]
    return (
        f"{noun} {listed(numbers)} must be in pixels, got numbers from 0 to 1, as parts of the "
        f"picture are; give pixels of the original picture, which is {width} wide and {height} "
        f"high: {listed([round(number, 1) for number in in_pixels])}?"
    )


def _tell_stretching(mask: PromptMask, image_hw: tuple[int, int], notes: list[str]) -> None:
    height, width = mask.mask_hw.shape
    stretch = (image_hw[0] / height) / (image_hw[1] / width)
    if not 1 / _MOST_STRETCH < stretch < _MOST_STRETCH:
        notes.append(
            f"A mask of {width}x{height} has other proportions than the picture of "
            f"{image_hw[1]}x{image_hw[0]}; it was stretched to it."
        )


def _clip_box(box: BoxXyxy, image_hw: tuple[int, int], notes: list[str]) -> BoxXyxy:
    if not all(map(math.isfinite, box)):
        raise PromptError(
            f"Box {listed(box)} must be of finite numbers; give left, top, right, bottom in "
            f"pixels, such as {BOXES_EXAMPLE}.",
            key="input_box",
        )
    x1, y1, x2, y2 = ordered(box)
    if (x1, y1, x2, y2) != box:
        notes.append(
            f"Box {listed(box)} had its corners swapped; taken as {listed((x1, y1, x2, y2))}."
        )
    if x1 == x2 or y1 == y2:
        raise PromptError(
            f"Box {listed(box)} has no area; give left, top, right, bottom in pixels, such as "
            f"{BOXES_EXAMPLE}.",
            key="input_box",
        )
    height, width = image_hw
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise PromptError(
            f"Box {listed(box)} lies outside the picture, which is {width} wide and {height} high; "
            "give left, top, right, bottom in pixels of the original picture.",
            key="input_box",
        )
    if inside != (x1, y1, x2, y2):
        notes.append(
            f"Box {listed(box)} reaches beyond the picture of {width}x{height}; clipped "
            f"to {listed(inside)}."
        )
    return inside


def _clip_point(point: PointXy, image_hw: tuple[int, int], notes: list[str]) -> PointXy:
    if not all(map(math.isfinite, point)):
        raise PromptError(
            f"Point {listed(point)} must be of finite numbers; give x, y in pixels, such as "
            f"{POINTS_EXAMPLE}.",
            key="input_point",
        )
    height, width = image_hw
    inside = (min(max(point[0], 0.0), float(width)), min(max(point[1], 0.0), float(height)))
    if math.dist(point, inside) > _POINT_SLACK_PX:
        raise PromptError(
            f"Point {listed(point)} lies outside the picture, which is {width} wide and {height} "
            "high; give x, y in pixels of the original picture.",
            key="input_point",
        )
    if inside != point:
        notes.append(
            f"Point {listed(point)} lies just outside the picture of {width}x{height}; "
            f"moved to {listed(inside)}."
        )
    return inside
