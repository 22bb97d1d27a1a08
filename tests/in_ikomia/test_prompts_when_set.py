"""Prompts that no picture can make right are refused when they are set, with our own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from infer_segment_anything_2.errors import ImageError, PromptError
from tests.conftest import PLUGIN_NAME

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


class TestSetParameters:
    @pytest.mark.parametrize(
        ("parameters", "sentence"),
        [
            pytest.param(
                {"input_box": "[1, 2, 3]"}, "input_box must hold boxes such as ", id="wrong count"
            ),
            pytest.param(
                {"input_point": "[1, 2]", "input_point_label": "[1, 0]"},
                "input_point_label has 2 labels for 1 points in input_point; ",
                id="labels",
            ),
            pytest.param(
                {"input_point": [9, 9], "input_box": [[1, 1, 3, 3], [5, 5, 6, 6]]},
                "Point [9, 9] is in none of the 2 boxes; ",
                id="point in no box",
            ),
            pytest.param({"input_point": "[[1, 2]"}, "input_point must hold points ", id="bracket"),
            pytest.param({"input_point_label": 2}, "input_point_label must hold ", id="label"),
            pytest.param({"input_objects": [{"bx": 1}]}, "Object 1 of input_objects ", id="entry"),
            pytest.param({"region_of_interest": [1, 2]}, "region_of_interest must ", id="region"),
            pytest.param({"point_grids": [[1.5, 2]]}, "point_grids must hold points ", id="grid"),
            pytest.param(
                {"point_grids": [[[0.5, 0.5]]] * 2, "crop_n_layers": 2},
                "point_grids must hold points ",
                id="grids and layers",
            ),
        ],
    )
    def test_refuses_and_changes_nothing(
        self, new_workflow: NewWorkflow, parameters: dict[str, object], sentence: str
    ) -> None:
        workflow, task = new_workflow()
        before = dict(task.get_parameters())
        with pytest.raises(PromptError) as caught:
            task.set_parameters({"cuda": False, **parameters})
        assert str(caught.value).startswith(sentence)
        assert dict(task.get_parameters()) == before
        with pytest.raises(PromptError):
            workflow.set_parameters(parameters, task_name=PLUGIN_NAME)

    def test_what_belongs_together_may_be_set_one_after_the_other(
        self, new_workflow: NewWorkflow
    ) -> None:
        _, task = new_workflow()
        task.set_parameters({"input_point_label": [1, 0]})
        task.set_parameters({"input_point": [[1, 2], [3, 4]]})
        task.set_parameters({"point_grids": [[[0.5, 0.5]]] * 2})
        task.set_parameters({"crop_n_layers": 1})
        task.set_parameters({"input_point": [1, 2]})
        task.set_parameters({"input_point_label": ""})

    def test_parameter_object_refuses_too(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow()
        with pytest.raises(PromptError, match=r"^input_box must hold boxes"):
            task.get_param_object().set_values({"input_box": "[1, 2"})
        assert task.get_parameters()["input_box"] == ""


class TestArrays:
    def test_are_prompts_of_a_task_and_of_a_whole_workflow(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow()
        prompts: dict[str, object] = {
            "input_point": torch.tensor([[12.0, 9.0], [25.0, 18.0]], requires_grad=True),
            "input_point_label": np.array([True, False]),
            "input_box": [torch.tensor([4, 5, 30, 25])],
        }
        expected = {"points": [[12.0, 9.0], [25.0, 18.0]], "labels": [1, 0], "box": [4, 5, 30, 25]}
        for set_them in (
            task.set_parameters,
            lambda values: workflow.set_parameters(values, task_name=PLUGIN_NAME),
        ):
            task.set_parameters(dict.fromkeys(prompts, ""))
            set_them(prompts)
            workflow.run_on(array=photo)
            (record,) = task.get_output(5).data["masks"]
            assert record["prompt"] == expected


class TestPaintingBeforeARun:
    def test_says_what_to_do(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow()
        for paint in (
            task.get_image_with_mask,
            task.get_image_with_mask_and_graphics,
            lambda: task.get_output(0).get_image_with_mask(task.get_output(1)),
        ):
            with pytest.raises(ImageError, match=r"^There is no result to paint yet, .* run the "):
                paint()


class TestHandedOutResults:
    def test_stay_after_the_next_run(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow()
        results, labels, pictures = [], [], []
        for side in (10, 20):
            task.set_parameters({"input_box": [1, 1, side, side]})
            workflow.run_on(array=photo)
            results.append(task.get_output(5).data)
            labels.append((task.get_output(4).get_image(), task.get_output(4).get_image().copy()))
            pictures.append(task.get_image_with_mask())
        assert [result["masks"][0]["prompt"]["box"] for result in results] == [
            [1, 1, 10, 10],
            [1, 1, 20, 20],
        ]
        assert all(np.array_equal(handed_out, copy) for handed_out, copy in labels)
        assert not np.array_equal(*pictures)
