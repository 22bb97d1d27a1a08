"""A form to look into and to type into."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import (
    QLabel,
    QWidget,
)
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, ParameterRow

KEYBOARD: Any = QTest  # whose type hints ask for an instance of it
_PARTS = list(dict.fromkeys(["", *(row.part for row in ROWS)]))
# In the order of the form: below each sub-heading in the order of the table.
SHOWN_ROWS = sorted(
    (row for row in ROWS if not row.alias_of), key=lambda row: _PARTS.index(row.part)
)
LONG_POINTS = str([[x + 0.25, 2 * x] for x in range(5000)])


def make_form(qtbot: QtBot, **values: Any) -> ParameterForm:
    form = ParameterForm(Parameters(**values))
    qtbot.addWidget(form)
    for group in GROUP_TITLES:
        form.set_group_open(group, is_open=True)
    form.show()
    return form


def editor(form: ParameterForm, key: str) -> Any:
    found = form.findChild(QWidget, key)
    assert found is not None
    return found


def children(form: ParameterForm, kind: type[QWidget]) -> list[Any]:
    return form.findChildren(kind)


def shown_texts(form: ParameterForm) -> str:
    return "\n".join(label.text() for label in children(form, QLabel) if label.isVisible())


def type_into(field: Any, text: str) -> None:
    """Types a text in the place of what is there."""
    field.selectAll()
    KEYBOARD.keyClicks(field, text or "\b")


def values_of(row: ParameterRow) -> st.SearchStrategy[Any]:
    if row.kind == "bool":
        return st.booleans()
    if row.kind == "choice":
        return st.sampled_from(row.choices)
    if row.kind == "int":
        return st.integers(int(row.minimum), int(row.maximum))
    if row.kind == "float":
        # Once ikomia is loaded, the process takes numbers below the normal ones for 0.
        return st.floats(row.minimum, row.maximum, allow_subnormal=False)
    return st.just(row.default)


ANY_PARAMETERS = st.fixed_dictionaries({row.key: values_of(row) for row in SHOWN_ROWS}).map(
    lambda values: Parameters(
        **values, **{row.key: values[row.alias_of] for row in ROWS if row.alias_of}
    )
)

CHANGED: dict[str, Any] = {"input_point": "[1, 2]", "points_per_side": 8, "crop_n_layers": 2}
