"""Prompts as text: numbers and lists in any usual notation, into points, boxes, regions, grids."""

from __future__ import annotations

import math
import re
from typing import TypeGuard, cast

from infer_segment_anything_2.errors import PromptError, shortened
from infer_segment_anything_2.prompts import (
    BACKGROUND_LABEL,
    BOXES_EXAMPLE,
    FOREGROUND_LABEL,
    POINTS_EXAMPLE,
    BoxXyxy,
    ObjectPrompt,
    PointXy,
    Polygon,
    assemble_objects,
    ordered,
)

__all__ = [
    "objects_from_text",
    "parse_boxes",
    "parse_labels",
    "parse_point_grids",
    "parse_points",
    "parse_regions",
    "without_numpy_names",
]

# No two parts of a number can match the same digits, or a long text would take time that grows
# with its square; "inf" in ASCII only, as ignoring case takes a dotless i for an i.
_TOKEN = re.compile(
    r"(?P<number>[+-]?(?:(?a:nan|inf(?:inity)?)|(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?))(?![\w.+-])"
    r"|(?P<open>[\[(])|(?P<close>[\])])|(?P<gap>[\s,]+)",
    re.IGNORECASE,
)

# numpy 2 writes its scalars as "np.float32(1.5)" and its arrays as "array([1, 2], dtype=int32)",
# torch writes "tensor([1, 2], device='cuda:0', dtype=torch.int32, requires_grad=True)".
_ARRAY_FACTS = re.compile(
    r",\s*(?:dtype=[\w.]+|device='[\w:]+'|requires_grad=True|grad_fn=<\w+>)(?=\s*[,)])"
)
_ARRAY_SCALAR = re.compile(
    r"(?:np\.|numpy\.)?(?:u?int|float)\d+\(([^()]*)\)|tensor\(([^()\[\],]*)\)|np\.(True|False)_"
)
_ARRAY = re.compile(r"(?:np\.|numpy\.)?(?:array|tensor)(?=\()")
# Labels may be truths, as Python and JSON write them.
_TRUTH = re.compile(r"(?<![\w.])(?:(?P<yes>true)|false)(?![\w.])", re.IGNORECASE)
_LABELS_EXAMPLE = "[1, 0]"
_REGIONS_EXAMPLE = "[[120, 80], [900, 80], [500, 640]] or [120, 80, 900, 640]"
_GRIDS_EXAMPLE = "[[0.5, 0.5], [0.25, 0.75]]"
_POINT_NUMBERS = 2
_BOX_NUMBERS = 4
_FEWEST_CORNERS = 3
_Nested = list["float | _Nested"]


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


def parse_points(text: str) -> list[PointXy]:
    """Reads "[x, y]", "[[x, y], [x, y]]" and their relatives; empty text is no points.

    Raises:
        PromptError: The text is something else.
    """
    rows = _parse_rows(text, width=2, key="input_point", noun="points", example=POINTS_EXAMPLE)
    return [(x, y) for x, y in rows]


def parse_boxes(text: str) -> list[BoxXyxy]:
    """Reads "[x1, y1, x2, y2]" and lists of those; empty text is no boxes.

    Raises:
        PromptError: The text is something else.
    """
    rows = _parse_rows(text, width=4, key="input_box", noun="boxes", example=BOXES_EXAMPLE)
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in rows]


def parse_labels(text: str) -> list[int]:
    """Reads "1", "[1]", "[1, 0]" or "[True, False]"; empty text is no labels.

    Raises:
        PromptError: The text is something else, or a label is neither 0 nor 1.
    """
    key, noun = "input_point_label", "labels"
    nested = _parse_nested(text, key=key, noun=noun, example=_LABELS_EXAMPLE, with_truths=True)
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
        x1, y1, x2, y2 = ordered((item[0][0], item[0][1], item[0][2], item[0][3]))
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


def _parse_nested(
    text: str, *, key: str, noun: str, example: str, with_truths: bool = False
) -> _Nested:
    """Reads nested lists of finite numbers; commas, spaces and kinds of brackets are all one.

    With ``with_truths``, True and False are 1 and 0.
    """

    def refusal(why: str) -> PromptError:
        return _unreadable(text, key=key, noun=noun, example=example, why=why)

    plain = "" if text.strip().lower() == "none" else text
    plain = without_numpy_names(plain)
    if with_truths:
        plain = _TRUTH.sub(lambda truth: "1" if truth["yes"] else "0", plain)
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
                raise refusal(f"{shortened(token['number'])} is not a finite number")
            stack[-1].append(number)
    if len(stack) > 1:
        raise refusal("a bracket is not closed")
    return stack[0]


def without_numpy_names(text: str) -> str:
    """The same lists and numbers without "np.float32(...)", "array(...)" and "tensor(...)"."""
    return _ARRAY.sub("", _ARRAY_SCALAR.sub(r"\1\2\3", _ARRAY_FACTS.sub("", text)))


def _unreadable(text: str, *, key: str, noun: str, example: str, why: str) -> PromptError:
    return PromptError(
        f"{key} must hold {noun} such as {example}, got {shortened(text)!r}: {why}.", key=key
    )
