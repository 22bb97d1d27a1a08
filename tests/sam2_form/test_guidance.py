"""What the form says beside its fields: greyed ones, units, sub-headings, labels, tool and mode."""

from __future__ import annotations

from typing import Any

import pytest
from PyQt6.QtCore import QPoint
from pytestqt.qtbot import QtBot

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_form.form import ParameterForm
from infer_segment_anything_2.sam2_form.widgets import DrawingTool
from tests.sam2_form.form_user import SHOWN_ROWS, editor, make_form, shown_texts, type_into

pytestmark = pytest.mark.qt


def top_of(form: ParameterForm, name: str) -> int:
    return int(editor(form, name).mapTo(form, QPoint(0, 0)).y())


class TestGreyed:
    @pytest.mark.parametrize(
        ("values", "key", "reason"),
        [
            ({}, "tile_overlap", "Tile size is off"),
            ({"tile_size": 512}, "crop_n_layers", "tiles replace crop layers"),
            ({"tile_size": 512, "crop_n_layers": 1}, "crop_overlap_ratio", "Tile size is set"),
            ({"point_grids": "[[0.5, 0.5]]"}, "points_per_side", "Own points is set"),
            ({"point_grids": "[[0.5, 0.5]]"}, "adaptive_points", "Own points is set"),
            ({"stability_score_thresh": 0.0}, "stability_score_offset", "threshold is off"),
        ],
    )
    def test_fields_say_why(
        self, qtbot: QtBot, values: dict[str, Any], key: str, reason: str
    ) -> None:
        field = editor(make_form(qtbot, **values), key)
        assert not field.isEnabled()
        assert reason in field.toolTip()

    def test_fields_wake_up_with_what_they_need(self, form: ParameterForm) -> None:
        editor(form, "tile_size").setValue(512)
        assert editor(form, "tile_overlap").isEnabled()
        assert "Not used now" not in editor(form, "tile_overlap").toolTip()
        assert not editor(form, "crop_n_layers").isEnabled()

    def test_duplicates_between_crops_count_with_tiles_too(self, qtbot: QtBot) -> None:
        assert editor(make_form(qtbot, tile_size=512), "crop_nms_thresh").isEnabled()


class TestNumbers:
    @pytest.mark.parametrize(
        ("key", "at_zero"),
        [
            ("min_mask_area", "no limit"),
            ("max_mask_area", "no limit"),
            ("min_mask_region_area", "off"),
            ("tile_size", "off"),
            ("crop_n_layers", "off"),
        ],
    )
    def test_of_zero_are_words(
        self, qtbot: QtBot, form: ParameterForm, key: str, at_zero: str
    ) -> None:
        assert editor(form, key).text() == at_zero
        type_into(editor(form, key), "3")
        assert form.parameters().value_of(key) == 3
        type_into(editor(form, key), "0")
        assert form.parameters() == Parameters()

    def test_of_pixels_and_percents_have_a_unit(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, min_mask_area=25)
        assert editor(form, "min_mask_area").text() == "25 px"
        assert editor(form, "input_size_percent").text() == "100 %"


class TestOrder:
    def test_begins_with_the_prompts(self, form: ParameterForm) -> None:
        assert top_of(form, "input_point") < top_of(form, "model_name")

    def test_puts_each_row_below_its_heading(self, form: ParameterForm) -> None:
        parts = [row.part for row in SHOWN_ROWS if row.group == "everything"]
        headings = [part for part in dict.fromkeys(parts) if part]
        assert headings == ["Grid", "Filters", "Duplicates", "Crops and tiles"]
        assert all(f"{heading}" in shown_texts(form).splitlines() for heading in headings)
        tops = [top_of(form, row.key) for row in SHOWN_ROWS if row.group == "everything"]
        assert tops == sorted(tops)


class TestErrors:
    def test_name_the_label(self, qtbot: QtBot) -> None:
        form = make_form(qtbot, input_box="[1")
        assert "Boxes: input_box" in shown_texts(form)


class TestTool:
    def test_chosen_stays_pressed_and_is_named(self, form: ParameterForm) -> None:
        editor(form, DrawingTool.REGION.name).click()
        assert editor(form, DrawingTool.REGION.name).isChecked()
        assert "Drawing: a region" in shown_texts(form)
        editor(form, DrawingTool.SELECT.name).click()
        assert not editor(form, DrawingTool.REGION.name).isChecked()
        assert "Delete key" in shown_texts(form)


class TestMode:
    def test_follows_the_typed_prompts(self, form: ParameterForm) -> None:
        assert "Mode: everything" in shown_texts(form)
        editor(form, "input_box").setPlainText("[[1, 2, 3, 4], [5, 6, 7, 8]]")
        assert "2 typed objects" in shown_texts(form)
        editor(form, "input_box").setPlainText("[[1, 2")
        assert "mended" in shown_texts(form)
