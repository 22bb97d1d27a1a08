"""What the form says of values that will not run."""

from __future__ import annotations

import pytest
from PyQt6.QtCore import QPoint
from PyQt6.QtGui import QColor, QPalette
from PyQt6.QtWidgets import (
    QLabel,
    QScrollArea,
)
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.errors import CheckpointError, ParameterError, PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_form.form import ParameterForm
from tests.sam2_form.form_user import (
    children,
    editor,
    make_form,
    shown_texts,
    type_into,
)

pytestmark = pytest.mark.qt


class TestMessages:
    def test_wait_for_a_pause_in_typing(self, qtbot: QtBot, form: ParameterForm) -> None:
        type_into(editor(form, "input_point"), "[[1, 2]")
        assert "bracket" not in shown_texts(form)
        qtbot.waitUntil(lambda: "a bracket is not closed" in shown_texts(form))

    def test_go_when_the_prompt_is_edited(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_box="[1, 2, 3")
        assert "a bracket is not closed" in shown_texts(form)
        editor(form, "input_box").setPlainText("[1, 2, 3, 4]")
        assert "bracket" not in shown_texts(form)

    def test_are_there_for_each_prompt(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_point="[1", input_point_label="[2]", input_box="[1, 2]")
        texts = shown_texts(form)
        for key in ("input_point", "input_point_label", "input_box"):
            assert f"{key} must" in texts.replace("\u200b", "")

    def test_tell_of_prompts_that_do_not_fit_together(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_point="[[1, 2], [3, 4]]", input_point_label="[1]")
        assert "1 labels for 2 points" in shown_texts(form)

    def test_do_not_widen_the_form(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_point="[" * 70)
        assert form.minimumSizeHint().width() < 350

    @pytest.mark.parametrize(
        ("values", "key"),
        [
            pytest.param({"input_point": "[1, 2"}, "input_point", id="unreadable"),
            pytest.param({"input_point_label": "[1]"}, "input_point_label", id="no-points"),
            pytest.param({"input_box": "words"}, "input_box", id="words"),
        ],
    )
    def test_keep_bad_prompts_from_being_read(
        self, qtbot: QtBot, values: dict[str, str], key: str
    ) -> None:
        with pytest.raises(PromptError) as raised:
            make_form(qtbot, **values).parameters()
        assert raised.value.key == key

    def test_open_the_group_of_the_field(self, qtbot: QtBot, form: ParameterForm) -> None:
        form.set_group_open("everything", is_open=False)
        form.show_error(ParameterError("Too many crops.", key="crop_n_layers"))
        assert editor(form, "crop_n_layers").isVisible()
        assert "Too many crops." in shown_texts(form)

    def test_of_a_second_name_stand_by_the_first(self, form: ParameterForm) -> None:
        form.set_group_open("everything", is_open=False)
        form.show_error(ParameterError("Too high.", key="iou_thres"))
        assert editor(form, "iou_thresh").isVisible()

    def test_of_no_field_stand_on_top(self, form: ParameterForm) -> None:
        form.show_error(CheckpointError("No weights."))
        top = next(label for label in children(form, QLabel) if "No weights." in label.text())
        assert top.isVisible()
        assert top.y() < editor(form, "model_name").mapTo(form, QPoint(0, 0)).y()

    def test_are_scrolled_to(self, qtbot: QtBot) -> None:
        view = QScrollArea()
        qtbot.addWidget(view)
        view.setWidgetResizable(True)
        view.setWidget(ParameterForm(Parameters()))
        view.resize(360, 200)
        view.show()
        form = view.widget()
        assert isinstance(form, ParameterForm)
        form.show_error(ParameterError("Too few.", key="crop_n_layers"))
        qtbot.waitUntil(lambda: not editor(form, "crop_n_layers").visibleRegion().isEmpty())

    @pytest.mark.parametrize("window", ["#202020", "#f0f0f0"])
    def test_stand_out_on_any_window(self, qtbot: QtBot, window: str) -> None:
        form = make_form(qtbot, input_box="[1")
        form.setPalette(QPalette(QColor(window)))
        text = next(label.text() for label in children(form, QLabel) if "input_box" in label.text())
        is_light_text = "#ff" in text
        assert is_light_text == (window == "#202020")
