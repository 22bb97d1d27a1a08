"""What may come in from outside, and what must become of it: for the properties and `make fuzz`.

An :class:`Area` is a way of making cases and a judge. The judge gives "valid", or the name of our
error that the case was refused with; whatever else comes out is a failure. Cases hold no arrays
but how to make them, so that a failure's report can be typed again.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from PIL import Image

from infer_segment_anything_2.errors import (
    CheckpointError,
    ImageError,
    ParameterError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import ROWS, Parameters, check_names, stringify
from infer_segment_anything_2.prompts import (
    DrawnBox,
    DrawnPoint,
    ObjectPrompt,
    objects_from_drawing,
)
from infer_segment_anything_2.sam2_engine.everything.crops import is_in_polygons
from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import mask_logits, with_support
from infer_segment_anything_2.sam2_engine.settings import MaskSupport
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights
from infer_segment_anything_2.sam2_reading.fitting import fit_to_image
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.picture_files import read_picture
from infer_segment_anything_2.sam2_reading.prompt_masks import mask_from_picture, read_mask
from infer_segment_anything_2.sam2_reading.prompt_text import (
    objects_from_text,
    parse_point_grids,
    parse_regions,
)
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import paint_labels, paint_overlay
from infer_segment_anything_2.sam2_results.records import records
from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["AREAS", "VALID", "Area", "told_well"]

VALID = "valid"

# One of these in each message: what is expected, or what to do.
_ADVICE = (
    " must ",
    " may ",
    "expected",
    "give ",
    "did you mean",
    "known are",
    "set only",
    "Run: ",
    "Save ",
)
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Area:
    """One kind of input.

    Attributes:
        name: For people.
        cases: Makes the cases.
        judge: Gives "valid" or the name of our error; raises for everything else.
        fuzz_cases: How many of them `make fuzz` tries.
    """

    name: str
    cases: st.SearchStrategy[Any]
    judge: Callable[[Any], str]
    fuzz_cases: int


def told_well(error: SegmentAnythingError) -> str:
    """The name of an error whose message stands alone: one line, of bounded length, with advice."""
    message = str(error)
    assert 30 <= len(message) <= _LONGEST_MESSAGE, message
    assert "\n" not in message, message
    assert message[-1] in ".?", message
    assert any(words in message for words in _ADVICE), message
    return type(error).__name__


# Importing ikomia sets the processor to flush subnormal numbers to zero, and then hypothesis
# refuses to make any; those that matter are named below.
FLOATS = st.floats(allow_subnormal=False)

# --- text -----------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
NUMBER_TEXT = st.one_of(
    st.integers().map(str),
    FLOATS.map(repr),
    st.integers(-2, 600).map(str),
    st.floats(-2, 2, allow_subnormal=False).map(repr),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.sampled_from(["9" * 400, "9" * 5000, "1e999", "-0", "0x10", "1_0", "٣", "1e-999", "½"]),
)
LIST_TEXT = st.text("[](){}, .-+0123456789einfa\"'\n", max_size=30)
_NUMPY_TEXT = st.lists(st.floats(width=32, allow_subnormal=False), max_size=6).map(
    lambda numbers: repr(np.array(numbers, np.float32))
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-300, 300), FLOATS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
COORDINATE: st.SearchStrategy[float] = st.one_of(
    st.integers(0, 120).map(float),
    st.floats(-3, 130, allow_subnormal=False),
    st.integers(-(10**6), 10**6).map(float),
    FLOATS,
)


def rows_text(width: int) -> st.SearchStrategy[str]:
    """Texts of points or boxes, most of them right, in all the ways to write them."""
    rows = st.lists(st.lists(COORDINATE, min_size=width, max_size=width), min_size=1, max_size=4)
    inside = st.lists(
        st.lists(st.integers(0, 60).map(float), min_size=width, max_size=width),
        min_size=1,
        max_size=4,
    )
    ways: list[Callable[[list[list[float]]], str]] = [
        str,
        json.dumps,
        lambda given: str(given[0]),
        lambda given: str([tuple(row) for row in given]),
        lambda given: str(np.array(given)),
        lambda given: str([[np.float32(number) for number in row] for row in given]),
    ]
    with_way = st.tuples(rows | inside, st.sampled_from(ways))
    return with_way.map(_written)


def _written(case: tuple[list[list[float]], Callable[[list[list[float]]], str]]) -> str:
    rows, write = case
    with np.errstate(over="ignore"):
        return write(rows)


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A right text with something cut out, put in or doubled."""
    text = draw(texts)
    place = draw(st.integers(0, len(text)))
    length = draw(st.integers(0, 3))
    put_in = draw(st.one_of(LIST_TEXT, st.just(text), ANY_TEXT))
    return text[:place] + put_in + text[place + length :]


