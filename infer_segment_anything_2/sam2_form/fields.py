"""The fields of Studio's form: one editor per kind of parameter, each holding a typed value.

What an editor shows is shorter than what a parameter holds: 512/1500 is shown with six decimals, a
pasted line break as a new line. So a field remembers the value that it was given together with
what it showed for it, and gives exactly that value back for as long as it shows the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from PyQt6.QtCore import QObject, QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from infer_segment_anything_2.sam2_form.widgets import FloatSpin, GrowingText, WheelGuard, connect
from infer_segment_anything_2.sam2_reading.parameter_rows import ParameterRow, Value

__all__ = ["Field", "make_field"]

_LARGEST_INT = 2**31 - 1
_LONGEST_LINE = 10_000_000


class Field(QObject):
    """Shows and edits the value of one parameter.

    Attributes:
        row: The parameter.
        widget: What to put into a layout.
        editor: What takes the keyboard; ``widget`` or a part of it.
        is_wide: True when the widget wants the form's full width, below its label.
    """

    changed = pyqtSignal()
    is_wide = False

    def __init__(self, row: ParameterRow, editor: QWidget, widget: QWidget | None = None) -> None:
        super().__init__(widget or editor)
        self.row = row
        self.editor = editor
        self.widget = widget or editor
        self.editor.setObjectName(row.key)
        self.editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.editor.installEventFilter(WheelGuard(self))
        self._given: Value = row.default
        self._shown: object = None

    def set_value(self, value: Value) -> None:
        """Shows a value; :meth:`value` gives exactly it back until the user edits the field."""
        if self._shown is None or self._differs(value):
            blocker = QSignalBlocker(self.editor)
            self._show(value)
            blocker.unblock()
        self._given, self._shown = value, self._content()
        self.changed.emit()

    def value(self) -> Value:
        """The value given, or what the user made of it."""
        return self._given if self._content() == self._shown else self._read()

    def finish_typing(self) -> None:
        """Settles a half-typed number, which the editor else does when the user leaves it."""
        if isinstance(self.editor, QAbstractSpinBox):
            self.editor.interpretText()

    def _differs(self, value: Value) -> bool:
        """Whether the editor has to be filled anew, which would move the user's cursor."""
        return value != (self._given if self._content() == self._shown else self._read())

    def _content(self) -> object:
        """What is to be seen in the editor."""
        raise NotImplementedError

    def _read(self) -> Value:
        """The value of what is to be seen in the editor."""
        raise NotImplementedError

    def _show(self, value: Value) -> None:
        """Fills the editor."""
        raise NotImplementedError


class BoolField(Field):
    """A tick box that carries its own label."""

    is_wide = True

    def __init__(self, row: ParameterRow) -> None:
        self._box = QCheckBox(row.label)
        super().__init__(row, self._box)
        connect(self._box.toggled, self.changed)

    def _content(self) -> object:
        return self._box.isChecked()

    def _read(self) -> Value:
        return self._box.isChecked()

    def _show(self, value: Value) -> None:
        self._box.setChecked(bool(value))


class ChoiceField(Field):
    """A list of words, each with a caption."""

    def __init__(self, row: ParameterRow, captions: dict[str, str]) -> None:
        self._list = QComboBox()
        for choice in row.choices:
            self._list.addItem(captions.get(choice, choice), choice)
        super().__init__(row, self._list)
        self.is_wide = bool(captions)
        if captions:  # long ones: the list may be narrower than its widest word
            self._list.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            self._list.setMinimumContentsLength(12)
            self._list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        connect(self._list.currentIndexChanged, self.changed)

    def _content(self) -> object:
        return self._list.currentIndex()

    def _read(self) -> Value:
        return cast("str", self._list.currentData())

    def _show(self, value: Value) -> None:
        self._list.setCurrentIndex(self._list.findData(value))


