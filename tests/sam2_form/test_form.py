from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QPlainTextEdit,
    QToolButton,
)
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_form.widgets import DrawingTool
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES
from tests.sam2_form.form_user import (
    ANY_PARAMETERS,
    CHANGED,
    KEYBOARD,
    LONG_POINTS,
    SHOWN_ROWS,
    children,
    editor,
    make_form,
    shown_texts,
)

pytestmark = pytest.mark.qt


class TestShownValues:
    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({}, id="defaults"),
            pytest.param({"crop_overlap_ratio": 512 / 1500}, id="fraction"),
            pytest.param({"box_nms_thresh": 0.1 + 0.2}, id="last-bit"),
            pytest.param({"iou_thresh": 1e-12, "iou_thres": 1e-12}, id="tiny"),
            pytest.param({"crop_n_layers": 0}, id="no-crops"),
            pytest.param({"mask_threshold": -1.2345678901234}, id="negative"),
            pytest.param({"mask_threshold": -0.0}, id="minus-zero"),
            pytest.param({"points_per_batch": 65536}, id="largest"),
            pytest.param({"input_point": LONG_POINTS}, id="long-prompt"),
            pytest.param({"input_box": "[[1,2,3,4],\n\t[5,6,7,8]]"}, id="line-break"),
            pytest.param({"input_box": "[1, 2,\r\n3\u2029, 4]"}, id="odd-line-breaks"),
            pytest.param({"input_point": "  [1\u00a0,2]  "}, id="odd-spaces"),
            pytest.param({"model_path": "/träger/my  weights\u2028.pt"}, id="odd-path"),
            pytest.param({"model_path": "x" * 40_000}, id="long-path"),
        ],
    )
    def test_come_back_exactly(self, qtbot: QtBot, values: dict[str, Any]) -> None:
        given = Parameters(**values)
        form = make_form(qtbot, **values)
        assert repr(form.parameters()) == repr(given)
        assert form.parameters().to_strings() == given.to_strings()

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(parameters=ANY_PARAMETERS)
    def test_come_back_exactly_for_all(self, form: ParameterForm, parameters: Parameters) -> None:
        form.set_parameters(parameters)
        assert repr(form.parameters()) == repr(parameters)

    def test_stay_exact_when_walked_through_with_tab_and_enter(self, qtbot: QtBot) -> None:
        given: dict[str, Any] = {
            "crop_n_layers": 1,
            "mask_threshold": -1 / 3,
            "input_box": "[ 1,2,\t3,4]",
        }
        form = make_form(qtbot, **given)
        form.activateWindow()
        for row in SHOWN_ROWS:
            field = editor(form, row.key)
            field.setFocus()
            if not isinstance(field, QPlainTextEdit):
                KEYBOARD.keyClick(field, Qt.Key.Key_Return)
            KEYBOARD.keyClick(field, Qt.Key.Key_Tab)
        assert repr(form.parameters()) == repr(Parameters(**given))

    def test_stay_exact_when_stepped_up_and_down_again(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, crop_n_layers=1)
        overlap = editor(form, "crop_overlap_ratio")
        overlap.stepUp()
        assert form.parameters().crop_overlap_ratio == pytest.approx(512 / 1500 + 0.01)
        overlap.stepDown()
        assert form.parameters().crop_overlap_ratio == 512 / 1500

    def test_stay_when_the_wheel_turns_over_them(self, form: ParameterForm) -> None:
        form.setFocus()
        for row in SHOWN_ROWS:
            event = QWheelEvent(
                QPointF(3, 3),
                QPointF(3, 3),
                QPoint(0, 0),
                QPoint(0, 120),
                Qt.MouseButton.NoButton,
                Qt.KeyboardModifier.NoModifier,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            )
            QApplication.sendEvent(editor(form, row.key), event)
            assert not event.isAccepted()
        assert form.parameters() == Parameters()

    def test_are_short(self, form: ParameterForm) -> None:
        assert editor(form, "crop_overlap_ratio").text() == "0.341333"
        assert editor(form, "iou_thresh").text() == "0.8"
        assert editor(form, "stability_score_offset").text() == "1.0"


class TestMeaning:
    CROP_KEYS = ("crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor")

    @pytest.mark.parametrize("key", CROP_KEYS)
    def test_crop_settings_are_greyed_without_crops(self, form: ParameterForm, key: str) -> None:
        assert not editor(form, key).isEnabled()
        assert "Not used now: Crop layers is off." in editor(form, key).toolTip()
        editor(form, "crop_n_layers").setValue(1)
        assert editor(form, key).isEnabled()
        assert "Not used now" not in editor(form, key).toolTip()

    def test_model_is_greyed_with_own_weights(self, form: ParameterForm) -> None:
        editor(form, "model_path").setText("/weights.pt")
        assert not editor(form, "model_name").isEnabled()
        assert CHECKPOINTS["sam2.1_hiera_small"].advice not in shown_texts(form)
        editor(form, "model_path").clear()
        assert editor(form, "model_name").isEnabled()

    def test_stability_offset_is_greyed_without_stability(self, form: ParameterForm) -> None:
        editor(form, "stability_score_thresh").setValue(0)
        assert not editor(form, "stability_score_offset").isEnabled()

    def test_greyed_values_are_kept(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, crop_n_layers=0, crop_nms_thresh=0.3)
        assert form.parameters().crop_nms_thresh == 0.3


