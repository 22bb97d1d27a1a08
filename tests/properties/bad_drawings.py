"""Prompts as drawn, degenerate and far outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import DrawnBox, DrawnPoint, objects_from_drawing
from infer_segment_anything_2.sam2_reading.fitting import fit_to_image
from tests.properties.bad_prompts import IMAGE_HW, assert_fitted
from tests.properties.judging import VALID, Area, told_well
from tests.properties.texts import COORDINATE

_CATEGORY = st.one_of(
    st.sampled_from(["", "Default", "negative", "background", "dog"]), st.text(max_size=5)
)

_INSIDE = st.floats(0, 60, allow_subnormal=False)


def _drawn_points(coordinate: st.SearchStrategy[float]) -> st.SearchStrategy[list[DrawnPoint]]:
    return st.lists(st.builds(DrawnPoint, st.tuples(coordinate, coordinate), _CATEGORY), max_size=3)


def _drawn_boxes(coordinate: st.SearchStrategy[float]) -> st.SearchStrategy[list[DrawnBox]]:
    corners = st.tuples(coordinate, coordinate, coordinate, coordinate)
    return st.lists(st.builds(DrawnBox, corners, _CATEGORY), max_size=3)


DRAWN_POINTS = _drawn_points(_INSIDE) | _drawn_points(COORDINATE)
DRAWN_BOXES = _drawn_boxes(_INSIDE) | _drawn_boxes(COORDINATE)


@dataclass(frozen=True)
class DrawingCase:
    """Drawn items, for a picture of a size."""

    points: list[DrawnPoint]
    boxes: list[DrawnBox]
    image_hw: tuple[int, int]


def judge_drawing(case: DrawingCase) -> str:
    """Drawn items of any place and size."""
    try:
        objects, _ = fit_to_image(objects_from_drawing(case.points, case.boxes), case.image_hw)
    except PromptError as error:
        return told_well(error)
    assert_fitted(objects, case.image_hw)
    assert len(objects) == len(case.boxes) or not case.boxes
    return VALID


@dataclass(frozen=True)
class GraphicsCase:
    """How to make Ikomia's graphics items: each kind with its numbers and a category."""

    items: list[tuple[str, tuple[float, float, float, float], str]]
    image_hw: tuple[int, int]

    def make(self) -> list[Any]:
        """The items."""
        return [_graphics_item(*item) for item in self.items]


def _graphics_item(kind: str, numbers: tuple[float, ...], category: str) -> Any:
    from ikomia import core

    x, y, width, height = numbers
    corners = [core.CPointF(x, y), core.CPointF(width, height)]
    if kind == "point":
        looks = core.GraphicsPointProperty()
        looks.category = category
        return core.CGraphicsPoint(corners[0], looks)
    if kind == "rectangle":
        looks = core.GraphicsRectProperty()
        looks.category = category
        return core.CGraphicsRectangle(x, y, width, height, looks)
    return {
        "ellipse": lambda: core.CGraphicsEllipse(x, y, width, height),
        "polygon": lambda: core.CGraphicsPolygon(corners),
        "polyline": lambda: core.CGraphicsPolyline(corners),
        "holes": lambda: core.CGraphicsComplexPolygon(corners, [corners]),
        "text": lambda: core.CGraphicsText(category, x, y),
    }[kind]()


def judge_graphics(case: GraphicsCase) -> str:
    """Ikomia's own items, of every kind, degenerate and far outside."""
    from ikomia import dataprocess

    from infer_segment_anything_2.sam2_host.graphics import drawn_prompts

    graphics = dataprocess.CGraphicsInput()
    graphics.set_items(case.make())
    points, boxes = drawn_prompts(graphics)
    kinds = [kind for kind, *_ in case.items]
    assert (len(points), len(boxes)) == (kinds.count("point"), kinds.count("rectangle"))
    return judge_drawing(DrawingCase(points, boxes, case.image_hw))


_GRAPHICS = st.builds(
    GraphicsCase,
    st.lists(
        st.tuples(
            st.sampled_from(
                ["point", "rectangle", "ellipse", "polygon", "polyline", "holes", "text"]
            ),
            st.tuples(_INSIDE, _INSIDE, COORDINATE, COORDINATE)
            | st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE),
            st.sampled_from(["", "Default", "negative", "dog", "ünï"]),
        ),
        max_size=4,
    ),
    IMAGE_HW,
)

DRAWING_AREAS = (
    Area(
        "prompts as drawn",
        st.builds(DrawingCase, DRAWN_POINTS, DRAWN_BOXES, IMAGE_HW),
        judge_drawing,
        1500,
    ),
    Area("graphics items of every kind", _GRAPHICS, judge_graphics, 700),
)