class IntField(Field):
    """A spin box for whole numbers."""

    def __init__(self, row: ParameterRow) -> None:
        self._spin = QSpinBox()
        lowest, highest = _bounds(row, _LARGEST_INT)
        self._spin.setRange(int(lowest), int(highest))
        _dress(self._spin, row)
        self._spin.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        super().__init__(row, self._spin)
        connect(self._spin.valueChanged, self.changed)

    def _content(self) -> object:
        return self._spin.value()

    def _read(self) -> Value:
        return self._spin.value()

    def _show(self, value: Value) -> None:
        self._spin.setValue(int(value))


class FloatField(Field):
    """A spin box for numbers, which never rounds what it was given."""

    def __init__(self, row: ParameterRow) -> None:
        self._spin = FloatSpin()
        lowest, highest = _bounds(row, sys.float_info.max)
        self._spin.setRange(lowest, highest)
        _dress(self._spin, row)
        self._spin.setSingleStep(0.01 if highest - lowest <= 1 else 0.1)
        super().__init__(row, self._spin)
        connect(self._spin.valueChanged, self.changed)

    def _content(self) -> object:
        return self._spin.value()

    def _read(self) -> Value:
        return self._spin.value()

    def _show(self, value: Value) -> None:
        self._spin.setValue(float(value))


class PathField(Field):
    """A line for a file's path, with a button that opens the file dialog."""

    is_wide = True

    def __init__(self, row: ParameterRow) -> None:
        self._line = QLineEdit()
        self._line.setMaxLength(_LONGEST_LINE)
        self._line.setPlaceholderText(_placeholder(row))
        self._line.setClearButtonEnabled(True)
        browse = QToolButton()
        browse.setText("…")
        browse.setToolTip("Choose a file")
        both = QWidget()
        layout = QHBoxLayout(both)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(browse)
        super().__init__(row, self._line, both)
        connect(self._line.textChanged, self.changed)
        connect(browse.clicked, self._browse)

    def _browse(self) -> None:
        folder = str(Path(self._line.text()).parent) if self._line.text() else ""
        path, _ = QFileDialog.getOpenFileName(self._line, self.row.label, folder)
        if path:
            self._line.setText(path)

    def _content(self) -> object:
        return self._line.text()

    def _read(self) -> Value:
        return self.row.parse(self._line.text())

    def _show(self, value: Value) -> None:
        self._line.setText(str(value))


class TextField(Field):
    """A small text box that grows with its text, for prompts of any length."""

    is_wide = True

    def __init__(self, row: ParameterRow) -> None:
        self._text = GrowingText()
        self._text.setPlaceholderText(_placeholder(row))
        super().__init__(row, self._text)
        connect(self._text.textChanged, self.changed)

    def _content(self) -> object:
        return self._text.toPlainText()

    def _read(self) -> Value:
        return self.row.parse(self._text.toPlainText())

    def _show(self, value: Value) -> None:
        self._text.setPlainText(str(value))
        self._text.fit_height()


def make_field(row: ParameterRow, captions: dict[str, str] | None = None) -> Field:
    """Makes the field for a parameter.

    Args:
        row: The parameter.
        captions: Longer texts to show for choices, by choice.
    """
    if row.kind == "choice":
        return ChoiceField(row, captions or {})
    if row.kind == "text":
        return PathField(row) if row.key.endswith("_path") else TextField(row)
    return {"bool": BoolField, "int": IntField, "float": FloatField}[row.kind](row)


def _placeholder(row: ParameterRow) -> str:
    return f"e.g. {row.example}" if row.example else ""


def _dress(spin: QSpinBox | QDoubleSpinBox, row: ParameterRow) -> None:
    """Shows the unit behind the number, and words for 0 where it stands for something."""
    if row.unit:
        spin.setSuffix(f" {row.unit}")
    if row.zero_means and row.minimum == 0:  # Qt has words for the smallest number only
        spin.setSpecialValueText(row.zero_means)


def _bounds(row: ParameterRow, largest: float) -> tuple[float, float]:
    return max(row.minimum, -largest), min(row.maximum, largest)
