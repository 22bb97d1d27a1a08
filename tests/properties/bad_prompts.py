"""Prompts, objects, regions and grids as any text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.everything.crops import is_in_polygons
from infer_segment_anything_2.sam2_reading.fitting import fit_to_image
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.prompt_masks import read_mask
from infer_segment_anything_2.sam2_reading.prompt_text import (
    objects_from_text,
    parse_point_grids,
    parse_regions,
)
from tests.properties.judging import VALID, Area, told_well
from tests.properties.texts import (
    ANY_TEXT,
    COORDINATE,
    JSON,
    LABELS_TEXT,
    LIST_TEXT,
    damaged,
    prompt_text,
    rows_text,
)

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


PROMPT_AREAS = (
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
)