def prompt_text(right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.just(""),
        right,
        right,
        damaged(right),
        LIST_TEXT,
        _NUMPY_TEXT,
        ANY_TEXT,
        JSON.map(json.dumps),
        JSON.map(str),
    )


LABELS_TEXT = st.lists(st.sampled_from([0, 1, 1, 0, 2, -1]), max_size=4).map(str)
_PARAMETER_TEXT = st.one_of(
    ANY_TEXT,
    NUMBER_TEXT,
    LIST_TEXT,
    JSON.map(str),
    st.sampled_from(["True", "false", "yes", "0", "None", "", " ", "auto", "sam2_demo_nano"]),
    st.sampled_from([choice for row in ROWS for choice in row.choices]),
    st.integers(1, 10**5).map(lambda length: "7" * length),
)

# --- parameters -----------------------------------------------------------------------------------

_KEYS = [row.key for row in ROWS]


def judge_parameters(texts: dict[str, str]) -> str:
    """Any text for any parameter: a value of its kind in its range, or refused; round trip."""
    before = Parameters()
    try:
        values = Parameters.from_strings(texts, base=before)
    except ParameterError as error:
        assert error.key in _KEYS
        assert before == Parameters()
        return told_well(error)
    for row in ROWS:
        value = getattr(values, row.key)
        assert type(value) is type(row.default)
        if row.kind == "choice":
            assert value in row.choices
        elif not isinstance(value, str):
            assert row.minimum <= value <= row.maximum
    assert Parameters.from_strings(values.to_strings()) == values
    return VALID


_VALUES = st.one_of(
    JSON,
    st.integers(),
    st.integers(-5, 5).map(lambda power: 10 ** (power * 1000) if power > 0 else power),
    st.binary(max_size=5),
    st.complex_numbers(allow_subnormal=False),
    st.tuples(st.integers(), FLOATS),
    st.sets(st.integers(), max_size=3),
    st.floats(width=32, allow_subnormal=False).map(np.float32),
    st.floats(width=16, allow_subnormal=False).map(np.float16),
    st.booleans().map(np.bool_),
    st.lists(FLOATS, max_size=5).map(np.array),
    st.lists(st.one_of(st.integers(), st.none(), st.text(max_size=3)), max_size=4).map(
        lambda items: np.array([*items, None], object)
    ),
    ANY_TEXT,
)


def judge_values(values: dict[object, object]) -> str:
    """Values of any type under any name, as `set_parameters` takes them."""
    try:
        check_names(values)  # type: ignore[arg-type]
        texts = stringify(values)  # type: ignore[arg-type]
        Parameters.from_strings(texts)
    except ParameterError as error:
        return told_well(error)
    assert all(type(text) is str for text in texts.values())
    return VALID


def judge_weights_path(text: str) -> str:
    """Any text as `model_path`."""
    try:
        weights = find_weights("sam2_demo_nano", text)
    except (ParameterError, CheckpointError) as error:
        return told_well(error) if "\n" not in text else type(error).__name__
    assert weights.path.is_file()
    return VALID


# --- prompts --------------------------------------------------------------------------------------

IMAGE_HW = st.sampled_from([(1, 1), (60, 60), (100, 120), (1, 20000), (4000, 3)])


@dataclass(frozen=True)
class PromptCase:
    """Texts of the prompt parameters, for a picture of a size."""

    points: str
    labels: str
    boxes: str
    image_hw: tuple[int, int]


def judge_prompt(case: PromptCase) -> str:
    """Any text as prompts."""
    try:
        asked = objects_from_text(case.points, case.labels, case.boxes)
        objects, _ = fit_to_image(asked, case.image_hw)
    except PromptError as error:
        return told_well(error)
    assert_fitted(objects, case.image_hw)
    return VALID


