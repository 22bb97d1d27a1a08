from __future__ import annotations

import inspect
import math
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_2.errors import ParameterError, SegmentAnythingError
from infer_segment_anything_2.parameters import (
    DEMO_MODEL_NAME,
    MODEL_NAMES,
    ROWS,
    Parameters,
    check_names,
    stringify,
)
from infer_segment_anything_2.sam2_reading.parameter_rows import GROUP_TITLES, ParameterRow

ROW_BY_KEY = {row.key: row for row in ROWS}
NUMBER_ROWS = [row for row in ROWS if row.kind in ("int", "float")]
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


class TestReading:
    @pytest.mark.parametrize(
        ("key", "text", "value"),
        [
            ("cuda", "True", True),
            ("cuda", "true", True),
            ("cuda", "1", True),
            ("cuda", " Yes ", True),
            ("cuda", "off", False),
            ("cuda", "0", False),
            ("points_per_side", "16", 16),
            ("points_per_side", " 16 ", 16),
            ("points_per_side", "16.0", 16),
            ("points_per_side", "1.6e1", 16),
            ("iou_thresh", "1", 1.0),
            ("iou_thresh", ".5", 0.5),
            ("iou_thresh", "5e-1", 0.5),
            ("crop_overlap_ratio", "512/1500", 512 / 1500),
            ("crop_overlap_ratio", "0.3413333333333333", 512 / 1500),
            ("mask_threshold", "-2", -2.0),
            ("model_name", " sam2_demo_nano ", "sam2_demo_nano"),
            ("model_path", "/a b/ü.pt", "/a b/ü.pt"),
        ],
    )
    def test_reads(self, key: str, text: str, value: object) -> None:
        read = ROW_BY_KEY[key].parse(text)
        assert read == value
        assert type(read) is type(value)

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("cuda", "maybe"),
            ("cuda", "2"),
            ("points_per_side", "0"),
            ("points_per_side", "513"),
            ("points_per_side", "16.5"),
            ("points_per_side", "sixteen"),
            ("points_per_side", "[16]"),
            ("points_per_side", "nan"),
            ("points_per_side", "inf"),
            pytest.param("points_per_side", "9" * 400, id="too large for a float"),
            pytest.param("points_per_side", "9" * 5000, id="too large for an int's text"),
            ("iou_thresh", "-0.01"),
            ("iou_thresh", "1.01"),
            ("iou_thresh", "nan"),
            ("iou_thresh", "1e999"),
            ("iou_thresh", "1/0"),
            ("iou_thresh", "0,8"),
            ("model_name", "vit_b"),
            ("precision", "half"),
        ],
    )
    def test_refuses(self, key: str, text: str) -> None:
        with pytest.raises(ParameterError) as caught:
            Parameters.from_strings({key: text})
        assert (caught.value.key, caught.value.value) == (key, text)
        assert str(caught.value).startswith(f"Parameter {key} must be ")
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize("row", NUMBER_ROWS, ids=lambda row: row.key)
    def test_limits_belong_to_range(self, row: ParameterRow) -> None:
        assert row.parse(f"{row.minimum:g}") == row.minimum
        assert row.parse(f"{row.maximum:g}") == row.maximum
        for beyond in (row.minimum - 1, row.maximum + 1):
            with pytest.raises(ParameterError):
                row.parse(repr(beyond))
        assert math.isfinite(row.minimum)
        assert math.isfinite(row.maximum)


class TestMessages:
    def test_number_out_of_range(self) -> None:
        assert told({"points_per_side": "0"}) == (
            "Parameter points_per_side must be a whole number from 1 to 512, got '0'; the default "
            "is 32."
        )

    def test_not_a_number(self) -> None:
        assert told({"iou_thresh": "high"}) == (
            "Parameter iou_thresh must be a number from 0 to 1, got 'high'; the default is 0.8."
        )

    def test_not_a_truth(self) -> None:
        assert told({"cuda": "maybe"}) == (
            "Parameter cuda must be True or False, got 'maybe'; the default is True."
        )

    def test_choice_names_the_nearest(self) -> None:
        assert told({"precision": "floaat16"}) == (
            "Parameter precision must be one of auto, float32, bfloat16, float16, got 'floaat16'; "
            "did you mean 'float16'?"
        )

    def test_long_value_is_shortened(self) -> None:
        assert told({"cuda": "x" * 10_000}) == (
            f"Parameter cuda must be True or False, got '{'x' * 60}...'; the default is True."
        )

    def test_line_breaks_are_shown_not_made(self) -> None:
        assert "\n" not in told({"cuda": "a\nb"})

    def test_is_value_error_too(self) -> None:
        with pytest.raises(ValueError, match="Parameter cuda") as caught:
            Parameters.from_strings({"cuda": "x"})
        assert isinstance(caught.value, SegmentAnythingError)


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
        assert len(str(caught.value)) < 800


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


def told(values: dict[str, str]) -> str:
    """The message with which the values are refused."""
    with pytest.raises(ParameterError) as caught:
        Parameters.from_strings(values)
    return str(caught.value)
