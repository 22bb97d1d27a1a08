"""Prompts as programs hold them: arrays, tensors, columns, truths; through every door."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_2.errors import ParameterError, PromptError
from infer_segment_anything_2.parameters import Parameters, stringify
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.request import text_errors
from infer_segment_anything_2.sam2_reading.fitting import fit_to_image
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.prompt_text import (
    parse_boxes,
    parse_labels,
    parse_points,
    parse_regions,
)

BOX = (1.0, 2.0, 30.0, 20.5)


class Column:
    """What pandas' columns are to us."""

    def __init__(self, *values: object) -> None:
        self._values = values

    def tolist(self) -> list[object]:
        return list(self._values)


class Frame:
    """What pandas' tables and TensorFlow's tensors are to us."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([BOX], dtype)


BOXES = [
    pytest.param(torch.tensor([BOX]), id="tensor"),
    pytest.param(torch.tensor(BOX), id="tensor of one box"),
    pytest.param(torch.tensor([BOX], requires_grad=True), id="tensor with gradients"),
    pytest.param(torch.tensor([BOX]).bfloat16(), id="half precision"),
    pytest.param([torch.tensor(BOX)], id="list of tensors"),
    pytest.param(tuple(torch.tensor(number) for number in BOX), id="scalars of torch"),
    pytest.param(torch.nn.Parameter(torch.tensor([BOX])), id="parameter"),
    pytest.param(np.array([BOX]), id="array"),
    pytest.param([np.float32(number) for number in BOX], id="scalars of numpy"),
    pytest.param(np.ma.masked_array([BOX]), id="masked array"),
    pytest.param(deque(BOX), id="deque"),
    pytest.param(Column(*BOX), id="column"),
    pytest.param([Column(*BOX)], id="list of columns"),
    pytest.param(Frame(), id="frame"),
]
LABELS = [
    pytest.param([True, False], id="truths"),
    pytest.param((np.True_, np.False_), id="truths of numpy"),
    pytest.param(np.array([True, False]), id="array of truths"),
    pytest.param(torch.tensor([True, False]), id="tensor of truths"),
    pytest.param(torch.tensor([1.0, 0.0]), id="tensor"),
    pytest.param(Column(1, 0), id="column"),
    pytest.param(range(1, -1, -1), id="range"),
]


class TestValues:
    @pytest.mark.parametrize("value", BOXES)
    def test_boxes(self, value: object) -> None:
        assert parse_boxes(stringify({"input_box": value})["input_box"]) == [BOX]

    @pytest.mark.parametrize("value", LABELS)
    def test_labels(self, value: object) -> None:
        text = stringify({"input_point_label": value})["input_point_label"]
        assert parse_labels(text) == [1, 0]

    def test_regions(self) -> None:
        corners = [(1.0, 2.0), (30.0, 2.0), (30.0, 20.0)]
        text = stringify({"region_of_interest": torch.tensor([corners])})["region_of_interest"]
        assert parse_regions(text) == [tuple(corners)]

    def test_a_single_truth_is_a_label(self) -> None:
        assert parse_labels(stringify({"input_point_label": True})["input_point_label"]) == [1]

    def test_no_rows_are_no_prompt(self) -> None:
        assert stringify({"input_box": torch.zeros((0, 4))}) == {"input_box": "[]"}

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            pytest.param({(1, 2), (3, 4)}, "a set has no order, make a list of it", id="set"),
            pytest.param([frozenset({1, 2})], "a frozenset has no order", id="list of sets"),
            pytest.param(zip([1], [2], strict=True), "a zip is used up by reading it", id="zip"),
            pytest.param((n for n in (1, 2)), "a generator is used up", id="generator"),
        ],
    )
    def test_what_has_no_order_or_is_used_up_is_refused(self, value: object, why: str) -> None:
        with pytest.raises(ParameterError, match=f"^Parameter 'input_point' must be .*{why}"):
            stringify({"input_point": value})

    def test_truths_are_no_coordinates(self) -> None:
        with pytest.raises(PromptError, match="'true, fals' does not belong there"):
            parse_points(stringify({"input_point": torch.tensor([True, False])})["input_point"])


class TestTexts:
    """The host writes a value with ``str`` when it is set for a whole workflow."""

    @pytest.mark.parametrize("value", [value for value in BOXES[:10] if value.id != "parameter"])
    def test_boxes(self, value: object) -> None:
        assert parse_boxes(str(value)) == [pytest.approx(BOX)]

    @pytest.mark.parametrize("value", LABELS[:5])
    def test_labels(self, value: object) -> None:
        assert parse_labels(str(value)) == [1, 0]

    def test_tensor_on_a_device(self) -> None:
        text = "[tensor([1., 2.], device='cuda:0', dtype=torch.float64, grad_fn=<MulBackward0>)]"
        assert parse_points(text) == [(1.0, 2.0)]

    @pytest.mark.parametrize("text", ["[Truest]", "[xTrue]", "[True.5]", "[maybe]"])
    def test_words_that_only_look_like_truths(self, text: str) -> None:
        with pytest.raises(PromptError, match=r"^input_point_label must hold labels"):
            parse_labels(text)


class TestInputObjects:
    def test_points_labels_and_box_of_any_kind(self) -> None:
        entry = {
            "box": torch.tensor([BOX], requires_grad=True),
            "points": (np.array([3, 4]), torch.tensor([5.0, 6.0])),
            "labels": np.array([True, False]),
            "category": np.str_("dog"),
        }
        for value in ([entry], (entry,), entry):
            text = stringify({"input_objects": value})["input_objects"]
            (prompt,) = objects_from_entries(text, read_mask=lambda _: pytest.fail("no mask"))
            assert prompt.box_xyxy_px == BOX
            assert prompt.points_xy_px == ((3.0, 4.0), (5.0, 6.0))
            assert prompt.labels == (1, 0)
            assert prompt.category == "dog"

    def test_text_of_a_workflow(self) -> None:
        text = str([{"box": torch.tensor(BOX), "labels": [np.True_], "points": [[3, 4]]}])
        (prompt,) = objects_from_entries(text, read_mask=lambda _: pytest.fail("no mask"))
        assert prompt.box_xyxy_px == BOX and prompt.labels == (1,)

    @pytest.mark.parametrize("mask", [np.eye(400, dtype=bool), torch.eye(3)], ids=["np", "torch"])
    def test_mask_as_an_array_is_refused_with_the_way_out(self, mask: object) -> None:
        text = stringify({"input_objects": [{"mask": mask}]})["input_objects"]
        with pytest.raises(PromptError) as caught:
            objects_from_entries(text, read_mask=lambda _: pytest.fail("no mask"))
        assert str(caught.value) == (
            "Object 1 of input_objects must have its mask as COCO run lengths like "
            '{"size": [height, width], "counts": "..."}, or as a picture\'s path, got the pixels '
            "themselves; give pycocotools.mask.encode(np.asfortranarray(mask, np.uint8)), or set "
            "the picture at input 2."
        )


class TestParameters:
    @pytest.mark.parametrize("value", BOXES)
    def test_built_directly(self, value: object) -> None:
        built = Parameters(input_box=value, input_point_label=[True])  # type: ignore[arg-type]
        assert parse_boxes(built.input_box) == [BOX]
        assert Parameters.from_strings(built.to_strings()) == built

    def test_other_values_get_their_own_types(self) -> None:
        built = Parameters(points_per_side=np.int64(8), iou_thresh=1, cuda=np.bool_(False))  # type: ignore[arg-type]
        assert (built.points_per_side, built.iou_thresh, built.cuda) == (8, 1.0, False)
        assert [type(built.value_of(key)) for key in ("points_per_side", "iou_thresh", "cuda")] == [
            int,
            float,
            bool,
        ]

    def test_no_text_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="a set has no order"):
            Parameters(input_point={1, 2})  # type: ignore[arg-type]


class TestObjectPrompt:
    def test_takes_arrays(self) -> None:
        prompt = ObjectPrompt(
            points_xy_px=np.array([[3, 4], [5, 6]]),  # type: ignore[arg-type]
            labels=torch.tensor([True, False]),  # type: ignore[arg-type]
            box_xyxy_px=np.array(BOX, np.float64),  # type: ignore[arg-type]
        )
        plain = ObjectPrompt(((3.0, 4.0), (5.0, 6.0)), (1, 0), BOX)
        assert prompt == plain and hash(prompt) == hash(plain)
        assert prompt.clicks_xy_px == [(3.0, 4.0)]
        assert fit_to_image([prompt], (50, 50)) == ([plain], [])

    def test_labels_that_do_not_fit_the_points_are_refused(self) -> None:
        with pytest.raises(PromptError, match="one label per point"):
            ObjectPrompt(points_xy_px=((3, 4),), labels=(1, 0))

    @pytest.mark.parametrize("box", [(1, 2, 3), [(1, 2), (3, 4)], 5, np.zeros((2, 4))], ids=repr)
    def test_other_shapes_are_refused(self, box: Any) -> None:
        with pytest.raises(PromptError, match="box_xyxy_px must be 4 numbers"):
            ObjectPrompt(box_xyxy_px=box)

    def test_text_errors_read_what_was_built(self) -> None:
        built = Parameters(input_point=torch.tensor([1.0, 2.0, 3.0]))  # type: ignore[arg-type]
        assert "each of the points is 2 numbers" in str(text_errors(built)["input_point"])