def assert_fitted(objects: list[ObjectPrompt], image_hw: tuple[int, int]) -> None:
    """Every object points at something in the picture."""
    height, width = image_hw
    for prompt in objects:
        assert prompt.points_xy_px or prompt.box_xyxy_px or prompt.mask
        assert prompt.mask is None or prompt.mask.mask_hw.any()
        assert len(prompt.labels) == len(prompt.points_xy_px)
        assert set(prompt.labels) <= {0, 1}
        for x, y in prompt.points_xy_px:
            assert 0 <= x <= width
            assert 0 <= y <= height
        if prompt.box_xyxy_px:
            x1, y1, x2, y2 = prompt.box_xyxy_px
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height


_RUNS = st.one_of(
    st.text("0123456789:;<=>?@ABCNOPQabcmnopq", max_size=12),
    st.lists(st.integers(-1, 40), max_size=6),
    st.just("52203"),
    JSON,
)
_ENTRY = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {},
        optional={
            "box": st.lists(st.integers(0, 60), min_size=4, max_size=4) | JSON,
            "points": st.lists(st.lists(COORDINATE, min_size=2, max_size=2), max_size=3) | JSON,
            "labels": st.lists(st.sampled_from([0, 1, True, 1.0, 2]), max_size=3) | JSON,
            "mask": st.one_of(
                st.fixed_dictionaries(
                    {"size": st.just([3, 4]) | st.lists(st.integers(-1, 5), max_size=3)},
                    optional={"counts": _RUNS},
                ),
                st.sampled_from(["", ".", "~", "~nobody/mask.png", "no/such.png", "a" * 300, "\0"]),
                JSON,
            ),
            "category": st.text(max_size=4) | JSON,
            "bux": JSON,
        },
    ),
)
_POINT = st.lists(st.integers(0, 40), min_size=2, max_size=2)
_GOOD_ENTRY: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"points": st.lists(_POINT, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"points": _POINT, "labels": st.sampled_from([0, 1, [1]])}),
    st.fixed_dictionaries({"mask": st.just({"size": [3, 4], "counts": [2, 3, 7]})}),
    st.fixed_dictionaries(
        {"box": st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(21, 40)] * 2).map(list)},
        optional={"points": _POINT, "category": st.text(max_size=3)},
    ),
)
GOOD_ENTRIES = st.lists(_GOOD_ENTRY, min_size=1, max_size=3)
_ENTRIES_TEXT: st.SearchStrategy[str] = st.one_of(
    GOOD_ENTRIES.map(json.dumps),
    GOOD_ENTRIES.map(str),
    damaged(GOOD_ENTRIES.map(json.dumps)),
    st.lists(_ENTRY, max_size=3).map(json.dumps),
    st.lists(_ENTRY, max_size=3).map(str),
    _ENTRY.map(str),
    ANY_TEXT,
    LIST_TEXT,
    st.sampled_from(["[0x" + "f" * 9000 + "]", "[" * 10**5, "[{" * 10**4, "9" * 10**5, "1e999"]),
)


@dataclass(frozen=True)
class EntriesCase:
    """Text of `input_objects`, for a picture of a size."""

    text: str
    image_hw: tuple[int, int]


def judge_entries(case: EntriesCase) -> str:
    """Any text as a list of objects."""
    try:
        asked = objects_from_entries(case.text, read_mask)
        objects, _ = fit_to_image(asked, case.image_hw)
    except PromptError as error:
        return told_well(error)
    assert_fitted(objects, case.image_hw)
    return VALID


_PARTS = st.lists(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=2))
_REGIONS_TEXT = st.lists(rows_text(2) | rows_text(4), max_size=3).map(
    lambda regions: "[" + ", ".join(regions) + "]"
)
_GRIDS_TEXT: st.SearchStrategy[str] = st.one_of(
    _PARTS.map(str), st.lists(_PARTS, max_size=3).map(json.dumps), _REGIONS_TEXT
)


@dataclass(frozen=True)
class PlacesCase:
    """Texts of `region_of_interest` and `point_grids`."""

    regions: str
    grids: str
    n_layers: int


def judge_places(case: PlacesCase) -> str:
    """Any text as where to look."""
    try:
        regions = parse_regions(case.regions)
        grids = parse_point_grids(case.grids, case.n_layers)
    except PromptError as error:
        return told_well(error)
    assert all(len(region) >= 3 for region in regions)
    assert all(math.isfinite(number) for region in regions for point in region for number in point)
    assert len(grids) in (0, case.n_layers)
    assert all(0 <= number <= 1 for grid in grids for point in grid for number in point)
    is_in = is_in_polygons(np.array([[0.0, 0.0], [30.5, 20.5], [1e5, -1e5]]), regions)
    assert is_in.dtype == bool
    return VALID


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

