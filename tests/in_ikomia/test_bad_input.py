"""Bad input through the real Ikomia: it tells the user what was wrong, and goes on working."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.parameters import Parameters
from tests.conftest import PLUGIN_NAME

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia

GOOD = {"input_point": [[20, 15]]}
NO_PROMPT = {"input_point": "", "input_point_label": "", "input_box": ""}

# What the ancestor of this plugin saved, values as its form wrote them.
ANCESTORS_PARAMETERS = {
    "model_name": "sam2_hiera_tiny",
    "apply_postprocessing": "False",
    "points_per_side": "16",
    "points_per_batch": "128",
    "iou_thres": "0.88",
    "stability_score_thresh": "0.9",
    "stability_score_offset": "1.0",
    "box_nms_thresh": "0.6",
    "mask_threshold": "0.0",
    "crop_n_layers": "1",
    "crop_nms_thresh": "0.65",
    "crop_overlap_ratio": "0.3413333333333333",
    "crop_n_points_downscale_factor": "2",
    "input_size_percent": "50",
    "input_point": "[[500, 375]]",
    "input_point_label": "[1]",
    "input_box": "[[425, 600, 700, 875]]",
    "use_m2m": "True",
    "multimask_output": "True",
    "cuda": "False",
}


@pytest.fixture
def photo() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def assert_is_empty(task: Any) -> None:
    """No output holds anything of a run, whole or half."""
    for rank in (1, 2, 3):
        assert task.get_output(rank).get_object_count() == 0
        assert task.get_output(rank).masks is None
    assert task.get_output(4).get_image() is None
    assert not task.get_output(5).data


def assert_works(workflow: Any, task: Any, photo: npt.NDArray[np.uint8]) -> None:
    """The task segments a good picture."""
    task.set_parameters({**NO_PROMPT, **GOOD})
    workflow.run_on(array=photo)
    assert task.get_output(1).get_object_count() == 1
    assert task.get_output(4).get_image().shape == photo.shape[:2]
    assert len(task.get_output(5).data["masks"]) == 1


def first_words(error: BaseException) -> str:
    """The host's text of an error, without the type that it puts before it."""
    return re.sub(r"^<class '[\w.]+'>: ", "", str(error))


