"""How a row reads the text of its value, and what it says of a bad one."""

from __future__ import annotations

import math

import pytest

from infer_segment_anything_2.errors import ParameterError, SegmentAnythingError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_reading.parameter_rows import ParameterRow
from tests.rows import NUMBER_ROWS, ROW_BY_KEY, told


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
            "Parameter precision must be one of auto, float32, bfloat16, float16, "
            "bfloat16_encoder, got 'floaat16'; did you mean 'float16'?"
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
