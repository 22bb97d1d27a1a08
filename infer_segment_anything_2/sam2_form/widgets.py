"""The pieces that Studio's form is put together from; they know Qt, but no parameter."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from enum import Enum
from typing import Any

from PyQt6.QtCore import (
    QEvent,
    QLocale,
    QObject,
    Qt,
    QTimer,
    pyqtSignal,
)
from PyQt6.QtGui import (
    QColor,
    QFontMetrics,
    QPalette,
    QResizeEvent,
)
from PyQt6.QtWidgets import (
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

__all__ = [
    "ColouredText",
    "DrawingTool",
    "FloatSpin",
    "GrowingText",
    "Section",
    "WheelGuard",
    "connect",
    "error_colour",
    "hint_colour",
    "single_shot_timer",
]

# Texts wrap at spaces only; a quoted prompt or path may have none.
_BREAK_AFTER = re.compile(r"(\S{20})")

_STORED_DECIMALS = 10
_SHOWN_DECIMALS = 6
_FEWEST_LINES, _MOST_LINES = 1, 6
_SPIN_BUTTONS_PX = 36


class DrawingTool(Enum):
    """What the user wants to draw on the picture."""

    FOREGROUND_POINT = "Object"
    BACKGROUND_POINT = "Background"
    BOX = "Box"
    REGION = "Region"
    SELECT = "Select"


class Section(QWidget):
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
            text = ColouredText(hint_colour)
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

    def add_wide(self, *widgets: QWidget) -> None:
        """Adds widgets of full width, closely below each other."""
        column = QVBoxLayout()
        column.setSpacing(3)
        for widget in widgets:
            column.addWidget(widget)
        self._grid.addLayout(column, self._grid.rowCount(), 0, 1, 2)

    def add_heading(self, title: str) -> None:
        """Adds a sub-heading, for the fields that are added after it."""
        heading = QLabel(title)
        font = heading.font()
        font.setBold(True)
        heading.setFont(font)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        both = QWidget()
        layout = QHBoxLayout(both)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(heading)
        layout.addWidget(line, stretch=1)
        self.add_wide(both)

    def add_beside(self, label: QLabel, widget: QWidget) -> None:
        """Adds a short widget to the right of its label."""
        label.setWordWrap(True)
        row = self._grid.rowCount()
        self._grid.addWidget(label, row, 0)
        self._grid.addWidget(widget, row, 1)


class ColouredText(QLabel):
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


class WheelGuard(QObject):
    """Leaves the wheel to the form's scrolling unless the user is in the field."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Takes the wheel's turns from a field without the focus."""
        if event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget):
            return False
        if watched.hasFocus():
            return False
        event.ignore()
        return True


class FloatSpin(QDoubleSpinBox):
    """A spin box that shows few decimals and keeps many."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(_STORED_DECIMALS)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """The number with few decimals."""
        locale = QLocale(self.locale())
        locale.setNumberOptions(QLocale.NumberOption.OmitGroupSeparator)
        text = locale.toString(value, "f", _SHOWN_DECIMALS).rstrip("0")
        return text + "0" if text.endswith(locale.decimalPoint()) else text

    def valueFromText(self, text: str) -> float:  # noqa: N802 - Qt's name
        """The number in a text; the full one for the text that stands for it."""
        shown = self.value()
        return shown if text == self.textFromValue(shown) else super().valueFromText(text)


class GrowingText(QPlainTextEdit):
    """A text box as high as its text, within limits."""

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        connect(self.textChanged, self.fit_height)
        self.fit_height()

    def fit_height(self) -> None:
        """Sets the height to that of the lines, as they are broken at the present width."""
        lines = int(self.document().size().height())  # this document's layout counts in lines
        lines = min(max(lines, _FEWEST_LINES), _MOST_LINES)
        margins = 2 * (self.document().documentMargin() + self.frameWidth())
        self.setFixedHeight(int(lines * QFontMetrics(self.font()).lineSpacing() + margins) + 2)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Fits the height when lines break elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.fit_height()


def connect(signal: Any, slot: Any) -> None:
    """Connects Qt's signal, which the type hints of this PyQt6 take for a method."""
    signal.connect(slot)


def single_shot_timer(parent: QWidget, interval_ms: int, slot: Callable[[], None]) -> QTimer:
    """A timer that fires once after each start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(interval_ms)
    connect(timer.timeout, slot)
    return timer


def hint_colour(palette: QPalette) -> QColor:
    """Weaker than the text, stronger than the disabled one."""
    text, window = palette.color(QPalette.ColorRole.WindowText), _window_colour(palette)
    return QColor(*(int(0.7 * a + 0.3 * b) for a, b in zip(_rgb(text), _rgb(window), strict=True)))


def error_colour(palette: QPalette) -> QColor:
    """A red that is readable on a light and on a dark window."""
    return QColor("#ff8a80" if _window_colour(palette).lightness() < 128 else "#b3261e")


def _window_colour(palette: QPalette) -> QColor:
    return palette.color(QPalette.ColorRole.Window)


def _rgb(colour: QColor) -> tuple[int, int, int]:
    return colour.red(), colour.green(), colour.blue()
