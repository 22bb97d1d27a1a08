"""Prompts: what points at one object, in pixels of the picture.

Pure functions that *assemble* points and boxes into objects. ``sam2_reading.fitting`` fits them to
a picture; whoever holds an :class:`ObjectPrompt` that went through it may trust it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import PromptError, quoted

__all__ = [
    "BACKGROUND_LABEL",
    "BOXES_EXAMPLE",
    "FOREGROUND_LABEL",
    "POINTS_EXAMPLE",
    "BoxXyxy",
    "ColourRgb",
    "DrawnBox",
    "DrawnPoint",
    "ObjectPrompt",
    "PointXy",
    "Polygon",
    "PromptMask",
    "assemble_objects",
    "holds",
    "listed",
    "objects_from_drawing",
    "ordered",
    "plain_values",
]

PointXy = tuple[float, float]
BoxXyxy = tuple[float, float, float, float]
ColourRgb = tuple[int, int, int]
Polygon = tuple[PointXy, ...]

FOREGROUND_LABEL = 1
BACKGROUND_LABEL = 0

# How points and boxes are written, for messages.
POINTS_EXAMPLE = "[[500, 375]] or [[500, 375], [610, 420]]"
BOXES_EXAMPLE = "[425, 600, 700, 875] or [[425, 600, 700, 875], [20, 30, 90, 80]]"

# Categories of a drawn point that make it a background point.
_NEGATIVE_WORDS = frozenset({"negative", "background"})
# Studio's category of items that were given none.
_NO_CATEGORY = frozenset({"", "default", "foreground", "positive"})

# How arrays, tensors and columns turn themselves into Python's own types; "item" is of scalars.
_TO_PLAIN = ("tolist", "to_list", "item")


@dataclass(frozen=True, eq=False)
class PromptMask:
    """A mask that shows about where an object is.

    Attributes:
        mask_hw: bool, of any size, with at least one pixel set; it is stretched to the picture.
    """

    mask_hw: npt.NDArray[np.bool_]

    def __eq__(self, other: object) -> bool:
        """Whether both are the same pixels."""
        if not isinstance(other, PromptMask):
            return NotImplemented
        return np.array_equal(self.mask_hw, other.mask_hw)

    def __hash__(self) -> int:
        """Hash the pixels."""
        return hash((self.mask_hw.shape, self.mask_hw.tobytes()))


@dataclass(frozen=True)
class ObjectPrompt:
    """What points at one object, in pixels of the original picture.

    Numbers may be given as lists, arrays or tensors; they become tuples of Python's own numbers.

    Attributes:
        points_xy_px: Its points, x to the right, y downwards, (0, 0) the top left corner.
        labels: One per point, 1 on the object, 0 on the background; all 1 if none is given.
        box_xyxy_px: Its box, left, top, right, bottom, or None.
        category: Its class name where one is known, "" otherwise.
        key: The parameter it came from, "" when it was drawn.
        colour_rgb: The colour, 0 to 255, that it is to be shown in; None when it does not matter.
        mask: A mask of it that is to be refined, or None.
        name: What messages call it, "" when its numbers say enough.
        frame: In a video, the frame that it is for, from 0; None for that of the parameters.
        track_id: In a video, the id of its object, from 1; None for a new object.

    Raises:
        PromptError: Points, labels or box are of another shape, or do not fit together.
    """

    points_xy_px: tuple[PointXy, ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy_px: BoxXyxy | None = None
    category: str = ""
    key: str = ""
    colour_rgb: ColourRgb | None = None
    mask: PromptMask | None = None
    name: str = ""
    frame: int | None = None
    track_id: int | None = None

    def __post_init__(self) -> None:
        """Makes plain numbers of what was given."""
        points = _rows(self.points_xy_px, 2, "points_xy_px", "pairs of numbers")
        given = plain_values(self.labels)
        labels = given if isinstance(given, list) else [given]
        labels = labels or [FOREGROUND_LABEL] * len(points)
        if len(labels) != len(points) or any(label not in (0, 1) for label in labels):
            raise PromptError(
                f"labels must be one label per point ({len(points)}), 1 on the object or 0 on the "
                f"background, got {quoted(given)}."
            )
        object.__setattr__(self, "points_xy_px", tuple(points))
        object.__setattr__(self, "labels", tuple(map(int, labels)))
        if self.box_xyxy_px is not None:
            boxes = _rows(self.box_xyxy_px, 4, "box_xyxy_px", "4 numbers")
            if len(boxes) != 1:
                raise PromptError(
                    f"box_xyxy_px must be 4 numbers, got {len(boxes)} boxes; make an object of "
                    "each."
                )
            object.__setattr__(self, "box_xyxy_px", boxes[0])

    @property
    def clicks_xy_px(self) -> list[PointXy]:
        """The points that lie on the object."""
        return [
            point
            for point, label in zip(self.points_xy_px, self.labels, strict=True)
            if label == FOREGROUND_LABEL
        ]


@dataclass(frozen=True)
class DrawnPoint:
    """A point drawn in Studio or given as a graphics item, in pixels."""

    xy_px: PointXy
    category: str = ""


@dataclass(frozen=True)
class DrawnBox:
    """A rectangle drawn in Studio or found by a detector, in pixels; its colour if it has one."""

    xyxy_px: BoxXyxy
    category: str = ""
    colour_rgb: ColourRgb | None = None


def plain_values(value: object) -> object:
    """The value in Python's own types, at any depth: arrays, tensors and columns become lists.

    Raises:
        TypeError: Part of it has no order, or can be read only once.
    """
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, str | bytes):
        return value
    for method in _TO_PLAIN:
        if callable(convert := getattr(value, method, None)):
            converted = convert()
            # A number of more digits than Python's own stays what it is.
            return converted if type(converted) is type(value) else plain_values(converted)
    if isinstance(value, Sequence):
        return [plain_values(item) for item in value]
    if hasattr(value, "__array__"):
        return plain_values(np.asarray(value))
    if isinstance(value, Set | Iterator):
        what = "has no order" if isinstance(value, Set) else "is used up by reading it"
        raise TypeError(f"a {type(value).__name__} {what}, make a list of it")
    return value


def _rows(value: object, width: int, name: str, expected: str) -> list[tuple[float, ...]]:
    """Rows of so many numbers; a single one may stand by itself."""
    try:
        given = plain_values(value)
    except TypeError as error:
        raise PromptError(f"{name} must be {expected}, got {error}.") from None
    rows: list[Any] = given if isinstance(given, list) else [given]
    rows = [rows] if rows and not any(isinstance(row, list) for row in rows) else rows
    for row in rows:
        numbers = row if isinstance(row, list) else []
        if len(numbers) != width or not all(type(number) in (int, float) for number in numbers):
            raise PromptError(f"{name} must be {expected}, got {quoted(given)}.")
    return [tuple(row) for row in rows]


def objects_from_drawing(
    points: Sequence[DrawnPoint], boxes: Sequence[DrawnBox]
) -> list[ObjectPrompt]:
    """Reads drawn items: a rectangle is an object, a point inside a rectangle belongs to it.

    A point of the category "background" or "negative" lies on the background. The category of a
    rectangle is the object's class name, and the colour of the rectangle the object's colour.

    Raises:
        PromptError: A point is in none of several rectangles.
    """
    labels = [
        BACKGROUND_LABEL if point.category.strip().lower() in _NEGATIVE_WORDS else FOREGROUND_LABEL
        for point in points
    ]
    objects = assemble_objects(
        [point.xy_px for point in points], labels, [box.xyxy_px for box in boxes]
    )
    if not boxes:
        return [replace(prompt, key="") for prompt in objects]
    return [
        replace(prompt, category=_class_name(box.category), colour_rgb=box.colour_rgb, key="")
        for prompt, box in zip(objects, boxes, strict=True)
    ]


def assemble_objects(
    points_xy_px: Sequence[PointXy], labels: Sequence[int], boxes_xyxy_px: Sequence[BoxXyxy]
) -> list[ObjectPrompt]:
    """Groups points and boxes into objects.

    Without boxes all points are one object; a single box takes all points; of several boxes, the
    smallest that holds a point takes it.

    Raises:
        PromptError: There are several boxes and a point is in none.
    """
    if not boxes_xyxy_px:
        if not points_xy_px:
            return []
        return [ObjectPrompt(tuple(points_xy_px), tuple(labels), key="input_point")]
    members: list[list[int]] = [[] for _ in boxes_xyxy_px]
    for index, point in enumerate(points_xy_px):
        members[_owner(point, boxes_xyxy_px)].append(index)
    return [
        ObjectPrompt(
            points_xy_px=tuple(points_xy_px[index] for index in own),
            labels=tuple(labels[index] for index in own),
            box_xyxy_px=box,
            key="input_box",
        )
        for box, own in zip(boxes_xyxy_px, members, strict=True)
    ]


def _owner(point: PointXy, boxes: Sequence[BoxXyxy]) -> int:
    """Index of the box that a point belongs to."""
    if len(boxes) == 1:
        return 0
    holding = [index for index, box in enumerate(boxes) if holds(box, point)]
    if not holding:
        raise PromptError(
            f"Point {listed(point)} is in none of the {len(boxes)} boxes; with several boxes each "
            "point must lie in one, whose object it then belongs to.",
            key="input_point",
        )
    return min(holding, key=lambda index: _area(boxes[index]))


def holds(box: BoxXyxy, point: PointXy) -> bool:
    """Whether a point lies in a box or on its border."""
    x1, y1, x2, y2 = ordered(box)
    return x1 <= point[0] <= x2 and y1 <= point[1] <= y2


def _area(box: BoxXyxy) -> float:
    x1, y1, x2, y2 = ordered(box)
    return (x2 - x1) * (y2 - y1)


def ordered(box: BoxXyxy) -> BoxXyxy:
    """The box with its upper left corner first."""
    x1, y1, x2, y2 = box
    return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _class_name(category: str) -> str:
    return "" if category.strip().lower() in _NO_CATEGORY else category


def listed(numbers: Sequence[float]) -> str:
    """Numbers as a user writes them, for messages."""
    return "[" + ", ".join(f"{number:g}" for number in numbers) + "]"
