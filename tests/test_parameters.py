from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.parameters import (
    DEMO_MODEL_NAME,
    MODEL_NAMES,
    ROWS,
    Parameters,
    check_names,
    stringify,
)
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, ParameterRow
from tests.rows import ROW_BY_KEY, told

EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)

# What workflows saved with the ancestor of this plugin hold.
ANCESTORS_KEYS = {
    "model_name", "apply_postprocessing", "points_per_side", "points_per_batch", "iou_thres",
    "stability_score_thresh", "stability_score_offset", "box_nms_thresh", "mask_threshold",
    "crop_n_layers", "crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor",
    "input_size_percent", "input_point", "input_point_label", "input_box", "use_m2m",
    "multimask_output", "cuda",
}  # fmt: skip

META_NAMES = {"pred_iou_thresh": "iou_thresh", "multimask_output": "automatic_multimask_output"}


def another_value(row: ParameterRow) -> bool | int | float | str:
    """A value that is allowed and not the default."""
    if row.kind == "bool":
        return not row.default
    if row.kind == "choice":
        return next(choice for choice in row.choices if choice != row.default)
    if row.kind == "text":
        return 'a "quoted" text,\nin two lines: [[1, 2]] é'
    limit = row.minimum if row.minimum != row.default else row.maximum
    return int(limit) if row.kind == "int" else limit


class TestRows:
    def test_hold_every_name_that_saved_workflows_hold(self) -> None:
        assert set(ROW_BY_KEY) >= ANCESTORS_KEYS | {"iou_thresh", "automatic_multimask_output"}

    @EVERY_ROW
    def test_default_survives_hosts_generated_source(self, row: ParameterRow) -> None:
        # ikomia.utils.autocomplete writes `key: str="default"` unescaped.
        text = row.format(row.default)
        assert '"' not in text
        assert "\n" not in text
        assert "\\" not in text
        assert row.key.isidentifier()
        assert row.key != "name"

    @EVERY_ROW
    def test_default_is_of_its_kind_and_in_range(self, row: ParameterRow) -> None:
        kinds = {"bool": bool, "int": int, "float": float, "choice": str, "text": str}
        assert type(row.default) is kinds[row.kind]
        assert row.parse(row.format(row.default)) == row.default

    @EVERY_ROW
    def test_has_words_for_people(self, row: ParameterRow) -> None:
        assert row.label
        assert row.help.endswith(".")
        assert row.group in GROUP_TITLES

    @EVERY_ROW
    def test_example_can_be_typed_as_it_stands(self, row: ParameterRow) -> None:
        assert row.parse(row.example) == (row.example or row.default)

    def test_one_per_field(self) -> None:
        assert [row.key for row in ROWS] == [field.name for field in fields(Parameters)]

    def test_models_end_with_bundled_one(self) -> None:
        assert ROW_BY_KEY["model_name"].choices == MODEL_NAMES
        assert MODEL_NAMES[-1] == DEMO_MODEL_NAME


class TestDefaults:
    def test_are_those_of_metas_generator(self) -> None:
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

        signature = inspect.signature(SAM2AutomaticMaskGenerator).parameters
        metas = {
            META_NAMES.get(name, name): "" if row.default is None else row.default
            for name, row in signature.items()
        }
        shared = metas.keys() & ROW_BY_KEY.keys()
        assert len(shared) >= 14
        assert {key: ROW_BY_KEY[key].default for key in shared} == {k: metas[k] for k in shared}

    def test_are_documented_ones(self) -> None:
        ours = Parameters()
        assert ours.model_name == "sam2.1_hiera_small"
        assert (ours.points_per_side, ours.points_per_batch) == (32, 64)
        assert (ours.iou_thresh, ours.iou_thres, ours.stability_score_thresh) == (0.8, 0.8, 0.95)
        assert ours.crop_overlap_ratio == 512 / 1500
        assert (ours.use_m2m, ours.multimask_output) == (False, False)
        assert ours.automatic_multimask_output


