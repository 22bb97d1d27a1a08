"""Texts of numbers, lists and prompts: right, damaged and of any kind."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

# Importing ikomia sets the processor to flush subnormal numbers to zero, and then hypothesis
# refuses to make any; those that matter are named below.
FLOATS = st.floats(allow_subnormal=False)
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
