"""The preset in the form: it writes its values, and what is shown is what runs."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.parameters import PRESETS, ROWS, Parameters, Preset
from infer_segment_anything_2.sam2_form.form import ParameterForm
from tests.sam2_form.form_user import editor, make_form

pytestmark = pytest.mark.qt

ALIASES = {row.key for row in ROWS if row.alias_of}
BESIDE_A_PRESET: list[dict[str, Any]] = [
    {"preset": "thorough"},
    {"preset": "thorough", "points_per_side": 32},
    {"preset": "fast", "points_per_side": 8},
    {"preset": "fast", "crop_n_layers": 2},
    {"points_per_side": 16},
]


def choose(form: ParameterForm, preset: str) -> None:
    editor(form, "preset").setCurrentText(preset)


class TestChoosing:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_writes_its_values_into_the_fields(self, form: ParameterForm, preset: Preset) -> None:
        choose(form, "thorough" if preset != "thorough" else "fast")
        choose(form, preset)
        used = form.parameters()
        for key in set(PRESETS[preset]) - ALIASES:
            assert editor(form, key).value() == PRESETS[preset][key]
        assert used.preset == preset
        for key in set().union(*PRESETS.values()):
            expected = Parameters(preset=preset).with_preset().value_of(key)
            assert used.value_of(key) == expected

    def test_leaves_other_fields_alone(self, form: ParameterForm) -> None:
        editor(form, "input_point").setPlainText("[1, 2]")
        editor(form, "min_mask_area").setValue(9)
        choose(form, "fast")
        assert form.parameters().input_point == "[1, 2]"
        assert form.parameters().min_mask_area == 9

    def test_balanced_after_thorough_is_all_defaults(self, form: ParameterForm) -> None:
        choose(form, "thorough")
        choose(form, "balanced")
        assert form.parameters() == Parameters()


class TestCustom:
    def test_is_read_when_a_field_differs(self, form: ParameterForm) -> None:
        choose(form, "thorough")
        editor(form, "points_per_side").setValue(40)
        assert editor(form, "preset").currentText() == "custom"
        assert editor(form, "preset").currentData() in PRESETS
        used = form.parameters().with_preset()
        assert (used.points_per_side, used.crop_n_layers, used.iou_thresh) == (40, 1, 0.7)

    def test_goes_when_the_fields_fit_a_preset_again(self, form: ParameterForm) -> None:
        editor(form, "points_per_side").setValue(40)
        editor(form, "points_per_side").setValue(32)
        assert editor(form, "preset").currentText() == "balanced"
        assert editor(form, "preset").findText("custom") == -1

    def test_is_nothing_that_can_be_chosen_else(self, form: ParameterForm) -> None:
        assert editor(form, "preset").findText("custom") == -1

    def test_is_not_read_for_fields_that_no_preset_sets(self, form: ParameterForm) -> None:
        choose(form, "fast")
        editor(form, "use_m2m").setChecked(True)
        assert editor(form, "preset").currentText() == "fast"


class TestShown:
    @pytest.mark.parametrize("values", BESIDE_A_PRESET)
    def test_is_what_runs(self, qtbot: QtBot, values: dict[str, Any]) -> None:
        form = make_form(qtbot, **values)
        used = Parameters(**values).with_preset()
        for key in set().union(*PRESETS.values()) - ALIASES:
            assert editor(form, key).value() == used.value_of(key)

    @pytest.mark.parametrize("values", BESIDE_A_PRESET)
    def test_untouched_comes_back_as_it_was_given(
        self, qtbot: QtBot, values: dict[str, Any]
    ) -> None:
        given = Parameters(**values)
        returned = make_form(qtbot, **values).parameters()
        assert repr(returned) == repr(given)
        assert returned.given == given.given

    @pytest.mark.parametrize("values", BESIDE_A_PRESET)
    def test_still_runs_after_another_field_was_edited(
        self, qtbot: QtBot, values: dict[str, Any]
    ) -> None:
        form = make_form(qtbot, **values)
        editor(form, "input_point").setPlainText("[1, 2]")
        used, before = form.parameters().with_preset(), Parameters(**values).with_preset()
        for key in set().union(*PRESETS.values()):
            assert used.value_of(key) == before.value_of(key)

    def test_survives_a_workflow(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, preset="thorough")
        editor(form, "points_per_side").setValue(32)
        stored = form.parameters().to_strings()
        assert Parameters.from_strings(stored).with_preset().points_per_side == 32
