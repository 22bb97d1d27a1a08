"""The form of Studio's widget, built from the parameter rows; knows Qt but not Ikomia.

The form shows and edits, nothing more: ranges, words and defaults come from the rows of
``parameters.py``, prompts are read by the parsers of ``prompts.py``, sizes of models come from the
rows of ``checkpoints.py``. A new parameter appears by itself in the group and below the sub-heading
that its row names, with the row's unit and word for 0; that it has no effect beside another setting
is a row of ``conditions.py``.

It shows what will run: the values of a preset stand in the fields. What the user did not touch is
given back as it came, be it a preset's name or a value beside it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from infer_segment_anything_2.errors import SegmentAnythingError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.request import TEXT_KEYS, text_errors
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS
from infer_segment_anything_2.sam2_form.conditions import LABELS, mode_in_words, unused
from infer_segment_anything_2.sam2_form.drawing import DrawingPanel
from infer_segment_anything_2.sam2_form.fields import Field, make_field
from infer_segment_anything_2.sam2_form.preset import (
    NEUTRAL,
    PRESET_KEYS,
    PresetField,
    matching_preset,
    preset_values,
)
from infer_segment_anything_2.sam2_form.weights_panel import WeightsPanel
from infer_segment_anything_2.sam2_form.widgets import (
    ColouredText,
    DrawingTool,
    Section,
    connect,
    error_colour,
    hint_colour,
    single_shot_timer,
)
from infer_segment_anything_2.sam2_reading.parameter_rows import (
    GROUP_TITLES,
    Group,
    ParameterRow,
    Value,
)

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
        self._preset = parameters.preset
        self._is_filling = False
        self._reasons: dict[str, str] = {}
        self._fields: dict[str, Field] = {}
        self._labels: dict[str, QLabel] = {}
        self._messages: dict[str, ColouredText] = {}
        self._sections: dict[Group, Section] = {}
        self._advice = ColouredText(hint_colour)
        self._drawing = DrawingPanel()
        self._drawing.requested.connect(self.drawing_requested)
        self._weights = WeightsPanel()
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
        self._preset = parameters.preset
        self._show(parameters, list(self._fields))

    def update_parameters(self, parameters: Parameters) -> None:
        """Shows the values that changed elsewhere and keeps what the user is editing."""
        before, after = self._base.with_preset(), parameters.with_preset()
        changed = [key for key in self._fields if after.value_of(key) != before.value_of(key)]
        self._base = parameters
        self._preset = parameters.preset
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
        self._messages.get(key, self._messages[""]).set_text(_labelled(key, error))
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
            section.add_wide(self._drawing)
        rows = [row for row in _SHOWN_ROWS if row.group == group]
        for part in dict.fromkeys(["", *(row.part for row in rows)]):
            if part:
                section.add_heading(part)
            for row in rows:
                if row.part == part:
                    self._add_row(row)
        return section

    def _add_row(self, row: ParameterRow) -> None:
        field = _make_field(row)
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
        self._set_meant(row.key, "")
        if row.key == "model_name":
            section.add_wide(self._advice, self._weights)

    def _read(self) -> Parameters:
        """What was given, with the user's edits, under both names where a parameter has two.

        Where the fields are no preset's, what a preset sets is written out beside the preset that
        sets nothing.
        """
        shown = self._shown_values()
        given = self._base.with_preset()
        edited = {key: v for key, v in shown.items() if repr(v) != repr(given.value_of(key))}
        if not edited:
            return self._base
        is_preset = all(shown[key] == value for key, value in preset_values(self._preset).items())
        if not is_preset or not PRESET_KEYS.isdisjoint(edited):
            edited.update((key, shown[key]) for key in PRESET_KEYS)
        edited["preset"] = self._preset if is_preset else NEUTRAL
        for row in ROWS:
            if row.alias_of in edited:
                edited[row.key] = edited[row.alias_of]
        return replace(self._base, **cast("dict[str, Any]", edited))

    def _shown_values(self) -> dict[str, Value]:
        """What the fields hold, but for the preset, which follows from them."""
        return {key: field.value() for key, field in self._fields.items() if key != "preset"}

    def _show(self, parameters: Parameters, keys: Iterable[str]) -> None:
        """Fills fields with what will run, which a preset may change."""
        used = parameters.with_preset()
        self._fill({key: used.value_of(key) for key in keys})
        self.clear_errors()
        self._check_prompts()

    def _fill(self, values: Mapping[str, Value]) -> None:
        """Fills fields, and follows once when all are filled."""
        self._is_filling = True
        for key, value in values.items():
            self._fields[key].set_value(value)
        self._is_filling = False
        self._follow()

    def _field_changed(self, field: Field) -> None:
        key = field.row.key
        self._messages[key].set_text("")
        if key in TEXT_KEYS:
            self._check_timer.start()
        if self._is_filling:
            return
        preset = field.chosen() if isinstance(field, PresetField) else None
        if preset is not None:
            self._preset = preset
            self._fill(preset_values(preset))
        else:
            self._follow()

    def _follow(self) -> None:
        """Makes what is around the fields follow their values."""
        preset_field = cast("PresetField", self._fields["preset"])
        values = self._read()
        preset_field.show_match(matching_preset(self._shown_values()))
        reasons = unused(values.with_preset())
        for key in self._reasons.keys() ^ reasons.keys() | {
            key for key in reasons if reasons[key] != self._reasons.get(key)
        }:
            self._set_meant(key, reasons.get(key, ""))
        self._reasons = reasons
        self._drawing.show_mode(mode_in_words(values))
        for group, section in self._sections.items():
            section.set_changed_count(len(self._changed_rows(group)))
        official = None if values.model_path else CHECKPOINTS.get(values.model_name)
        self._advice.set_text(official.advice if official else "")
        self._weights.show_model(official)

    def _changed_rows(self, group: Group) -> list[ParameterRow]:
        """The rows of a group that do not show their default."""
        rows = [row for row in _SHOWN_ROWS if row.group == group]
        return [row for row in rows if self._fields[row.key].value() != row.default]

    def _set_meant(self, key: str, not_used_because: str) -> None:
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
            self._messages[key].set_text(_labelled(key, errors[key]) if key in errors else "")

    def _scroll_to_faulty(self) -> None:
        """Scrolls the host's view to the field with the error."""
        place: QWidget = self._messages[self._faulty]
        parent = place.parentWidget()
        while parent is not None and not isinstance(parent, QScrollArea):
            parent = parent.parentWidget()
        if parent is not None:
            parent.ensureWidgetVisible(place)


def _make_field(row: ParameterRow) -> Field:
    if row.key == "preset":
        return PresetField(row, {})
    return make_field(row, _model_captions(row) if row.key == "model_name" else None)


def _labelled(key: str, error: SegmentAnythingError) -> str:
    """An error's text after the name of its field, for it names parameters only."""
    return f"{LABELS[key]}: {error}" if key in LABELS else str(error)


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