class TestReset:
    def test_shows_all_defaults(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, **CHANGED)
        editor(form, "reset").click()
        assert form.parameters() == Parameters()

    def test_of_a_group_leaves_the_others(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, **CHANGED)
        self._reset_button(form, "2 changed").click()
        assert form.parameters() == Parameters(input_point="[1, 2]")

    def test_tells_how_much_is_changed(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, **CHANGED)
        self._reset_button(form, "2 changed")
        editor(form, "points_per_side").setValue(32)
        editor(form, "input_point").clear()
        self._reset_button(form, "1 changed")
        assert [row.text() for row in self._reset_buttons(form)] == ["1 changed · reset"]

    def test_takes_messages_away(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_box="[1")
        form.reset()
        assert "bracket" not in shown_texts(form)

    def _reset_buttons(self, form: ParameterForm) -> list[QAbstractButton]:
        buttons = children(form, QToolButton)
        return [button for button in buttons if button.isVisible() and "reset" in button.text()]

    def _reset_button(self, form: ParameterForm, text: str) -> QAbstractButton:
        return next(button for button in self._reset_buttons(form) if text in button.text())


class TestUpdate:
    def test_shows_what_changed_elsewhere(self, form: ParameterForm) -> None:
        form.update_parameters(Parameters(points_per_side=8))
        assert form.parameters() == Parameters(points_per_side=8)

    def test_keeps_what_is_being_edited(self, form: ParameterForm) -> None:
        editor(form, "input_point").setPlainText("[1, 2]")
        form.update_parameters(Parameters(points_per_side=8))
        assert form.parameters() == Parameters(points_per_side=8, input_point="[1, 2]")

    def test_keeps_the_cursor_in_place(self, form: ParameterForm) -> None:
        points = editor(form, "input_point")
        points.setPlainText("[1, 2]")
        points.moveCursor(points.textCursor().MoveOperation.End)
        form.set_parameters(form.parameters())
        assert points.textCursor().position() == len("[1, 2]")


class TestGroups:
    def test_of_rare_settings_are_closed_until_changed(self, qtbot: QtBot) -> None:
        for parameters, is_open in ((Parameters(), False), (Parameters(use_m2m=True), True)):
            form = ParameterForm(parameters)
            qtbot.addWidget(form)
            form.show()
            assert editor(form, "input_point").isVisible()
            assert editor(form, "use_m2m").isVisible() == is_open

    def test_open_and_close_by_their_headings(self, form: ParameterForm) -> None:
        for title in GROUP_TITLES.values():
            heading = next(b for b in children(form, QToolButton) if b.text() == title)
            heading.click()
        assert not any(editor(form, row.key).isVisible() for row in SHOWN_ROWS)

    def test_are_walked_through_by_tab_in_order(self, form: ParameterForm) -> None:
        widget = form.nextInFocusChain()
        names = []
        while widget is not form:
            assert widget is not None
            names.append(widget.objectName())
            widget = widget.nextInFocusChain()
        keys = {row.key for row in SHOWN_ROWS}
        expected = [row.key for group in GROUP_TITLES for row in SHOWN_ROWS if row.group == group]
        assert [name for name in names if name in keys] == expected

    def test_fit_a_narrow_dock(self, form: ParameterForm) -> None:
        assert form.minimumSizeHint().width() <= 300


class TestDrawingButtons:
    @pytest.mark.parametrize("tool", list(DrawingTool))
    def test_ask_for_their_tool(self, qtbot: QtBot, form: ParameterForm, tool: DrawingTool) -> None:
        with qtbot.waitSignal(form.drawing_requested) as asked:
            editor(form, tool.name).click()
        assert asked.args == [tool]


class TestImport:
    def test_needs_neither_torch_nor_sam2_nor_ikomia(self) -> None:
        code = (
            "import sys, infer_segment_anything_2.sam2_form.form; "
            "print(sorted({'torch', 'sam2', 'ikomia'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "[]\n", done.stderr


class TestListsInTheForm:
    @pytest.mark.parametrize(
        ("key", "text", "message"),
        [
            ("input_objects", '[{"bax": [1, 2, 3, 4]}]', "Object 1 of input_objects"),
            ("region_of_interest", "[[1, 2], [3]]", "region_of_interest must hold"),
            ("point_grids", "[[0.5, 1.5]]", "point_grids must hold"),
        ],
    )
    def test_what_does_not_parse_is_refused(
        self, qtbot: QtBot, key: str, text: str, message: str
    ) -> None:
        form = ParameterForm(Parameters.from_strings({key: text}))
        qtbot.addWidget(form)
        with pytest.raises(PromptError, match=message):
            form.parameters()

    def test_objects_with_masks_in_files_are_not_read_while_typing(self, qtbot: QtBot) -> None:
        text = '[{"mask": "no_such_file.png"}]'
        form = ParameterForm(Parameters(input_objects=text))
        qtbot.addWidget(form)
        assert form.parameters().input_objects == text
