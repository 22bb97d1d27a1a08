"""Prompts: from text or drawn items to validated objects in pixels of the picture.

Three steps, each a pure function: *parse* text to numbers, *assemble* points and boxes into
objects, *fit* the objects to a picture's size. Whoever holds an :class:`ObjectPrompt` that went
through :func:`fit_to_image` may trust it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard, cast

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.errors import PromptError

__all__ = [
    "BACKGROUND_LABEL",
    "FOREGROUND_LABEL",
    "BoxXyxy",
    "ColourRgb",
    "DrawnBox",
    "DrawnPoint",
    "ObjectPrompt",
    "PointXy",
    "Polygon",
    "PromptMask",
    "assemble_objects",
    "fit_to_image",
    "objects_from_drawing",
    "objects_from_text",
    "parse_boxes",
    "parse_labels",
    "parse_point_grids",
    "parse_points",
    "parse_regions",
    "without_numpy_names",
]

PointXy = tuple[float, float]
BoxXyxy = tuple[float, float, float, float]
ColourRgb = tuple[int, int, int]
Polygon = tuple[PointXy, ...]

FOREGROUND_LABEL = 1
BACKGROUND_LABEL = 0

# Categories of a drawn point that make it a background point.
_NEGATIVE_WORDS = frozenset({"negative", "background"})
# Studio's category of items that were given none.
_NO_CATEGORY = frozenset({"", "default", "foreground", "positive"})

# A point this far beyond the border is taken as rounding and clipped; further out is a mistake.
_POINT_SLACK_PX = 1.0

# How far the proportions of a mask may be from the picture's before it is worth a word.
_MOST_STRETCH = 1.05

_LONGEST_QUOTE = 80
# No two parts of a number can match the same digits, or a long text would take time that grows
# with its square; "inf" in ASCII only, as ignoring case takes a dotless i for an i.
_TOKEN = re.compile(
    r"(?P<number>[+-]?(?:(?a:nan|inf(?:inity)?)|(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?))(?![\w.+-])"
    r"|(?P<open>[\[(])|(?P<close>[\])])|(?P<gap>[\s,]+)",
    re.IGNORECASE,
)
# numpy 2 writes its scalars as "np.float32(1.5)" and its arrays as "array([1, 2], dtype=int32)".
_NUMPY_SCALAR = re.compile(r"(?:np\.|numpy\.)?(?:u?int|float)\d+\(([^()]*)\)")
_NUMPY_ARRAY = re.compile(r"(?:np\.|numpy\.)?array(?=\()|,\s*dtype=[\w.]+")

_POINTS_EXAMPLE = "[[500, 375]] or [[500, 375], [610, 420]]"
_BOXES_EXAMPLE = "[425, 600, 700, 875] or [[425, 600, 700, 875], [20, 30, 90, 80]]"
_LABELS_EXAMPLE = "[1, 0]"
_REGIONS_EXAMPLE = "[[120, 80], [900, 80], [500, 640]] or [120, 80, 900, 640]"
_GRIDS_EXAMPLE = "[[0.5, 0.5], [0.25, 0.75]]"

_POINT_NUMBERS = 2
_BOX_NUMBERS = 4
_FEWEST_CORNERS = 3

_Nested = list["float | _Nested"]


@dataclass(frozen=True, eq=False)
class PromptMask:
    """A mask that shows about where an object is.

    Attributes:
        mask_hw: bool, of any size, with at least one pixel set; it is stretched to the picture.
    """

    mask_hw: npt.NDArray[np.bool_]

    def __eq__(self, other: object) -> bool:
        """Tell whether both are the same pixels."""
        if not isinstance(other, PromptMask):
            return NotImplemented
        return np.array_equal(self.mask_hw, other.mask_hw)

    def __hash__(self) -> int:
        """Hash the pixels."""
        return hash((self.mask_hw.shape, self.mask_hw.tobytes()))


@dataclass(frozen=True)
class ObjectPrompt:
    """What points at one object, in pixels of the original picture.

    Attributes:
        points_xy_px: Its points, x to the right, y downwards, (0, 0) the top left corner.
        labels: One per point, 1 on the object, 0 on the background.
        box_xyxy_px: Its box, left, top, right, bottom, or None.
        category: Its class name where one is known, "" otherwise.
        key: The parameter it came from, "" when it was drawn.
        colour_rgb: The colour, 0 to 255, that it is to be shown in; None when that is all the same.
        mask: A mask of it that is to be bettered, or None.
        name: What messages call it, "" when its numbers say enough.
    """

    points_xy_px: tuple[PointXy, ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy_px: BoxXyxy | None = None
    category: str = ""
    key: str = ""
    colour_rgb: ColourRgb | None = None
    mask: PromptMask | None = None
    name: str = ""

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


def objects_from_text(points: str, labels: str, boxes: str) -> list[ObjectPrompt]:
    """Reads the three simple prompt parameters.

    Raises:
        PromptError: A text does not parse, the counts do not fit, or a point is in none of
            several boxes.
    """
    points_xy_px = parse_points(points)
    point_labels = parse_labels(labels)
    if point_labels and len(point_labels) != len(points_xy_px):
        raise PromptError(
            f"input_point_label has {len(point_labels)} labels for {len(points_xy_px)} points in "
            "input_point; give one label per point, or none when all points are on the object.",
            key="input_point_label",
        )
    point_labels = point_labels or [FOREGROUND_LABEL] * len(points_xy_px)
    return assemble_objects(points_xy_px, point_labels, parse_boxes(boxes))


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


def parse_points(text: str) -> list[PointXy]:
    """Reads "[x, y]", "[[x, y], [x, y]]" and their relatives; empty text is no points.

    Raises:
        PromptError: The text is something else.
    """
    rows = _parse_rows(text, width=2, key="input_point", noun="points", example=_POINTS_EXAMPLE)
    return [(x, y) for x, y in rows]


def parse_boxes(text: str) -> list[BoxXyxy]:
    """Reads "[x1, y1, x2, y2]" and lists of those; empty text is no boxes.

    Raises:
        PromptError: The text is something else.
    """
    rows = _parse_rows(text, width=4, key="input_box", noun="boxes", example=_BOXES_EXAMPLE)
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in rows]


def parse_labels(text: str) -> list[int]:
    """Reads "1", "[1]" or "[1, 0]"; empty text is no labels.

    Raises:
        PromptError: The text is something else, or a label is neither 0 nor 1.
    """
    key, noun = "input_point_label", "labels"
    nested = _parse_nested(text, key=key, noun=noun, example=_LABELS_EXAMPLE)
    while len(nested) == 1 and isinstance(nested[0], list):
        nested = nested[0]
    labels: list[int] = []
    for item in nested:
        if item not in (FOREGROUND_LABEL, BACKGROUND_LABEL):
            raise _unreadable(
                text,
                key=key,
                noun=noun,
                example=_LABELS_EXAMPLE,
                why="each label is 1 (on the object) or 0 (on the background)",
            )
        labels.append(int(item))
    return labels


def parse_regions(text: str) -> list[Polygon]:
    """Reads polygons "[[x, y], [x, y], [x, y]]", boxes "[x1, y1, x2, y2]" and lists of those.

    Returns:
        One polygon each, in pixels; none for empty text.

    Raises:
        PromptError: The text is something else.
    """
    key, noun = "region_of_interest", "regions"
    return [
        _region(item, text)
        for item in _innermost_lists(text, key=key, noun=noun, example=_REGIONS_EXAMPLE)
    ]


def _region(item: list[list[float]], text: str) -> Polygon:
    """One polygon of the rows of a region: four numbers, or points."""
    if len(item) == 1 and len(item[0]) == _BOX_NUMBERS:
        x1, y1, x2, y2 = _ordered((item[0][0], item[0][1], item[0][2], item[0][3]))
        return ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    if len(item) < _FEWEST_CORNERS or any(len(row) != _POINT_NUMBERS for row in item):
        raise _unreadable(
            text,
            key="region_of_interest",
            noun="regions",
            example=_REGIONS_EXAMPLE,
            why="a polygon is three or more points of 2 numbers, a box is 4 numbers",
        )
    return tuple((row[0], row[1]) for row in item)


def parse_point_grids(text: str, n_layers: int) -> list[list[PointXy]]:
    """Reads a list of points from 0 to 1, or one such list per layer.

    Args:
        text: The parameter's text.
        n_layers: How many there are, the whole picture and its crop layers.

    Returns:
        The points of each layer; a single list is that of all layers. Empty text gives none.

    Raises:
        PromptError: The text is something else, or the number of lists is another.
    """
    key, noun = "point_grids", "points"
    grids = _innermost_lists(text, key=key, noun=noun, example=_GRIDS_EXAMPLE)

    def refusal(why: str) -> PromptError:
        return _unreadable(text, key=key, noun=noun, example=_GRIDS_EXAMPLE, why=why)

    if any(len(row) != _POINT_NUMBERS for grid in grids for row in grid):
        raise refusal("each point is 2 numbers")
    if any(not 0 <= number <= 1 for grid in grids for row in grid for number in row):
        raise refusal("each number is a part of the picture's width or height, from 0 to 1")
    if len(grids) not in (0, 1, n_layers):
        raise refusal(
            f"there are {len(grids)} lists of points for {n_layers} layers (the picture and "
            f"{n_layers - 1} of crops); give one list for all, or one each"
        )
    layers = [[(row[0], row[1]) for row in grid] for grid in grids]
    return layers * n_layers if len(layers) == 1 else layers


def _innermost_lists(text: str, *, key: str, noun: str, example: str) -> list[list[list[float]]]:
    """Reads rows of numbers in groups: "[1, 2]", "[[1, 2], [3, 4]]" or a list of the latter.

    A group of one row stands for a row by itself, so that boxes may lie among polygons.
    """

    def refusal(why: str) -> PromptError:
        return _unreadable(text, key=key, noun=noun, example=example, why=why)

    nested = _parse_nested(text, key=key, noun=noun, example=example)
    while len(nested) == 1 and isinstance(nested[0], list):
        nested = nested[0]
    if not nested:
        return []
    if all(isinstance(item, float) for item in nested):
        nested = [nested]
    if all(_is_row(item) and len(item) == _POINT_NUMBERS for item in nested):
        nested = [nested]
    groups: list[list[list[float]]] = []
    for item in nested:
        rows = [item] if _is_row(item) else item
        if not isinstance(rows, list) or not rows or not all(map(_is_row, rows)):
            raise refusal("numbers and lists are mixed, or lists are empty or too deep")
        groups.append(cast("list[list[float]]", rows))
    return groups


def _is_row(item: object) -> TypeGuard[list[float]]:
    """Whether it is a list of nothing but numbers, at least one."""
    return isinstance(item, list) and bool(item) and all(isinstance(n, float) for n in item)


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
            or a point lies more than a pixel outside: a mask made from that would be silently
            wrong.
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


def _fit_one(prompt: ObjectPrompt, image_hw: tuple[int, int], notes: list[str]) -> ObjectPrompt:
    box = prompt.box_xyxy_px
    clipped_box = None if box is None else _clip_box(box, image_hw, notes)
    points = tuple(_clip_point(point, image_hw, notes) for point in prompt.points_xy_px)
    if prompt.mask is not None:
        _tell_stretching(prompt.mask, image_hw, notes)
    return replace(prompt, points_xy_px=points, box_xyxy_px=clipped_box)


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
            f"Box {_words(box)} must be of finite numbers; give left, top, right, bottom in "
            f"pixels, such as {_BOXES_EXAMPLE}.",
            key="input_box",
        )
    x1, y1, x2, y2 = _ordered(box)
    if (x1, y1, x2, y2) != box:
        notes.append(
            f"Box {_words(box)} had its corners swapped; taken as {_words((x1, y1, x2, y2))}."
        )
    if x1 == x2 or y1 == y2:
        raise PromptError(
            f"Box {_words(box)} has no area; give left, top, right, bottom in pixels, such as "
            f"{_BOXES_EXAMPLE}.",
            key="input_box",
        )
    height, width = image_hw
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise PromptError(
            f"Box {_words(box)} lies outside the picture, which is {width} wide and {height} high; "
            "give left, top, right, bottom in pixels of the original picture.",
            key="input_box",
        )
    if inside != (x1, y1, x2, y2):
        notes.append(
            f"Box {_words(box)} reaches beyond the picture of {width}x{height}; clipped "
            f"to {_words(inside)}."
        )
    return inside


def _clip_point(point: PointXy, image_hw: tuple[int, int], notes: list[str]) -> PointXy:
    if not all(map(math.isfinite, point)):
        raise PromptError(
            f"Point {_words(point)} must be of finite numbers; give x, y in pixels, such as "
            f"{_POINTS_EXAMPLE}.",
            key="input_point",
        )
    height, width = image_hw
    inside = (min(max(point[0], 0.0), float(width)), min(max(point[1], 0.0), float(height)))
    if math.dist(point, inside) > _POINT_SLACK_PX:
        raise PromptError(
            f"Point {_words(point)} lies outside the picture, which is {width} wide and {height} "
            "high; give x, y in pixels of the original picture.",
            key="input_point",
        )
    if inside != point:
        notes.append(
            f"Point {_words(point)} lies just outside the picture of {width}x{height}; "
            f"moved to {_words(inside)}."
        )
    return inside


def _owner(point: PointXy, boxes: Sequence[BoxXyxy]) -> int:
    """Index of the box that a point belongs to."""
    if len(boxes) == 1:
        return 0
    holding = [index for index, box in enumerate(boxes) if _holds(box, point)]
    if not holding:
        raise PromptError(
            f"Point {_words(point)} is in none of the {len(boxes)} boxes; with several boxes each "
            "point must lie in one, whose object it then belongs to.",
            key="input_point",
        )
    return min(holding, key=lambda index: _area(boxes[index]))


def _holds(box: BoxXyxy, point: PointXy) -> bool:
    x1, y1, x2, y2 = _ordered(box)
    return x1 <= point[0] <= x2 and y1 <= point[1] <= y2


def _area(box: BoxXyxy) -> float:
    x1, y1, x2, y2 = _ordered(box)
    return (x2 - x1) * (y2 - y1)


def _ordered(box: BoxXyxy) -> BoxXyxy:
    x1, y1, x2, y2 = box
    return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _class_name(category: str) -> str:
    return "" if category.strip().lower() in _NO_CATEGORY else category


def _words(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{number:g}" for number in numbers) + "]"


def _parse_rows(text: str, *, width: int, key: str, noun: str, example: str) -> list[list[float]]:
    """Reads one row of ``width`` numbers, or a list of such rows."""
    nested = _parse_nested(text, key=key, noun=noun, example=example)
    while len(nested) == 1 and isinstance(nested[0], list):
        nested = nested[0]
    rows = [nested] if nested and not any(isinstance(item, list) for item in nested) else nested
    checked: list[list[float]] = []
    for row in rows:
        numbers = [item for item in row if isinstance(item, float)] if isinstance(row, list) else []
        if not isinstance(row, list) or len(row) != width or len(numbers) != width:
            raise _unreadable(
                text,
                key=key,
                noun=noun,
                example=example,
                why=f"each of the {noun} is {width} numbers",
            )
        checked.append(numbers)
    return checked


def _parse_nested(text: str, *, key: str, noun: str, example: str) -> _Nested:
    """Reads nested lists of finite numbers; commas, spaces and kinds of brackets are all one."""

    def refusal(why: str) -> PromptError:
        return _unreadable(text, key=key, noun=noun, example=example, why=why)

    plain = "" if text.strip().lower() == "none" else text
    plain = without_numpy_names(plain)
    stack: list[_Nested] = [[]]
    position = 0
    while position < len(plain):
        token = _TOKEN.match(plain, position)
        if token is None or (token["close"] and len(stack) == 1):
            raise refusal(f"{plain[position : position + 10]!r} does not belong there")
        position = token.end()
        if token["open"]:
            stack.append([])
            stack[-2].append(stack[-1])
        elif token["close"]:
            stack.pop()
        elif token["number"]:
            number = float(token["number"])
            if not math.isfinite(number):
                raise refusal(f"{_shortened(token['number'])} is not a finite number")
            stack[-1].append(number)
    if len(stack) > 1:
        raise refusal("a bracket is not closed")
    return stack[0]


def without_numpy_names(text: str) -> str:
    """The same lists and numbers without "np.float32(...)", "array(...)" and their relatives."""
    return _NUMPY_ARRAY.sub("", _NUMPY_SCALAR.sub(r"\1", text))


def _unreadable(text: str, *, key: str, noun: str, example: str, why: str) -> PromptError:
    return PromptError(
        f"{key} must hold {noun} such as {example}, got {_shortened(text)!r}: {why}.", key=key
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."
