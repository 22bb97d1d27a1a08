"""The field of the preset: choosing one writes its values; it reads "custom" where none fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from PyQt6.QtCore import QSignalBlocker

from infer_segment_anything_2.parameters import PRESETS, ROWS, Preset
from infer_segment_anything_2.sam2_form.fields import ChoiceField
from infer_segment_anything_2.sam2_reading.parameter_rows import Value

__all__ = ["NEUTRAL", "PRESET_KEYS", "PresetField", "matching_preset", "preset_values"]

NEUTRAL: Preset = "balanced"
"""The preset that sets nothing: what is stored beside values of one's own."""

_DEFAULTS = {
    row.key: row.default
    for row in ROWS
    if not row.alias_of and any(row.key in values for values in PRESETS.values())
}
PRESET_KEYS = frozenset(_DEFAULTS)
"""The fields that some preset sets."""


def preset_values(preset: Preset) -> dict[str, Value]:
    """What the fields hold under a preset, those that it leaves at their defaults too."""
    return {key: PRESETS[preset].get(key, default) for key, default in _DEFAULTS.items()}


def matching_preset(values: Mapping[str, Value]) -> Preset | None:
    """The preset whose values these are, None where no preset's are."""
    held = {key: values[key] for key in PRESET_KEYS}
    return next((name for name in get_args(Preset) if preset_values(name) == held), None)


class PresetField(ChoiceField):
    """The list of presets, with a further item "custom" as long as it is true."""

    def show_match(self, preset: Preset | None) -> None:
        """Shows a preset, or "custom"; tells nobody."""
        blocker = QSignalBlocker(self._list)
        is_custom_there = self._list.count() > len(self.row.choices)
        if preset is None and not is_custom_there:
            self._list.addItem("custom", NEUTRAL)
        elif preset is not None and is_custom_there:
            self._list.removeItem(self._list.count() - 1)
        self._list.setCurrentIndex(
            self._list.count() - 1 if preset is None else self._list.findData(preset)
        )
        blocker.unblock()

    def chosen(self) -> Preset | None:
        """The preset that is chosen, None for "custom"."""
        is_custom = self._list.currentIndex() >= len(self.row.choices)
        return None if is_custom else self._list.currentData()

    def value(self) -> Value:
        """The preset to store; where the fields are custom, the one that sets nothing."""
        return self._read()