# --- pictures -------------------------------------------------------------------------------------

_DTYPES = [
    "?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "g", ">u2", ">f4", ">i8",
    "c8", "c16", "O", "U1", "S2", "M8[s]", "m8[s]", "V3",
]  # fmt: skip
USUAL_DTYPES = ["?", "u1", "u1", "u2", "i4", "f2", "f4", "f8"]
_FILLS = ["zeros", "noise", "bits", "levels", "unit", "signed", "special", "constant", "disc"]
_LAYOUTS = ["C", "F", "mirrored", "read-only"]
_SPECIAL = [0.0, -0.0, 1.0, -1.0, 255.0, 256.0, np.nan, np.inf, -np.inf, 5e-324, 1.7e308, -1.7e308]
_CHANNELS = st.sampled_from([(), (1,), (2,), (3,), (4,)])
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))
PICTURE_SHAPES = st.tuples(SIDES, _CHANNELS).map(lambda parts: parts[0] + parts[1])
_SHAPES = st.one_of(
    PICTURE_SHAPES,
    st.sampled_from(
        [
            (), (0,), (4,), (0, 0), (0, 40, 3), (40, 0, 3), (3, 4, 0), (1, 1), (1, 1, 3),
            (1, 20000), (20000, 1, 3), (50, 4), (4, 4), (3, 3, 3), (5, 6, 5), (4, 4, 200),
            (3, 40, 50), (1, 30, 40, 3), (2, 2, 2, 2, 2), (256, 256, 3),
        ]
    ),
    st.lists(st.integers(0, 7), max_size=5).map(tuple),
)  # fmt: skip


@dataclass(frozen=True)
class PictureCase:
    """How to make an array, good or bad as a picture."""

    dtype: str
    shape: tuple[int, ...]
    fill: str
    layout: str = "C"
    seed: int = 0

    def make(self) -> npt.NDArray[Any]:
        """The array."""
        random = np.random.default_rng(self.seed)
        dtype = np.dtype(self.dtype)
        with np.errstate(all="ignore"):
            array = _filled(self.fill, self.shape, dtype, random)
        if self.layout == "F":
            array = np.asfortranarray(array)
        elif self.layout == "mirrored" and array.ndim:
            array = array[::-1]
        elif self.layout == "read-only":
            array.flags.writeable = False
        return array


def _filled(
    fill: str, shape: tuple[int, ...], dtype: np.dtype[Any], random: np.random.Generator
) -> npt.NDArray[Any]:
    count = math.prod(shape)
    numbers: npt.NDArray[Any]
    if fill == "bits" and dtype.kind in "biufcMm":
        raw = random.bytes(max(count * dtype.itemsize, 1))[: count * dtype.itemsize]
        if dtype.kind == "b":  # other bytes than 0 and 1 are no booleans
            return (np.frombuffer(raw, np.uint8) & 1).astype(bool).reshape(shape)
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    if fill == "disc" and len(shape) >= 2:
        down, across = np.indices(shape[:2])
        disc = np.hypot(down - shape[0] / 2, across - shape[1] / 2) < min(shape[:2]) / 3
        numbers = np.broadcast_to(
            (30 + 190.0 * disc).reshape(*shape[:2], *(1,) * (len(shape) - 2)), shape
        ) + random.integers(0, 10, shape)
    else:
        makers: dict[str, Callable[[], npt.NDArray[Any]]] = {
            "noise": lambda: random.normal(0, 1000, shape),
            "levels": lambda: random.integers(0, 256, shape),
            "unit": lambda: random.random(shape),
            "signed": lambda: random.random(shape) * 2 - 1,
            "special": lambda: random.choice(_SPECIAL, shape),
            "constant": lambda: np.full(shape, random.integers(-300, 70_000)),
        }
        numbers = makers[fill]() if fill in makers else np.zeros(shape)
    if dtype.kind in "OUSMmV":
        whole = np.nan_to_num(np.asarray(numbers), posinf=0, neginf=0).astype("i8")
        return np.asarray(whole.astype("u1" if dtype.kind == "V" else whole.dtype)).astype(dtype)
    return np.asarray(numbers).astype(dtype)


