"""Studio's widget: the form in the host's clothes; the API never imports it."""

from __future__ import annotations

from typing import Protocol

from ikomia import core, dataprocess
from ikomia.utils import qtconversion
from PyQt6.QtWidgets import QVBoxLayout

from infer_segment_anything_2.errors import ParameterError, PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_form.widgets import DrawingTool

__all__ = ["InferSegmentAnything2Widget", "InferSegmentAnything2WidgetFactory"]

# Studio's tool and the category of what is drawn with it; see prompts.objects_from_drawing.
_TOOLS = {
    DrawingTool.FOREGROUND_POINT: (core.GraphicsShape.POINT, "foreground"),
    DrawingTool.BACKGROUND_POINT: (core.GraphicsShape.POINT, "background"),
    DrawingTool.BOX: (core.GraphicsShape.RECTANGLE, "Default"),
    DrawingTool.REGION: (core.GraphicsShape.POLYGON, "Default"),
    DrawingTool.SELECT: (core.GraphicsShape.SELECTION, "Default"),
}


class _HoldsValues(Protocol):
    """What the widget needs of the task's parameter object."""

    values: Parameters

    def set_values(self, params: dict[str, str]) -> None:
        """Reads the host's map of strings."""


class InferSegmentAnything2Widget(core.CWorkflowTaskWidget):
    """Shows the task's parameters and hands them back when Apply is pressed.

    Args:
        param: The task's own parameter object, or None in Studio's preview.
        parent: The host's parent.
    """

    def __init__(self, param: _HoldsValues | None, parent: object = None) -> None:
        super().__init__(parent)
        self._param = param
        self.form = ParameterForm(Parameters() if param is None else param.values)
        self.form.drawing_requested.connect(self._set_tool)
        self._layout = QVBoxLayout()  # kept: the host does not own it
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.addWidget(self.form)
        self.set_layout(qtconversion.PyQtToQt(self._layout))

    def on_apply(self) -> None:
        """Hands the values to the task, or shows what is wrong and hands over nothing."""
        if self._param is None:
            return
        try:
            values = self.form.parameters()
            self._param.set_values(values.to_strings())
        except (ParameterError, PromptError) as error:
            # The host would only print it.
            self.form.show_error(error)
            return
        self.form.set_parameters(self._param.values)
        self.emit_apply(self._param)

    def on_parameters_changed(self) -> None:
        """Shows the values that were changed elsewhere."""
        if self._param is not None:
            self.form.update_parameters(self._param.values)

    def _set_tool(self, tool: DrawingTool) -> None:
        shape, category = _TOOLS[tool]
        self.emit_set_graphics_category(category)
        self.emit_set_graphics_tool(shape)


class InferSegmentAnything2WidgetFactory(dataprocess.CWidgetFactory):
    """Makes the widget; Studio finds it by the task's name."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "infer_segment_anything_2"

    def create(self, param: _HoldsValues | None) -> InferSegmentAnything2Widget:
        """Makes the widget for a task's parameters."""
        return InferSegmentAnything2Widget(param)
