"""Prompts as text, in all the ways to write them."""

from __future__ import annotations

import numpy as np
import pytest

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.parameters import stringify
from infer_segment_anything_2.prompts import FOREGROUND_LABEL, ObjectPrompt
from infer_segment_anything_2.sam2_reading.prompt_text import (
    objects_from_text,
    parse_boxes,
    parse_labels,
    parse_point_grids,
    parse_points,
    parse_regions,
)

TRIANGLE = ((0.0, 0.0), (9.0, 0.0), (0.0, 5.5))
BOX = ((1.0, 2.0), (30.0, 2.0), (30.0, 40.0), (1.0, 40.0))


class TestParsePoints:
    @pytest.mark.parametrize(
        "text",
        [
            "[5, 7]",
            "[[5,7]]",
            "[[[5, 7]]]",
            "(5, 7)",
            "((5, 7),)",
            "[(5, 7)]",
            "5, 7",
            "5 7",
            " [ 5 ,\t7 , ] ",
            "[[5, 7],]",
            "[5.0, 7.]",
            "[+5, 0.7e1]",
            "[5\n7]",
            "[5,\N{NO-BREAK SPACE}7]",
            "[np.float32(5.0), np.int64(7)]",
            "[[np.float64(5.0), np.float64(7.0)]]",
            "array([5, 7])",
            "np.array([[5, 7]], dtype=int32)",
            str(np.array([[5, 7]])),
            repr(np.array([[5, 7]], np.int32)),
            str([np.float32(5), 7]),
        ],
    )
    def test_reads_one(self, text: str) -> None:
        assert parse_points(text) == [(5.0, 7.0)]

    @pytest.mark.parametrize(
        "text",
        [
            "[[5, 7], [8, 9]]",
            "[5, 7], [8, 9]",
            "(5, 7), (8, 9)",
            "[[5 7]\n [8 9]]",
            "[[5, 7,], [8, 9,],]",
            str(np.array([[5, 7], [8, 9]])),
            str([(np.float32(5), np.float32(7)), (8, 9)]),
        ],
    )
    def test_reads_several(self, text: str) -> None:
        assert parse_points(text) == [(5.0, 7.0), (8.0, 9.0)]

    @pytest.mark.parametrize("text", ["", "  ", "[]", "[[]]", "()", "None", "none", ","])
    def test_nothing_is_no_points(self, text: str) -> None:
        assert parse_points(text) == []

    @pytest.mark.parametrize(
        "value",
        [[5, 7], [[5, 7]], ((5, 7),), np.array([5.0, 7.0]), [np.float16(5), np.uint8(7)]],
        ids=repr,
    )
    def test_reads_what_host_is_given_as_value(self, value: object) -> None:
        assert parse_points(stringify({"input_point": value})["input_point"]) == [(5.0, 7.0)]

    @pytest.mark.parametrize(
        "text",
        [
            "[1]",
            "[1, 2, 3]",
            "[1, 2, 3, 4]",
            "[[1, 2], [3]]",
            "[[1, 2], 3]",
            "[[[1, 2]], [[3, 4]]]",
            "[1, two]",
            "[1, 2",
            "1, 2]",
            "[1, 2]]",
            "{'x': 1, 'y': 2}",
            '{"x": 1}',
            "[1, null]",
            "[1, nan]",
            "[inf, 1]",
            "[1, 1e999]",
            "[10-20]",
            "[1.2.3, 4]",
            "[1;2]",
            "[0x10, 2]",
            "\N{LATIN SMALL LETTER DOTLESS I}nf",
            "\N{LATIN SMALL LETTER DOTLESS I}nfinity, 1",
            "[1, \N{SUPERSCRIPT TWO}]",
            "[True, False]",
            "\x00",
        ],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(PromptError) as caught:
            parse_points(text)
        assert caught.value.key == "input_point"
        assert str(caught.value).startswith(
            "input_point must hold points such as [[500, 375]] or [[500, 375], [610, 420]], got "
        )


class TestParseBoxes:
    @pytest.mark.parametrize(
        "text", ["[1, 2, 3, 4]", "[[1, 2, 3, 4]]", "(1, 2, 3, 4)", "1 2 3 4", "[[1 2 3 4],]"]
    )
    def test_reads_one(self, text: str) -> None:
        assert parse_boxes(text) == [(1.0, 2.0, 3.0, 4.0)]

    @pytest.mark.parametrize("text", ["[[1, 2, 3, 4], [5, 6, 7, 8]]", "(1, 2, 3, 4), (5, 6, 7, 8)"])
    def test_reads_several(self, text: str) -> None:
        assert parse_boxes(text) == [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)]

    @pytest.mark.parametrize("text", ["[1, 2, 3]", "[[1, 2], [3, 4]]", "[[1, 2, 3, 4], [5, 6]]"])
    def test_refuses_wrong_counts(self, text: str) -> None:
        with pytest.raises(PromptError, match=r": each of the boxes is 4 numbers\.$") as caught:
            parse_boxes(text)
        assert caught.value.key == "input_box"