def picture_cases(
    dtypes: list[str], shapes: st.SearchStrategy[tuple[int, ...]]
) -> st.SearchStrategy[PictureCase]:
    return st.builds(
        PictureCase,
        st.sampled_from(dtypes),
        shapes,
        st.sampled_from(_FILLS),
        st.sampled_from(_LAYOUTS),
        st.integers(0, 2**32 - 1),
    )


_NO_PICTURES = st.one_of(JSON, st.binary(max_size=9), st.just(np.float32(1)))


def judge_picture(case: object) -> str:
    """Any array, or anything else, as a picture; an independent order of levels as the judge."""
    image = case.make() if isinstance(case, PictureCase) else case
    before = content_of(image)
    try:
        rgb = to_rgb8(image)
    except ImageError as error:
        assert content_of(image) == before
        return told_well(error)
    assert isinstance(image, np.ndarray)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*image.shape[:2], 3)
    colours = image.reshape(*image.shape[:2], -1)
    _assert_order_is_kept(colours[..., : 3 if colours.shape[2] >= 3 else 1], rgb)
    square = network_input(rgb, 64)
    assert square.shape == (1, 3, 64, 64)
    assert square.isfinite().all()
    assert content_of(image) == before
    return VALID


def content_of(image: object) -> object:
    return (image.shape, image.dtype, image.tobytes()) if isinstance(image, np.ndarray) else image


def _assert_order_is_kept(colours_hwc: npt.NDArray[Any], rgb_hwc: npt.NDArray[np.uint8]) -> None:
    """Of two values the larger is never the darker."""
    values, levels = colours_hwc.ravel(), rgb_hwc[..., : colours_hwc.shape[2]].ravel()
    is_number = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    order = np.argsort(values[is_number], kind="stable")
    assert np.all(np.diff(levels[is_number][order].astype(int)) >= 0)
    if not is_number.all():
        darkest = levels[is_number].min(initial=255)
        assert np.all(levels[~is_number] <= darkest)


def judge_mask_picture(case: object) -> str:
    """Any array, or anything else, as a mask that prompts."""
    picture = case.make() if isinstance(case, PictureCase) else case
    before = content_of(picture)
    try:
        mask = mask_from_picture(picture)
    except ImageError as error:
        assert content_of(picture) == before
        return told_well(error)
    assert content_of(picture) == before
    if mask is None:
        return "nothing set"
    assert isinstance(picture, np.ndarray)
    assert mask.mask_hw.shape == picture.shape[:2]
    assert mask.mask_hw.dtype == bool
    assert mask.mask_hw.any()
    image_hw = (70, 110)
    prompt = with_support(ObjectPrompt(mask=mask), image_hw, MaskSupport())
    assert_fitted([prompt], image_hw)
    (point,) = prompt.clicks_xy_px
    x, y = (
        int(place * side / whole)
        for place, side, whole in zip(point, mask.mask_hw.shape[::-1], image_hw[::-1], strict=True)
    )
    assert mask.mask_hw[y, x]
    logits_hw = mask_logits(mask.mask_hw, (32, 32), 10.0)
    assert logits_hw.abs().max() <= 10
    return VALID


@dataclass(frozen=True)
class FileCase:
    """A picture file of a kind, damaged: cut off at a part of it, some bytes replaced."""

    kind: str
    kept: float
    replaced: list[tuple[float, int]]
    mode: str = "RGB"

    def make(self) -> bytes:
        """The content."""
        levels = np.random.default_rng(0).integers(0, 256, (9, 13, 4), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(levels).convert(self.mode).save(buffer, self.kind)
        content = bytearray(buffer.getvalue())
        for place, value in self.replaced:
            content[min(int(place * len(content)), len(content) - 1)] = value
        return bytes(content[: round(self.kept * len(content))])


_FILES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        FileCase,
        st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000"]),
        st.just(1.0) | st.floats(0, 1, allow_subnormal=False),
        st.lists(
            st.tuples(
                st.floats(0, 1, allow_subnormal=False) | st.floats(0, 0.1, allow_subnormal=False),
                st.integers(0, 255),
            ),
            max_size=6,
        ),
        st.sampled_from(["RGB", "L"]),
    ),
)


