"""Parameters as any text or value."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from infer_segment_anything_2.errors import CheckpointError, ParameterError
from infer_segment_anything_2.parameters import ROWS, Parameters, check_names, stringify
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights
from tests.properties.judging import VALID, Area, told_well
from tests.properties.texts import ANY_TEXT, FLOATS, JSON, LIST_TEXT, NUMBER_TEXT

_PARAMETER_TEXT = st.one_of(
    ANY_TEXT,
    NUMBER_TEXT,
    LIST_TEXT,
    JSON.map(str),
    st.sampled_from(["True", "false", "yes", "0", "None", "", " ", "auto", "sam2_demo_nano"]),
    st.sampled_from([choice for row in ROWS for choice in row.choices]),
    st.integers(1, 10**5).map(lambda length: "7" * length),
)

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


PARAMETER_AREAS = (
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
)