class TestSetParameters:
    def test_unknown_name_is_refused_with_the_nearest(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow()
        before = dict(task.get_parameters())
        with pytest.raises(ParameterError) as caught:
            task.set_parameters({"point_per_side": 8})
        assert str(caught.value) == (
            "There is no parameter 'point_per_side'; did you mean 'points_per_side'?"
        )
        assert dict(task.get_parameters()) == before

    def test_value_out_of_range_is_refused(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow()
        before = dict(task.get_parameters())
        with pytest.raises(ParameterError) as caught:
            task.set_parameters({"points_per_side": 0, "box_nms_thresh": 0.5})
        assert str(caught.value) == (
            "Parameter points_per_side must be a whole number from 1 to 512, got '0'; the default "
            "is 32."
        )
        assert dict(task.get_parameters()) == before

    def test_two_names_of_one_value_may_not_differ(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow()
        with pytest.raises(ParameterError) as caught:
            task.set_parameters({"iou_thresh": 0.5, "iou_thres": 0.6})
        assert str(caught.value).startswith(
            "Parameters iou_thresh and iou_thres are two names of one value, but were set to "
            "different ones"
        )

    @pytest.mark.parametrize(
        "value", [10**5000, "\ud800", [[10**5000, 1]]], ids=["digits", "surrogate", "list"]
    )
    def test_value_without_text_is_refused(self, new_workflow: NewWorkflow, value: object) -> None:
        _, task = new_workflow()
        with pytest.raises(ParameterError, match="that cannot be written as text"):
            task.set_parameters({"input_point": value})

    def test_parameter_object_takes_values_too(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow()
        task.get_param_object().set_values({"points_per_side": 8, "cuda": False})
        assert task.get_parameters()["points_per_side"] == "8"
        with pytest.raises(ParameterError, match=r"^Parameter cuda must be True or False, "):
            task.get_param_object().set_values({"points_per_side": 9, "cuda": [1]})
        assert task.get_parameters()["points_per_side"] == "8"

    def test_none_goes_back_to_default(self, new_workflow: NewWorkflow) -> None:
        _, task = new_workflow(points_per_side=8)
        task.set_parameters({"points_per_side": None})
        assert task.get_parameters()["points_per_side"] == "32"

    def test_workflows_own_door_is_the_same(self, new_workflow: NewWorkflow) -> None:
        workflow, task = new_workflow()
        workflow.set_parameters({"points_per_side": 8, "cuda": None}, task_name=PLUGIN_NAME)
        assert task.get_parameters()["points_per_side"] == "8"
        with pytest.raises(ParameterError, match=r"^There is no parameter 'nonsense'; "):
            workflow.set_parameters({"nonsense": 8}, task_name=PLUGIN_NAME)


class TestAddTask:
    def test_value_out_of_range_reaches_the_user(self, ikomia_home: Path) -> None:
        from ikomia.dataprocess.workflow import Workflow

        with pytest.raises(RuntimeError) as caught:
            Workflow().add_task(name=PLUGIN_NAME, params={"iou_thresh": "1.5"})
        assert (
            "Parameter iou_thresh must be a number from 0 to 1, got '1.5'; the default is 0.8."
            in str(caught.value)
        )

    def test_good_values_are_taken(self, ikomia_home: Path) -> None:
        from ikomia.dataprocess.workflow import Workflow

        task = Workflow().add_task(name=PLUGIN_NAME, params={"iou_thres": "0.5"})
        assert task.get_parameters()["iou_thresh"] == "0.5"


class TestLoad:
    @pytest.fixture
    def saved(self, new_workflow: NewWorkflow, tmp_path: Path) -> Path:
        workflow, _ = new_workflow(points_per_side=8, iou_thresh=0.5)
        path = tmp_path / "workflow.json"
        workflow.save(str(path))
        return path

    @staticmethod
    def edit(path: Path, parameters: list[dict[str, Any]]) -> None:
        """Replaces the parameters of our task in a saved workflow."""
        content = json.loads(path.read_text())
        (task_data,) = [
            task["task_data"]
            for task in content["tasks"]
            if task["task_data"]["name"] == PLUGIN_NAME
        ]
        task_data["parameters"] = parameters
        path.write_text(json.dumps(content))

    @staticmethod
    def load(path: Path) -> dict[str, str]:
        """The parameters of our task in a loaded workflow."""
        from ikomia.dataprocess.workflow import Workflow

        workflow = Workflow()
        workflow.load(str(path))
        (task,) = workflow.find_task(PLUGIN_NAME)
        return dict(task.get_parameters())

    def test_value_out_of_range_reaches_the_user(self, saved: Path) -> None:
        self.edit(saved, [{"name": "points_per_side", "value": "many"}])
        with pytest.raises(RuntimeError) as caught:
            self.load(saved)
        assert (
            "Parameter points_per_side must be a whole number from 1 to 512, got 'many'; the "
            "default is 32." in str(caught.value)
        )

    def test_values_that_are_no_text_count_as_default(self, saved: Path) -> None:
        self.edit(
            saved,
            [
                {"name": "points_per_side", "value": 8},
                {"name": "cuda", "value": False},
                {"name": "input_point", "value": [[1, 2]]},
                {"name": "iou_thresh", "value": None},
                {"name": "use_m2m", "value": "True"},
            ],
        )
        assert self.load(saved) == Parameters.from_strings({"use_m2m": "True"}).to_strings()

    def test_ancestors_values_are_kept_and_the_rest_are_defaults(self, saved: Path) -> None:
        self.edit(saved, [{"name": k, "value": v} for k, v in ANCESTORS_PARAMETERS.items()])
        found = self.load(saved)
        assert {key: found[key] for key in ANCESTORS_PARAMETERS} == ANCESTORS_PARAMETERS
        assert found == Parameters.from_strings(ANCESTORS_PARAMETERS).to_strings()
        assert found["iou_thresh"] == "0.88"

    def test_unknown_names_are_left_out(self, saved: Path) -> None:
        self.edit(saved, [{"name": "nonsense", "value": "1"}, {"name": "cuda", "value": "off"}])
        assert self.load(saved) == Parameters(cuda=False).to_strings()

    def test_no_parameters_are_defaults(self, saved: Path) -> None:
        self.edit(saved, [])
        assert self.load(saved) == Parameters().to_strings()

    @pytest.mark.parametrize("damage", ["cut", "no JSON"])
    def test_damaged_file_is_the_hosts_own_error(self, saved: Path, damage: str) -> None:
        text = saved.read_text()
        saved.write_text(text[: len(text) // 2] if damage == "cut" else "no JSON")
        with pytest.raises(RuntimeError):
            self.load(saved)


class TestRun:
    @pytest.mark.parametrize(
        ("parameters", "sentence"),
        [
            pytest.param(
                {"input_point": [[500, 375]]},
                "Point [500, 375] lies outside the picture, which is 40 wide and 30 high; give x, "
                "y in pixels of the original picture.",
                id="point outside",
            ),
            pytest.param(
                {"input_box": [425, 600, 700, 875]},
                "Box [425, 600, 700, 875] lies outside the picture, which is 40 wide and 30 high; "
                "give left, top, right, bottom in pixels of the original picture.",
                id="box outside",
            ),
            pytest.param(
                {"model_path": "no/such/weights.pt"},
                "No weights file lies at model_path 'no/such/weights.pt': ",
                id="weights",
            ),
        ],
    )
    def test_first_sentence_reaches_the_user_and_the_next_run_works(
        self,
        new_workflow: NewWorkflow,
        photo: npt.NDArray[np.uint8],
        parameters: dict[str, object],
        sentence: str,
    ) -> None:
        workflow, task = new_workflow(**GOOD)
        workflow.run_on(array=photo)
        task.set_parameters({**NO_PROMPT, **parameters})
        with pytest.raises(RuntimeError) as caught:
            workflow.run_on(array=photo)
        assert first_words(caught.value).startswith(sentence)
        assert_is_empty(task)
        task.set_parameters(dict.fromkeys(parameters, ""))
        assert_works(workflow, task, photo)

    def test_drawn_items_outside(
        self, new_workflow: NewWorkflow, photo: npt.NDArray[np.uint8]
    ) -> None:
        from ikomia import core

        workflow, task = new_workflow()
        items = task.get_input(1)
        for item, sentence in (
            (core.CGraphicsPoint(core.CPointF(500, 375)), "Point [500, 375] lies outside the "),
            (core.CGraphicsPoint(core.CPointF(float("nan"), 1)), "Point [nan, 1] must be of "),
            (core.CGraphicsRectangle(-50.0, 0.0, 20.0, 9.0), "Box [-50, 0, -30, 9] lies outside "),
            (core.CGraphicsRectangle(5.0, 5.0, 0.0, 9.0), "Box [5, 5, 5, 14] has no area; "),
        ):
            items.set_items([item])
            with pytest.raises(RuntimeError) as caught:
                workflow.run_on(array=photo)
            assert first_words(caught.value).startswith(sentence)
            assert_is_empty(task)
        items.set_items([core.CGraphicsText("nothing to prompt", 500.0, 500.0)])
        assert_works(workflow, task, photo)

    @pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(50)])
    def test_file_that_is_no_picture(
        self,
        new_workflow: NewWorkflow,
        photo: npt.NDArray[np.uint8],
        tmp_path: Path,
        content: bytes,
    ) -> None:
        path = tmp_path / "broken.png"
        path.write_bytes(content)
        workflow, task = new_workflow(**GOOD)
        with pytest.raises(RuntimeError) as caught:
            workflow.run_on(path=str(path))
        assert first_words(caught.value).startswith(
            "The input holds no picture (got NoneType); give an array of height x width, or "
            "height x width x channels, or a readable picture file."
        )
        assert_is_empty(task)
        Image.fromarray(photo).save(path)
        workflow.run_on(path=str(path))
        assert task.get_output(1).get_object_count() == 1

    @pytest.mark.parametrize(
        ("picture", "sentence"),
        [
            pytest.param(
                np.zeros((0, 40, 3), np.uint8),
                "The picture has no pixels (shape 0 x 40 x 3); give at least 1 x 1.",
                id="no pixels",
            ),
            pytest.param(
                np.zeros((30, 40, 5), np.uint8),
                "The picture has the shape 30 x 40 x 5, expected height x width or height x width "
                "x 1, 2, 3 or 4 channels; pick the bands to use and give those.",
                id="5 channels",
            ),
            pytest.param(
                np.zeros((2, 30, 40, 3), np.uint8),
                "The picture has the shape 2 x 30 x 40 x 3, expected ",
                id="4-D",
            ),
        ],
    )
    def test_array_that_is_no_picture(
        self,
        new_workflow: NewWorkflow,
        photo: npt.NDArray[np.uint8],
        picture: npt.NDArray[np.uint8],
        sentence: str,
    ) -> None:
        workflow, task = new_workflow(**GOOD)
        with pytest.raises(RuntimeError) as caught:
            workflow.run_on(array=picture)
        assert first_words(caught.value).startswith(sentence)
        assert_is_empty(task)
        assert_works(workflow, task, photo)

    def test_input_is_never_changed(
        self, new_workflow: NewWorkflow, photo: npt.NDArray[np.uint8]
    ) -> None:
        workflow, task = new_workflow(input_point=[[500, 375]])
        before = photo.copy()
        with pytest.raises(RuntimeError):
            workflow.run_on(array=photo)
        assert_works(workflow, task, photo)
        assert np.array_equal(photo, before)

    def test_called_directly_the_errors_keep_their_type(
        self, new_workflow: NewWorkflow, photo: npt.NDArray[np.uint8]
    ) -> None:
        from infer_segment_anything_2.errors import PromptError

        _, task = new_workflow(input_point=[[500, 375]])
        task.get_input(0).set_image(photo)
        with pytest.raises(PromptError, match=r"^Point "):
            task.run()