def judge_file(case: object) -> str:
    """Any content of a picture file."""
    content = case.make() if isinstance(case, FileCase) else case
    assert isinstance(content, bytes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(content)
        try:
            picture = read_picture(path)
        except ImageError as error:
            return told_well(error)
    # Huge sizes in a damaged head are what the file says; not worth the time here.
    return VALID if picture.size > 10**6 else judge_picture(picture)


# --- masks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MasksCase:
    """How to make some masks of one size."""

    image_hw: tuple[int, int]
    densities: list[float]
    seed: int = 0

    def make(self) -> npt.NDArray[np.bool_]:
        """The masks, n x H x W: noise, all, nothing or a rectangle."""
        random = np.random.default_rng(self.seed)
        masks_nhw = np.zeros((len(self.densities), *self.image_hw), bool)
        for mask_hw, density in zip(masks_nhw, self.densities, strict=True):
            if density < 0:
                rows, columns = (np.sort(random.integers(0, n + 1, 2)) for n in self.image_hw)
                mask_hw[rows[0] : rows[1], columns[0] : columns[1]] = True
            else:
                mask_hw[...] = random.random(self.image_hw) < density
        return masks_nhw


def judge_masks(case: MasksCase) -> str:
    """Masks to run lengths, COCO's text and records, and back."""
    masks_nhw = case.make()
    count = len(masks_nhw)
    random = np.random.default_rng(case.seed)
    rles = tuple(Rle.from_mask(mask_hw) for mask_hw in masks_nhw)
    masks = MaskSet(
        image_hw=case.image_hw,
        rles=rles,
        boxes_xyxy_px=np.array(
            [bounding_box_xyxy_px(rle.counts, case.image_hw) for rle in rles], np.int64
        ).reshape(count, 4),
        predicted_iou=random.choice([0.5, np.nan, np.inf, 1.0], count).astype(np.float32),
        stability_score=random.choice([0.5, np.nan, -np.inf, 1.0], count).astype(np.float32),
        points_xy_px=random.choice([3.25, np.nan, np.inf], (count, 2)),
        crop_boxes_xywh_px=np.tile([0, 0, *case.image_hw[::-1]], (count, 1)).reshape(count, 4),
        object_index=np.arange(count),
    )
    assert np.array_equal(masks.to_dense(), masks_nhw)
    listed = json.loads(json.dumps(records(masks), allow_nan=False))
    for record, mask_hw, box in zip(listed, masks_nhw, masks.boxes_xyxy_px, strict=True):
        segmentation = record["segmentation"]
        again = Rle.from_coco(
            (segmentation["size"][0], segmentation["size"][1]), segmentation["counts"]
        )
        assert np.array_equal(again.decode(), mask_hw)
        assert record["area"] == mask_hw.sum()
        if mask_hw.any():
            down, across = np.nonzero(mask_hw)
            assert box.tolist() == [across.min(), down.min(), across.max(), down.max()]
    labels_hw = paint_labels(masks)
    assert np.array_equal(labels_hw > 0, masks_nhw.any(axis=0))
    return VALID


# --- the whole way --------------------------------------------------------------------------------


@dataclass(frozen=True)
class WholeCase:
    """A picture with parameters and drawn prompts."""

    picture: PictureCase
    texts: dict[str, str]
    points: list[DrawnPoint]
    boxes: list[DrawnBox]


_THRESHOLD = st.sampled_from(["0", "0.3", "0.7", "0.95", "1"])
# Small grids: a thousand points take a minute.
_MODE_TEXTS = st.fixed_dictionaries(
    {
        "points_per_side": st.sampled_from(["1", "2", "3", "4"]),
        "iou_thresh": _THRESHOLD,
        "stability_score_thresh": _THRESHOLD,
    },
    optional={
        "points_per_batch": st.sampled_from(["1", "5", "65536"]),
        "stability_score_offset": st.sampled_from(["0", "0.5", "32"]),
        "mask_threshold": st.sampled_from(["-32", "-1", "0.5", "32"]),
        "box_nms_thresh": _THRESHOLD,
        "crop_n_layers": st.sampled_from(["0", "0", "1"]),
        "crop_nms_thresh": _THRESHOLD,
        "crop_overlap_ratio": st.sampled_from(["0", "512/1500", "0.99"]),
        "crop_n_points_downscale_factor": st.sampled_from(["1", "2", "16"]),
        "use_m2m": st.sampled_from(["True", "False"]),
        "automatic_multimask_output": st.sampled_from(["True", "False"]),
        "multimask_output": st.sampled_from(["True", "False"]),
        "apply_postprocessing": st.sampled_from(["True", "False"]),
        "input_size_percent": st.sampled_from(["1", "50", "100"]),
        "precision": st.sampled_from(["auto", "float32"]),
        "duplicates": st.sampled_from(["box", "mask", "containment"]),
        "min_mask_region_area": st.sampled_from(["1", "50", "2000000000"]),
        "keep_components": st.sampled_from(["all", "largest", "clicked"]),
        "min_mask_area": st.sampled_from(["1", "100", "2000000000"]),
        "max_mask_area": st.sampled_from(["1", "1000"]),
        "overlap": st.sampled_from(["keep", "smallest_on_top", "highest_score"]),
        "region_of_interest": st.sampled_from(["", "[2, 2, 30, 20]", "[[5, 5], [50, 9], [9, 40]]"]),
        "point_grids": st.sampled_from(["", "[[0.5, 0.5], [0, 1]]"]),
        "preset": st.sampled_from(["fast", "balanced", "thorough"]),
        "tile_size": st.sampled_from(["0", "30", "64", "65536"]),
        "tile_overlap": st.sampled_from(["0.05", "0.5"]),
    },
)
_WHOLE_POINT = st.tuples(st.integers(0, 40), st.integers(0, 40))
_WHOLE_BOX = st.tuples(*[st.integers(0, 40)] * 4)
_NO_TEXTS: st.SearchStrategy[dict[str, str]] = st.just({})
_PROMPT_TEXTS: st.SearchStrategy[dict[str, str]] = st.one_of(
    _NO_TEXTS,
    _NO_TEXTS,
    st.fixed_dictionaries({"input_point": st.lists(_WHOLE_POINT, max_size=4).map(str)}),
    st.fixed_dictionaries({"input_box": st.lists(_WHOLE_BOX, max_size=3).map(str)}),
    st.fixed_dictionaries(
        {"input_objects": GOOD_ENTRIES.map(json.dumps), "refine": st.sampled_from(["0", "1"])}
    ),
    st.fixed_dictionaries(
        {
            "input_point": prompt_text(rows_text(2)),
            "input_point_label": st.one_of(st.just(""), LABELS_TEXT),
            "input_box": prompt_text(rows_text(4)),
        }
    ),
)
_NO_DRAWING: st.SearchStrategy[list[Any]] = st.just([])
_WHOLE_SHAPES = st.one_of(
    PICTURE_SHAPES,
    PICTURE_SHAPES,
    st.sampled_from(
        [(256, 256, 3), (70, 110, 3), (300, 90), (1, 1), (1, 900, 3), (4, 4, 5), (0, 9)]
    ),
)

_segmenter = Segmenter()


def judge_whole(case: WholeCase) -> str:
    """A picture, parameters and prompts through the bundled network."""
    image = case.picture.make()
    before = content_of(image)
    try:
        values = Parameters.from_strings(
            {"model_name": "sam2_demo_nano", "cuda": "False", **case.texts}
        )
        found = _segmenter.segment(image, values, case.points, case.boxes)
    except SegmentAnythingError as error:
        assert isinstance(error, ImageError | PromptError)
        assert content_of(image) == before
        return told_well(error)
    assert content_of(image) == before
    assert_valid(found, image, values)
    return VALID


def assert_valid(found: Segmentation, image: npt.NDArray[Any], values: Parameters) -> None:
    """Masks of the picture's size that agree with all that is said of them."""
    image_hw = (image.shape[0], image.shape[1])
    assert found.image_rgb_hwc.shape == (*image_hw, 3)
    prompted = len(found.objects) if found.objects else None
    for rank, masks in enumerate(found.ranked, start=1):
        assert masks.image_hw == image_hw
        assert np.isfinite(masks.predicted_iou).all()
        is_asked = rank == 1 or (prompted is not None and values.multimask_output)
        assert is_asked or not len(masks)
        if prompted is not None and is_asked and not _drops_masks(values):
            assert masks.object_index.tolist() == list(range(prompted))
        for rle, box in zip(masks.rles, masks.boxes_xyxy_px.tolist(), strict=True):
            assert bounding_box_xyxy_px(rle.counts, image_hw) == tuple(box)
            assert rle.decode().shape == image_hw
        if prompted is None:
            # As with Meta's generator, 0 keeps all, also masks without a pixel.
            assert values.iou_thresh == 0 or np.all(masks.predicted_iou > values.iou_thresh)
            stability_thresh = values.stability_score_thresh
            assert stability_thresh == 0 or np.all(masks.stability_score >= stability_thresh)
        if values.overlap != "keep":
            assert np.all(masks.to_dense().sum(axis=0) <= 1)
        assert paint_overlay(found.image_rgb_hwc, masks).shape == (*image_hw, 3)
    if prompted is not None and values.multimask_output and not _drops_masks(values):
        first, second, third = (masks.predicted_iou for masks in found.ranked)
        assert np.all(first >= second)
        assert np.all(second >= third)
    json.dumps(found.to_dict(), allow_nan=False)


def _drops_masks(values: Parameters) -> bool:
    """Whether the clean-up may leave a prompted object without a mask."""
    return bool(values.min_mask_area or values.max_mask_area or values.overlap != "keep")


def _whole_cases() -> st.SearchStrategy[WholeCase]:
    drawn = st.one_of(
        st.tuples(_NO_DRAWING, _NO_DRAWING),
        st.tuples(_NO_DRAWING, _NO_DRAWING),
        st.tuples(DRAWN_POINTS, DRAWN_BOXES),
    )
    texts = st.tuples(_MODE_TEXTS, _PROMPT_TEXTS).map(lambda parts: {**parts[0], **parts[1]})
    pictures = st.one_of(
        picture_cases(["u1"], st.just((48, 64, 3))),
        picture_cases(USUAL_DTYPES, _WHOLE_SHAPES),
    )
    return st.tuples(pictures, texts, drawn).map(
        lambda parts: WholeCase(parts[0], parts[1], *parts[2])
    )


AREAS = (
    Area(
        "parameters as any text",
        st.dictionaries(st.sampled_from(_KEYS), _PARAMETER_TEXT, min_size=1, max_size=3),
        judge_parameters,
        4500,
    ),
    Area(
        "parameters as any value",
        st.dictionaries(
            st.one_of(st.sampled_from(_KEYS), st.sampled_from(_KEYS), ANY_TEXT, st.integers()),
            _VALUES,
            min_size=1,
            max_size=2,
        ),
        judge_values,
        1500,
    ),
    Area("model_path as any text", st.one_of(ANY_TEXT, JSON.map(str)), judge_weights_path, 300),
    Area(
        "prompts as any text",
        st.builds(
            PromptCase,
            prompt_text(rows_text(2)),
            st.one_of(st.just(""), st.just(""), prompt_text(LABELS_TEXT)),
            st.one_of(st.just(""), prompt_text(rows_text(4))),
            IMAGE_HW,
        ),
        judge_prompt,
        4500,
    ),
    Area(
        "objects as any text",
        st.builds(EntriesCase, _ENTRIES_TEXT, IMAGE_HW),
        judge_entries,
        3500,
    ),
    Area(
        "regions and grids as any text",
        st.builds(
            PlacesCase,
            prompt_text(_REGIONS_TEXT),
            st.just("") | prompt_text(_GRIDS_TEXT),
            st.integers(1, 3),
        ),
        judge_places,
        1500,
    ),
    Area(
        "prompts as drawn",
        st.builds(DrawingCase, DRAWN_POINTS, DRAWN_BOXES, IMAGE_HW),
        judge_drawing,
        1500,
    ),
    Area("graphics items of every kind", _GRAPHICS, judge_graphics, 700),
    Area(
        "pictures of any kind",
        st.one_of(
            picture_cases(USUAL_DTYPES, PICTURE_SHAPES),
            picture_cases(USUAL_DTYPES, PICTURE_SHAPES),
            picture_cases(USUAL_DTYPES, _SHAPES),
            picture_cases(_DTYPES, PICTURE_SHAPES),
            picture_cases(_DTYPES, _SHAPES),
            _NO_PICTURES,
        ),
        judge_picture,
        2500,
    ),
    Area(
        "pictures as masks",
        st.one_of(
            picture_cases(USUAL_DTYPES, PICTURE_SHAPES),
            picture_cases(_DTYPES, _SHAPES),
            _NO_PICTURES,
        ),
        judge_mask_picture,
        800,
    ),
    Area("picture files of any content", _FILES, judge_file, 800),
    Area(
        "masks to records and back",
        st.builds(
            MasksCase,
            st.one_of(SIDES, st.sampled_from([(1, 1), (1, 5000), (5000, 1), (300, 400)])),
            st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.01, 0.99]), max_size=5),
            st.integers(0, 2**32 - 1),
        ),
        judge_masks,
        1200,
    ),
    Area("whole segmentations", _whole_cases(), judge_whole, 400),
)
