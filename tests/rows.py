"""The rows of the table of parameters, and what is told of bad values."""

from __future__ import annotations

import pytest

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.parameters import ROWS, Parameters

ROW_BY_KEY = {row.key: row for row in ROWS}
NUMBER_ROWS = [row for row in ROWS if row.kind in ("int", "float")]


def told(values: dict[str, str]) -> str:
    """The message with which the values are refused."""
    with pytest.raises(ParameterError) as caught:
        Parameters.from_strings(values)
    return str(caught.value)
