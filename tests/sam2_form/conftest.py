"""A form of its own for each test."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.sam2_form.form import ParameterForm
from tests.sam2_form.form_user import (
    make_form,
)


@pytest.fixture
def form(qtbot: QtBot) -> ParameterForm:
    return make_form(qtbot)
