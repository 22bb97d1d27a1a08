"""The form of Studio's widget, built from the parameter rows; knows Qt but not Ikomia.

The form shows and edits, nothing more: ranges, words and defaults come from the rows of
``parameters.py``, prompts are read by the parsers of ``prompts.py``, sizes of models come from the
rows of ``checkpoints.py``. A new parameter appears in its group by itself.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, cast

from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QIcon, QPainter, QPalette, QPen, QPixmap
from PyQt6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from infer_segment_anything_2.errors import ParameterError, PromptError, SegmentAnythingError
from infer_segment_anything_2.form_fields import Field, connect, make_field
from infer_segment_anything_2.parameters import (
    GROUP_TITLES,
    ROWS,
    Group,
    ParameterRow,
    Parameters,
    Value,
    base_value,
)
from infer_segment_anything_2.prompts import (
    objects_from_text,
    parse_boxes,
    parse_labels,
    parse_points,
)
from infer_segment_anything_2.sam2_engine.checkpoints import CHECKPOINTS

__all__ = ["DrawingTool", "ParameterForm"]

_SHOWN_ROWS = tuple(row for row in ROWS if not row.alias_of)

# Groups that are shown closed until something in them differs from its default.
_CLOSED_GROUPS: frozenset[Group] = frozenset({"everything", "cleanup"})

_GROUP_HINTS: dict[Group, str] = {
    "everything": "Finds all objects of the picture. Used when nothing is drawn, typed or "
    "connected as a prompt.",
}

_PROMPT_PARSERS: dict[str, Callable[[str], object]] = {
    "input_point": parse_points,
    "input_point_label": parse_labels,
    "input_box": parse_boxes,
}

# Texts wrap at spaces only; a quoted prompt or path may have none.
_BREAK_AFTER = re.compile(r"(\S{20})")

# A prompt is checked when typing pauses: a half-typed one is no mistake yet.
_TYPING_PAUSE_MS = 400
_ICON_PX = 18
_SPIN_BUTTONS_PX = 36


class DrawingTool(Enum):
    """What the user wants to draw on the picture."""

    FOREGROUND_POINT = "Object"
    BACKGROUND_POINT = "Background"
    BOX = "Box"


_TOOL_TIPS = {
    DrawingTool.FOREGROUND_POINT: "Click points on the object.",
    DrawingTool.BACKGROUND_POINT: "Click points that must not belong to the object.",
    DrawingTool.BOX: "Drag a box around an object. Each box is one object; a point in it is its.",
}


@dataclass(frozen=True)
class _Condition:
    """When a parameter has a meaning.

    Attributes:
        key: The parameter that decides.
        holds: Tells from its value.
        otherwise: Why this one is greyed when it does not hold.
    """

    key: str
    holds: Callable[[Any], bool]
    otherwise: str


_WITH_CROPS = _Condition("crop_n_layers", lambda layers: layers > 0, "Crop layers is 0")
_CONDITIONS: dict[str, _Condition] = {
    "model_name": _Condition("model_path", lambda path: not path, "Own weights is set"),
    "stability_score_offset": _Condition(
        "stability_score_thresh", lambda threshold: threshold > 0, "Stability threshold is 0"
    ),
    "crop_nms_thresh": _WITH_CROPS,
    "crop_overlap_ratio": _WITH_CROPS,
    "crop_n_points_downscale_factor": _WITH_CROPS,
}


class ParameterForm(QWidget):
    """Shows and edits all parameters.

    Args:
        parameters: The values to show.
        parent: Qt's parent.
    """

    drawing_requested = pyqtSignal(DrawingTool)

    def __init__(self, parameters: Parameters, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._base = parameters
        self._fields: dict[str, Field] = {}
        self._labels: dict[str, QLabel] = {}
        self._messages: dict[str, _ColouredText] = {}
        self._sections: dict[Group, _Section] = {}
        self._check_timer = _timer(self, _TYPING_PAUSE_MS, self._check_prompts)
        self._faulty = ""
        self._scroll_timer = _timer(self, 0, self._scroll_to_faulty)  # once it has its place
        self._build()
        self.set_parameters(parameters)
        for group, section in self._sections.items():
            section.set_open(group not in _CLOSED_GROUPS or bool(self._changed_rows(group)))

    def parameters(self) -> Parameters:
        """The values, with everything that the user did not touch exactly as it was given.

        Raises:
            ParameterError: A field holds no value of its parameter.
            PromptError: A prompt does not parse, or prompts do not fit together.
        """
        values = {key: field.value() for key, field in self._fields.items()}
        for row in ROWS:
            if row.alias_of and values[row.alias_of] != base_value(self._base, row.alias_of):
                values[row.key] = values[row.alias_of]
        parameters = replace(self._base, **cast("dict[str, Any]", values))
        objects_from_text(
            parameters.input_point, parameters.input_point_label, parameters.input_box
        )
        return parameters

    def set_parameters(self, parameters: Parameters) -> None:
        """Shows these values and forgets what was edited."""
        self._base = parameters
        self._show(parameters, list(self._fields))

    def update_parameters(self, parameters: Parameters) -> None:
        """Shows the values that changed elsewhere and keeps what the user is editing."""
        changed = [
            key
            for key in self._fields
            if base_value(parameters, key) != base_value(self._base, key)
        ]
        self._base = parameters
        self._show(parameters, changed)

    def reset(self, group: Group | None = None) -> None:
        """Shows the defaults, of one group or of all; nothing is applied."""
        self._show(
            Parameters(), [row.key for row in _SHOWN_ROWS if group is None or row.group == group]
        )

    def show_error(self, error: SegmentAnythingError) -> None:
        """Shows an error beside its field, or on top of the form, and brings it into view."""
        key = str(getattr(error, "key", ""))
        aliases = {row.key: row.alias_of for row in ROWS if row.alias_of}
        key = aliases.get(key, key)
        self._messages.get(key, self._messages[""]).set_text(str(error))
        self._faulty = key if key in self._fields else ""
        if self._faulty:
            self._sections[self._fields[key].row.group].set_open(True)
            self._fields[key].editor.setFocus()
        self._scroll_timer.start()

    def set_group_open(self, group: Group, *, is_open: bool) -> None:
        """Opens or closes a group."""
        self._sections[group].set_open(is_open)

    def clear_errors(self) -> None:
        """Takes all messages away."""
        for message in self._messages.values():
            message.set_text("")

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._messages[""] = _ColouredText(_error_colour)
        layout.addWidget(self._messages[""])
        for group in GROUP_TITLES:  # one after the other: the order of making is that of Tab
            layout.addWidget(self._make_section(group))
        reset = QPushButton("Reset to defaults")
        reset.setObjectName("reset")
        reset.setToolTip("Show the defaults of all groups; Apply then uses them.")
        connect(reset.clicked, lambda: self.reset())
        layout.addSpacing(4)
        layout.addWidget(reset, alignment=Qt.AlignmentFlag.AlignRight)

    def _make_section(self, group: Group) -> _Section:
        section = _Section(GROUP_TITLES[group], _GROUP_HINTS.get(group, ""))
        section.reset_requested.connect(lambda: self.reset(group))
        self._sections[group] = section
        if group == "prompts":
            section.add_wide(_drawing_buttons(self.drawing_requested.emit))
        for row in _SHOWN_ROWS:
            if row.group == group:
                self._add_row(row)
        return section

    def _add_row(self, row: ParameterRow) -> None:
        field = make_field(row, _model_captions(row) if row.key == "model_name" else None)
        has_label = row.kind != "bool" and row.label != GROUP_TITLES[row.group]
        label = QLabel(row.label) if has_label else None
        message = _ColouredText(_error_colour)
        self._sections[row.group].add_field(field, label, message)
        field.changed.connect(lambda: self._field_changed(field))
        self._fields[row.key] = field
        self._messages[row.key] = message
        if label:
            self._labels[row.key] = label
        if row.key == "model_name":
            self._advice = _ColouredText(_hint_colour)
            self._sections[row.group].add_wide(self._advice)

    def _show(self, parameters: Parameters, keys: list[str]) -> None:
        for key in keys:
            self._fields[key].set_value(base_value(parameters, key))
        self.clear_errors()
        self._check_prompts()

    def _field_changed(self, field: Field) -> None:
        key = field.row.key
        self._messages[key].set_text("")
        for dependent, condition in _CONDITIONS.items():
            if condition.key == key or dependent == key:
                self._apply_condition(dependent, condition)
        group = field.row.group
        self._sections[group].set_changed_count(len(self._changed_rows(group)))
        if key in _PROMPT_PARSERS:
            self._check_timer.start()
        if key in ("model_name", "model_path"):
            name = "" if self._value("model_path") else str(self._value("model_name"))
            self._advice.set_text(CHECKPOINTS[name].advice if name in CHECKPOINTS else "")

    def _changed_rows(self, group: Group) -> list[ParameterRow]:
        """The rows of a group that do not show their default."""
        return [
            row for row in _SHOWN_ROWS if row.group == group and self._value(row.key) != row.default
        ]

    def _value(self, key: str) -> Value | None:
        """The value of a field, None when it holds none."""
        try:
            return self._fields[key].value()
        except ParameterError:
            return None

    def _apply_condition(self, key: str, condition: _Condition) -> None:
        """Greys a field that has no meaning now, and says why."""
        field = self._fields[key]
        meant = condition.holds(self._fields[condition.key].value())
        for widget in (field.widget, self._labels.get(key)):
            if widget is not None:
                widget.setEnabled(meant)
                widget.setToolTip(_tool_tip(field.row, "" if meant else condition.otherwise))

    def _check_prompts(self) -> None:
        """Shows what the parsers say of each prompt, or of all together when each is readable."""
        errors: dict[str, str] = {}
        for key, parse in _PROMPT_PARSERS.items():
            try:
                parse(str(self._value(key)))
            except PromptError as error:
                errors[key] = str(error)
        if not errors:
            try:
                objects_from_text(*(str(self._value(key)) for key in _PROMPT_PARSERS))
            except PromptError as error:
                errors[error.key] = str(error)
        for key in _PROMPT_PARSERS:
            self._messages[key].set_text(errors.get(key, ""))

    def _scroll_to_faulty(self) -> None:
        """Scrolls the host's view to the field with the error."""
        place: QWidget = self._messages[self._faulty]
        parent = place.parentWidget()
        while parent is not None and not isinstance(parent, QScrollArea):
            parent = parent.parentWidget()
        if parent is not None:
            parent.ensureWidgetVisible(place)


