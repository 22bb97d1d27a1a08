"""Single fields of the form."""

from __future__ import annotations

import html
import math
from typing import Any

import pytest
from PyQt6.QtCore import QLocale
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QWidget,
)
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_reading.parameter_rows import ParameterRow
from tests.sam2_form.form_user import (
    SHOWN_ROWS,
    editor,
    make_form,
    shown_texts,
    type_into,
)

pytestmark = pytest.mark.qt


class TestFields:
    @pytest.mark.parametrize("row", SHOWN_ROWS, ids=lambda row: row.key)
    def test_follow_their_row(self, form: ParameterForm, row: ParameterRow) -> None:
        kinds = {"bool": QCheckBox, "int": QSpinBox, "float": QDoubleSpinBox, "choice": QComboBox}
        expected: Any = kinds.get(row.kind, (QLineEdit, QPlainTextEdit))
        field = editor(form, row.key)
        assert isinstance(field, expected)
        if row.kind in ("int", "float"):
            for shown, declared in (
                (field.minimum(), row.minimum),
                (field.maximum(), row.maximum),
            ):
                assert shown == declared or math.isinf(declared)
        if row.kind == "choice":
            assert [field.itemData(index) for index in range(field.count())] == list(row.choices)
        if row.example:
            assert row.example in field.placeholderText()

    @pytest.mark.parametrize("row", SHOWN_ROWS, ids=lambda row: row.key)
    def test_tell_their_meaning_and_name(self, form: ParameterForm, row: ParameterRow) -> None:
        widget = editor(form, row.key)
        while not widget.toolTip():
            widget = widget.parentWidget()
        assert html.escape(row.help) in widget.toolTip()
        assert row.key in widget.toolTip()

    @pytest.mark.parametrize("row", [row for row in ROWS if row.alias_of], ids=lambda row: row.key)
    def test_are_not_there_for_second_names(self, form: ParameterForm, row: ParameterRow) -> None:
        assert form.findChild(QWidget, row.key) is None

    def test_take_what_is_typed(self, qtbot: QtBot, form: ParameterForm) -> None:
        for key, text in {"mask_threshold": "-1.25", "points_per_side": "16"}.items():
            type_into(editor(form, key), text)
        type_into(editor(form, "input_point"), "[5, 6]")
        editor(form, "use_m2m").click()
        editor(form, "precision").setCurrentText("float32")
        expected = Parameters(
            mask_threshold=-1.25,
            points_per_side=16,
            input_point="[5, 6]",
            use_m2m=True,
            precision="float32",
        )
        assert form.parameters() == expected

    @pytest.mark.parametrize("typed", ["", "-", "."])
    def test_keep_their_number_when_typing_stops_halfway(
        self, qtbot: QtBot, form: ParameterForm, typed: str
    ) -> None:
        threshold = editor(form, "mask_threshold")
        type_into(threshold, typed)
        assert form.parameters() == Parameters()
        assert threshold.text() == "0.0"

    def test_take_the_decimal_comma_where_it_is_used(
        self, qtbot: QtBot, form: ParameterForm
    ) -> None:
        form.setLocale(QLocale(QLocale.Language.French))
        threshold = editor(form, "iou_thresh")
        assert threshold.text() == "0,8"
        assert form.parameters() == Parameters()
        type_into(threshold, "0,25")
        assert form.parameters() == Parameters(iou_thresh=0.25, iou_thres=0.25)

    def test_set_both_names_of_one_value(self, form: ParameterForm) -> None:
        editor(form, "iou_thresh").setValue(0.55)
        assert (form.parameters().iou_thresh, form.parameters().iou_thres) == (0.55, 0.55)

    def test_give_the_default_when_emptied(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_point="[1, 2]")
        editor(form, "input_point").setPlainText("  ")
        assert form.parameters() == Parameters()

    def test_tell_the_size_of_each_model(self, form: ParameterForm) -> None:
        names = editor(form, "model_name")
        assert names.itemText(0) == "sam2.1_hiera_tiny · 156 MB"

    def test_advise_on_the_chosen_model(self, form: ParameterForm) -> None:
        names = editor(form, "model_name")
        names.setCurrentIndex(names.findData("sam2.1_hiera_large"))
        assert CHECKPOINTS["sam2.1_hiera_large"].advice in shown_texts(form)
