"""The form of Studio's widget, built from the parameter rows; knows Qt but not Ikomia.

The form shows and edits, nothing more: ranges, words and defaults come from the rows of
``parameters.py``, prompts are read by the parsers of ``prompts.py``, sizes of models come from the
rows of ``checkpoints.py``. A new parameter appears in its group by itself.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from infer_segment_anything_2.errors import SegmentAnythingError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.request import TEXT_KEYS, text_errors
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_form.fields import Field, make_field
from infer_segment_anything_2.sam2_form.widgets import (
    ColouredText,
    DrawingTool,
    Section,
    connect,
    drawing_buttons,
    error_colour,
    hint_colour,
    single_shot_timer,
)
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, Group, ParameterRow

__all__ = ["ParameterForm"]

_SHOWN_ROWS = tuple(row for row in ROWS if not row.alias_of)

# Groups that are shown closed until something in them differs from its default.
_CLOSED_GROUPS: frozenset[Group] = frozenset({"everything", "cleanup"})

_GROUP_HINTS: dict[Group, str] = {
    "everything": "Finds all objects of the picture. Used when nothing is drawn, typed or "
    "connected as a prompt.",
}

# A prompt is checked when typing pauses: a half-typed one is no mistake yet.
_TYPING_PAUSE_MS = 400


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
        self._messages: dict[str, ColouredText] = {}
        self._sections: dict[Group, Section] = {}
        self._advice = ColouredText(hint_colour)
        self._check_timer = single_shot_timer(self, _TYPING_PAUSE_MS, self._check_prompts)
        self._faulty = ""
        # After the layout has given the message its place.
        self._scroll_timer = single_shot_timer(self, 0, self._scroll_to_faulty)
        self._build()
        self.set_parameters(parameters)
        for group, section in self._sections.items():
            section.set_open(group not in _CLOSED_GROUPS or bool(self._changed_rows(group)))

    def parameters(self) -> Parameters:
        """The values, with everything that the user did not touch exactly as it was given.

        Raises:
            PromptError: A prompt does not parse, or prompts do not fit together.
        """
        for field in self._fields.values():
            field.finish_typing()
        parameters = self._read()
        for error in text_errors(parameters).values():
            raise error
        return parameters

    def set_parameters(self, parameters: Parameters) -> None:
        """Shows these values and forgets what was edited."""
        self._base = parameters
        self._show(parameters, list(self._fields))

    def update_parameters(self, parameters: Parameters) -> None:
        """Shows the values that changed elsewhere and keeps what the user is editing."""
        changed = [
            key for key in self._fields if parameters.value_of(key) != self._base.value_of(key)
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
        self._messages[""] = ColouredText(error_colour)
        layout.addWidget(self._messages[""])
        for group in GROUP_TITLES:  # one after the other: the order of making is that of Tab
            layout.addWidget(self._make_section(group))
        reset = QPushButton("Reset to defaults")
        reset.setObjectName("reset")
        reset.setToolTip("Show the defaults of all groups; Apply then uses them.")
        connect(reset.clicked, lambda: self.reset())
        layout.addSpacing(4)
        layout.addWidget(reset, alignment=Qt.AlignmentFlag.AlignRight)

    def _make_section(self, group: Group) -> Section:
        section = Section(GROUP_TITLES[group], _GROUP_HINTS.get(group, ""))
        section.reset_requested.connect(lambda: self.reset(group))
        self._sections[group] = section
        if group == "prompts":
            section.add_wide(drawing_buttons(self.drawing_requested.emit))
        for row in _SHOWN_ROWS:
            if row.group == group:
                self._add_row(row)
        return section

    def _add_row(self, row: ParameterRow) -> None:
        field = make_field(row, _model_captions(row) if row.key == "model_name" else None)
        field.changed.connect(lambda: self._field_changed(field))
        self._fields[row.key] = field
        message = self._messages[row.key] = ColouredText(error_colour)
        section = self._sections[row.group]
        if row.kind == "bool" or row.label == GROUP_TITLES[row.group]:
            section.add_wide(field.widget, message)
        else:
            label = self._labels[row.key] = QLabel(row.label)
            label.setBuddy(field.editor)
            if field.is_wide:
                section.add_wide(label, field.widget, message)
            else:
                section.add_beside(label, field.widget)
                section.add_wide(message)
        self._set_meant(row.key)
        if row.key == "model_name":
            section.add_wide(self._advice)

    def _read(self) -> Parameters:
        """What the fields hold, under both names where a parameter has two."""
        values = {key: field.value() for key, field in self._fields.items()}
        for row in ROWS:
            if row.alias_of and values[row.alias_of] != self._base.value_of(row.alias_of):
                values[row.key] = values[row.alias_of]
        return replace(self._base, **cast("dict[str, Any]", values))

    def _show(self, parameters: Parameters, keys: list[str]) -> None:
        for key in keys:
            self._fields[key].set_value(parameters.value_of(key))
        self.clear_errors()
        self._check_prompts()

    def _field_changed(self, field: Field) -> None:
        key, group = field.row.key, field.row.group
        self._messages[key].set_text("")
        for dependent, condition in _CONDITIONS.items():
            if condition.key == key:
                is_meant = condition.holds(field.value())
                self._set_meant(dependent, "" if is_meant else condition.otherwise)
        changed = self._changed_rows(group)
        self._sections[group].set_changed_count(len(changed))
        if key in TEXT_KEYS:
            self._check_timer.start()
        if key in ("model_name", "model_path"):
            name = str(self._fields["model_name"].value())
            is_official = not self._fields["model_path"].value() and name in CHECKPOINTS
            self._advice.set_text(CHECKPOINTS[name].advice if is_official else "")

    def _changed_rows(self, group: Group) -> list[ParameterRow]:
        """The rows of a group that do not show their default."""
        rows = [row for row in _SHOWN_ROWS if row.group == group]
        return [row for row in rows if self._fields[row.key].value() != row.default]

    def _set_meant(self, key: str, not_used_because: str = "") -> None:
        """Greys a field that has no meaning now, and says why in its tool tip."""
        field = self._fields[key]
        for widget in (field.widget, self._labels.get(key)):
            if widget is not None:
                widget.setEnabled(not not_used_because)
                widget.setToolTip(_tool_tip(field.row, not_used_because))

    def _check_prompts(self) -> None:
        """Shows beside each prompt what is wrong with it."""
        errors = text_errors(self._read())
        for key in TEXT_KEYS:
            self._messages[key].set_text(str(errors.get(key, "")))

    def _scroll_to_faulty(self) -> None:
        """Scrolls the host's view to the field with the error."""
        place: QWidget = self._messages[self._faulty]
        parent = place.parentWidget()
        while parent is not None and not isinstance(parent, QScrollArea):
            parent = parent.parentWidget()
        if parent is not None:
            parent.ensureWidgetVisible(place)


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