class TestParameters:
    @EVERY_ROW
    def test_round_trip_keeps_every_value(self, row: ParameterRow) -> None:
        changes: dict[str, Any] = {row.key: another_value(row)}
        if row.key.startswith("iou_thres"):  # the two names of one value are never different
            changes = dict.fromkeys(("iou_thresh", "iou_thres"), another_value(row))
        changed = replace(Parameters(), **changes)
        assert changed != Parameters()
        assert Parameters.from_strings(changed.to_strings()) == changed

    def test_round_trip_keeps_floats_exactly(self) -> None:
        given = replace(Parameters(), crop_overlap_ratio=0.1 + 0.2, mask_threshold=-1e-17)
        assert Parameters.from_strings(given.to_strings()) == given

    def test_to_strings_is_text_throughout(self) -> None:
        texts = Parameters().to_strings()
        assert list(texts) == [row.key for row in ROWS]
        assert {type(text) for text in texts.values()} == {str}

    def test_partial_map_keeps_the_rest(self) -> None:
        base = Parameters.from_strings({"points_per_side": "8", "input_box": "[1, 2, 3, 4]"})
        changed = Parameters.from_strings({"points_per_side": "16"}, base=base)
        assert changed == replace(base, points_per_side=16)

    def test_unknown_keys_are_left_out_as_host_does(self) -> None:
        assert Parameters.from_strings({"no_such_parameter": "1"}) == Parameters()

    @pytest.mark.parametrize("text", ["", "  ", "None", " none "])
    @EVERY_ROW
    def test_empty_and_none_stand_for_default(self, row: ParameterRow, text: str) -> None:
        assert row.parse(text) == row.default

    def test_is_immutable(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Parameters().cuda = False  # type: ignore[misc]

    def test_nothing_is_kept_when_one_value_is_wrong(self) -> None:
        base = Parameters()
        with pytest.raises(ParameterError):
            Parameters.from_strings({"points_per_side": "8", "cuda": "maybe"}, base=base)
        assert base == Parameters()


class TestTwoNamesOfOneValue:
    @pytest.mark.parametrize("key", ["iou_thres", "iou_thresh"])
    def test_either_sets_both(self, key: str) -> None:
        values = Parameters.from_strings({key: "0.5"})
        assert (values.iou_thresh, values.iou_thres) == (0.5, 0.5)

    @pytest.mark.parametrize("key", ["iou_thres", "iou_thresh"])
    def test_latest_change_counts(self, key: str) -> None:
        # The host hands over all values, the unchanged ones too.
        base = Parameters.from_strings({"iou_thresh": "0.9"})
        values = Parameters.from_strings({**base.to_strings(), key: "0.7"}, base=base)
        assert (values.iou_thresh, values.iou_thres) == (0.7, 0.7)

    def test_can_go_back_to_default(self) -> None:
        base = Parameters.from_strings({"iou_thresh": "0.9"})
        values = Parameters.from_strings({**base.to_strings(), "iou_thres": ""}, base=base)
        assert values == Parameters()

    def test_agreeing_values_are_taken(self) -> None:
        values = Parameters.from_strings({"iou_thresh": "0.5", "iou_thres": "0.50"})
        assert (values.iou_thresh, values.iou_thres) == (0.5, 0.5)

    def test_conflict_is_refused(self) -> None:
        assert told({"iou_thresh": "0.5", "iou_thres": "0.6"}) == (
            "Parameters iou_thresh and iou_thres are two names of one value, but were set to "
            "different ones, iou_thresh=0.5 and iou_thres=0.6; set only iou_thresh."
        )


class TestCheckNames:
    def test_known_names_pass(self) -> None:
        check_names([row.key for row in ROWS])

    def test_nearest_known_name_is_told(self) -> None:
        with pytest.raises(ParameterError) as caught:
            check_names({"point_per_side": "8"})
        assert str(caught.value) == (
            "There is no parameter 'point_per_side'; did you mean 'points_per_side'?"
        )
        assert caught.value.key == "point_per_side"

    def test_without_a_near_one_all_are_told(self) -> None:
        with pytest.raises(ParameterError) as caught:
            check_names({"zzz": "8"})
        assert str(caught.value).startswith("There is no parameter 'zzz'; known are model_name, ")

    @pytest.mark.parametrize("key", [5, None, ("a",), "x" * 100_000, ""], ids=repr)
    def test_any_key_is_refused(self, key: object) -> None:
        with pytest.raises(ParameterError) as caught:
            check_names({key: "8"})  # type: ignore[dict-item]
        assert len(str(caught.value)) < 1000


class TestStringify:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("text", "text"),
            (32, "32"),
            (0.5, "0.5"),
            (True, "True"),
            (None, ""),
            (Path("a") / "b.pt", str(Path("a") / "b.pt")),
            ([[500, 375]], "[[500, 375]]"),
            (((500, 375), (1.5, 2)), "[[500, 375], [1.5, 2]]"),
            ({"a": (1, None)}, '{"a": [1, null]}'),
            (np.int64(3), "3"),
            (np.float32(0.5), "0.5"),
            (np.bool_(False), "False"),
            (np.str_("auto"), "auto"),
            (np.longdouble(0.5), "0.5"),
            (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
            (np.array(7), "7"),
            (np.array([1, np.float32(0.5), None], object), "[1, 0.5, null]"),
            ([np.array([1, 2]), np.int8(3)], "[[1, 2], 3]"),
            ([Path("a")], '["a"]'),
        ],
        ids=repr,
    )
    def test_writes(self, value: object, text: str) -> None:
        assert stringify({"key": value}) == {"key": text}

    @EVERY_ROW
    def test_typed_values_come_back(self, row: ParameterRow) -> None:
        value = another_value(row)
        assert row.parse(stringify({row.key: value})[row.key]) == value

    def test_what_has_no_text_is_refused(self) -> None:
        holds_itself: list[object] = []
        holds_itself.append(holds_itself)
        for value in (holds_itself, 10**5000, [10**5000], "\ud800"):
            with pytest.raises(ParameterError, match=r"^Parameter 'input_box' must be a number, "):
                stringify({"input_box": value})

    def test_value_is_not_changed(self) -> None:
        points = np.array([[1, 2]])
        stringify({"input_point": points})
        assert points.tolist() == [[1, 2]]
