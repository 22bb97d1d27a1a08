from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ikomia import core, dataprocess
from PyQt6.QtWidgets import QLabel, QPushButton, QScrollArea, QWidget
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.infer_segment_anything_2 import IkomiaPlugin
from infer_segment_anything_2.infer_segment_anything_2_process import (
    InferSegmentAnything2,
    InferSegmentAnything2Param,
)
from infer_segment_anything_2.infer_segment_anything_2_widget import (
    InferSegmentAnything2Widget,
    InferSegmentAnything2WidgetFactory,
)
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import DrawnBox, DrawnPoint, objects_from_drawing
from infer_segment_anything_2.sam2_form.widgets import DrawingTool
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES

pytestmark = [pytest.mark.qt, pytest.mark.ikomia]
MakeWidget = Callable[[InferSegmentAnything2Param | None], "RecordingWidget"]


class RecordingWidget(InferSegmentAnything2Widget):
    """The widget, with the signals to Studio written down: they cannot be received in Python."""

    def __init__(self, param: InferSegmentAnything2Param | None) -> None:
        super().__init__(param)
        self.applied: list[object] = []
        self.tools: list[object] = []
        self.categories: list[str] = []

    def emit_apply(self, param: object) -> None:
        self.applied.append(param)
        super().emit_apply(param)

    def emit_set_graphics_tool(self, tool: object) -> None:
        self.tools.append(tool)
        super().emit_set_graphics_tool(tool)

    def emit_set_graphics_category(self, category: str) -> None:
        self.categories.append(category)
        super().emit_set_graphics_category(category)


def make_param(**values: Any) -> InferSegmentAnything2Param:
    param = InferSegmentAnything2Param()
    param.values = Parameters(**values)
    return param


@pytest.fixture
def make_widget(qtbot: QtBot) -> Iterator[MakeWidget]:
    """Makes widgets and hides them afterwards; qtbot would delete what the host owns."""
    widgets = []

    def make(param: InferSegmentAnything2Param | None) -> RecordingWidget:
        widget = RecordingWidget(param)
        widgets.append(widget)
        host_of(widget).resize(350, 600)
        host_of(widget).show()
        return widget

    yield make
    for widget in widgets:
        host_of(widget).close()


def host_of(widget: InferSegmentAnything2Widget) -> QWidget:
    """The host's own widget around the form."""
    host = widget.form.window()
    assert host is not None
    assert host.metaObject().className() == "CWorkflowTaskWidget"
    return host


def press_apply(widget: InferSegmentAnything2Widget) -> None:
    button = host_of(widget).findChild(QPushButton, "CProcessBtn")
    assert isinstance(button, QPushButton)
    button.click()


def field(widget: InferSegmentAnything2Widget, key: str) -> Any:
    found = widget.form.findChild(QWidget, key)
    assert found is not None
    return found


class TestApply:
    @pytest.mark.parametrize(
        "values",
        [
            pytest.param({}, id="defaults"),
            pytest.param(
                {"crop_overlap_ratio": 512 / 1500, "mask_threshold": -1 / 3}, id="fractions"
            ),
            pytest.param({"input_point": str([[x, x] for x in range(3000)])}, id="long-prompt"),
            pytest.param({"input_box": "[[1,2,3,4],\n [5,6,7,8]]"}, id="line-break"),
        ],
    )
    def test_of_untouched_values_changes_nothing(
        self, make_widget: MakeWidget, values: dict[str, Any]
    ) -> None:
        param = make_param(**values)
        before = param.get_values()
        widget = make_widget(param)
        press_apply(widget)
        assert param.get_values() == before
        assert widget.applied == [param]

    def test_hands_over_what_was_edited(self, make_widget: MakeWidget) -> None:
        param = make_param()
        widget = make_widget(param)
        field(widget, "input_point").setPlainText("[1, 2]")
        field(widget, "iou_thresh").setValue(0.25)
        press_apply(widget)
        assert param.values == Parameters(input_point="[1, 2]", iou_thresh=0.25, iou_thres=0.25)

    def test_works_again_and_again(self, make_widget: MakeWidget) -> None:
        param = make_param()
        widget = make_widget(param)
        for threshold in (0.25, 0.5, 0.8):
            field(widget, "iou_thresh").setValue(threshold)
            press_apply(widget)
            assert (param.values.iou_thresh, param.values.iou_thres) == (threshold, threshold)
        assert len(widget.applied) == 3

    def test_of_a_bad_prompt_shows_why_and_applies_nothing(self, make_widget: MakeWidget) -> None:
        param = make_param()
        widget = make_widget(param)
        field(widget, "points_per_side").setValue(8)
        field(widget, "input_box").setPlainText("[1, 2, 3")
        press_apply(widget)
        labels: list[Any] = widget.form.findChildren(QLabel)
        texts = [label.text() for label in labels if label.isVisible()]
        assert any("a bracket is not closed" in text for text in texts)
        assert param.values == Parameters()
        assert widget.applied == []

    def test_works_once_the_prompt_is_mended(self, make_widget: MakeWidget) -> None:
        param = make_param(input_box="[1, 2, 3")
        widget = make_widget(param)
        press_apply(widget)
        field(widget, "input_box").setPlainText("[1, 2, 3, 4]")
        press_apply(widget)
        assert param.values == Parameters(input_box="[1, 2, 3, 4]")
        assert widget.applied == [param]

    def test_without_a_task_does_nothing(self, make_widget: MakeWidget) -> None:
        widget = make_widget(None)
        field(widget, "input_box").setPlainText("[1")
        press_apply(widget)
        assert widget.applied == []


