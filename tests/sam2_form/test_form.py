from __future__ import annotations

import html
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PyQt6.QtCore import QLocale, QPoint, QPointF, Qt
from PyQt6.QtGui import QColor, QPalette, QWheelEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.errors import CheckpointError, ParameterError, PromptError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_form.widgets import DrawingTool
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, ParameterRow

pytestmark = pytest.mark.qt

KEYBOARD: Any = QTest  # whose type hints ask for an instance of it
SHOWN_ROWS = [row for row in ROWS if not row.alias_of]
LONG_POINTS = str([[x + 0.25, 2 * x] for x in range(5000)])


@pytest.fixture
def form(qtbot: QtBot) -> ParameterForm:
    return make_form(qtbot)


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


class TestMeaning:
    CROP_KEYS = ("crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor")

    @pytest.mark.parametrize("key", CROP_KEYS)
    def test_crop_settings_are_greyed_without_crops(self, form: ParameterForm, key: str) -> None:
        assert not editor(form, key).isEnabled()
        assert "Not used now: Crop layers is 0." in editor(form, key).toolTip()
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


CHANGED: dict[str, Any] = {"input_point": "[1, 2]", "points_per_side": 8, "crop_n_layers": 2}


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