class TestParseLabels:
    @pytest.mark.parametrize(
        ("text", "labels"),
        [
            ("1", [1]),
            ("0", [0]),
            ("[1]", [1]),
            ("[[1, 0]]", [1, 0]),
            ("(1, 0)", [1, 0]),
            ("1 0 1", [1, 0, 1]),
            ("[1.0, 0.0]", [1, 0]),
            ("", []),
            ("[]", []),
            ("None", []),
        ],
    )
    def test_reads(self, text: str, labels: list[int]) -> None:
        assert parse_labels(text) == labels

    @pytest.mark.parametrize("text", ["2", "-1", "[1, 0.5]", "foreground", "[[1], [0]]", "nan"])
    def test_refuses(self, text: str) -> None:
        with pytest.raises(PromptError, match=r"^input_point_label must hold labels such as \["):
            parse_labels(text)


class TestMessages:
    def test_wrong_count(self) -> None:
        assert told(points="[1, 2, 3]") == (
            "input_point must hold points such as [[500, 375]] or [[500, 375], [610, 420]], got "
            "'[1, 2, 3]': each of the points is 2 numbers."
        )

    def test_stranger(self) -> None:
        assert told(boxes="[a, b]") == (
            "input_box must hold boxes such as [425, 600, 700, 875] or [[425, 600, 700, 875], "
            "[20, 30, 90, 80]], got '[a, b]': 'a, b]' does not belong there."
        )

    def test_open_bracket(self) -> None:
        assert told(points="[[1, 2]").endswith("got '[[1, 2]': a bracket is not closed.")

    def test_not_finite(self) -> None:
        assert told(points="[1, NaN]").endswith("got '[1, NaN]': NaN is not a finite number.")

    def test_label_that_is_none(self) -> None:
        assert told(points="[1, 2]", labels="3") == (
            "input_point_label must hold labels such as [1, 0], got '3': each label is 1 (on the "
            "object) or 0 (on the background)."
        )

    def test_counts_that_differ(self) -> None:
        assert told(points="[[1, 2], [3, 4]]", labels="1") == (
            "input_point_label has 1 labels for 2 points in input_point; give one label per "
            "point, or none when all points are on the object."
        )

    @pytest.mark.parametrize("text", ["9" * 10**5, "[" * 10**5, "x" * 10**5], ids=len)
    def test_long_text_is_shortened(self, text: str) -> None:
        assert len(told(points=text)) < 400


class TestLongText:
    # A reader of quadratic time takes a quarter of an hour for these.
    @pytest.mark.parametrize("unit", ["1", "1.", "1e", "[", "1,", ", ", "int8(", ",dtype=", "[1]"])
    @pytest.mark.timeout(60)
    def test_time_grows_with_length_only(self, unit: str) -> None:
        with pytest.raises(PromptError):
            parse_points(unit * 10**5 + "x")