class TestChangesFromElsewhere:
    def test_are_shown(self, make_widget: MakeWidget) -> None:
        param = make_param()
        widget = make_widget(param)
        param.set_values({"points_per_side": "8", "input_point": "[3, 4]"})
        widget.on_parameters_changed()
        assert widget.form.parameters() == Parameters(points_per_side=8, input_point="[3, 4]")

    def test_back_to_what_was_before_apply_are_shown(self, make_widget: MakeWidget) -> None:
        param = make_param()
        widget = make_widget(param)
        field(widget, "points_per_side").setValue(8)
        press_apply(widget)
        param.set_values({"points_per_side": "32"})
        widget.on_parameters_changed()
        assert widget.form.parameters() == Parameters()

    def test_are_nothing_without_a_task(self, make_widget: MakeWidget) -> None:
        widget = make_widget(None)
        widget.on_parameters_changed()
        assert widget.form.parameters() == Parameters()


class TestDrawing:
    @pytest.mark.parametrize(
        ("tool", "shape"),
        [
            (DrawingTool.FOREGROUND_POINT, core.GraphicsShape.POINT),
            (DrawingTool.BACKGROUND_POINT, core.GraphicsShape.POINT),
            (DrawingTool.BOX, core.GraphicsShape.RECTANGLE),
            (DrawingTool.REGION, core.GraphicsShape.POLYGON),
            (DrawingTool.SELECT, core.GraphicsShape.SELECTION),
        ],
        ids=lambda value: str(value),
    )
    def test_buttons_set_studios_tool(
        self, make_widget: MakeWidget, tool: DrawingTool, shape: object
    ) -> None:
        widget = make_widget(None)
        field(widget, tool.name).click()
        assert widget.tools == [shape]
        assert len(widget.categories) == 1

    def test_categories_mean_what_the_buttons_say(self, make_widget: MakeWidget) -> None:
        widget = make_widget(None)
        for tool in DrawingTool:
            field(widget, tool.name).click()
        foreground, background, box, *_others = widget.categories
        points = [DrawnPoint((5, 5), foreground), DrawnPoint((6, 6), background)]
        (prompt,) = objects_from_drawing(points, [DrawnBox((0, 0, 9, 9), box)])
        assert prompt.labels == (1, 0)
        assert prompt.category == ""


class TestHost:
    def test_scrolls_in_one_direction_only(self, qtbot: QtBot, make_widget: MakeWidget) -> None:
        widget = make_widget(None)
        for group in GROUP_TITLES:
            widget.form.set_group_open(group, is_open=True)
        view = host_of(widget).findChild(QScrollArea)
        assert isinstance(view, QScrollArea)
        qtbot.waitUntil(lambda: view.verticalScrollBar().maximum() > 0)
        assert view.horizontalScrollBar().maximum() == 0

    def test_lays_the_form_out_in_its_width(self, qtbot: QtBot, make_widget: MakeWidget) -> None:
        widget = make_widget(None)
        gc.collect()
        host_of(widget).resize(444, 600)
        qtbot.waitUntil(lambda: 400 < widget.form.width() <= 444)

    def test_can_be_closed_while_a_prompt_waits_for_its_check(self, qtbot: QtBot) -> None:
        widget = InferSegmentAnything2Widget(None)
        field(widget, "input_point").setPlainText("[1")
        is_destroyed = qtbot.waitSignal(widget.form.destroyed)
        with is_destroyed:
            del widget
            gc.collect()
        qtbot.wait(500)


class TestFactory:
    def test_is_found_by_the_tasks_name(self) -> None:
        assert InferSegmentAnything2WidgetFactory().name == "infer_segment_anything_2"
        assert isinstance(InferSegmentAnything2WidgetFactory(), dataprocess.CWidgetFactory)

    def test_makes_a_preview_without_a_task(self, qtbot: QtBot) -> None:
        widget = InferSegmentAnything2WidgetFactory().create(None)
        assert widget.form.parameters() == Parameters()

    def test_makes_the_widget_of_a_task(self, qtbot: QtBot) -> None:
        task = InferSegmentAnything2("task", make_param(points_per_side=8))
        widget = IkomiaPlugin().get_widget_factory().create(task.get_param_object())
        field(widget, "crop_n_layers").setValue(1)
        press_apply(widget)
        expected = Parameters(points_per_side=8, crop_n_layers=1)
        assert task.get_param_object().values == expected
        assert task.get_param_object().get_values() == expected.to_strings()


class TestImport:
    def test_needs_neither_torch_nor_sam2(self) -> None:
        code = (
            "import sys, infer_segment_anything_2.infer_segment_anything_2_widget; "
            "print(sorted({'torch', 'sam2'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "[]\n", done.stderr