class _Section(QWidget):
    """A group of fields below a heading that opens and closes it."""

    reset_requested = pyqtSignal()

    def __init__(self, title: str, hint: str) -> None:
        super().__init__()
        self._heading = QToolButton()
        self._heading.setText(title)
        self._heading.setCheckable(True)
        self._heading.setAutoRaise(True)
        self._heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        font = self._heading.font()
        font.setBold(True)
        self._heading.setFont(font)
        connect(self._heading.toggled, self.set_open)
        self._reset = QToolButton()
        self._reset.setAutoRaise(True)
        self._reset.setToolTip("Show the defaults of this group; Apply then uses them.")
        connect(self._reset.clicked, lambda: self.reset_requested.emit())
        heading = QHBoxLayout()
        heading.setSpacing(0)
        heading.addWidget(self._heading)
        heading.addWidget(self._reset)
        self._body = QWidget()
        self._grid = QGridLayout(self._body)
        self._grid.setContentsMargins(14, 6, 4, 10)
        self._grid.setVerticalSpacing(8)
        self._grid.setColumnStretch(0, 1)
        number_width_px = self.fontMetrics().horizontalAdvance("-00.000000")
        self._grid.setColumnMinimumWidth(1, number_width_px + _SPIN_BUTTONS_PX)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(heading)
        layout.addWidget(self._body)
        if hint:
            text = _ColouredText(_hint_colour)
            text.set_text(hint)
            self.add_wide(text)

    def set_open(self, is_open: bool) -> None:
        """Opens or closes the group."""
        self._heading.setChecked(is_open)
        self._heading.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self._body.setVisible(is_open)

    def set_changed_count(self, count: int) -> None:
        """Shows how many values differ from their defaults, so that a closed group hides none."""
        self._reset.setText(f"{count} changed · reset")
        self._reset.setVisible(count > 0)

    def add_wide(self, widget: QWidget) -> None:
        """Adds a widget of full width."""
        self._grid.addWidget(widget, self._grid.rowCount(), 0, 1, 2)

    def add_field(self, field: Field, label: QLabel | None, message: QWidget) -> None:
        """Adds a field, its label, and the place for its message."""
        tip = _tool_tip(field.row)
        field.widget.setToolTip(tip)
        if label is not None:
            label.setToolTip(tip)
            label.setBuddy(field.editor)
        if field.is_wide:
            above = QVBoxLayout()
            above.setSpacing(3)
            if label is not None:
                above.addWidget(label)
            above.addWidget(field.widget)
            above.addWidget(message)
            self._grid.addLayout(above, self._grid.rowCount(), 0, 1, 2)
        elif label is not None:
            label.setWordWrap(True)
            row = self._grid.rowCount()
            self._grid.addWidget(label, row, 0)
            self._grid.addWidget(field.widget, row, 1)
            self.add_wide(message)