class TestObjectsFromText:
    def test_nothing_is_no_objects(self) -> None:
        assert objects_from_text("", "", "") == []

    def test_points_are_one_object(self) -> None:
        assert objects_from_text("[[5, 7], [8, 9]]", "[1, 0]", "") == [
            ObjectPrompt(points_xy_px=((5, 7), (8, 9)), labels=(1, 0), key="input_point")
        ]

    def test_no_labels_means_all_on_object(self) -> None:
        (prompt,) = objects_from_text("[[5, 7], [8, 9]]", "", "")
        assert prompt.labels == (FOREGROUND_LABEL, FOREGROUND_LABEL)

    def test_single_box_takes_all_points(self) -> None:
        assert objects_from_text("[[5, 7], [80, 90]]", "[1, 0]", "[0, 0, 10, 10]") == [
            ObjectPrompt(((5, 7), (80, 90)), (1, 0), (0, 0, 10, 10), key="input_box")
        ]

    def test_every_box_is_an_object_in_the_given_order(self) -> None:
        first, second = objects_from_text("", "", "[[50, 50, 60, 60], [0, 0, 10, 10]]")
        assert first.box_xyxy_px == (50, 50, 60, 60)
        assert second.box_xyxy_px == (0, 0, 10, 10)
        assert first.points_xy_px == second.points_xy_px == ()

    def test_point_belongs_to_smallest_box_around_it(self) -> None:
        large, small = objects_from_text(
            "[[5, 5], [50, 50]]", "[0, 1]", "[[0, 0, 100, 100], [10, 10, 0, 0]]"
        )
        assert (small.points_xy_px, small.labels) == (((5, 5),), (0,))
        assert (large.points_xy_px, large.labels) == (((50, 50),), (1,))

    def test_point_in_none_of_several_boxes_is_refused(self) -> None:
        assert told(points="[[50, 50]]", boxes="[[0, 0, 9, 9], [20, 20, 30, 30]]") == (
            "Point [50, 50] is in none of the 2 boxes; with several boxes each point must lie in "
            "one, whose object it then belongs to."
        )

    def test_labels_without_points_are_refused(self) -> None:
        assert "1 labels for 0 points" in told(labels="1", boxes="[0, 0, 9, 9]")


def told(points: str = "", labels: str = "", boxes: str = "") -> str:
    """The message with which the texts are refused."""
    with pytest.raises(PromptError) as caught:
        objects_from_text(points, labels, boxes)
    return str(caught.value)


class TestParseRegions:
    @pytest.mark.parametrize(
        ("text", "regions"),
        [
            ("", []),
            ("None", []),
            ("[]", []),
            ("[1, 2, 30, 40]", [BOX]),
            ("[[30, 40, 1, 2]]", [BOX]),
            ("(1 2 30 40)", [BOX]),
            ("[[0, 0], [9, 0], [0, 5.5]]", [TRIANGLE]),
            ("[[[0, 0], [9, 0], [0, 5.5]]]", [TRIANGLE]),
            ("[[1, 2, 30, 40], [1, 2, 30, 40]]", [BOX, BOX]),
            ("[[1, 2, 30, 40], [[0, 0], [9, 0], [0, 5.5]]]", [BOX, TRIANGLE]),
        ],
    )
    def test_reads(self, text: str, regions: list[object]) -> None:
        assert parse_regions(text) == regions

    @pytest.mark.parametrize(
        "text",
        [
            "[1, 2, 3]",
            "[[0, 0], [9, 0]]",
            "[[0, 0], [9, 0], [0, 5, 5]]",
            "[[0, 0], 4, [9, 0]]",
            "[[], [0, 0]]",
            "[[0, 0], [[[9, 0]]]]",
            "here",
            "[[0, 0], " + "[" * 50_000 + "]" * 50_000 + "]",
        ],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(PromptError, match=r"^region_of_interest must hold regions such as"):
            parse_regions(text)


class TestParsePointGrids:
    @pytest.mark.parametrize(
        ("text", "n_layers", "grids"),
        [
            ("", 2, []),
            ("[0.5, 1]", 1, [[(0.5, 1)]]),
            ("[[0.5, 0.5], [0, 1]]", 1, [[(0.5, 0.5), (0, 1)]]),
            ("[[0.5, 0.5]]", 2, [[(0.5, 0.5)], [(0.5, 0.5)]]),
            (
                "[[[0.5, 0.5]], [[0.1, 0.2], [0.3, 0.4]]]",
                2,
                [[(0.5, 0.5)], [(0.1, 0.2), (0.3, 0.4)]],
            ),
        ],
    )
    def test_reads(self, text: str, n_layers: int, grids: list[object]) -> None:
        assert parse_point_grids(text, n_layers) == grids

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[[0.5, 1.5]]", "from 0 to 1"),
            ("[[0.5, 0.5, 0.5]]", "2 numbers"),
            ("[[[0.1, 0.2]], [[0.3, 0.4]], [[0.5, 0.6]]]", "3 lists of points for 2 layers"),
        ],
    )
    def test_refuses(self, text: str, why: str) -> None:
        with pytest.raises(PromptError, match=f"^point_grids must hold points .*{why}"):
            parse_point_grids(text, 2)