class _ColouredText(QLabel):
    """A wrapped text in a colour of its own, hidden while empty.

    The colour is part of the text, because Studio's style sheet overrides a label's palette.
    """

    def __init__(self, colour_of: Callable[[QPalette], QColor]) -> None:
        super().__init__()
        self._colour_of = colour_of
        self._plain = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hide()

    def plain_text(self) -> str:
        """The text without its colour."""
        return self._plain

    def set_text(self, text: str) -> None:
        """Shows a text, or hides the label when it is empty."""
        self._plain = text
        self._colour()
        self.setVisible(bool(text))

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Follows a change between light and dark."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._colour()

    def _colour(self) -> None:
        colour = self._colour_of(self.palette()).name()
        breakable = _BREAK_AFTER.sub("\\1\u200b", self._plain)
        self.setText(f'<span style="color: {colour}">{html.escape(breakable)}</span>')


def _timer(parent: QWidget, interval_ms: int, slot: Callable[[], None]) -> QTimer:
    """A timer that fires once after each start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(interval_ms)
    connect(timer.timeout, slot)
    return timer


def _hint_colour(palette: QPalette) -> QColor:
    """Weaker than the text, stronger than the disabled one."""
    text, window = palette.color(QPalette.ColorRole.WindowText), _window_colour(palette)
    return QColor(*(int(0.7 * a + 0.3 * b) for a, b in zip(_rgb(text), _rgb(window), strict=True)))


def _error_colour(palette: QPalette) -> QColor:
    """A red that is readable on a light and on a dark window."""
    return QColor("#ff8a80" if _window_colour(palette).lightness() < 128 else "#b3261e")


def _window_colour(palette: QPalette) -> QColor:
    return palette.color(QPalette.ColorRole.Window)


def _rgb(colour: QColor) -> tuple[int, int, int]:
    return colour.red(), colour.green(), colour.blue()


def _tool_tip(row: ParameterRow, not_used_because: str = "") -> str:
    """What the parameter means, what it may be, and its name in code."""
    facts = [] if row.kind in ("bool", "choice", "text") else [f"{row.expected}".capitalize()]
    if row.default != "":
        facts.append(f"default {row.format(row.default)}")
    facts.append(f"parameter <code>{row.key}</code>")
    parts = [html.escape(row.help), "<i>" + ", ".join(facts) + "</i>"]
    if not_used_because:
        parts.append(f"<b>Not used now: {html.escape(not_used_because)}.</b>")
    return "".join(f"<p>{part}</p>" for part in parts)


def _model_captions(row: ParameterRow) -> dict[str, str]:
    """Each model with the size of its download."""
    return {
        choice: f"{choice} · {CHECKPOINTS[choice].size_bytes / 1e6:.0f} MB"
        for choice in row.choices
        if choice in CHECKPOINTS
    }


def _drawing_buttons(request: Callable[[DrawingTool], object]) -> QWidget:
    """The buttons that choose Studio's drawing tool."""
    widget = QWidget()
    layout = QGridLayout(widget)
    layout.setContentsMargins(0, 0, 0, 4)
    layout.addWidget(QLabel("Draw on the picture:"), 0, 0, 1, len(DrawingTool))
    for column, tool in enumerate(DrawingTool):
        button = QToolButton()
        button.setObjectName(tool.name)
        button.setText(tool.value)
        button.setIcon(_tool_icon(tool))
        button.setIconSize(QSize(_ICON_PX, _ICON_PX))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setToolTip(f"<p>{_TOOL_TIPS[tool]}</p>")
        connect(button.clicked, lambda _checked, tool=tool: request(tool))
        layout.addWidget(button, 1, column)
        layout.setColumnStretch(column, 1)
    return widget


def _tool_icon(tool: DrawingTool) -> QIcon:
    """A green plus, a red minus, or a blue frame, for any background."""
    pixmap = QPixmap(2 * _ICON_PX, 2 * _ICON_PX)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    middle = _ICON_PX / 2
    if tool is DrawingTool.BOX:
        painter.setPen(QPen(QColor("#2f80ed"), 2, Qt.PenStyle.DashLine))
        painter.drawRect(QRectF(2, 4, _ICON_PX - 4, _ICON_PX - 8))
    else:
        is_foreground = tool is DrawingTool.FOREGROUND_POINT
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor("#2e9e4f" if is_foreground else "#d64541"))
        painter.drawEllipse(QPointF(middle, middle), middle - 1, middle - 1)
        painter.setPen(QPen(Qt.GlobalColor.white, 2))
        painter.drawLine(QPointF(5, middle), QPointF(_ICON_PX - 5, middle))
        if is_foreground:
            painter.drawLine(QPointF(middle, 5), QPointF(middle, _ICON_PX - 5))
    painter.end()
    return QIcon(pixmap)
